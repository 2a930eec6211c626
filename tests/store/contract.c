/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contract of store/store.h, held against every store. A new store adds a line to STORES and
 * a function that opens an empty one.
 */
#include "harness/test.h"
#include "unit/poured.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/group.h"
#include "base/io.h"
#include "store/cache.h"
#include "store/fault.h"
#include "store/limit.h"
#include "store/local.h"
#include "store/mem.h"
#include "store/open.h"
#include "store/retry.h"
#include "store/sema.h"
#include "store/trace.h"

#ifdef CONTRACT_PLACE
#include "store/place.h"
#else

enum { TELLS_ABSENCE = true };

static struct hf_store *
open_mem(void)
{
	return hf_store_mem();
}

static struct hf_store *
open_local(void)
{
	hf_autofree char *path = NULL;
	struct hf_store *s = NULL;

	REQUIRE(asprintf(&path, "%s/repo", test_tmpdir()) > 0);
	REQUIRE_OK(hf_store_local(path, 0, &s));
	return s;
}

/*
 * By sftp-server alone, unless the environment names another command, and a folder that its server
 * may write to: test_sftp.py runs these tests once more over a whole sshd, and others.
 */
static struct hf_store *
open_sftp(void)
{
	const char *command = getenv("CONTRACT_SFTP_COMMAND"),
		   *top = getenv("CONTRACT_SFTP_DIR");
	struct hf_option o = {"sftp.command", command};
	hf_autofree char *url = NULL;
	struct hf_store *s = NULL;

	if (command == NULL)
		o.value = "/usr/lib/openssh/sftp-server -e";
	if (command == NULL && access("/usr/lib/openssh/sftp-server", X_OK) != 0)
		SKIP("sftp-server is absent (package openssh-sftp-server)");
	REQUIRE(asprintf(&url, "sftp:nowhere:%s/repo-%d", top != NULL ? top : test_tmpdir(),
			(int)getpid()) > 0);
	REQUIRE_OK(hf_store_open(url, &(struct hf_open){.options = &o, .n_options = 1}, &s));
	return s;
}

static struct hf_store *
open_mem_behind_nothing(void)
{
	return hf_store_fault(hf_store_mem(), &(struct hf_fault_plan){.kind = HF_FAULT_NONE});
}

static struct hf_store *
open_local_behind_nothing(void)
{
	return hf_store_fault(open_local(), &(struct hf_fault_plan){.kind = HF_FAULT_NONE});
}

/* A store behind a cache of its own. */
static struct hf_store *
open_cached(struct hf_store *inner)
{
	hf_autofree char *path = NULL;
	struct hf_cache *cache;
	struct hf_id repo = {{1}};

	REQUIRE(asprintf(&path, "%s/cache", test_tmpdir()) > 0);
	REQUIRE_OK(hf_cache_open(&(struct hf_cache_options){.base = path}, &repo, &cache));
	return hf_store_cache(inner, cache);
}

static struct hf_store *
open_mem_cached(void)
{
	return open_cached(hf_store_mem());
}

static struct hf_store *
open_local_cached(void)
{
	return open_cached(open_local());
}

static const struct hf_fault_plan slow = {
	.kind = HF_FAULT_DELAY, .first = 1, .lasts = true, .delay_ms = 1};

static struct hf_store *
open_mem_slow(void)
{
	return hf_store_fault(hf_store_mem(), &slow);
}

static struct hf_store *
open_local_slow(void)
{
	return hf_store_fault(open_local(), &slow);
}

/* ---- behind wrappers ---- */

static struct hf_store *
open_mem_one_at_a_time(void)
{
	struct hf_store *s = hf_store_mem();

	s->connections = 1;
	return hf_store_sema(s);
}

static struct hf_store *
limited(struct hf_store *inner)
{
	static struct hf_pace up, down;

	hf_pace_init(&up, 1e12);
	hf_pace_init(&down, 1e12);
	return hf_store_limit(inner, &up, &down, NULL);
}

