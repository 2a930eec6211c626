/* SPDX-License-Identifier: BSD-2-Clause */
/* Names, places from text, and the wrapper that makes calls go wrong. */
#include "harness/test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/time.h"
#include "store/backend.h"
#include "store/fault.h"
#include "store/mem.h"
#include "store/open.h"
#include "unit/listed.h"

static const struct hf_name config = {.kind = HF_CONFIG};
static const struct hf_name pack = {HF_PACK, {{0xab, 1, 2, 3}}};
static const struct hf_name lock = {HF_LOCK, {{0xcd}}};

#define ABS "ab01020300000000000000000000000000000000000000000000000000000000"

static struct hf_err *
put(struct hf_store *s, const struct hf_name *name)
{
	return hf_store_put(s, name, hf_str_bytes(hf_str("content")));
}

TEST(names)
{
	struct hf_name name = pack;

	CHECK_STR(hf_name_text(&config).s, "config");
	CHECK_STR(hf_name_text(&name).s, "data/ab/" ABS);
	name.kind = HF_KEY;
	CHECK_STR(hf_name_text(&name).s, "keys/" ABS);
	name.kind = HF_LOCK;
	CHECK_STR(hf_name_text(&name).s, "locks/" ABS);
	name.kind = HF_SNAPSHOT;
	CHECK_STR(hf_name_text(&name).s, "snapshots/" ABS);
	name.kind = HF_INDEX;
	CHECK_STR(hf_name_text(&name).s, "index/" ABS);
	CHECK_STR(hf_kind_text(HF_INDEX), "index");
	CHECK_STR(hf_kind_text(HF_SNAPSHOT), "snapshot");
	CHECK(hf_kind_folder(HF_CONFIG) == NULL);
}

/* ---- places ---- */

static const struct hf_open nothing;

static struct hf_err *
open_options(const char *url, const struct hf_option *o, size_t n, struct hf_store **out)
{
	return hf_store_open(url, &(struct hf_open){.options = o, .n_options = n}, out);
}

static void
check_place(const char *url, const char *path)
{
	hf_autoptr(hf_store) s = NULL;

	REQUIRE_OK(hf_store_open(url, &nothing, &s));
	CHECK_STR(hf_store_url(s), path);
	CHECK_EQ(hf_store_connections(s), 2);
}

TEST(places_that_are_folders)
{
	check_place("/nowhere/at all", "/nowhere/at all");
	check_place("relative", "relative");
	check_place("/srv/a:b", "/srv/a:b");
	check_place("../sftp:x", "../sftp:x");
	check_place("local:/srv/repo", "/srv/repo");
	check_place("local:relative", "relative");
	check_place("local:s3:bucket", "s3:bucket");
	check_place("local:unknown:thing", "unknown:thing");
	check_place("C:\\Users\\x", "C:\\Users\\x");
	check_place("c:/x", "c:/x");
	check_place("\\\\server\\a:b", "\\\\server\\a:b");
	check_place("..\\a:b", "..\\a:b");
	check_place("s3bucket", "s3bucket");
	check_place("-", "-");
	check_place("\xff\n", "\xff\n");
}

/* None of them is a folder that nobody meant. */
TEST(places_of_a_kind_that_nobody_knows)
{
	static const char *const urls[] = {"sft:user@host:backup", "S3:https://host/secret",
		"https://me:secret@host:8000/r", "Rest:http://me:secret@host/", "ssh://u@h/x",
		"unknown:thing", "./sftp:x", "sub/folder:x", "..a:b", "..c:/x", "c:x",
		"c:", "1:/x", " s3:host/bucket", ":x"};
	static const char *const bare[] = {"local", "sftp", "rest", "s3", "rclone"};

	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
		struct hf_store *s = NULL;
		struct hf_err *e = hf_store_open(urls[i], &nothing, &s);

		REQUIRE(e != NULL);
		CHECK_STR(hf_err_text(e),
			"parsing repository location failed: invalid backend\n"
			"If the repository is in a local directory, "
			"you need to add a `local:` prefix");
		CHECK_ERR(e, HF_EINVAL);
		CHECK(s == NULL);
	}
	for (size_t i = 0; i < sizeof bare / sizeof *bare; i++) {
		struct hf_store *s = NULL;

		CHECK_ERR_TEXT(
			hf_store_open(bare[i], &nothing, &s), HF_EINVAL, "invalid format");
	}
}

