/* SPDX-License-Identifier: BSD-2-Clause */
/* The index by packs, and what the store says of them. */
#include "engine/check_run.h"

/*
 * Counts the blobs of each pack and puts their numbers side by side. While that is under way
 * first[p] is where the next blob of pack p - 1 goes; in the end it is where those of p begin.
 */
struct hf_err *
hf_check_group(struct hf_check_run *c)
{
	size_t n_packs = hf_index_packs(c->ix), n = hf_index_len(c->ix);
	struct hf_location at;
	struct hf_blob blob;
	uint32_t sum = 0;

	c->first = calloc(n_packs + 1, sizeof *c->first);
	c->numbers = calloc(n + 1, sizeof *c->numbers);
	c->file_sizes = calloc(n_packs + 1, sizeof *c->file_sizes);
	if (c->first == NULL || c->numbers == NULL || c->file_sizes == NULL)
		return hf_err(HF_EFATAL, "no memory for an index of %zu blobs", n);
	hf_bits_init(&c->bad, n);
	hf_bits_init(&c->used, n_packs);
	for (size_t p = 0; p < n_packs; p++) {
		struct hf_index_pack_info info;

		if (hf_index_pack_info(c->ix, p, &info)) {
			c->first[p + 1] = sum;
			sum += info.n_blobs;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (hf_index_entry(c->ix, i, &blob, &at))
			c->numbers[c->first[at.pack_number + 1]++] = (uint32_t)i;
	return NULL;
}

struct span {
	uint32_t offset, length, number;
};

static int
cmp_spans(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->offset != y->offset ? (x->offset > y->offset) - (x->offset < y->offset)
				      : (x->length > y->length) - (x->length < y->length);
}

/* The blobs of one pack in the order of their places: here as spans, and in c->numbers. */
static struct hf_err *
sort_blobs(struct hf_check_run *c, uint32_t pack, struct hf_buf *spans)
{
	uint32_t *numbers = c->numbers + c->first[pack];
	size_t n = c->first[pack + 1] - c->first[pack];
	bool is_sorted = true;
	uint64_t end = 0;

	hf_buf_reset(spans);
	for (size_t i = 0; i < n; i++) {
		struct hf_location at;
		struct hf_blob blob;

		if (!hf_index_entry(c->ix, numbers[i], &blob, &at))
			abort();
		struct span s = {at.offset, at.length, numbers[i]};
		hf_buf_add(spans, &s, sizeof s);
		if (at.offset < end)
			is_sorted = false;
		end = (uint64_t)at.offset + at.length;
	}
	HF_TRY(hf_buf_ok(spans));
	struct span *v = (struct span *)(void *)spans->p;
	if (!is_sorted)
		qsort(v, n, sizeof *v, cmp_spans);
	for (size_t i = 0; i < n; i++)
		numbers[i] = v[i].number;
	return NULL;
}

struct hf_err *
hf_check_sort(struct hf_check_run *c, uint32_t pack)
{
	hf_auto(hf_buf) spans = HF_BUF_SPOOL(SIZE_MAX / 2);

	return sort_blobs(c, pack, &spans);
}

/*
 * Whether each blob begins where the one before it ends. What lies beyond the end of the file is
 * lost.
 */
static struct hf_err *
check_layout(
	struct hf_check_run *c, uint32_t pack, const struct hf_id *id, struct hf_buf *spans)
{
	bool is_contiguous = true;
	uint64_t end = 0;

	HF_TRY(sort_blobs(c, pack, spans));
	const struct span *v = (const struct span *)(const void *)spans->p;
	for (size_t i = 0; i < spans->len / sizeof *v; i++) {
		is_contiguous &= v[i].offset == end;
		end = (uint64_t)v[i].offset + v[i].length;
		if (c->file_sizes[pack] == HF_CHECK_NO_FILE || end > c->file_sizes[pack])
			hf_check_mark_bad(c, v[i].number);
	}
	if (!is_contiguous)
		hf_check_reportf(c, HF_CHECK_INDEX_LAYOUT, id,
			"pack %s: index for pack contains gaps / overlapping blobs",
			hf_id_hex(id).s);
	return NULL;
}

static void
check_listing(struct hf_check_run *c, const struct hf_index_pack_info *info)
{
	struct hf_hex hex = hf_id_hex(&info->pack);

	if (info->is_split)
		hf_check_reportf(c, HF_CHECK_SPLIT_PACK, &info->pack,
			"pack %s has different data in indexes", hex.s);
	else if (info->is_duplicate)
		hf_check_reportf(c, HF_CHECK_DUPLICATE_PACK, &info->pack,
			"pack %s contained in several indexes", hex.s);
	if (info->types == (1U << HF_DATA | 1U << HF_TREE))
		hf_check_reportf(c, HF_CHECK_MIXED_PACK, &info->pack,
			"pack %.8s contains a mix of tree and data blobs", hex.s);
}

static void
check_file(struct hf_check_run *c, const struct hf_index_pack_info *info, uint64_t size)
{
	struct hf_hex hex = hf_id_hex(&info->pack);

	if (size == HF_CHECK_NO_FILE)
		hf_check_reportf(c, HF_CHECK_MISSING_PACK, &info->pack,
			"pack %s: does not exist", hex.s);
	else if (size != info->size)
		hf_check_reportf(c, HF_CHECK_PACK_SIZE, &info->pack,
			"pack %s: unexpected file size: got %ju, expected %ju", hex.s,
			(uintmax_t)size, (uintmax_t)info->size);
}

/* Both lists at once: what the store has gets its size, what no index lists is an orphan. */
static struct hf_err *
match_files(struct hf_check_run *c)
{
	hf_autofree struct hf_id *ids = NULL;
	hf_autofree uint64_t *sizes = NULL;
	size_t n, n_packs = hf_index_packs(c->ix);

	for (size_t p = 0; p < n_packs; p++)
		c->file_sizes[p] = HF_CHECK_NO_FILE;
	HF_TRY(hf_repo_list(c->repo, HF_PACK, &ids, &sizes, &n));
	for (size_t i = 0; i < n; i++) {
		uint32_t p;

		if (hf_index_find_pack(c->ix, &ids[i], &p))
			c->file_sizes[p] = sizes[i];
		else
			hf_check_reportf(c, HF_CHECK_ORPHANED_PACK, &ids[i],
				"pack %s: not referenced in any index", hf_id_hex(&ids[i]).s);
	}
	return NULL;
}

struct hf_err *
hf_check_packs(struct hf_check_run *c)
{
	hf_auto(hf_buf) scratch = HF_BUF_SPOOL(SIZE_MAX / 2);
	size_t n_packs = hf_index_packs(c->ix);
	struct hf_index_pack_info info;

	HF_TRY(hf_check_group(c));
	HF_TRY(match_files(c));
	for (uint32_t p = 0; p < n_packs; p++) {
		HF_TRY(hf_check_go_on(c));
		if (!hf_index_pack_info(c->ix, p, &info))
			abort();
		check_listing(c, &info);
		check_file(c, &info, c->file_sizes[p]);
		HF_TRY(check_layout(c, p, &info.pack, &scratch));
	}
	return NULL;
}