static struct hf_store *
open_mem_limited(void)
{
	return limited(hf_store_mem());
}

static void
check_line(void *arg, const char *line)
{
	(void)arg;
	CHECK(strlen(line) > 40 && strchr(line, '\n') == NULL);
}

static struct hf_store *
open_mem_traced(void)
{
	return hf_store_trace(hf_store_mem(), check_line, NULL);
}

/* Fails in every way that may not be noticed from outside. */
static struct hf_store *
flaky(struct hf_store *s)
{
	static const char *const plans[] = {"lost@1:put", "fail@3:put", "lost@1:del",
		"fail@2:get", "short@4:get", "lost@1:list", "fail@4:list", "lost@1:stat",
		"fail@3:stat", "fail@1:create"};

	for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
		struct hf_fault_plan plan;

		REQUIRE_OK(hf_fault_parse(plans[i], &plan));
		s = hf_store_fault(s, &plan);
	}
	return s;
}

static const struct hf_retry quick_retry = {.pause_s = 0.001};

static struct hf_store *
open_mem_flaky(void)
{
	return hf_store_retry(flaky(hf_store_mem()), &quick_retry);
}

/* As hf_store_open() stacks them. */
static struct hf_store *
stack(struct hf_store *s)
{
	s = hf_store_trace(limited(flaky(s)), check_line, NULL);
	return hf_store_retry(hf_store_sema(s), &quick_retry);
}

static struct hf_store *
open_mem_stacked(void)
{
	return stack(hf_store_mem());
}

static struct hf_store *
open_local_stacked(void)
{
	return stack(open_local());
}

/* clang-format off */
#define STORES(X, test)                                                                        \
	X(mem, test)                                                                           \
	X(local, test)                                                                         \
	X(sftp, test)                                                                          \
	X(mem_behind_nothing, test)                                                            \
	X(local_behind_nothing, test)                                                          \
	X(mem_cached, test)                                                                    \
	X(local_cached, test)                                                                  \
	X(mem_slow, test)                                                                      \
	X(local_slow, test)                                                                    \
	X(mem_one_at_a_time, test)                                                             \
	X(mem_limited, test)                                                                   \
	X(mem_traced, test)                                                                    \
	X(mem_flaky, test)                                                                     \
	X(mem_stacked, test)                                                                   \
	X(local_stacked, test)
/* clang-format on */

#endif

#define ONE(store, what)                                                                       \
	TEST(store##_##what)                                                                   \
	{                                                                                      \
		hf_autoptr(hf_store) s = open_##store();                                       \
		what(s);                                                                       \
	}

/* Defines a test that every store has to pass, with a new empty store `s`. */
#define CONTRACT(what)                                                                         \
	static void what(struct hf_store *s);                                                  \
	STORES(ONE, what)                                                                      \
	static void what(struct hf_store *s)

/* ---- tools ---- */

enum { MANY = 1 << 30 };

static struct hf_name
name_of(enum hf_kind kind, unsigned n)
{
	struct hf_name name = {.kind = kind};

	if (kind == HF_CONFIG)
		return name;
	/* Spread over the folders of packs, and different in the last byte too. */
	name.id.b[0] = (uint8_t)(n * 37);
	name.id.b[1] = 0xab;
	name.id.b[28] = (uint8_t)(n >> 16);
	name.id.b[29] = (uint8_t)(n >> 8);
	name.id.b[31] = (uint8_t)n;
	return name;
}

/* Content that depends on the place and on `seed`, so that shifted bytes are noticed. */
static void
make_data(struct hf_buf *b, size_t len, unsigned seed)
{
	uint32_t x = seed * 2654435761u + 1;

	REQUIRE_OK(hf_buf_resize(b, len));
	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		b->p[i] = (uint8_t)(x >> 24);
	}
}

static void
put(struct hf_store *s, struct hf_name name, const char *text)
{
	REQUIRE_OK(hf_store_put(s, &name, hf_str_bytes(hf_str(text))));
}

