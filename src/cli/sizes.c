/* SPDX-License-Identifier: BSD-2-Clause */
/* Sizes are counted by their number of digits, as restic does, up to what is larger than it should be. */
#include "cli/sizes.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/format.h"
#include "cli/table.h"

#define MAX_FILE (UINT64_C(256) << 20) /* of restic's packs, twice */
#define MAX_BLOB (UINT64_C(16) << 20)  /* of chunks, twice */

enum { DIGITS = 10, MAX_OVERSIZED = 1 << 26 };

struct sizes {
	uint64_t max;
	uint64_t count, total;
	uint64_t of_digits[DIGITS + 1]; /* 0: of nothing at all */
	struct hf_buf oversized;        /* uint64_t */
};

static void
sizes_init(struct sizes *s, uint64_t max)
{
	*s = (struct sizes){.max = max, .oversized = HF_BUF_MAX(MAX_OVERSIZED)};
}

static void
sizes_clear(struct sizes *s)
{
	hf_buf_clear(&s->oversized);
}

static void
sizes_add(struct sizes *s, uint64_t size)
{
	unsigned digits = 0;

	s->count++;
	s->total += size;
	if (size > s->max) {
		hf_buf_add(&s->oversized, &size, sizeof size);
		return;
	}
	for (; size > 0; size /= 10)
		digits++;
	s->of_digits[digits]++;
}

/* "1000 - 9999 Byte" */
static void
add_range(const struct sizes *s, unsigned digits, struct hf_buf *out)
{
	uint64_t low = digits > 0, high;

	for (unsigned i = 1; i < digits; i++)
		low *= 10;
	high = digits > 0 ? low * 10 - 1 : 0;
	hf_buf_addf(out, "%" PRIu64 " - %" PRIu64 " Byte", low, high < s->max ? high : s->max);
}

static void
say_ranges(const struct sizes *s, struct hf_out *out)
{
	static const char *const headers[] = {"Size", "Count"};
	hf_autoptr(hf_table) t = hf_table_new(headers, 2);
	hf_auto(hf_buf) widest = HF_BUF_MAX(256);
	unsigned first = 0, last = DIGITS;

	while (first < last && s->of_digits[first] == 0)
		first++;
	while (last > first && s->of_digits[last] == 0)
		last--;
	add_range(s, last, &widest);
	for (unsigned i = first; i <= last && s->of_digits[last] > 0; i++) {
		hf_auto(hf_buf) range = HF_BUF_MAX(256), cell = HF_BUF_MAX(512);
		char count[32];

		add_range(s, i, &range);
		hf_buf_addf(
			&cell, "%*.*s", (int)widest.len, (int)range.len, (const char *)range.p);
		hf_buf_add_char(&cell, '\0');
		snprintf(count, sizeof count, "%" PRIu64, s->of_digits[i]);
		hf_table_add(t, (const char *)cell.p);
		hf_table_add(t, count);
	}
	hf_table_print_err(t, out);
}

static void
say(const struct sizes *s, const char *what, const char *name, struct hf_out *out)
{
	hf_auto(hf_buf) list = HF_BUF_MAX(MAX_OVERSIZED);

	hf_say_err(out, "%s Type: %s\nCount: %" PRIu64 "\nTotal Size: %s", what, name, s->count,
		hf_format_bytes(s->total).s);
	say_ranges(s, out);
	if (s->oversized.len == 0)
		return;
	for (size_t i = 0; i < s->oversized.len / sizeof(uint64_t); i++) {
		uint64_t size;

		memcpy(&size, s->oversized.p + i * sizeof size, sizeof size);
		hf_buf_addf(&list, "%s%" PRIu64, i > 0 ? " " : "", size);
	}
	hf_say_err(out, "Oversized: [%.*s]", (int)list.len, (const char *)list.p);
}

static struct hf_err *
count_file(void *arg, const struct hf_name *name, uint64_t size)
{
	(void)name;
	sizes_add(arg, size);
	return NULL;
}

static struct hf_err *
say_files(struct hf_session *s, enum hf_kind kind)
{
	hf_auto(sizes) files = {0};

	sizes_init(&files, MAX_FILE);
	HF_TRY(hf_store_list(hf_repo_store(s->repo), kind, count_file, &files));
	say(&files, "File", kind == HF_PACK ? "data" : hf_kind_text(kind), s->cli->out);
	return NULL;
}

static void
say_blobs(struct hf_session *s, enum hf_blob_type type)
{
	hf_auto(sizes) blobs = {0};
	struct hf_location at;
	struct hf_blob blob;

	sizes_init(&blobs, MAX_BLOB);
	for (size_t i = 0; i < hf_index_len(s->index); i++)
		if (hf_index_entry(s->index, i, &blob, &at) && blob.type == type)
			sizes_add(&blobs, at.length);
	say(&blobs, "Blob", hf_blob_type_text(type), s->cli->out);
	hf_say_err(s->cli->out, "\n\n");
}

struct hf_err *
hf_sizes_say(struct hf_session *s)
{
	static const enum hf_kind kinds[] = {HF_KEY, HF_LOCK, HF_INDEX, HF_SNAPSHOT, HF_PACK};

	hf_say_err(s->cli->out, "Collecting size statistics\n\n");
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		HF_TRY(say_files(s, kinds[i]));
	say_blobs(s, HF_DATA);
	say_blobs(s, HF_TREE);
	return NULL;
}
