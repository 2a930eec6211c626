/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/window.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/group.h"
#include "harness/test.h"
#include "store/call.h"
#include "store/mem.h"

enum { SIZE = 6 << 20, BLOB = 5000, N_THREADS = 8 };

static const struct hf_name pack = {.kind = HF_PACK, .id = {{1, 2, 3}}, .is_meta = true};
static const struct hf_name other = {.kind = HF_PACK, .id = {{3, 2, 1}}, .is_meta = true};

/* Counts what is fetched. */
struct counted {
	struct hf_around around;
	atomic_ulong calls, bytes;
	atomic_uint fails; /* so many calls fail from now on */
};

static struct hf_err *
count(struct hf_around *a, struct hf_call *c)
{
	struct counted *s = hf_container_of(a, struct counted, around);

	if (c->op == HF_OP_GET) {
		atomic_fetch_add(&s->calls, 1);
		if (atomic_load(&s->fails) > 0) {
			atomic_fetch_sub(&s->fails, 1);
			return hf_err(HF_EIO, "no answer");
		}
	}
	struct hf_err *e = hf_call_run(c, a->inner);
	if (e == NULL && c->op == HF_OP_GET)
		atomic_fetch_add(&s->bytes, c->n_bytes);
	return e;
}

static void
counted_free(struct hf_around *a)
{
	free(hf_container_of(a, struct counted, around));
}

static uint8_t
byte_at(uint64_t i)
{
	return (uint8_t)(i * 2654435761u >> 13);
}

static struct hf_store *
far_store(struct counted **out)
{
	struct counted *s = hf_new(struct counted);
	hf_auto(hf_buf) content = HF_BUF_MAX(SIZE);

	REQUIRE_OK(hf_buf_resize(&content, SIZE));
	for (uint64_t i = 0; i < SIZE; i++)
		content.p[i] = byte_at(i);
	hf_around_init(&s->around, hf_store_mem());
	s->around.around = count;
	s->around.free = counted_free;
	REQUIRE_OK(hf_store_put(&s->around.store, &pack, hf_buf_bytes(&content)));
	REQUIRE_OK(hf_store_put(&s->around.store, &other, hf_buf_bytes(&content)));
	*out = s;
	return &s->around.store;
}

static void
read_at(struct hf_windows *w, struct hf_store *s, const struct hf_name *name, uint64_t off,
	size_t len)
{
	hf_auto(hf_buf) out = HF_BUF_MAX(SIZE + 6);

	hf_buf_add_str(&out, "before");
	REQUIRE_OK(hf_windows_get(w, s, name, SIZE, off, len, &out));
	REQUIRE(out.len == 6 + len);
	CHECK(memcmp(out.p, "before", 6) == 0);
	for (size_t i = 0; i < len; i++)
		REQUIRE(out.p[6 + i] == byte_at(off + i));
}

TEST(who_reads_on_makes_few_requests_and_hardly_fetches_anything_twice)
{
	struct counted *c;
	hf_autoptr(hf_store) s = far_store(&c);
	hf_autoptr(hf_windows) w = hf_windows_new();

	for (uint64_t off = 0; off + BLOB <= SIZE; off += BLOB)
		read_at(w, s, &pack, off, BLOB);
	CHECK(c->calls <= 10);
	CHECK(c->bytes <= SIZE + c->calls * BLOB); /* one may lie across the end of a window */
}

TEST(backwards_as_well)
{
	struct counted *c;
	hf_autoptr(hf_store) s = far_store(&c);
	hf_autoptr(hf_windows) w = hf_windows_new();

	for (uint64_t off = SIZE; off >= BLOB; off -= BLOB)
		read_at(w, s, &pack, off - BLOB, BLOB);
	CHECK(c->calls <= 10);
	CHECK(c->bytes <= SIZE + c->calls * BLOB); /* one may lie across the end of a window */
}

TEST(of_what_is_scattered_little_more_is_fetched)
{
	struct counted *c;
	hf_autoptr(hf_store) s = far_store(&c);
	hf_autoptr(hf_windows) w = hf_windows_new();

	for (int i = 0; i < 1000; i++)
		read_at(w, s, i % 2 == 0 ? &pack : &other,
			(uint64_t)i * 7919 * 271 % (SIZE - BLOB), BLOB);
	CHECK(c->calls <= 1000);
	CHECK(c->bytes <= 1000 * ((UINT64_C(128) << 10) + BLOB));
}

TEST(a_blob_may_be_larger_than_a_window)
{
	struct counted *c;
	hf_autoptr(hf_store) s = far_store(&c);
	hf_autoptr(hf_windows) w = hf_windows_new();

	read_at(w, s, &pack, 1000, 5 << 20);
	read_at(w, s, &pack, 0, SIZE);
	read_at(w, s, &pack, SIZE - 1, 1);
	CHECK(c->calls == 2);
}

TEST(a_pack_may_be_shorter_than_is_said)
{
	struct counted *c;
	hf_autoptr(hf_store) s = far_store(&c);
	hf_autoptr(hf_windows) w = hf_windows_new();
	hf_auto(hf_buf) out = HF_BUF_MAX(SIZE);

	REQUIRE_OK(hf_windows_get(w, s, &pack, 2 * SIZE, SIZE - BLOB, BLOB, &out));
	CHECK(out.len == BLOB && out.p[0] == byte_at(SIZE - BLOB));
	CHECK_ERR(hf_windows_get(w, s, &pack, 2 * SIZE, SIZE, BLOB, &out), HF_ECORRUPT);
	CHECK(out.len == BLOB);
}

TEST(an_error_is_told_and_forgotten)
{
	struct counted *c;
	hf_autoptr(hf_store) s = far_store(&c);
	hf_autoptr(hf_windows) w = hf_windows_new();
	hf_auto(hf_buf) out = HF_BUF_MAX(SIZE);

	c->fails = 1;
	CHECK_ERR(hf_windows_get(w, s, &pack, SIZE, 0, BLOB, &out), HF_EIO);
	CHECK(out.len == 0);
	read_at(w, s, &pack, 0, BLOB);
}

/* ---- many at once ---- */

struct reader {
	struct hf_windows *w;
	struct hf_store *s;
	unsigned seed;
};

static struct hf_err *
read_some(void *arg)
{
	struct reader *r = arg;
	uint32_t x = r->seed;

	for (int i = 0; i < 2000; i++) {
		x = x * 1664525 + 1013904223;
		uint64_t off = (x >> 8) % (SIZE - BLOB);
		hf_auto(hf_buf) out = HF_BUF_MAX(BLOB);

		HF_TRY(hf_windows_get(r->w, r->s, (x & 1) != 0 ? &pack : &other, SIZE, off,
			1 + x % BLOB, &out));
		for (size_t k = 0; k < out.len; k++)
			if (out.p[k] != byte_at(off + k))
				return hf_err(HF_ECORRUPT, "a wrong byte");
	}
	return NULL;
}

TEST(threads_share_them)
{
	struct counted *c;
	hf_autoptr(hf_store) s = far_store(&c);
	hf_autoptr(hf_windows) w = hf_windows_new();
	hf_autoptr(hf_group) g = hf_group_new(NULL, NULL);
	struct reader readers[N_THREADS];

	for (unsigned i = 0; i < N_THREADS; i++) {
		readers[i] = (struct reader){w, s, i};
		REQUIRE_OK(hf_group_go(g, "reader", read_some, &readers[i]));
	}
	CHECK_OK(hf_group_wait(g));
}