/* Reads a range and compares it; NULL as `want` stands for an error with `code`. */
static void
check_get(struct hf_store *s, struct hf_name name, uint64_t off, size_t len, const char *want,
	enum hf_code code)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(MANY);
	hf_buf_add_str(&b, "before:");

	struct hf_err *e = hf_store_get(s, &name, off, len, &b);
	if (want == NULL) {
		CHECK_ERR(e, code);
		CHECK_EQ(b.len, 7);
	} else {
		REQUIRE_OK(e);
		REQUIRE_EQ(b.len, 7 + strlen(want));
		CHECK_MEM(b.p + 7, want, strlen(want));
	}
	CHECK_MEM(b.p, "before:", 7);
}

/* Whether a server says that there was nothing to delete is its own affair. */
static void
check_del_absent(struct hf_store *s, const struct hf_name *name)
{
	struct hf_err *e = hf_store_del(s, name);

	if (TELLS_ABSENCE || e != NULL)
		CHECK_ERR(e, HF_ENOTFOUND);
}

struct seen {
	struct hf_name names[4096];
	uint64_t sizes[4096];
	size_t n;
};

static struct hf_err *
see(void *arg, const struct hf_name *name, uint64_t size)
{
	struct seen *seen = arg;

	REQUIRE(seen->n < 4096);
	seen->names[seen->n] = *name;
	seen->sizes[seen->n++] = size;
	return NULL;
}

static struct seen *
list(struct hf_store *s, enum hf_kind kind)
{
	struct seen *seen = hf_new(struct seen);

	REQUIRE_OK(hf_store_list(s, kind, see, seen));
	for (size_t i = 0; i < seen->n; i++) {
		CHECK_EQ(seen->names[i].kind, kind);
		for (size_t j = 0; j < i; j++)
			CHECK(!hf_id_eq(&seen->names[i].id, &seen->names[j].id));
	}
	return seen;
}

/* How many are told to who does not want to know their sizes. */
static size_t
count_names(struct hf_store *s, enum hf_kind kind)
{
	hf_autofree struct seen *seen = hf_new(struct seen);

	REQUIRE_OK(hf_store_names(s, kind, see, seen));
	for (size_t i = 0; i < seen->n; i++)
		CHECK_EQ(seen->names[i].kind, kind);
	return seen->n;
}

static size_t
count(struct hf_store *s, enum hf_kind kind)
{
	hf_autofree struct seen *seen = list(s, kind);

	return seen->n;
}

static bool
lists(struct hf_store *s, struct hf_name name, uint64_t size)
{
	hf_autofree struct seen *seen = list(s, name.kind);

	for (size_t i = 0; i < seen->n; i++)
		if (hf_id_eq(&seen->names[i].id, &name.id))
			return seen->sizes[i] == size;
	return false;
}

/* ---- the contract ---- */

CONTRACT(empty_store_has_no_files)
{
	for (unsigned kind = 0; kind < HF_KINDS; kind++) {
		struct hf_name name = name_of(kind, 1);
		uint64_t size = 42;

		CHECK_EQ(count(s, kind), 0);
		check_get(s, name, 0, SIZE_MAX, NULL, HF_ENOTFOUND);
		check_get(s, name, 0, 0, NULL, HF_ENOTFOUND);
		CHECK_ERR(hf_store_stat(s, &name, &size), HF_ENOTFOUND);
		CHECK_EQ(size, 42);
		check_del_absent(s, &name);
	}
}

CONTRACT(create_may_be_repeated_and_keeps_files)
{
	CHECK_OK(hf_store_create(s));
	put(s, name_of(HF_CONFIG, 0), "config");
	put(s, name_of(HF_PACK, 9), "pack");
	CHECK_OK(hf_store_create(s));
	check_get(s, name_of(HF_CONFIG, 0), 0, SIZE_MAX, "config", 0);
	check_get(s, name_of(HF_PACK, 9), 0, SIZE_MAX, "pack", 0);
}