TEST(places_that_cannot_be_reached)
{
	static const char *const urls[] = {"b2:bucket:x", "gs:u:secret@bucket:/x",
		"azure:container:/x", "swift:container:/x", "b2:", "swift://u:secret@host"};

	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
		struct hf_store *s = NULL;
		char scheme[16];
		struct hf_err *e = hf_store_open(urls[i], &nothing, &s);

		snprintf(
			scheme, sizeof scheme, "%.*s", (int)strcspn(urls[i], ":") + 1, urls[i]);
		REQUIRE(e != NULL);
		CHECK(strstr(hf_err_text(e), "cannot be reached") != NULL);
		CHECK(strstr(hf_err_text(e), "secret") == NULL);
		CHECK(strncmp(hf_err_text(e), scheme, strlen(scheme)) == 0);
		CHECK_ERR(e, HF_EINVAL);
		CHECK(s == NULL);
	}
	struct hf_store *s = NULL;
	CHECK_ERR(hf_store_open("", &nothing, &s), HF_EINVAL);
	CHECK_ERR(hf_store_open("local:", &nothing, &s), HF_EINVAL);
}

TEST(places_are_shown_without_passwords)
{
	static const char *const pairs[][2] = {
		{"rest:https://user:secret@host:8000/a", "rest:https://user:***@host:8000/a"},
		{"rest:https://user:s@c:r@host/a@b", "rest:https://user:***@host/a@b"},
		{"rest:https://user:se/cret@host/", "rest:https://user:***@host/"},
		{"rest:https://user@host/a:b@c", "rest:https://user@host/a:b@c"},
		{"rest:https://host:8000/a:b@c", "rest:https://host:8000/a:b@c"},
		{"rest:https://host/a:b@c", "rest:https://host/a:b@c"},
		{"sftp:user@host:/a@b:c@", "sftp:user@host:/a@b:c@"},
		{"s3:host/bucket", "s3:host/bucket"},
		{"", ""},
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		hf_autofree char *shown = hf_place_shown(pairs[i][0]);

		CHECK_STR(shown, pairs[i][1]);
	}
}

static struct hf_err *
open_with(const char *key, const char *value, struct hf_store **out)
{
	return open_options("/nowhere", &(struct hf_option){key, value}, 1, out);
}

