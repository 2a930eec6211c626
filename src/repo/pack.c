/* SPDX-License-Identifier: BSD-2-Clause */
/* The header of a pack: written, read back, and distrusted until everything adds up. */
#include "repo/pack.h"

#include "base/endian.h"

enum {
	LEN_FIELD = 4,    /* the header's length, last in the file */
	PLAIN_ENTRY = 37, /* type, length, id */
	LONG_ENTRY = 41,  /* type, length, length of the plaintext, id */
};

uint64_t
hf_pack_size(const struct hf_pack_entry *entries, size_t n)
{
	uint64_t size = HF_SEAL_OVERHEAD + LEN_FIELD;

	for (size_t i = 0; i < n; i++)
		size += entries[i].length + hf_pack_entry_len(&entries[i]);
	return size;
}

void
hf_pack_entries_clear(struct hf_pack_entries *l)
{
	free(l->v);
	*l = (struct hf_pack_entries){0};
}

void
hf_pack_entries_reset(struct hf_pack_entries *l)
{
	l->len = 0;
}

void
hf_pack_entries_add(struct hf_pack_entries *l, const struct hf_pack_entry *e)
{
	if (l->len == l->cap) {
		size_t cap = l->cap < 16 ? 16 : 2 * l->cap;
		struct hf_pack_entry *v = reallocarray(l->v, cap, sizeof *v);

		if (v == NULL)
			abort();
		l->v = v;
		l->cap = cap;
	}
	l->v[l->len++] = *e;
}

void
hf_pack_header_add(struct hf_buf *out, const struct hf_pack_entries *entries)
{
	for (size_t i = 0; i < entries->len; i++) {
		const struct hf_pack_entry *e = &entries->v[i];
		uint8_t b[LONG_ENTRY];
		uint8_t *p = b;

		*p++ = (uint8_t)((e->blob.type == HF_TREE ? 1 : 0) |
				 (e->raw_length != 0 ? 2 : 0));
		hf_put_le32(p, e->length);
		p += 4;
		if (e->raw_length != 0) {
			hf_put_le32(p, e->raw_length);
			p += 4;
		}
		memcpy(p, e->blob.id.b, HF_ID_LEN);
		p += HF_ID_LEN;
		hf_buf_add(out, b, (size_t)(p - b));
	}
}

/* Reads one entry at `p`, of which `left` bytes remain. NULL: read, and *len bytes are used. */
static struct hf_err *
parse_entry(const uint8_t *p, size_t left, struct hf_pack_entry *e, size_t *len)
{
	if (p[0] > 3)
		return hf_err(HF_ECORRUPT, "pack header: unknown blob type %u", p[0]);
	bool is_long = (p[0] & 2) != 0;
	size_t need = is_long ? LONG_ENTRY : PLAIN_ENTRY;

	if (left < need)
		return hf_err(HF_ECORRUPT, "pack header: last entry is cut short");
	e->blob.type = (p[0] & 1) != 0 ? HF_TREE : HF_DATA;
	e->length = hf_get_le32(p + 1);
	e->raw_length = is_long ? hf_get_le32(p + 5) : 0;
	memcpy(e->blob.id.b, p + need - HF_ID_LEN, HF_ID_LEN);
	if (e->length < HF_SEAL_OVERHEAD)
		return hf_err(HF_ECORRUPT,
			"pack header: blob of %u bytes, too short to be sealed", e->length);
	if (is_long && e->raw_length == 0)
		return hf_err(
			HF_ECORRUPT, "pack header: compressed blob of uncompressed length 0");
	*len = need;
	return NULL;
}

struct hf_err *
hf_pack_header_parse(struct hf_bytes plain, uint64_t blobs, struct hf_pack_entries *out)
{
	hf_auto(hf_pack_entries) l = {0};
	uint64_t off = 0;

	for (size_t at = 0, len = 0; at < plain.len; at += len) {
		struct hf_pack_entry e = {.offset = (uint32_t)off};

		HF_TRY(parse_entry(plain.p + at, plain.len - at, &e, &len));
		if (off > UINT32_MAX || e.length > blobs - off)
			return hf_err(HF_ECORRUPT,
				"pack header: blobs need more than the %ju bytes that are "
				"there",
				(uintmax_t)blobs);
		hf_pack_entries_add(&l, &e);
		off += e.length;
	}
	if (off != blobs)
		return hf_err(HF_ECORRUPT,
			"pack header: blobs end at byte %ju, header begins at %ju",
			(uintmax_t)off, (uintmax_t)blobs);
	free(out->v);
	*out = l;
	l = (struct hf_pack_entries){0};
	return NULL;
}

struct hf_err *
hf_pack_header_len(const uint8_t last[static 4], uint64_t size, uint32_t *len)
{
	uint32_t n = hf_get_le32(last);

	if (size < HF_PACK_MIN_FILE)
		return hf_err(
			HF_ECORRUPT, "pack file of %ju bytes is too short", (uintmax_t)size);
	if (n == 0)
		return hf_err(HF_ECORRUPT, "invalid pack file: header length is zero");
	if (n < HF_SEAL_OVERHEAD)
		return hf_err(
			HF_ECORRUPT, "invalid pack file: header length %u is too short", n);
	if (n > HF_PACK_MAX_HEADER || n > size - LEN_FIELD)
		return hf_err(
			HF_ECORRUPT, "invalid pack file: header length %u is too large", n);
	*len = n;
	return NULL;
}

/* Opens the header, which begins at byte `blobs` of the file, and reads it. */
static struct hf_err *
open_header(struct hf_aead *aead, struct hf_bytes sealed, uint64_t blobs,
	struct hf_pack_entries *out)
{
	hf_auto(hf_buf) plain = HF_BUF_MAX(HF_PACK_MAX_HEADER);

	HF_TRY(hf_buf_resize(&plain, sealed.len - HF_SEAL_OVERHEAD));
	if (!hf_aead_open(aead, sealed, plain.p))
		return hf_err(HF_ECORRUPT, "pack header: ciphertext verification failed");
	return hf_pack_header_parse(hf_buf_bytes(&plain), blobs, out);
}

struct hf_err *
hf_pack_header_open(
	struct hf_aead *aead, struct hf_bytes tail, uint64_t size, struct hf_pack_entries *out)
{
	uint32_t len;

	if (tail.len < LEN_FIELD)
		return hf_err(
			HF_ECORRUPT, "pack file of %ju bytes is too short", (uintmax_t)size);
	HF_TRY(hf_pack_header_len(tail.p + tail.len - LEN_FIELD, size, &len));
	if (len > tail.len - LEN_FIELD)
		return hf_err(HF_EINVAL, "header of %u bytes is not all there", len);
	return open_header(aead, (struct hf_bytes){tail.p + tail.len - LEN_FIELD - len, len},
		size - LEN_FIELD - len, out);
}

struct hf_err *
hf_pack_entries_of(struct hf_aead *aead, struct hf_bytes file, struct hf_pack_entries *out)
{
	return hf_pack_header_open(aead, file, file.len, out);
}