CONTRACT(every_kind_is_kept_without_create)
{
	static const char *const texts[HF_KINDS] = {
		"a", "bc", "def", "ghij", "klmno", "pqrstu"};

	for (unsigned kind = 0; kind < HF_KINDS; kind++)
		put(s, name_of(kind, 7), texts[kind]);
	for (unsigned kind = 0; kind < HF_KINDS; kind++) {
		struct hf_name name = name_of(kind, 7);
		uint64_t size;

		check_get(s, name, 0, SIZE_MAX, texts[kind], 0);
		REQUIRE_OK(hf_store_stat(s, &name, &size));
		CHECK_EQ(size, kind + 1);
		CHECK_EQ(count(s, kind), 1);
		CHECK(lists(s, name, kind + 1));
	}
	for (unsigned kind = 0; kind < HF_KINDS; kind++) {
		struct hf_name name = name_of(kind, 7);

		REQUIRE_OK(hf_store_del(s, &name));
		CHECK_EQ(count(s, kind), 0);
		check_get(s, name, 0, SIZE_MAX, NULL, HF_ENOTFOUND);
		check_del_absent(s, &name);
	}
}

CONTRACT(ranges)
{
	struct hf_name name = name_of(HF_PACK, 3);

	put(s, name, "0123456789");
	check_get(s, name, 0, 10, "0123456789", 0);
	check_get(s, name, 0, 4, "0123", 0);
	check_get(s, name, 3, 4, "3456", 0);
	check_get(s, name, 9, 1, "9", 0);
	check_get(s, name, 4, SIZE_MAX, "456789", 0);
	check_get(s, name, 10, SIZE_MAX, "", 0);
	check_get(s, name, 10, 0, "", 0);
	check_get(s, name, 0, 0, "", 0);
	check_get(s, name, 0, 11, NULL, HF_ECORRUPT);
	check_get(s, name, 5, 6, NULL, HF_ECORRUPT);
	check_get(s, name, 10, 1, NULL, HF_ECORRUPT);
	check_get(s, name, 11, 0, NULL, HF_ECORRUPT);
	check_get(s, name, 11, SIZE_MAX, NULL, HF_ECORRUPT);
	check_get(s, name, 1, SIZE_MAX - 1, NULL, HF_ECORRUPT);
	check_get(s, name, UINT64_MAX, 1, NULL, HF_ECORRUPT);
	check_get(s, name, UINT64_MAX, SIZE_MAX, NULL, HF_ECORRUPT);
	check_get(s, name, UINT64_MAX - 1, 10, NULL, HF_ECORRUPT);
	check_get(s, name, (uint64_t)INT64_MAX + 1, 1, NULL, HF_ECORRUPT);
}

CONTRACT(an_empty_file_is_a_file)
{
	struct hf_name name = name_of(HF_SNAPSHOT, 1);
	uint64_t size = 42;

	REQUIRE_OK(hf_store_put(s, &name, (struct hf_bytes){NULL, 0}));
	check_get(s, name, 0, SIZE_MAX, "", 0);
	check_get(s, name, 0, 1, NULL, HF_ECORRUPT);
	CHECK_OK(hf_store_stat(s, &name, &size));
	CHECK_EQ(size, 0);
	CHECK(lists(s, name, 0));
}

CONTRACT(a_large_file)
{
	enum { LARGE = 20 << 20 };
	struct hf_name name = name_of(HF_PACK, 20);
	hf_auto(hf_buf) data = HF_BUF_MAX(MANY), got = HF_BUF_SPOOL(MANY);
	uint64_t size;

	make_data(&data, LARGE, 1);
	REQUIRE_OK(hf_store_put(s, &name, hf_buf_bytes(&data)));
	REQUIRE_OK(hf_store_stat(s, &name, &size));
	CHECK_EQ(size, LARGE);
	REQUIRE_OK(hf_store_get(s, &name, 0, SIZE_MAX, &got));
	REQUIRE_EQ(got.len, LARGE);
	CHECK_MEM(got.p, data.p, LARGE);
	hf_buf_reset(&got);
	REQUIRE_OK(hf_store_get(s, &name, 12345678, 1234567, &got));
	REQUIRE_EQ(got.len, 1234567);
	CHECK_MEM(got.p, data.p + 12345678, 1234567);
}

