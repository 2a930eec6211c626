/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/opened.h"

void
hf_opened_init(struct hf_opened pair[static 2])
{
	for (size_t i = 0; i < 2; i++)
		pair[i] = (struct hf_opened){.other = &pair[1 - i],
			.lane = hf_lane_new(),
			.plain = HF_BUF_SPOOL(UINT32_MAX)};
}

void
hf_opened_clear(struct hf_opened pair[static 2])
{
	for (size_t i = 0; i < 2; i++) {
		hf_lane_free(pair[i].lane);
		hf_buf_clear(&pair[i].plain);
	}
}

struct hf_opened *
hf_opened_next(struct hf_opened pair[static 2])
{
	return pair[0].rest.len <= pair[1].rest.len ? &pair[0] : &pair[1];
}

/* The next `n` bytes that are to be hashed, or what is left. */
static struct hf_bytes
take(struct hf_opened *o, size_t n)
{
	struct hf_bytes part = {o->rest.p, n < o->rest.len ? n : o->rest.len};

	if (part.len > 0)
		o->rest.p += part.len;
	o->rest.len -= part.len;
	return part;
}

void
hf_opened_beside(struct hf_opened *o, struct hf_lane *lane, struct hf_bytes bytes)
{
	hf_lanes_add(lane, bytes, o->lane, take(o, bytes.len));
}

struct hf_err *
hf_opened_begin(struct hf_opened *o, struct hf_reader *r, const struct hf_id *id, size_t tag,
	uint8_t *sealed, uint32_t length, uint32_t raw_length)
{
	const struct hf_opened *other = o->other;

	hf_buf_reset(&o->plain);
	HF_TRY(hf_reader_unseal(r, sealed, length, raw_length, &o->plain));
	o->id = *id;
	o->tag = tag;
	o->is_waiting = true;
	o->rest = hf_buf_bytes(&o->plain);
	size_t both = o->rest.len < other->rest.len ? o->rest.len : other->rest.len;
	hf_opened_beside(o->other, o->lane, take(o, both));
	return NULL;
}

struct hf_err *
hf_opened_end(struct hf_opened *o)
{
	hf_opened_beside(o->other, o->lane, take(o, o->rest.len));
	struct hf_id got = hf_lane_end(o->lane);
	o->is_waiting = false;
	if (hf_id_eq(&got, &o->id))
		return NULL;
	return hf_err(HF_ECORRUPT, "the content's hash is %s", hf_id_hex(&got).s);
}
