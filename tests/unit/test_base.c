/* SPDX-License-Identifier: BSD-2-Clause */
/* Ids, errors, queues and groups of threads, and what these do to many things. */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/each.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/group.h"
#include "base/id.h"
#include "base/queue.h"
#include "base/stop.h"
#include "harness/test.h"

TEST(id_text)
{
	static const char low[] =
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1dfeff";
	static const char high[] =
		"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1DFEFF";
	struct hf_id a, b;

	REQUIRE(hf_id_parse(hf_str(low), &a));
	REQUIRE(hf_id_parse(hf_str(high), &b));
	CHECK(hf_id_eq(&a, &b));
	CHECK_EQ(a.b[0], 0);
	CHECK_EQ(a.b[10], 10);
	CHECK_EQ(a.b[31], 0xff);
	CHECK_STR(hf_id_hex(&a).s, low);
	b.b[31] = 0xfe;
	CHECK(hf_id_cmp(&a, &b) > 0);
	CHECK(hf_id_cmp(&b, &a) < 0);
	CHECK(!hf_id_is_zero(&a));
	CHECK(hf_id_is_zero(&(struct hf_id){{0}}));
	CHECK(!hf_id_is_zero(&(struct hf_id){{[31] = 1}}));
}

/* Each byte value at each place: only the 22 hex digits are digits. */
TEST(id_parse_refuses)
{
	char s[HF_ID_HEX + 1];
	struct hf_id id = {{1}};

	memset(s, '0', sizeof s);
	CHECK(!hf_id_parse((struct hf_str){s, 63}, &id));
	CHECK(!hf_id_parse((struct hf_str){s, 65}, &id));
	CHECK(!hf_id_parse((struct hf_str){s, 0}, &id));
	CHECK_EQ(id.b[0], 1);
	for (size_t at = 0; at < HF_ID_HEX; at++) {
		for (int c = 0; c < 256; c++) {
			bool is_hex = c != 0 && strchr("0123456789abcdefABCDEF", c) != NULL;

			s[at] = (char)c;
			if (hf_id_parse((struct hf_str){s, HF_ID_HEX}, &id) != is_hex)
				FAIL("byte %d at %zu", c, at);
		}
		s[at] = '0';
	}
}

TEST(endian)
{
	uint8_t p[9] = {0};

	hf_put_le32(p + 1, 0x01020304);
	CHECK_MEM(p, "\0\4\3\2\1\0\0\0\0", 9);
	CHECK_EQ(hf_get_le32(p + 1), 0x01020304);
	hf_put_le64(p + 1, 0x0102030405060708);
	CHECK_MEM(p, "\0\10\7\6\5\4\3\2\1", 9);
	CHECK_EQ(hf_get_le64(p + 1), 0x0102030405060708);
}

TEST(err_text_and_code)
{
	hf_autoptr(hf_err) e = hf_err(HF_ECORRUPT, "pack %d of %s", 7, "x");

	CHECK_EQ(hf_err_code(e), HF_ECORRUPT);
	CHECK_STR(hf_err_text(e), "pack 7 of x");
	e = hf_err_in(e, "reading %s", "index");
	CHECK_EQ(hf_err_code(e), HF_ECORRUPT);
	CHECK_STR(hf_err_text(e), "reading index: pack 7 of x");
	CHECK(hf_err_in(NULL, "nothing") == NULL);
	hf_err_free(NULL);
}

TEST(err_of_errno)
{
	CHECK_ERR_TEXT(hf_err_errno(ENOENT, "opening %s", "f"), HF_ENOTFOUND,
		"opening f: No such file or directory");
	CHECK_ERR(hf_err_errno(EEXIST, "x"), HF_EEXISTS);
	CHECK_ERR(hf_err_errno(ENOSPC, "x"), HF_EFATAL);
	CHECK_ERR(hf_err_errno(EACCES, "x"), HF_EFATAL);
	CHECK_ERR(hf_err_errno(EROFS, "x"), HF_EFATAL);
	CHECK_ERR(hf_err_errno(EIO, "x"), HF_EIO);
	CHECK_ERR(hf_err_errno(ECONNRESET, "x"), HF_EIO);
}

TEST(err_ignore)
{
	CHECK(hf_err_ignore(NULL, HF_EIO) == NULL);
	CHECK(hf_err_ignore(hf_err(HF_EEXISTS, "there"), HF_EEXISTS) == NULL);
	CHECK_ERR_TEXT(
		hf_err_ignore(hf_err(HF_EIO, "100%% here"), HF_EEXISTS), HF_EIO, "100% here");
}