CONTRACT(what_is_poured_is_what_is_read)
{
	enum { LARGE = 3 << 20, OFF = 1234567, LEN = 1000001 };
	struct hf_name name = name_of(HF_PACK, 21), other = name_of(HF_PACK, 22);
	hf_auto(poured) p = poured_new(MANY);
	hf_auto(hf_buf) data = HF_BUF_MAX(MANY);

	make_data(&data, LARGE, 2);
	REQUIRE_OK(hf_store_put(s, &name, hf_buf_bytes(&data)));
	if (!hf_store_pours(s))
		return;
	for (int turn = 0; turn < 2; turn++) {
		REQUIRE_OK(hf_store_pour(s, &name, OFF, LEN, &p.sink));
		REQUIRE_EQ(p.bytes.len, LEN);
		CHECK_MEM(p.bytes.p, data.p + OFF, LEN);
	}
	CHECK_ERR(hf_store_pour(s, &name, LARGE - 5, 6, &p.sink), HF_ECORRUPT);
	CHECK_ERR_TEXT(hf_store_pour(s, &other, 0, 1, &p.sink), HF_ENOTFOUND,
		"reading pack 2eab0000: ");
	p.most = LEN / 2;
	CHECK_ERR_TEXT(
		hf_store_pour(s, &name, 0, LEN, &p.sink), HF_ECANCELED, "no more of this");
	check_get(s, other, 0, SIZE_MAX, NULL, HF_ENOTFOUND);
}

CONTRACT(put_replaces)
{
	struct hf_name name = name_of(HF_KEY, 1);

	put(s, name, "a first and longer content");
	put(s, name, "second");
	check_get(s, name, 0, SIZE_MAX, "second", 0);
	CHECK_EQ(count(s, HF_KEY), 1);
	CHECK(lists(s, name, 6));
}

/* Elsewhere it is replaced; but nowhere is what is there neither the one nor the other. */
CONTRACT(put_of_what_is_new_replaces_nothing_where_that_can_be_told)
{
	struct hf_name name = name_of(HF_CONFIG, 0);

	name.is_new = true;
	put(s, name, "first");
	put(s, name, "first"); /* as when the answer to an earlier try was lost */
	struct hf_err *e = hf_store_put(s, &name, hf_str_bytes(hf_str("second")));
	CHECK(e != NULL || !hf_store_promises(s, HF_CREATES_IF_ABSENT));
	check_get(s, name, 0, SIZE_MAX, e == NULL ? "second" : "first", 0);
	if (e != NULL)
		CHECK_ERR_TEXT(e, HF_EEXISTS, "");
}

CONTRACT(kinds_do_not_mix)
{
	put(s, name_of(HF_INDEX, 5), "index");
	put(s, name_of(HF_PACK, 5), "pack");
	check_get(s, name_of(HF_SNAPSHOT, 5), 0, SIZE_MAX, NULL, HF_ENOTFOUND);
	struct hf_name index = name_of(HF_INDEX, 5);
	REQUIRE_OK(hf_store_del(s, &index));
	check_get(s, name_of(HF_PACK, 5), 0, SIZE_MAX, "pack", 0);
}

CONTRACT(lists_many)
{
	for (unsigned i = 0; i < 300; i++) {
		struct hf_name name = name_of(HF_PACK, i);

		REQUIRE_OK(hf_store_put(s, &name, (struct hf_bytes){(uint8_t[8]){0}, i % 8}));
	}
	hf_autofree struct seen *seen = list(s, HF_PACK);
	CHECK_EQ(seen->n, 300);
	CHECK_EQ(count_names(s, HF_PACK), 300);
	for (size_t i = 0; i < seen->n; i++) {
		const uint8_t *b = seen->names[i].id.b;
		unsigned n = b[28] << 16 | b[29] << 8 | b[31];

		CHECK(n < 300);
		CHECK_EQ(seen->sizes[i], n % 8);
	}
}

