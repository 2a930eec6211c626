/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/md5.h"

#include <openssl/evp.h>

enum { MD5_LEN = 16 };

bool
hf_md5_base64(struct hf_bytes b, struct hf_md5_text *out)
{
	uint8_t hash[EVP_MAX_MD_SIZE];

	if (EVP_Digest(b.p, b.len, hash, NULL, EVP_md5(), NULL) != 1)
		return false;
	EVP_EncodeBlock((unsigned char *)out->s, hash, MD5_LEN);
	return true;
}