TEST(stop)
{
	struct hf_stop s = {.is_set = false};

	CHECK_OK(hf_stop_check(NULL));
	CHECK_OK(hf_stop_check(&s));
	hf_stop_set(&s);
	CHECK_ERR(hf_stop_check(&s), HF_ECANCELED);
}

/* ---- Queues ---- */

static atomic_uint dropped;

static void
drop(void *item)
{
	atomic_fetch_add(&dropped, 1);
	free(item);
}

static int *
number(int n)
{
	int *p = malloc(sizeof *p);

	*p = n;
	return p;
}

TEST(queue_keeps_order)
{
	hf_autoptr(hf_queue) q = hf_queue_new(3, drop);
	int in = 0, out = 0;

	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 1 + round % 3; i++)
			REQUIRE(hf_queue_push(q, number(in++)));
		while (out < in) {
			hf_autofree int *n = hf_queue_pop(q);

			REQUIRE_EQ(*n, out++);
		}
	}
}

TEST(queue_drained_after_close)
{
	hf_autoptr(hf_queue) q = hf_queue_new(4, drop);

	REQUIRE(hf_queue_push(q, number(1)));
	REQUIRE(hf_queue_push(q, number(2)));
	hf_queue_close(q);
	hf_queue_close(q);
	hf_autofree int *late = number(3);
	CHECK(!hf_queue_push(q, late));
	for (int i = 1; i <= 2; i++) {
		hf_autofree int *n = hf_queue_pop(q);

		REQUIRE(n != NULL);
		CHECK_EQ(*n, i);
	}
	CHECK(hf_queue_pop(q) == NULL);
}

TEST(queue_drops_the_rest)
{
	struct hf_queue *q = hf_queue_new(4, drop);

	for (int i = 0; i < 3; i++)
		REQUIRE(hf_queue_push(q, number(i)));
	free(hf_queue_pop(q));
	REQUIRE(hf_queue_push(q, number(3)));
	REQUIRE(hf_queue_push(q, number(4))); /* around the end of the ring */
	hf_queue_free(q);
	CHECK_EQ(atomic_load(&dropped), 4);
	hf_queue_free(NULL);
}

struct counts {
	struct hf_queue *q;
	atomic_ullong sum, pushed, refused;
};

static struct hf_err *
producer(void *arg)
{
	struct counts *c = arg;

	for (int i = 1; i <= 5000; i++) {
		int *n = number(i);

		if (!hf_queue_push(c->q, n)) {
			free(n);
			atomic_fetch_add(&c->refused, 1);
			return NULL;
		}
		atomic_fetch_add(&c->pushed, 1);
	}
	return NULL;
}

static struct hf_err *
consumer(void *arg)
{
	struct counts *c = arg;
	int *n;

	while ((n = hf_queue_pop(c->q)) != NULL) {
		atomic_fetch_add(&c->sum, (unsigned)*n);
		free(n);
	}
	return NULL;
}

static void
no_stop(void *arg)
{
	(void)arg;
	FAIL("stopped without a failure");
}

TEST(queue_between_threads)
{
	hf_autoptr(hf_queue) q = hf_queue_new(7, drop);
	struct counts c = {.q = q};
	hf_autoptr(hf_group) in = hf_group_new(no_stop, NULL);
	hf_autoptr(hf_group) out = hf_group_new(no_stop, NULL);

	for (int i = 0; i < 3; i++) {
		REQUIRE_OK(hf_group_go(in, "producer", producer, &c));
		REQUIRE_OK(hf_group_go(out, "consumer", consumer, &c));
	}
	CHECK_OK(hf_group_wait(in));
	hf_queue_close(q);
	CHECK_OK(hf_group_wait(out));
	CHECK_EQ(atomic_load(&c.pushed), 15000);
	CHECK_EQ(atomic_load(&c.sum), 3ULL * 5000 * 5001 / 2);
}

/* Producers that wait in front of a full queue return when it is closed. */
TEST(queue_close_wakes_producers)
{
	hf_autoptr(hf_queue) q = hf_queue_new(2, drop);
	struct counts c = {.q = q};
	hf_autoptr(hf_group) g = hf_group_new(no_stop, NULL);

	for (int i = 0; i < 3; i++)
		REQUIRE_OK(hf_group_go(g, "producer", producer, &c));
	while (atomic_load(&c.pushed) < 2)
		sched_yield();
	hf_queue_close(q);
	CHECK_OK(hf_group_wait(g));
	CHECK_EQ(atomic_load(&c.pushed), 2);
	CHECK_EQ(atomic_load(&c.refused), 3);
}