CONTRACT(the_maximum_of_the_buffer_holds)
{
	struct hf_name name = name_of(HF_INDEX, 8);
	hf_auto(hf_buf) b = HF_BUF_MAX(16);

	put(s, name, "0123456789abcdef0");
	CHECK_ERR(hf_store_get(s, &name, 0, SIZE_MAX, &b), HF_EFATAL);
	CHECK_ERR(hf_store_get(s, &name, 0, 17, &b), HF_EFATAL);
	CHECK_EQ(b.len, 0);
	CHECK_OK(hf_store_get(s, &name, 1, 16, &b));
	CHECK_EQ(b.len, 16);
	CHECK_ERR(hf_store_get(s, &name, 0, 1, &b), HF_EFATAL);
	CHECK_OK(hf_store_get(s, &name, 0, 0, &b));
	CHECK_MEM(b.p, "123456789abcdef0", 16);
}

CONTRACT(texts_name_the_file)
{
	struct hf_name pack = name_of(HF_PACK, 2), config = name_of(HF_CONFIG, 0);
	hf_auto(hf_buf) b = HF_BUF_MAX(100);
	uint64_t size;

	CHECK_ERR_TEXT(hf_store_get(s, &pack, 0, SIZE_MAX, &b), HF_ENOTFOUND,
		"reading pack 4aab0000: ");
	CHECK_ERR_TEXT(
		hf_store_get(s, &config, 0, SIZE_MAX, &b), HF_ENOTFOUND, "reading config: ");
	CHECK_ERR_TEXT(hf_store_stat(s, &pack, &size), HF_ENOTFOUND, "pack 4aab0000: ");
	if (TELLS_ABSENCE)
		CHECK_ERR_TEXT(
			hf_store_del(s, &pack), HF_ENOTFOUND, "deleting pack 4aab0000: ");
	put(s, pack, "0123456789");
	CHECK_ERR_TEXT(hf_store_get(s, &pack, 5, 10, &b), HF_ECORRUPT, "only 10 bytes");
}

static struct hf_err *
refuse(void *arg, const struct hf_name *name, uint64_t size)
{
	(void)name, (void)size;
	++*(int *)arg;
	return hf_err(HF_ELOCKED, "no more of this");
}

CONTRACT(an_error_ends_the_listing_as_it_is)
{
	int calls = 0;

	for (unsigned i = 0; i < 5; i++)
		put(s, name_of(HF_LOCK, i), "lock");
	struct hf_err *e = hf_store_list(s, HF_LOCK, refuse, &calls);
	REQUIRE(e != NULL);
	CHECK_STR(hf_err_text(e), "no more of this");
	CHECK_EQ(calls, 1);
	CHECK_ERR(e, HF_ELOCKED);
}

static struct hf_err *
read_and_delete(void *arg, const struct hf_name *name, uint64_t size)
{
	struct hf_store *s = arg;
	hf_auto(hf_buf) b = HF_BUF_MAX(100);

	HF_TRY(hf_store_get(s, name, 0, (size_t)size, &b));
	return hf_store_del(s, name);
}

CONTRACT(a_listing_may_use_the_store)
{
	for (unsigned i = 0; i < 50; i++)
		put(s, name_of(HF_LOCK, i), "lock");
	CHECK_OK(hf_store_list(s, HF_LOCK, read_and_delete, s));
	CHECK_EQ(count(s, HF_LOCK), 0);
}

CONTRACT(has_a_place_and_connections)
{
	CHECK(hf_store_url(s) != NULL && *hf_store_url(s) != '\0');
	CHECK(hf_store_connections(s) >= 1);
}

/* ---- threads ---- */

enum { WRITERS = 4, PER_WRITER = 25 };

struct crowd {
	struct hf_store *s;
	atomic_uint next, n_done;
};

