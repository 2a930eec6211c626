/* SPDX-License-Identifier: BSD-2-Clause */
/* MD5 (RFC 1321) by libcrypto: what protocols of old want against accidents, and no more than that. */
#ifndef HF_CODEC_MD5_H
#define HF_CODEC_MD5_H

#include "base/buf.h"

struct hf_md5_text {
	char s[25]; /* base64, as the header Content-MD5 has it */
};

/* Any thread. False: this libcrypto is set up to have none (FIPS 140). */
bool hf_md5_base64(struct hf_bytes b, struct hf_md5_text *out);

#endif