TEST(options)
{
	struct hf_store *s = NULL;

	REQUIRE_OK(open_with("local.connections", "7", &s));
	CHECK_EQ(hf_store_connections(s), 7);
	hf_store_free(hf_steal(s));
	REQUIRE_OK(open_with("local.connections", "1000", &s));
	hf_store_free(hf_steal(s));

	static const char *const bad[] = {"0", "", "-1", "+1", "1001", "4294967297",
		"99999999999999999999", "2x", " 2", "2.0"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_ERR_TEXT(open_with("local.connections", bad[i], &s), HF_EINVAL,
			"local.connections");
	CHECK_ERR_TEXT(
		open_with("local.foo", "1", &s), HF_EINVAL, "option local.foo is not known");
	CHECK_ERR_TEXT(
		open_with("moon.phase", "1", &s), HF_EINVAL, "option moon.phase is not known");
	CHECK_ERR_TEXT(open_with("fault.plan", "?", &s), HF_EINVAL, "option fault.plan: ");
	/* What is meant for other kinds of repositories does no harm here. */
	REQUIRE_OK(open_with("sftp.command", "ssh -F /etc/backup x", &s));
	hf_store_free(hf_steal(s));
	CHECK(s == NULL);
}

TEST(options_of_every_type)
{
	const struct hf_option v[] = {{"x.n", "7"}, {"x.yes", "true"}, {"x.no", "0"},
		{"x.for", "1m30s"}, {"x.word", "ssh -F x"}, {"x.bad", "-1"}};
	const struct hf_open o = {.options = v, .n_options = 6};
	unsigned n = 1;
	bool is = false;
	double seconds = 4;
	const char *word = "as before";

	CHECK_OK(hf_option_uint(&o, "x.absent", 1, 9, &n));
	CHECK_EQ(n, 1);
	CHECK_OK(hf_option_uint(&o, "x.n", 7, 7, &n));
	CHECK_EQ(n, 7);
	CHECK_ERR_TEXT(hf_option_uint(&o, "x.n", 8, 9, &n), HF_EINVAL,
		"option x.n=7: not a number from 8 to 9");
	CHECK_OK(hf_option_bool(&o, "x.yes", &is));
	CHECK(is);
	CHECK_OK(hf_option_bool(&o, "x.absent", &is));
	CHECK(is);
	CHECK_OK(hf_option_bool(&o, "x.no", &is));
	CHECK(!is);
	CHECK_ERR_TEXT(hf_option_bool(&o, "x.bad", &is), HF_EINVAL, "option x.bad=-1: ");
	CHECK_OK(hf_option_seconds(&o, "x.absent", &seconds));
	CHECK(seconds == 4);
	CHECK_OK(hf_option_seconds(&o, "x.for", &seconds));
	CHECK(seconds == 90);
	CHECK_ERR_TEXT(
		hf_option_seconds(&o, "x.bad", &seconds), HF_EINVAL, "option x.bad=-1: ");
	hf_option_string(&o, "x.absent", &word);
	CHECK_STR(word, "as before");
	hf_option_string(&o, "x.word", &word);
	CHECK_STR(word, "ssh -F x");
}

TEST(options_given_twice)
{
	struct hf_option o[2] = {{"local.connections", "3"}, {"local.connections", "3"}};
	struct hf_store *s = NULL;

	REQUIRE_OK(open_options("/nowhere", o, 2, &s));
	hf_store_free(hf_steal(s));
	o[1].value = "4";
	CHECK_ERR_TEXT(open_options("/nowhere", o, 2, &s), HF_EINVAL, "twice");
}

TEST(a_plan_as_option)
{
	hf_autofree char *path = NULL;
	struct hf_option o = {"fault.plan", "fail@2:fatal"};
	hf_autoptr(hf_store) s = NULL;

	REQUIRE(asprintf(&path, "%s/repo", test_tmpdir()) > 0);
	REQUIRE_OK(open_options(path, &o, 1, &s));
	CHECK_OK(put(s, &config));
	CHECK_ERR_TEXT(
		put(s, &pack), HF_EFATAL, "saving pack ab010203: injected fault at call 2");
	CHECK_OK(put(s, &pack));
}

/* ---- faults ---- */

static struct hf_store *
faulty(const char *text)
{
	struct hf_fault_plan plan;

	REQUIRE_OK(hf_fault_parse(text, &plan));
	return hf_store_fault(hf_store_mem(), &plan);
}

TEST(plans_from_text)
{
	struct hf_fault_plan p;

	REQUIRE_OK(hf_fault_parse("fail@7", &p));
	CHECK_EQ(p.kind, HF_FAULT_FAIL);
	CHECK_EQ(p.code, HF_EIO);
	CHECK_EQ(p.first, 7);
	CHECK(!p.lasts);
	CHECK_EQ(p.kinds, 0);
	CHECK_EQ(p.ops, 0);
	REQUIRE_OK(hf_fault_parse("delay@12+:250", &p));
	CHECK_EQ(p.kind, HF_FAULT_DELAY);
	CHECK_EQ(p.first, 12);
	CHECK(p.lasts);
	CHECK_EQ(p.delay_ms, 250);
	REQUIRE_OK(hf_fault_parse("lost@1:pack:put:index:fatal", &p));
	CHECK_EQ(p.kind, HF_FAULT_LOST);
	CHECK_EQ(p.code, HF_EFATAL);
	CHECK_EQ(p.kinds, 1u << HF_PACK | 1u << HF_INDEX);
	CHECK_EQ(p.ops, 1u << HF_FAULT_PUT);

	static const char *const bad[] = {"", "@", "fail", "fail@", "fail@0", "fail@x",
		"fail@1x", "fail@-1", "fail@+", "boom@1", "@1", "fail@1::put",
		"fail@1:nonsense", "fail@1++", "fail@9999999999", "none@1"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_ERR(hf_fault_parse(bad[i], &p), HF_EINVAL);
	CHECK_EQ(p.kind, HF_FAULT_LOST);
}

TEST(fail_strikes_once)
{
	hf_autoptr(hf_store) s = faulty("fail@2");
	hf_auto(hf_buf) b = HF_BUF_MAX(100);

	CHECK_OK(put(s, &pack));
	CHECK_ERR_TEXT(hf_store_get(s, &pack, 0, SIZE_MAX, &b), HF_EIO, "at call 2");
	CHECK_OK(hf_store_get(s, &pack, 0, SIZE_MAX, &b));
	CHECK_OK(hf_store_del(s, &pack));
	CHECK_EQ(hf_store_fault_calls(s), 4);
}

TEST(fail_lasts_and_selects)
{
	hf_autoptr(hf_store) s = faulty("fail@2+:pack:put:del");

	CHECK_OK(put(s, &lock));
	CHECK_OK(put(s, &lock));
	CHECK_OK(put(s, &pack));
	CHECK_EQ(hf_store_fault_calls(s), 1);
	CHECK_ERR(put(s, &pack), HF_EIO);
	CHECK_ERR(hf_store_del(s, &pack), HF_EIO);
	CHECK_OK(hf_store_stat(s, &pack, &(uint64_t){0}));
	CHECK_OK(hf_store_del(s, &lock));
	CHECK_EQ(hf_store_fault_calls(s), 3);
}

TEST(lost_answers)
{
	hf_autoptr(hf_store) s = faulty("lost@1+");
	size_t n = 0;
	uint64_t size = 42;

	CHECK_ERR(put(s, &pack), HF_EIO);
	CHECK_ERR(hf_store_list(s, HF_PACK, count_listed, &n), HF_EIO);
	CHECK_EQ(n, 1);
	CHECK_ERR(hf_store_stat(s, &pack, &size), HF_EIO);
	CHECK_ERR(hf_store_del(s, &pack), HF_EIO);
	CHECK_ERR(hf_store_del(s, &pack), HF_ENOTFOUND);
	CHECK_ERR(hf_store_create(s), HF_EIO);
}

TEST(short_and_flipped)
{
	hf_autoptr(hf_store) s = faulty("short@1:get");
	hf_autoptr(hf_store) flip = faulty("flip@2:get");
	hf_auto(hf_buf) b = HF_BUF_MAX(100);

	CHECK_OK(put(s, &pack));
	CHECK_ERR(hf_store_get(s, &pack, 0, SIZE_MAX, &b), HF_ECORRUPT);
	CHECK_EQ(b.len, 0);

	CHECK_OK(put(flip, &pack));
	CHECK_OK(hf_store_get(flip, &pack, 0, SIZE_MAX, &b));
	CHECK_MEM(b.p, "content", 7);
	CHECK_OK(hf_store_get(flip, &pack, 0, SIZE_MAX, &b));
	CHECK_MEM(b.p + 7, "conuent", 7);
	CHECK_EQ(b.len, 14);
}

TEST(half_a_file_is_left_in_a_folder)
{
	hf_autofree char *path = NULL, *half = NULL;
	struct hf_option o = {"fault.plan", "half@2"};
	hf_autoptr(hf_store) s = NULL;
	struct stat st;
	size_t n = 0;

	REQUIRE(asprintf(&path, "%s/repo", test_tmpdir()) > 0);
	REQUIRE(asprintf(&half, "%s/data/ab/" ABS "-tmp-1", path) > 0);
	REQUIRE_OK(open_options(path, &o, 1, &s));
	CHECK_OK(hf_store_create(s));
	CHECK_ERR(put(s, &pack), HF_EIO);
	REQUIRE_EQ(stat(half, &st), 0);
	CHECK_EQ(st.st_size, 3);
	CHECK_OK(hf_store_list(s, HF_PACK, count_listed, &n));
	CHECK_EQ(n, 0);
}

TEST(delay)
{
	hf_autoptr(hf_store) s = faulty("delay@2:100");
	double start = hf_clock();

	CHECK_OK(put(s, &pack));
	CHECK_OK(put(s, &pack));
	CHECK(hf_clock() - start >= 0.1);
}

TEST(kill_ends_the_process)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		hf_autoptr(hf_store) s = faulty("kill@2");

		CHECK_OK(put(s, &pack));
		hf_err_free(put(s, &pack));
		_exit(0);
	}
	REQUIRE_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