static uint64_t
size_of(unsigned n)
{
	return 1000 + n * 997;
}

static struct hf_err *
write_some(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < PER_WRITER; i++) {
		hf_auto(hf_buf) data = HF_BUF_MAX(MANY);
		unsigned n = atomic_fetch_add(&c->next, 1);
		struct hf_name name = name_of(HF_PACK, n);

		make_data(&data, size_of(n), n);
		HF_TRY(hf_store_put(c->s, &name, hf_buf_bytes(&data)));
	}
	atomic_fetch_add(&c->n_done, 1);
	return NULL;
}

/* What is listed is complete, and can be read in full. */
static struct hf_err *
look_at_one(void *arg, const struct hf_name *name, uint64_t size)
{
	struct crowd *c = arg;
	unsigned n = name->id.b[29] << 8 | name->id.b[31];
	hf_auto(hf_buf) want = HF_BUF_MAX(MANY), got = HF_BUF_MAX(MANY);

	CHECK(n < WRITERS * PER_WRITER);
	CHECK_EQ(size, size_of(n));
	if (n % 8 != 0)
		return NULL;
	make_data(&want, size_of(n), n);
	HF_TRY(hf_store_get(c->s, name, 0, SIZE_MAX, &got));
	CHECK_EQ(got.len, want.len);
	CHECK_MEM(got.p, want.p, want.len);
	return NULL;
}

static struct hf_err *
look_around(void *arg)
{
	struct crowd *c = arg;

	while (atomic_load(&c->n_done) < WRITERS)
		HF_TRY(hf_store_list(c->s, HF_PACK, look_at_one, c));
	return NULL;
}

static void
stop_looking(void *arg)
{
	atomic_store(&((struct crowd *)arg)->n_done, WRITERS);
}

CONTRACT(threads_see_whole_files_only)
{
	struct crowd c = {.s = s};
	hf_autoptr(hf_group) g = hf_group_new(stop_looking, &c);

	for (int i = 0; i < WRITERS; i++)
		REQUIRE_OK(hf_group_go(g, "write", write_some, &c));
	for (int i = 0; i < 2; i++)
		REQUIRE_OK(hf_group_go(g, "look", look_around, &c));
	REQUIRE_OK(hf_group_wait(g));
	CHECK_EQ(count(s, HF_PACK), WRITERS * PER_WRITER);
	CHECK_OK(hf_store_list(s, HF_PACK, look_at_one, &c));
}

static struct hf_err *
put_the_same(void *arg)
{
	struct crowd *c = arg;
	struct hf_name name = name_of(HF_PACK, 77);
	hf_auto(hf_buf) data = HF_BUF_MAX(MANY), got = HF_BUF_MAX(MANY);

	make_data(&data, 300000, 77);
	for (int i = 0; i < 20; i++) {
		hf_buf_reset(&got);
		HF_TRY(hf_store_put(c->s, &name, hf_buf_bytes(&data)));
		HF_TRY(hf_store_get(c->s, &name, 0, SIZE_MAX, &got));
		CHECK_EQ(got.len, data.len);
		CHECK_MEM(got.p, data.p, data.len);
	}
	return NULL;
}

CONTRACT(threads_may_put_the_same_file)
{
	struct crowd c = {.s = s};
	hf_autoptr(hf_group) g = hf_group_new(stop_looking, &c);

	for (int i = 0; i < WRITERS; i++)
		REQUIRE_OK(hf_group_go(g, "same", put_the_same, &c));
	REQUIRE_OK(hf_group_wait(g));
	CHECK_EQ(count(s, HF_PACK), 1);
}

/* ---- with things of other people in it ---- */

/* The folder of this machine that the store is in, if it is one of ours. */
static const char *
folder_of(struct hf_store *s)
{
	const char *url = hf_store_url(s);

	return strncmp(url, "sftp:", 5) == 0 ? strrchr(url, ':') + 1 : url;
}

