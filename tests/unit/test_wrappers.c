/* SPDX-License-Identifier: BSD-2-Clause */
/* The wrappers that hf_store_open() stacks: retry, sema, limit, trace, and the pace they keep. */
#include "harness/test.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/group.h"
#include "base/pace.h"
#include "base/time.h"
#include "store/call.h"
#include "store/early.h"
#include "store/fault.h"
#include "store/limit.h"
#include "store/mem.h"
#include "store/retry.h"
#include "store/sema.h"
#include "store/trace.h"
#include "unit/listed.h"

static const struct hf_name config = {.kind = HF_CONFIG};
static const struct hf_name pack = {HF_PACK, {{0xab, 1, 2, 3}}};
static const struct hf_name other = {HF_PACK, {{0xef}}};
static const struct hf_name lock = {HF_LOCK, {{0xcd}}};

static struct hf_err *
put(struct hf_store *s, const struct hf_name *name)
{
	return hf_store_put(s, name, hf_str_bytes(hf_str("content")));
}

/* A store whose calls go wrong as `text` says; `*fault` to ask how many there were. */
static struct hf_store *
faulty(const char *text, struct hf_store **fault)
{
	struct hf_fault_plan plan;

	REQUIRE_OK(hf_fault_parse(text, &plan));
	*fault = hf_store_fault(hf_store_mem(), &plan);
	return *fault;
}

/* ---- what wrappers say ---- */

struct lines {
	char v[32][200];
	unsigned n;
};

static void
take_line(void *arg, const char *line)
{
	struct lines *l = arg;

	REQUIRE(l->n < 32);
	snprintf(l->v[l->n++], sizeof l->v[0], "%s", line);
}

/* Line `i` begins and ends so; what is between is different each time. */
static void
check_line(const struct lines *l, unsigned i, const char *begin, const char *end)
{
	REQUIRE(i < l->n);
	const char *line = l->v[i];

	CHECK(strlen(line) >= strlen(begin) + strlen(end));
	CHECK(strncmp(line, begin, strlen(begin)) == 0);
	CHECK_STR(line + strlen(line) - strlen(end), end);
}

/* ---- retry ---- */

static struct hf_store *
retrying(const char *text, struct hf_store **fault, struct lines *lines)
{
	return hf_store_retry(
		faulty(text, fault), &(struct hf_retry){.pause_s = 0.001,
					     .limit_s = 0.5,
					     .say = lines != NULL ? take_line : NULL,
					     .say_arg = lines});
}

TEST(retry_repeats_and_says_so)
{
	struct lines lines = {.n = 0};
	struct hf_store *fault;
	hf_autoptr(hf_store) s = retrying("fail@1", &fault, &lines);

	CHECK_OK(put(s, &pack));
	CHECK_EQ(hf_store_fault_calls(fault), 2);
	CHECK_EQ(lines.n, 2);
	check_line(&lines, 0, "Save(<data/ab01020300>) returned error, retrying after ",
		": injected fault at call 1");
	check_line(
		&lines, 1, "Save(<data/ab01020300>) operation successful after 1 retries", "");
}

TEST(retry_leaves_alone_what_will_not_pass)
{
	struct lines lines = {.n = 0};
	struct hf_store *fault;
	hf_autoptr(hf_store) s = retrying("fail@2:fatal", &fault, &lines);
	hf_auto(hf_buf) b = HF_BUF_MAX(100);

	CHECK_ERR(hf_store_get(s, &pack, 0, SIZE_MAX, &b), HF_ENOTFOUND);
	CHECK_EQ(hf_store_fault_calls(fault), 1);
	CHECK_ERR(put(s, &pack), HF_EFATAL);
	CHECK_EQ(hf_store_fault_calls(fault), 2);
	CHECK_EQ(lines.n, 0);
}

