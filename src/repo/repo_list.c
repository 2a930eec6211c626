/* SPDX-License-Identifier: BSD-2-Clause */
/* What files of a kind a repository has, and which of them is meant. */
#include "base/io.h"
#include "codec/quote.h"
#include "repo/repo.h"

/* One listed file. */
struct entry {
	struct hf_id id;
	uint64_t size;
};

static struct hf_err *
list_add(void *arg, const struct hf_name *name, uint64_t size)
{
	struct hf_buf *list = arg;
	struct entry entry = {name->id, size};

	hf_buf_add(list, &entry, sizeof entry);
	return hf_buf_ok(list);
}

static int
entry_cmp(const void *a, const void *b)
{
	return hf_id_cmp(&((const struct entry *)a)->id, &((const struct entry *)b)->id);
}

/* A hundred million files are 1.6 PB in packs of the default size; no one has that many. */
static const size_t max_list = 100u * 1000 * 1000 * sizeof(struct entry);

struct hf_err *
hf_repo_list(struct hf_repo *repo, enum hf_kind kind, struct hf_id **out, uint64_t **sizes,
	size_t *n)
{
	hf_auto(hf_buf) list = HF_BUF_SPOOL(max_list);
	size_t len = 0;

	HF_TRY(hf_err_in((sizes != NULL ? hf_store_list : hf_store_names)(
				 hf_repo_store(repo), kind, list_add, &list),
		"listing %s files", hf_kind_text(kind)));
	struct entry *entries = (void *)list.p;
	size_t listed = list.len / sizeof *entries;
	if (listed > 1)
		qsort(entries, listed, sizeof *entries, entry_cmp);
	hf_autofree struct hf_id *ids = calloc(listed + 1, sizeof *ids);
	hf_autofree uint64_t *all_sizes = calloc(listed + 1, sizeof *all_sizes);
	if (ids == NULL || all_sizes == NULL)
		return hf_err(HF_EFATAL, "no memory for a list of %zu files", listed);
	for (size_t i = 0; i < listed; i++) {
		/* A server that lists in pages may show a file on two of them. */
		if (len > 0 && hf_id_eq(&ids[len - 1], &entries[i].id))
			continue;
		ids[len] = entries[i].id;
		all_sizes[len++] = entries[i].size;
	}
	*out = hf_steal(ids);
	if (sizes != NULL)
		*sizes = hf_steal(all_sizes);
	*n = len;
	return NULL;
}

struct hf_err *
hf_ids_resolve(const struct hf_id *ids, size_t n, const char *prefix, struct hf_id *out)
{
	hf_auto(hf_buf) quoted = HF_BUF_MAX(4096);
	const struct hf_id *found = NULL;
	size_t len = strlen(prefix), matches = 0;

	for (size_t i = 0; i < n && len > 0 && len <= HF_ID_HEX; i++) {
		if (strncmp(hf_id_hex(&ids[i]).s, prefix, len) == 0) {
			found = &ids[i];
			matches++;
		}
	}
	if (matches == 1) {
		*out = *found;
		return NULL;
	}
	hf_quote(&quoted, hf_str(prefix));
	if (matches > 1)
		return hf_err(HF_EINVAL, "multiple IDs with prefix \"%.*s\" found",
			(int)quoted.len, (const char *)quoted.p);
	return hf_err(HF_ENOTFOUND, "no matching ID found for prefix \"%.*s\"", (int)quoted.len,
		(const char *)quoted.p);
}

struct hf_err *
hf_repo_resolve(struct hf_repo *repo, enum hf_kind kind, const char *prefix, struct hf_id *out)
{
	hf_autofree struct hf_id *ids = NULL;
	size_t n;

	if (hf_id_parse(hf_str(prefix), out))
		return NULL;
	HF_TRY(hf_repo_list(repo, kind, &ids, NULL, &n));
	return hf_ids_resolve(ids, n, prefix, out);
}