static void
litter(struct hf_store *s, const char *name, const char *text)
{
	hf_autofree char *path = NULL;

	REQUIRE(asprintf(&path, "%s/%s", folder_of(s), name) > 0);
	hf_autofd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	REQUIRE(fd >= 0);
	REQUIRE_OK(hf_write_full(fd, text, strlen(text)));
}

#define ID(xx) xx "00000000000000000000000000000000000000000000000000000000000000"

/* Only for stores that are folders of this machine. */
CONTRACT(foreign_files_are_ignored)
{
	struct stat st;

	REQUIRE_OK(hf_store_create(s));
	if (stat(folder_of(s), &st) != 0)
		return;
	put(s, name_of(HF_SNAPSHOT, 1), "snapshot");
	put(s, name_of(HF_PACK, 1), "pack");
	litter(s, "README", "?");
	litter(s, "snapshots/README", "?");
	litter(s, "snapshots/" ID("12") "-tmp-123", "?");
	litter(s, "snapshots/" ID("1"), "?");
	litter(s, "snapshots/" ID("123"), "?");
	litter(s, "snapshots/" ID("1g"), "?");
	litter(s, "snapshots/" ID("AB"), "?");
	litter(s, "data/" ID("25"), "directly in data/");
	litter(s, "data/25/" ID("26"), "in the wrong folder");
	litter(s, "data/25/" ID("25") "-tmp-7", "?");
	litter(s, "data/x", "?");

	CHECK_EQ(count(s, HF_SNAPSHOT), 1);
	CHECK_EQ(count_names(s, HF_SNAPSHOT), 1);
	CHECK_EQ(count(s, HF_PACK), 1);
	CHECK_EQ(count_names(s, HF_PACK), 1);
	litter(s, "data/25/" ID("25"), "this one is right");
	CHECK_EQ(count(s, HF_PACK), 2);
}

#ifndef CONTRACT_PLACE

/* ---- with faults ---- */

/* The put that a plan strikes leaves the file absent or complete; takes `inner` over. */
static void
check_atomic(struct hf_store *inner, enum hf_fault_kind kind)
{
	const uint64_t first = 4;
	const struct hf_fault_plan plan = {
		.kind = kind, .first = first, .ops = 1u << HF_FAULT_PUT};
	hf_autoptr(hf_store) s = hf_store_fault(inner, &plan);

	for (unsigned n = 1; n <= 6; n++) {
		struct hf_name name = name_of(HF_INDEX, n);
		hf_auto(hf_buf) data = HF_BUF_MAX(MANY), got = HF_BUF_MAX(MANY);

		make_data(&data, 5000, n);
		struct hf_err *e = hf_store_put(s, &name, hf_buf_bytes(&data));
		if (n == first)
			CHECK_ERR_TEXT(e, HF_EIO, "saving index ");
		else
			CHECK_OK(e);
		e = hf_store_get(s, &name, 0, SIZE_MAX, &got);
		if (n == first && kind != HF_FAULT_LOST) {
			CHECK_ERR(e, HF_ENOTFOUND);
			CHECK_EQ(count(s, HF_INDEX), n - 1);
			continue;
		}
		REQUIRE_OK(e);
		CHECK(lists(s, name, 5000));
		REQUIRE_EQ(got.len, data.len);
		CHECK_MEM(got.p, data.p, got.len);
	}
	CHECK_EQ(hf_store_fault_calls(s), 6);
}

TEST(put_is_atomic_under_fault)
{
	static const enum hf_fault_kind kinds[] = {HF_FAULT_FAIL, HF_FAULT_LOST, HF_FAULT_HALF};

	for (size_t i = 0; i < 3; i++) {
		hf_autofree char *path = NULL;
		struct hf_store *s = NULL;

		check_atomic(hf_store_mem(), kinds[i]);
		REQUIRE(asprintf(&path, "%s/%zu", test_tmpdir(), i) > 0);
		REQUIRE_OK(hf_store_local(path, 0, &s));
		check_atomic(s, kinds[i]);
	}
}

#endif