TEST(retry_gives_up)
{
	struct hf_store *fault;
	hf_autoptr(hf_store) s = retrying("fail@1+", &fault, NULL);
	uint64_t size;

	CHECK_ERR_TEXT(hf_store_stat(s, &pack, &size), HF_EIO,
		"looking for pack ab010203: giving up after ");
	CHECK(hf_store_fault_calls(fault) >= 2);
}

TEST(retry_repeats_once_at_least)
{
	struct hf_store *fault;
	hf_autoptr(hf_store) s = hf_store_retry(faulty("fail@1+", &fault),
		&(struct hf_retry){.pause_s = 0.02, .limit_s = 0.001});

	CHECK_ERR_TEXT(put(s, &pack), HF_EIO, "giving up after 2 tries");
	CHECK_EQ(hf_store_fault_calls(fault), 2);
}

TEST(retry_has_little_time_for_locks)
{
	struct hf_store *fault;
	/* The first pause would be longer than all the time that a lock has. */
	hf_autoptr(hf_store) s = hf_store_retry(
		faulty("fail@1+", &fault), &(struct hf_retry){.pause_s = 100, .limit_s = 1000});

	CHECK_ERR_TEXT(put(s, &lock), HF_EIO, "giving up after 1 tries");
	CHECK_EQ(hf_store_fault_calls(fault), 1);
	hf_autoptr(hf_store) quick = retrying("fail@1", &fault, NULL);
	CHECK_OK(put(quick, &lock));
	CHECK_EQ(hf_store_fault_calls(fault), 2);
}

TEST(retry_of_a_del_whose_answer_was_lost)
{
	struct hf_store *fault;
	hf_autoptr(hf_store) s = retrying("lost@1:del", &fault, NULL);

	CHECK_OK(put(s, &pack));
	CHECK_OK(hf_store_del(s, &pack));
	CHECK_ERR(hf_store_del(s, &pack), HF_ENOTFOUND);
}

TEST(retry_of_a_get_that_came_short)
{
	struct hf_store *fault;
	hf_autoptr(hf_store) s = retrying("short@1:get", &fault, NULL);
	hf_auto(hf_buf) b = HF_BUF_MAX(100);

	CHECK_OK(put(s, &pack));
	hf_buf_add_str(&b, "before:");
	CHECK_OK(hf_store_get(s, &pack, 0, 7, &b));
	REQUIRE_EQ(b.len, 14);
	CHECK_MEM(b.p, "before:content", 14);
	/* What is really short is short the second time too, and that is the end of it. */
	CHECK_ERR(hf_store_get(s, &pack, 5, 7, &b), HF_ECORRUPT);
	CHECK_EQ(b.len, 14);
	CHECK_EQ(hf_store_fault_calls(fault), 4);
}

TEST(retry_lists_every_file_once)
{
	struct hf_store *fault;
	hf_autoptr(hf_store) s = retrying("lost@1:list", &fault, NULL);
	size_t n = 0;

	CHECK_OK(put(s, &pack));
	CHECK_OK(put(s, &other));
	CHECK_OK(hf_store_list(s, HF_PACK, count_listed, &n));
	CHECK_EQ(n, 2);
	CHECK_EQ(hf_store_fault_calls(fault), 2);
}

static struct hf_err *
break_off(void *arg, const struct hf_name *name, uint64_t size)
{
	(void)name, (void)size;
	++*(unsigned *)arg;
	return hf_err(HF_EIO, "the caller's own");
}

TEST(retry_does_not_repeat_what_the_caller_broke_off)
{
	struct hf_store *fault;
	hf_autoptr(hf_store) s = retrying("fail@100:list", &fault, NULL);
	unsigned n = 0;

	CHECK_OK(put(s, &pack));
	CHECK_ERR_TEXT(hf_store_list(s, HF_PACK, break_off, &n), HF_EIO, "the caller's own");
	CHECK_EQ(n, 1);
	CHECK_EQ(hf_store_fault_calls(fault), 1);
}

