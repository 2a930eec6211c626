/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Key files. An input that begins with `=` is what is sealed inside of one, the master key's JSON;
 * any other is the file. The costs of a derivation stay out of it.
 */
#include "fuzz.h"

#include "codec/json.h"
#include "codec/sha256.h"
#include "repo/key.h"
#include "store/mem.h"

static const struct hf_kdf cheap = {2, 1, 1};

static void
wrap(struct hf_buf *out, struct hf_bytes inner, const struct hf_secret *password)
{
	static const uint8_t salt[HF_KDF_SALT] = {1};
	hf_auto(hf_buf) sealed = HF_BUF_MAX(1 << 20);
	struct hf_bytes salt_bytes = {salt, sizeof salt};
	struct hf_jout o = {.buf = out};
	struct hf_key user;

	hf_err_free(hf_kdf_derive(
		&cheap, (struct hf_bytes){password->p, password->len}, salt_bytes, 1, &user));
	hf_autoptr(hf_aead) aead = hf_aead_new(&user);
	hf_err_free(hf_buf_resize(&sealed, inner.len + HF_SEAL_OVERHEAD));
	hf_aead_seal(aead, inner, sealed.p);
	hf_jout_object(&o);
	hf_jout_key(&o, "kdf");
	hf_jout_str(&o, hf_str("scrypt"));
	hf_jout_key(&o, "N");
	hf_jout_u64(&o, cheap.n);
	hf_jout_key(&o, "r");
	hf_jout_u64(&o, cheap.r);
	hf_jout_key(&o, "p");
	hf_jout_u64(&o, cheap.p);
	hf_jout_key(&o, "salt");
	hf_jout_base64(&o, salt_bytes);
	hf_jout_key(&o, "data");
	hf_jout_base64(&o, hf_buf_bytes(&sealed));
	hf_jout_object_end(&o);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hf_autoptr(hf_store) store = hf_store_mem();
	hf_auto(hf_secret) password = {0};
	hf_auto(hf_key_info) info = {0};
	hf_auto(hf_buf) file = HF_BUF_MAX(1 << 20);
	bool is_inner = size > 0 && data[0] == '=';
	struct hf_key master;

	if (size > 1 << 16)
		return 0;
	hf_secret_set(&password, hf_str_bytes(hf_str("x")));
	if (is_inner)
		wrap(&file, (struct hf_bytes){data + 1, size - 1}, &password);
	else
		hf_buf_add(&file, data, size);
	struct hf_name name = {HF_KEY, hf_sha256(hf_buf_bytes(&file))};
	hf_err_free(hf_store_put(store, &name, hf_buf_bytes(&file)));
	hf_err_free(hf_key_read(store, &name.id, &info));
	if (!is_inner)
		return 0;
	struct hf_err *e = hf_key_open(store, &name.id, &password, &master, NULL);
	if (e == NULL && !hf_key_is_valid(&master))
		abort();
	if (e != NULL && hf_err_code(e) != HF_ECORRUPT)
		abort();
	hf_err_free(e);
	return 0;
}
