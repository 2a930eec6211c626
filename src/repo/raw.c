/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a whole file and proving that it is the one that was asked for. */
#include "repo/raw.h"

#include "codec/sha256.h"
#include "repo/repo.h"

size_t
hf_raw_max(enum hf_kind kind)
{
	switch (kind) {
	case HF_CONFIG:
		return HF_MAX_CONFIG_FILE;
	case HF_KEY:
		return HF_MAX_KEY_FILE;
	case HF_LOCK:
		return HF_MAX_LOCK_FILE;
	case HF_SNAPSHOT:
		return HF_MAX_SNAPSHOT_FILE;
	case HF_INDEX:
		return HF_MAX_INDEX_FILE;
	case HF_PACK:
		break;
	}
	return 0;
}

struct hf_err *
hf_raw_load(struct hf_store *store, const struct hf_name *name, struct hf_buf *out)
{
	struct hf_id id;

	for (int try = 0; try < 2; try++) {
		hf_buf_reset(out);
		HF_TRY(hf_err_in(hf_store_get(store, name, 0, SIZE_MAX, out), "loading %s %.8s",
			hf_kind_text(name->kind), hf_id_hex(&name->id).s));
		if (name->kind == HF_CONFIG)
			return NULL;
		id = hf_sha256(hf_buf_bytes(out));
		if (hf_id_eq(&id, &name->id))
			return NULL;
		(void)hf_store_forget(store, name);
	}
	return hf_err(
		HF_ECORRUPT, "%s: the content does not match the name", hf_name_text(name).s);
}