/* A store that refuses to replace may have the file already, and would not take it again. */
TEST(retry_looks_first_where_files_are_not_replaced)
{
	struct hf_store *fault;
	hf_autoptr(hf_store) s = retrying("lost@1+:put", &fault, NULL);

	fault->inner->promises = 0;
	CHECK(!hf_store_promises(s, HF_REPLACES_ATOMICALLY));
	CHECK_OK(put(s, &pack));
	CHECK_EQ(hf_store_fault_calls(fault), 1);
	/* Whose config it is that is there now cannot be told by its size. */
	CHECK_ERR(put(s, &config), HF_EIO);
	CHECK(hf_store_fault_calls(fault) >= 3);
}

TEST(retry_stops)
{
	struct hf_stop stop = {false};
	struct hf_store *fault;
	hf_autoptr(hf_store) s = hf_store_retry(
		faulty("fail@1+", &fault), &(struct hf_retry){.pause_s = 0.001, .stop = &stop});

	hf_stop_set(&stop);
	CHECK_ERR_TEXT(put(s, &pack), HF_EIO, "saving pack ab010203: injected fault at call 1");
	CHECK_EQ(hf_store_fault_calls(fault), 1);
}

static void
stop_at_line(void *arg, const char *line)
{
	(void)line;
	hf_stop_set(arg);
}

TEST(retry_stops_in_the_middle_of_a_pause)
{
	struct hf_stop stop = {false};
	struct hf_store *fault;
	hf_autoptr(hf_store) s = hf_store_retry(faulty("fail@1+", &fault),
		&(struct hf_retry){
			.pause_s = 3600, .stop = &stop, .say = stop_at_line, .say_arg = &stop});

	CHECK_ERR(put(s, &pack), HF_ECANCELED);
	CHECK_EQ(hf_store_fault_calls(fault), 1);
}

/* ---- a gate that closes after a while, and a store that does as it is told ---- */

struct door {
	struct hf_gate gate;
	atomic_uint asked, open_for;
};

static struct hf_err *
pass(struct hf_gate *gate, const struct hf_change *change)
{
	struct door *d = hf_container_of(gate, struct door, gate);

	(void)change;
	return atomic_fetch_add(&d->asked, 1) < atomic_load(&d->open_for)
		       ? NULL
		       : hf_err(HF_ELOST, "the door is shut");
}

TEST(retry_asks_the_gate_each_time)
{
	struct door door = {.gate = {pass}, .open_for = 2};
	struct hf_store *fault;
	hf_autoptr(hf_store) s = retrying("fail@1+", &fault, NULL);

	hf_store_set_gate(s, &door.gate);
	CHECK_ERR_TEXT(put(s, &pack), HF_ELOST, "the door is shut");
	CHECK_EQ(hf_store_fault_calls(fault), 2);
	CHECK_EQ(atomic_load(&door.asked), 3);
	/* Locks pass unasked. */
	CHECK_ERR(put(s, &lock), HF_EIO);
	CHECK_EQ(atomic_load(&door.asked), 3);
}

struct busy {
	struct hf_around around;
	double wait_s;
};

static struct hf_err *
be_busy(struct hf_around *a, struct hf_call *c)
{
	struct busy *b = hf_container_of(a, struct busy, around);
	double wait = b->wait_s;

	b->wait_s = 0;
	if (wait == 0)
		return hf_call_run(c, a->inner);
	return hf_err_in(hf_err_later(hf_err(HF_EIO, "503"), wait), "https://x");
}

static void
busy_free(struct hf_around *a)
{
	free(hf_container_of(a, struct busy, around));
}