/* ---- Groups ---- */

struct failing {
	struct hf_queue *q;
	atomic_uint stops, started;
};

static void
close_queue(void *arg)
{
	struct failing *f = arg;

	atomic_fetch_add(&f->stops, 1);
	hf_queue_close(f->q);
}

static struct hf_err *
fail_first(void *arg)
{
	struct failing *f = arg;

	atomic_fetch_add(&f->started, 1);
	while (atomic_load(&f->started) < 4)
		sched_yield();
	return hf_err(HF_ECORRUPT, "the first");
}

static struct hf_err *
fail_when_closed(void *arg)
{
	struct failing *f = arg;

	atomic_fetch_add(&f->started, 1);
	if (hf_queue_pop(f->q) == NULL)
		return hf_err(HF_ECANCELED, "a consequence");
	return NULL;
}

TEST(group_first_error_wins)
{
	hf_autoptr(hf_queue) q = hf_queue_new(1, drop);
	struct failing f = {.q = q};
	hf_autoptr(hf_group) g = hf_group_new(close_queue, &f);

	for (int i = 0; i < 3; i++)
		REQUIRE_OK(hf_group_go(g, "waits", fail_when_closed, &f));
	REQUIRE_OK(hf_group_go(g, "fails", fail_first, &f));
	CHECK_ERR_TEXT(hf_group_wait(g), HF_ECORRUPT, "the first");
	CHECK_EQ(atomic_load(&f.stops), 1);
	CHECK_OK(hf_group_wait(g)); /* it has been handed out */
}

TEST(group_free_joins_and_drops_the_error)
{
	hf_autoptr(hf_queue) q = hf_queue_new(1, drop);
	struct failing f = {.q = q};
	struct hf_group *g = hf_group_new(close_queue, &f);

	for (int i = 0; i < 3; i++)
		REQUIRE_OK(hf_group_go(g, "waits", fail_when_closed, &f));
	REQUIRE_OK(hf_group_go(g, "fails", fail_first, &f));
	hf_group_free(g);
	CHECK_EQ(atomic_load(&f.stops), 1);
	hf_group_free(NULL);
}

static struct hf_err *
succeed(void *arg)
{
	atomic_fetch_add((atomic_uint *)arg, 1);
	return NULL;
}

TEST(group_has_a_limit)
{
	atomic_uint ran = 0;
	hf_autoptr(hf_group) g = hf_group_new(no_stop, NULL);
	struct hf_err *e = NULL;
	unsigned n = 0;

	while (n < 1000 && (e = hf_group_go(g, "one", succeed, &ran)) == NULL)
		n++;
	CHECK_ERR(e, HF_EFATAL);
	CHECK_OK(hf_group_wait(g));
	CHECK_EQ(atomic_load(&ran), n);
}

enum { THINGS = 500, BAD_THING = 40 };

struct things {
	atomic_uint times[THINGS];
	bool fails;
	struct hf_stop stop;
};

static struct hf_err *
touch(void *arg, size_t i)
{
	struct things *t = arg;

	atomic_fetch_add(&t->times[i], 1);
	if (t->fails && i == BAD_THING)
		return hf_err(HF_EIO, "thing %zu", i);
	return NULL;
}

static unsigned
touched(const struct things *t)
{
	unsigned n = 0;

	for (size_t i = 0; i < THINGS; i++) {
		CHECK(t->times[i] <= 1);
		n += t->times[i];
	}
	return n;
}

TEST(each_thing_is_dealt_with_once)
{
	for (unsigned threads = 0; threads < 6; threads++) {
		struct things t = {0};
		struct hf_each how = {THINGS, threads, "touch", &t.stop, touch, &t};

		CHECK_OK(hf_each(&how));
		CHECK(touched(&t) == THINGS);
		how.n = 0;
		CHECK_OK(hf_each(&how));
	}
}

TEST(each_ends_with_the_first_error)
{
	for (unsigned threads = 1; threads < 6; threads++) {
		struct things t = {.fails = true};
		struct hf_each how = {THINGS, threads, "touch", &t.stop, touch, &t};

		CHECK_ERR(hf_each(&how), HF_EIO);
		CHECK(t.times[BAD_THING] == 1);
		if (threads == 1)
			CHECK(touched(&t) == BAD_THING + 1);
		hf_stop_set(&t.stop);
		CHECK_ERR(hf_each(&how), HF_ECANCELED);
	}
}
