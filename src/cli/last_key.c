/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/last_key.h"

#include <stdio.h>

#include "base/io.h"
#include "base/text.h"
#include "cli/env.h"
#include "codec/sha256.h"

/* The file, or NULL. The caller frees it. */
static char *
path_for(const struct hf_store *store)
{
	struct hf_id place = hf_sha256(hf_str_bytes(hf_str(hf_store_url(store))));
	hf_autofree char *name = NULL;

	if (hf_store_is_near(store))
		return NULL;
	if (asprintf(&name, "keys/%s", hf_id_hex(&place).s) < 0)
		abort();
	return hf_env_state(name);
}

char *
hf_last_key(const struct hf_store *store)
{
	hf_autofree char *path = path_for(store);
	hf_auto(hf_buf) text = HF_BUF_MAX(1024);
	struct hf_id id;

	if (path == NULL)
		return NULL;
	hf_autoptr(hf_err) e = hf_read_file(path, &text);
	struct hf_str hex = hf_text_trim(hf_bytes_str(hf_buf_bytes(&text)));
	return e == NULL && hf_id_parse(hex, &id) ? hf_str_dup(hex) : NULL;
}

void
hf_last_key_keep(const struct hf_store *store, const char *known, const struct hf_id *key)
{
	hf_autofree char *path = path_for(store);
	struct hf_hex hex = hf_id_hex(key);

	if (path == NULL || (known != NULL && strcmp(known, hex.s) == 0))
		return;
	hf_err_free(hf_note(path, hf_str_bytes(hf_str(hex.s))));
}