TEST(retry_waits_as_long_as_it_is_asked_to)
{
	struct busy *b = hf_new(struct busy);
	struct lines lines = {.n = 0};

	hf_around_init(&b->around, hf_store_mem());
	b->around.around = be_busy;
	b->around.free = busy_free;
	b->wait_s = 0.25;
	hf_autoptr(hf_store) s = hf_store_retry(&b->around.store,
		&(struct hf_retry){.pause_s = 0.001, .say = take_line, .say_arg = &lines});
	CHECK_OK(put(s, &pack));
	CHECK_EQ(lines.n, 2);
	check_line(&lines, 0, "Save(<data/ab01020300>) returned error, retrying after 250ms: ",
		"https://x: 503");
}

TEST(retry_does_not_wait_longer_than_its_limit)
{
	struct busy *b = hf_new(struct busy);
	struct lines lines = {.n = 0};

	hf_around_init(&b->around, hf_store_mem());
	b->around.around = be_busy;
	b->around.free = busy_free;
	hf_autoptr(hf_store) s = hf_store_retry(&b->around.store,
		&(struct hf_retry){
			.pause_s = 0.001, .limit_s = 20, .say = take_line, .say_arg = &lines});
	b->wait_s = 86400;
	CHECK_ERR_TEXT(put(s, &pack), HF_EIO,
		"giving up after 1 tries, asked to wait for 24h0m0s: https://x: 503");
	b->wait_s = 11; /* more than calls about locks have */
	CHECK_ERR_TEXT(put(s, &lock), HF_EIO, "giving up after 1 tries, asked to wait for 11s");
	CHECK_EQ(lines.n, 0);
}

/* ---- early ---- */

/* Counts calls, and holds those about packs back until it is opened. */
struct teller {
	struct hf_around around;
	atomic_uint n_lists, n_gets;
	atomic_bool is_open, fails;
};

static struct hf_err *
tell_call(struct hf_around *a, struct hf_call *c)
{
	struct teller *t = hf_container_of(a, struct teller, around);

	while (c->name.kind == HF_PACK && !atomic_load(&t->is_open))
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	struct hf_err *e =
		atomic_load(&t->fails) ? hf_err(HF_EIO, "no answer") : hf_call_run(c, a->inner);
	atomic_fetch_add(&t->n_lists, c->op == HF_OP_LIST);
	atomic_fetch_add(&t->n_gets, c->op == HF_OP_GET);
	return e;
}

static void
teller_free(struct hf_around *a)
{
	free(hf_container_of(a, struct teller, around));
}

static struct hf_store *
told(struct teller **out)
{
	struct teller *t = *out = hf_new(struct teller);

	hf_around_init(&t->around, hf_store_mem());
	t->around.around = tell_call;
	t->around.free = teller_free;
	return hf_store_wrap_early(&t->around.store);
}

static void
until_called(atomic_uint *counter, unsigned n)
{
	while (atomic_load(counter) < n)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

TEST(early_answers_are_given_once)
{
	struct teller *t;
	hf_autoptr(hf_store) s = told(&t);
	const struct hf_early list = hf_early_list(HF_LOCK);
	const struct hf_early file = {.name = config, .max = 100};
	hf_auto(hf_buf) out = HF_BUF_MAX(100);
	size_t n = 0;

	REQUIRE_OK(put(s, &lock));
	REQUIRE_OK(put(s, &config));
	hf_store_early(s, &list, 1);
	hf_store_early(s, &list, 1); /* begun already */
	hf_store_early(s, &file, 1);
	until_called(&t->n_lists, 1);
	REQUIRE_OK(hf_store_del(s, &lock)); /* after it was listed */
	CHECK_OK(hf_store_list(s, HF_LOCK, count_listed, &n));
	CHECK_EQ(n, 1);
	CHECK_OK(hf_store_get(s, &config, 0, SIZE_MAX, &out));
	CHECK_EQ(out.len, 7);
	CHECK_EQ(atomic_load(&t->n_lists), 1);
	CHECK_EQ(atomic_load(&t->n_gets), 1);
	n = 0;
	CHECK_OK(hf_store_list(s, HF_LOCK, count_listed, &n));
	CHECK_EQ(n, 0);
	CHECK_EQ(atomic_load(&t->n_lists), 2);
}

TEST(early_calls_keep_their_order)
{
	struct teller *t;
	hf_autoptr(hf_store) s = told(&t);
	const struct hf_early two[] = {hf_early_list(HF_PACK), hf_early_list(HF_INDEX)};
	size_t n = 0;

	hf_store_early(s, &two[0], 1);
	hf_store_early(s, two, 2);
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	CHECK_EQ(atomic_load(&t->n_lists), 0); /* the second waits for the first */
	atomic_store(&t->is_open, true);
	CHECK_OK(hf_store_list(s, HF_INDEX, count_listed, &n));
	CHECK_OK(hf_store_list(s, HF_PACK, count_listed, &n));
	CHECK_EQ(atomic_load(&t->n_lists), 2);
}

TEST(early_answers_that_are_forgotten_or_old_are_not_given)
{
	struct teller *t;
	hf_autoptr(hf_store) s = told(&t);
	struct hf_early list = hf_early_list(HF_LOCK);
	size_t n = 0;

	hf_store_early(s, &list, 1);
	until_called(&t->n_lists, 1);
	hf_store_early_forget(s);
	REQUIRE_OK(put(s, &lock));
	CHECK_OK(hf_store_list(s, HF_LOCK, count_listed, &n));
	CHECK_EQ(n, 1);
	list.fresh_s = 1e-9;
	hf_store_early(s, &list, 1);
	until_called(&t->n_lists, 3);
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	REQUIRE_OK(hf_store_del(s, &lock));
	n = 0;
	CHECK_OK(hf_store_list(s, HF_LOCK, count_listed, &n));
	CHECK_EQ(n, 0);
}

TEST(an_early_failure_is_the_failure_of_the_call)
{
	struct teller *t;
	hf_autoptr(hf_store) s = told(&t);
	const struct hf_early list = hf_early_list(HF_LOCK);
	const struct hf_early large = {.name = config, .max = 3};
	hf_auto(hf_buf) out = HF_BUF_MAX(100);
	size_t n = 0;

	atomic_store(&t->fails, true);
	hf_store_early(s, &list, 1);
	until_called(&t->n_lists, 1);
	atomic_store(&t->fails, false);
	CHECK_ERR_TEXT(hf_store_list(s, HF_LOCK, count_listed, &n), HF_EIO,
		"listing lock files: no answer");
	CHECK_OK(hf_store_list(s, HF_LOCK, count_listed, &n));
	REQUIRE_OK(put(s, &config));
	hf_store_early(s, &large, 1);
	CHECK_ERR(hf_store_get(s, &config, 0, SIZE_MAX, &out), HF_EFATAL);
	hf_store_early(s, &list, 1); /* nobody asks for it */
}

/* ---- sema ---- */

/* Keeps calls about data inside until it is opened, and counts them. */
struct dam {
	struct hf_around around;
	atomic_uint n_inside, most;
	atomic_bool is_open;
};

static void
wait_until(const atomic_bool *what)
{
	while (!atomic_load(what))
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static struct hf_err *
hold_back(struct hf_around *a, struct hf_call *c)
{
	struct dam *d = hf_container_of(a, struct dam, around);
	unsigned n;

	if (c->name.kind == HF_LOCK)
		return hf_call_run(c, a->inner);
	n = atomic_fetch_add(&d->n_inside, 1) + 1;
	for (unsigned most = atomic_load(&d->most); n > most;)
		if (atomic_compare_exchange_weak(&d->most, &most, n))
			break;
	wait_until(&d->is_open);
	struct hf_err *e = hf_call_run(c, a->inner);
	atomic_fetch_sub(&d->n_inside, 1);
	return e;
}

static void
dam_free(struct hf_around *a)
{
	free(hf_container_of(a, struct dam, around));
}

static struct hf_store *
dammed(unsigned connections, struct dam **out)
{
	struct dam *d = *out = hf_new(struct dam);

	hf_around_init(&d->around, hf_store_mem());
	d->around.around = hold_back;
	d->around.free = dam_free;
	d->around.store.connections = connections;
	return hf_store_sema(&d->around.store);
}

static struct hf_err *
put_pack(void *arg)
{
	return put(arg, &pack);
}

static struct hf_err *
put_other(void *arg)
{
	return put(arg, &other);
}

static void
until_inside(struct dam *d, unsigned n)
{
	while (atomic_load(&d->n_inside) < n)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

TEST(sema_counts_and_lets_locks_pass)
{
	struct dam *d;
	hf_autoptr(hf_store) s = dammed(2, &d);
	hf_autoptr(hf_group) g = hf_group_new(NULL, NULL);
	size_t n = 0;

	CHECK_EQ(hf_store_connections(s), 2);
	for (int i = 0; i < 6; i++)
		REQUIRE_OK(hf_group_go(g, "put", put_pack, s));
	until_inside(d, 2);
	/* Both slots are taken and nobody gives one back before this is over. */
	CHECK_OK(put(s, &lock));
	CHECK_OK(hf_store_list(s, HF_LOCK, count_listed, &n));
	CHECK_EQ(n, 1);
	CHECK_OK(hf_store_del(s, &lock));
	atomic_store(&d->is_open, true);
	CHECK_OK(hf_group_wait(g));
	CHECK_EQ(atomic_load(&d->most), 2);
}

TEST(sema_asks_the_gate_after_the_wait)
{
	struct dam *d;
	hf_autoptr(hf_store) s = dammed(1, &d);
	hf_autoptr(hf_group) g = hf_group_new(NULL, NULL);
	struct door door = {.gate = {pass}, .open_for = 100};
	uint64_t size;

	hf_store_set_gate(s, &door.gate);
	REQUIRE_OK(hf_group_go(g, "put", put_pack, s));
	until_inside(d, 1);
	REQUIRE_OK(hf_group_go(g, "put", put_other, s));
	while (atomic_load(&door.asked) < 3) /* twice by the first, once by the second */
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	atomic_store(&door.open_for, 0);
	atomic_store(&d->is_open, true);
	CHECK_ERR_TEXT(hf_group_wait(g), HF_ELOST, "saving pack ef000000: the door is shut");
	CHECK_OK(hf_store_stat(s, &pack, &size));
	CHECK_ERR(hf_store_stat(s, &other, &size), HF_ENOTFOUND);
}

/* ---- limits ---- */

TEST(pace)
{
	struct hf_pace p;

	hf_pace_init(&p, 1);
	/* One second's worth is there; the rest is owed. Nobody is stopped for 100 s here. */
	CHECK(hf_pace_take(&p, 1) == 0);
	double first = hf_pace_take(&p, 1000);
	CHECK(first > 900 && first <= 1000);
	double second = hf_pace_take(&p, 1000);
	CHECK(second > 1900 && second <= 2000);
	hf_pace_clear(&p);
	CHECK(hf_pace_take(NULL, SIZE_MAX) == 0);
	CHECK_OK(hf_pace_wait(NULL, SIZE_MAX, NULL));
}

TEST(pace_waits)
{
	struct hf_pace p;
	double begin = hf_clock();

	hf_pace_init(&p, 1000);
	CHECK_OK(hf_pace_wait(&p, 1100, NULL));
	CHECK(hf_clock() - begin >= 0.1);
	hf_pace_clear(&p);
}

TEST(limits_wait_for_data_and_not_for_locks)
{
	struct hf_pace up, down;
	struct hf_stop stop = {true};
	struct hf_store *mem = hf_store_mem();
	hf_autoptr(hf_store) s = hf_store_limit(mem, &up, &down, &stop);
	hf_auto(hf_buf) b = HF_BUF_MAX(100);
	uint64_t size;

	hf_pace_init(&up, 0.001);
	hf_pace_init(&down, 0.001);
	/* The wait would take hours; the stop is what ends it. */
	CHECK_ERR(put(s, &pack), HF_ECANCELED);
	CHECK_ERR(hf_store_stat(s, &pack, &size), HF_ENOTFOUND);
	CHECK_OK(put(s, &lock));
	CHECK_OK(hf_store_get(s, &lock, 0, SIZE_MAX, &b));
	CHECK_EQ(b.len, 7);
	CHECK_OK(put(mem, &pack));
	CHECK_ERR(hf_store_get(s, &pack, 0, SIZE_MAX, &b), HF_ECANCELED);
	CHECK_EQ(b.len, 7);
	CHECK_OK(hf_store_del(s, &pack));
	hf_pace_clear(&up);
	hf_pace_clear(&down);
}

TEST(limits_may_be_of_one_direction)
{
	struct hf_pace down;
	hf_autoptr(hf_store) s = hf_store_limit(hf_store_mem(), NULL, &down, NULL);
	hf_auto(hf_buf) b = HF_BUF_MAX(100);

	hf_pace_init(&down, 1e9);
	CHECK_OK(put(s, &pack));
	CHECK_OK(hf_store_get(s, &pack, 0, SIZE_MAX, &b));
	hf_pace_clear(&down);
}

/* ---- trace ---- */

#define ABS "ab01020300000000000000000000000000000000000000000000000000000000"

/* What stands between the time and the duration, and after that. */
static void
check_trace(const struct lines *l, unsigned i, const char *call, const char *end)
{
	struct hf_time t;

	REQUIRE(i < l->n);
	const char *space = strchr(l->v[i], ' ');
	REQUIRE(space != NULL);
	CHECK(hf_time_parse((struct hf_str){l->v[i], (size_t)(space - l->v[i])}, &t));
	CHECK(strncmp(space + 1, call, strlen(call)) == 0);
	CHECK(strstr(space, " ms ") != NULL);
	CHECK_STR(l->v[i] + strlen(l->v[i]) - strlen(end), end);
}

TEST(trace_tells_of_every_call)
{
	struct lines l = {.n = 0};
	hf_autoptr(hf_store) s = hf_store_trace(hf_store_mem(), take_line, &l);
	hf_auto(hf_buf) b = HF_BUF_MAX(100);
	uint64_t size;
	size_t n = 0;

	CHECK_OK(hf_store_create(s));
	CHECK_OK(put(s, &pack));
	CHECK_OK(hf_store_get(s, &pack, 2, SIZE_MAX, &b));
	CHECK_OK(hf_store_get(s, &pack, 1, 3, &b));
	CHECK_OK(hf_store_stat(s, &pack, &size));
	CHECK_OK(hf_store_list(s, HF_PACK, count_listed, &n));
	CHECK_OK(hf_store_del(s, &pack));
	CHECK_ERR(hf_store_del(s, &pack), HF_ENOTFOUND);
	CHECK_EQ(n, 1);
	CHECK_EQ(l.n, 8);
	check_trace(&l, 0, "create 0", " ms ok");
	check_trace(&l, 1, "put data/ab/" ABS " 7 bytes ", " ms ok");
	check_trace(&l, 2, "get data/ab/" ABS " from 2, all: 5 bytes ", " ms ok");
	check_trace(&l, 3, "get data/ab/" ABS " from 1, 3: 3 bytes ", " ms ok");
	check_trace(&l, 4, "stat data/ab/" ABS " 7 bytes ", " ms ok");
	check_trace(&l, 5, "list data 1 files ", " ms ok");
	check_trace(&l, 6, "del data/ab/" ABS " ", " ms ok");
	check_trace(&l, 7, "del data/ab/" ABS " ", " ms failed: no such file");
}
