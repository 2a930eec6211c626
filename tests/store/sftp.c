/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the store for SFTP does when things go wrong: sftp-server behind tests/harness/sftp_between.py,
 * without the wrappers that would try again.
 */
#include "harness/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/group.h"
#include "base/io.h"
#include "base/time.h"
#include "store/sftp.h"
#include "store/sftp_place.h"
#include "unit/listed.h"

#define SERVER "/usr/lib/openssh/sftp-server"

static const struct hf_name pack = {HF_PACK, {{0xab, 1, 2, 3}}};
static const struct hf_name lock = {HF_LOCK, {{0xcd}}};
static const struct hf_name other = {HF_INDEX, {{0xef}}};
#define PACK "data/ab/ab01020300000000000000000000000000000000000000000000000000000000"

/* ---- tools ---- */

/* Of all stores of a test. */
static struct hf_stop wish;

/* stuck_s 0: longer than anything here takes */
static struct hf_err *
open_command(const char *command, double stuck_s, struct hf_store **out)
{
	struct hf_option option = {"sftp.command", command};
	struct hf_open o = {.options = &option,
		.n_options = 1,
		.stuck_s = stuck_s > 0 ? stuck_s : 60,
		.stop = &wish};
	hf_autofree char *place = NULL;

	if (access(SERVER, X_OK) != 0)
		SKIP("sftp-server is absent (package openssh-sftp-server)");
	REQUIRE(asprintf(&place, "nowhere:%s/repo", test_tmpdir()) > 0);
	return hf_backend_sftp.open(place, &o, 1, out);
}

/* A store behind the program that lets things go wrong, once in all its sessions. */
static struct hf_store *
open_with(const char *fault, double stuck_s)
{
	hf_autofree char *command = NULL;
	struct hf_store *s = NULL;

	REQUIRE(asprintf(&command, "python3 %s/sftp_between.py --fault %s --once %s/once -- %s",
			getenv("PYTHONPATH"), fault, test_tmpdir(), SERVER) > 0);
	REQUIRE_OK(open_command(command, stuck_s, &s));
	return s;
}

static void
make_data(struct hf_buf *b, size_t len)
{
	REQUIRE_OK(hf_buf_resize(b, len));
	for (size_t i = 0; i < len; i++)
		b->p[i] = (uint8_t)(i * i / 251 + i);
}

static struct hf_err *
put(struct hf_store *s, const struct hf_name *name, size_t len)
{
	hf_auto(hf_buf) data = HF_BUF_MAX(64 << 20);

	make_data(&data, len);
	return hf_store_put(s, name, hf_buf_bytes(&data));
}

static void
check_content(struct hf_store *s, const struct hf_name *name, size_t len)
{
	hf_auto(hf_buf) want = HF_BUF_MAX(64 << 20), got = HF_BUF_MAX(64 << 20);

	make_data(&want, len);
	REQUIRE_OK(hf_store_get(s, name, 0, SIZE_MAX, &got));
	REQUIRE_EQ(got.len, len);
	CHECK_MEM(got.p, want.p, len);
}

/* Names in the folder "data/ab" of the repository. */
static unsigned
count_files(void)
{
	hf_autofree char *path = NULL;
	unsigned n = 0;

	REQUIRE(asprintf(&path, "%s/repo/data/ab", test_tmpdir()) > 0);
	DIR *dir = opendir(path);
	for (struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;)
		n += d->d_name[0] != '.';
	if (dir != NULL)
		closedir(dir);
	return n;
}

/* ---- places ---- */

static void
check_place(const char *text, const char *user, const char *host, const char *port,
	const char *path)
{
	hf_auto(hf_sftp_place) p = {.user = NULL};

	REQUIRE_OK(hf_sftp_place_parse(text, &p));
	CHECK_STR(p.user, user);
	CHECK_STR(p.host, host);
	CHECK_STR(p.port, port);
	CHECK_STR(p.path, path);
}

TEST(places)
{
	check_place("host:dir", "", "host", "", "dir");
	check_place("host:/dir//x/../y/", "", "host", "", "/dir/y");
	check_place("user@host:dir", "user", "host", "", "dir");
	check_place("user@domain@host:dir", "user@domain", "host", "", "dir");
	check_place("host:", "", "host", "", ".");
	check_place("host:a:b", "", "host", "", "a:b");
	check_place("//host/dir", "", "host", "", "dir");
	check_place("//host//dir", "", "host", "", "/dir");
	check_place("//user@host:2222//dir/", "user", "host", "2222", "/dir");
	check_place("//us%40er@host//a%20b", "us@er", "host", "", "/a b");
	check_place("//user:word@host/dir", "user", "host", "", "dir");
	check_place("//[::1]:22//dir", "", "::1", "22", "/dir");
	check_place("//[::1]//dir", "", "::1", "", "/dir");
	check_place("//host/", "", "host", "", ".");
}

TEST(places_that_are_none)
{
	static const char *const bad[] = {"", "host", "//host", "host:~/dir", "//host/~user/x",
		"-oProxyCommand=x:dir", "-l@host:dir", "//-host/dir", "//-user@host/dir",
		"//host:port/dir", "//[::1/dir", "//[::1]x/dir", "//host/a%2", "//host/%00",
		"//ho%zzst/a"};
	hf_auto(hf_sftp_place) p = {.user = NULL};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK_ERR(hf_sftp_place_parse(bad[i], &p), HF_EINVAL);
	CHECK(p.user == NULL);
}

static void
check_command(const char *place, const char *command, const char *args, const char *want)
{
	hf_auto(hf_sftp_place) p = {.user = NULL};
	hf_auto(hf_strings) words = {0};
	hf_auto(hf_buf) line = HF_BUF_MAX(1000);

	REQUIRE_OK(hf_sftp_place_parse(place, &p));
	REQUIRE_OK(hf_sftp_place_command(&p, command, args, &words));
	for (size_t i = 0; i < words.len; i++)
		hf_buf_addf(&line, "[%s]", words.v[i]);
	hf_buf_add_char(&line, '\0');
	CHECK_STR((const char *)line.p, want);
}

TEST(commands)
{
	hf_auto(hf_sftp_place) p = {.user = NULL};
	hf_auto(hf_strings) words = {0};

	check_command("host:x", NULL, NULL, "[ssh][host][-s][sftp]");
	check_command("//u@host:22/x", NULL, "-i 'my key' -v",
		"[ssh][host][-p][22][-l][u][-i][my key][-v][-s][sftp]");
	check_command("host:x", "ssh -W \"a b\" h $(x)", NULL, "[ssh][-W][a b][h][$(x)]");
	REQUIRE_OK(hf_sftp_place_parse("host:x", &p));
	CHECK_ERR_TEXT(hf_sftp_place_command(&p, "a", "b", &words), HF_EINVAL, "exclude");
	CHECK_ERR_TEXT(hf_sftp_place_command(&p, "'a", NULL, &words), HF_EINVAL, "quote");
	CHECK_ERR_TEXT(hf_sftp_place_command(&p, NULL, "\"", &words), HF_EINVAL, "sftp.args");
	hf_sftp_place_clear(&p);
	REQUIRE_OK(hf_sftp_place_parse(":x", &p));
	CHECK_ERR_TEXT(hf_sftp_place_command(&p, NULL, NULL, &words), HF_EINVAL, "no host");
	CHECK_OK(hf_sftp_place_command(&p, "true", NULL, &words));
}

/* ---- what answers is no server ---- */

TEST(programs_that_are_no_servers)
{
	struct hf_store *s = NULL;

	CHECK_ERR_TEXT(open_command("/nowhere/ssh", 0, &s), HF_EFATAL, "starting /nowhere/ssh");
	CHECK_ERR_TEXT(open_command("echo Welcome to this machine", 0, &s), HF_EFATAL,
		"sends text (\"Welc...\")");
	CHECK_ERR_TEXT(open_command("sh -c 'echo no route >&2; exit 255'", 0, &s), HF_EIO,
		"sh closed the connection (exit status 255): no route");
	CHECK_ERR_TEXT(open_command("sh -c 'kill -9 $$'", 0, &s), HF_EIO, "signal 9");
	CHECK_ERR_TEXT(open_command("printf '\\0\\0\\0\\005\\002\\0\\0\\0\\002'", 0, &s),
		HF_EFATAL, "version 2");
	CHECK(s == NULL);
}

static void
note_line(void *arg, const char *line)
{
	char *lines = arg;
	size_t len = strlen(lines);

	snprintf(lines + len, 200 - len, "%s|", line);
}

TEST(what_ssh_says_is_passed_on)
{
	char lines[200] = "";
	struct hf_option option = {
		"sftp.command", "sh -c 'echo first >&2; printf \"a\\033b\" >&2; exit 1'"};
	struct hf_open o = {
		.options = &option, .n_options = 1, .say = note_line, .say_arg = lines};
	struct hf_store *s = NULL;

	CHECK_ERR(hf_backend_sftp.open("h:x", &o, 1, &s), HF_EIO);
	CHECK_STR(lines, "subprocess sh: first|subprocess sh: a?b|");
}

/* ---- sessions that end ---- */

TEST(server_dies_while_a_file_is_written)
{
	hf_autoptr(hf_store) s = open_with("kill@5:6", 0);

	CHECK_ERR_TEXT(put(s, &pack, 4 << 20), HF_EIO, "saving pack ab010203");
	CHECK_EQ(count_files(), 1); /* the temporary file */
	hf_auto(hf_buf) b = HF_BUF_MAX(100);
	CHECK_ERR(hf_store_get(s, &pack, 0, SIZE_MAX, &b), HF_ENOTFOUND);
	/* The next call works, and takes the temporary file away. */
	REQUIRE_OK(put(s, &other, 1000));
	CHECK_EQ(count_files(), 0);
	REQUIRE_OK(put(s, &pack, 4 << 20));
	check_content(s, &pack, 4 << 20);
	CHECK_EQ(count_files(), 1);
}

TEST(answer_to_a_rename_is_lost)
{
	/* The extended requests: limits, three folders synced; of the put: fsync, rename. */
	hf_autoptr(hf_store) s = open_with("lost@6:200", 0);

	REQUIRE_OK(hf_store_create(s));
	CHECK_ERR_TEXT(put(s, &pack, 100000), HF_EIO, "renaming");
	check_content(s, &pack, 100000);
	CHECK_EQ(count_files(), 1);
	REQUIRE_OK(put(s, &pack, 100000));
	CHECK_EQ(count_files(), 1);
}

TEST(server_dies_while_a_file_is_read)
{
	hf_autoptr(hf_store) s = open_with("kill@10:5", 0);
	hf_auto(hf_buf) b = HF_BUF_MAX(64 << 20);

	REQUIRE_OK(put(s, &pack, 8 << 20));
	hf_buf_add_str(&b, "x");
	CHECK_ERR_TEXT(
		hf_store_get(s, &pack, 0, SIZE_MAX, &b), HF_EIO, "reading pack ab010203");
	CHECK_EQ(b.len, 1);
	check_content(s, &pack, 8 << 20);
}

TEST(server_stalls)
{
	hf_autoptr(hf_store) s = open_with("stall@10:5", 1);
	hf_auto(hf_buf) b = HF_BUF_MAX(64 << 20);

	REQUIRE_OK(put(s, &pack, 8 << 20));
	CHECK_ERR_TEXT(hf_store_get(s, &pack, 0, SIZE_MAX, &b), HF_EIO, "has not answered");
	check_content(s, &pack, 8 << 20);
}

TEST(server_stalls_while_it_is_written_to)
{
	hf_autoptr(hf_store) s = open_with("stall@3:6", 1);

	CHECK_ERR_TEXT(put(s, &pack, 32 << 20), HF_EIO, "has not answered");
	REQUIRE_OK(put(s, &pack, 1 << 20));
	check_content(s, &pack, 1 << 20);
}

/* A store the server of which can be stopped by the kernel; *pid is that of the first one. */
static struct hf_store *
open_with_pid(double stuck_s, pid_t *pid)
{
	hf_autofree char *command = NULL, *path = NULL;
	hf_auto(hf_buf) text = HF_BUF_MAX(100);
	struct hf_store *s = NULL;

	REQUIRE(asprintf(&path, "%s/pid", test_tmpdir()) > 0);
	REQUIRE(asprintf(&command, "sh -c 'echo $$ >%s; exec %s'", path, SERVER) > 0);
	REQUIRE_OK(open_command(command, stuck_s, &s));
	REQUIRE_OK(hf_read_file(path, &text));
	hf_buf_add_char(&text, '\0');
	*pid = (pid_t)strtol((const char *)text.p, NULL, 10);
	REQUIRE(*pid > 1);
	return s;
}

/* Nothing is read any more, and what is written fills the pipe. */
TEST(server_is_stopped)
{
	pid_t pid;
	hf_autoptr(hf_store) s = open_with_pid(1, &pid);

	REQUIRE(kill(pid, SIGSTOP) == 0);
	CHECK_ERR_TEXT(put(s, &pack, 32 << 20), HF_EIO, "has not answered");
	REQUIRE_OK(put(s, &pack, 1000));
	CHECK(kill(pid, 0) != 0); /* it is gone, another served that call */
}

TEST(answers_that_cannot_be)
{
	static const char *const faults[] = {"id@4:5", "junk@4:5"};

	for (size_t i = 0; i < 2; i++) {
		hf_autoptr(hf_store) s = open_with(faults[i], 0);
		hf_auto(hf_buf) b = HF_BUF_MAX(64 << 20);
		hf_autofree char *once = NULL;

		REQUIRE_OK(put(s, &pack, 2 << 20));
		CHECK_ERR_TEXT(hf_store_get(s, &pack, 0, SIZE_MAX, &b), HF_EIO,
			i == 0 ? "a request that was not made" : "cannot be understood");
		check_content(s, &pack, 2 << 20);
		REQUIRE(asprintf(&once, "%s/once", test_tmpdir()) > 0);
		REQUIRE(unlink(once) == 0);
	}
}

TEST(server_fails_without_a_reason)
{
	hf_autoptr(hf_store) s = open_with("fail@2:6", 0);

	CHECK_ERR_TEXT(put(s, &pack, 2 << 20), HF_EIO, "writing: the server failed");
	CHECK_EQ(count_files(), 0);
	REQUIRE_OK(put(s, &pack, 2 << 20));
}

/* ---- changes take no longer than the gate was told ---- */

/* A store whose changes have 1.5 s, over a line on which each request takes 0.9. */
static struct hf_store *
open_late(const char *more)
{
	hf_autofree char *command = NULL;
	struct hf_store *s = NULL;

	REQUIRE(asprintf(&command, "python3 %s/sftp_between.py --delay 450 %s -- %s",
			getenv("PYTHONPATH"), more, SERVER) > 0);
	REQUIRE_OK(open_command(command, 1.5, &s));
	CHECK(s->within_s < 1.6);
	return s;
}

static void
put_old(void)
{
	hf_autoptr(hf_store) s = NULL;

	REQUIRE_OK(open_command(SERVER, 0, &s));
	REQUIRE_OK(put(s, &other, 1000));
}

TEST(a_file_is_deleted_in_time_or_not_at_all)
{
	put_old();
	/* Denied, its mode set, deleted after 1.8 s. */
	hf_autoptr(hf_store) s = open_late("--fault deny@1:13");
	uint64_t size;

	CHECK_ERR_TEXT(hf_store_del(s, &other), HF_EFATAL, "permission");
	usleep(500000); /* for what may still be under way */
	CHECK_OK(hf_store_stat(s, &other, &size));
}

TEST(a_file_is_replaced_in_time_or_not_at_all)
{
	put_old();
	/* Renamed in vain, looked for, moved aside, renamed after 3.6 s. */
	hf_autoptr(hf_store) s = open_late("--without all");
	uint64_t size = 0;

	CHECK_ERR_TEXT(put(s, &other, 2000), HF_EIO, "renaming");
	CHECK_OK(hf_store_stat(s, &other, &size));
	CHECK_EQ(size, 1000);
}

struct counting_gate {
	struct hf_gate gate;
	unsigned n;
};

static struct hf_err *
count_pass(struct hf_gate *gate, const struct hf_change *change)
{
	struct counting_gate *g = hf_container_of(gate, struct counting_gate, gate);

	CHECK(change->within_s == 60);
	g->n++;
	return NULL;
}

TEST(the_gate_is_asked_before_each_change)
{
	struct counting_gate g = {{count_pass}, 0};

	put_old();
	hf_autoptr(hf_store) s = open_with("none@1 --without all", 0);
	hf_store_set_gate(s, &g.gate);
	REQUIRE_OK(put(s, &other, 2000));
	CHECK_EQ(g.n, 3); /* at first, before the rename, and before the old file goes aside */
	REQUIRE_OK(hf_store_del(s, &other));
	CHECK_EQ(g.n, 5); /* at first, and when there is a session */
}

/* ---- many at once ---- */

struct crowd {
	struct hf_store *s;
	struct hf_name name;
	size_t len;
	atomic_uint n_failed;
};

static struct hf_err *
get_it(void *arg)
{
	struct crowd *c = arg;
	hf_auto(hf_buf) b = HF_BUF_MAX(64 << 20);
	struct hf_err *e = hf_store_get(c->s, &c->name, 0, SIZE_MAX, &b);

	atomic_fetch_add(&c->n_failed, e != NULL);
	hf_err_free(e);
	return NULL;
}

static void
stop(void *arg)
{
	(void)arg;
}

TEST(all_calls_of_a_session_end_with_it)
{
	hf_autoptr(hf_store) s = open_with("stall@30:5", 1);
	struct crowd c = {.s = s, .name = pack};
	hf_autoptr(hf_group) g = hf_group_new(stop, NULL);

	REQUIRE_OK(put(s, &pack, 8 << 20));
	for (int i = 0; i < 8; i++)
		REQUIRE_OK(hf_group_go(g, "get", get_it, &c));
	REQUIRE_OK(hf_group_wait(g));
	CHECK_EQ(c.n_failed, 8);
	check_content(s, &pack, 8 << 20);
}

/* ---- the user wants to stop ---- */

enum { GET, PUT, STAT, LIST, DEL_LOCK };

struct attempt {
	struct hf_store *s;
	int what;
	struct hf_err *e;
};

static struct hf_err *
pass_over(void *arg, const struct hf_name *name, uint64_t size)
{
	(void)arg, (void)name, (void)size;
	return NULL;
}

static struct hf_err *
try_it(void *arg)
{
	struct attempt *a = arg;
	hf_auto(hf_buf) b = HF_BUF_MAX(64 << 20);
	uint64_t size;

	if (a->what == GET)
		a->e = hf_store_get(a->s, &pack, 0, SIZE_MAX, &b);
	else if (a->what == PUT)
		a->e = put(a->s, &pack, 32 << 20);
	else if (a->what == STAT)
		a->e = hf_store_stat(a->s, &other, &size);
	else if (a->what == LIST)
		a->e = hf_store_list(a->s, HF_PACK, pass_over, NULL);
	else
		a->e = hf_store_del(a->s, &lock);
	return NULL;
}

static void
start_attempt(struct hf_group *g, struct attempt *a, struct hf_store *s, int what)
{
	*a = (struct attempt){s, what, NULL};
	REQUIRE_OK(hf_group_go(g, "attempt", try_it, a));
	usleep(300000); /* it comes to a halt */
}

/* They end 2 s after the wish, not when they count as stuck, and nothing begins. */
TEST(a_stop_ends_what_waits_for_a_silent_server)
{
	hf_autoptr(hf_store) s = open_with("stall@10:5", 0);
	hf_autoptr(hf_group) g = hf_group_new(stop, NULL);
	struct attempt a[4], late = {s, STAT, NULL};

	REQUIRE_OK(put(s, &pack, 8 << 20));
	for (int i = 0; i < 4; i++)
		start_attempt(g, &a[i], s, i);
	hf_stop_set(&wish);
	double since = hf_clock();
	REQUIRE_OK(hf_group_wait(g));
	CHECK(hf_clock() - since > 1.5 && hf_clock() - since < 10);
	for (int i = 0; i < 4; i++)
		CHECK_ERR(a[i].e, HF_ECANCELED);
	since = hf_clock();
	REQUIRE_OK(try_it(&late));
	CHECK_ERR(late.e, HF_ECANCELED);
	CHECK(hf_clock() - since < 1);
}

/* What is under way is finished by a server that answers, and so is what cleans up. */
TEST(a_stop_leaves_time_for_what_is_answered)
{
	hf_autoptr(hf_store) s = open_with("none@1", 0);

	hf_stop_set(&wish);
	REQUIRE_OK(put(s, &pack, 1 << 20));
	check_content(s, &pack, 1 << 20);
}

/* The pipe is full, perhaps with half a packet, and others wait for it to take more. */
TEST(a_lock_is_given_back_after_a_stop_when_the_server_answers_again)
{
	pid_t pid;
	hf_autoptr(hf_store) s = open_with_pid(0, &pid);
	hf_autoptr(hf_group) puts = hf_group_new(stop, NULL);
	hf_autoptr(hf_group) dels = hf_group_new(stop, NULL);
	struct attempt a[3];
	uint64_t size;

	REQUIRE_OK(put(s, &lock, 100));
	REQUIRE(kill(pid, SIGSTOP) == 0);
	start_attempt(puts, &a[0], s, PUT);
	start_attempt(puts, &a[1], s, PUT);
	hf_stop_set(&wish);
	double since = hf_clock();
	start_attempt(dels, &a[2], s, DEL_LOCK);
	REQUIRE_OK(hf_group_wait(puts));
	CHECK(hf_clock() - since < 10);
	CHECK_ERR(a[0].e, HF_ECANCELED);
	CHECK_ERR(a[1].e, HF_ECANCELED);
	(void)kill(pid, SIGCONT); /* if it still lives */
	REQUIRE_OK(hf_group_wait(dels));
	hf_err_free(a[2].e); /* or it was cut off, and is tried again by who holds the lock */
	hf_err_free(hf_store_del(s, &lock));
	CHECK_ERR(hf_store_stat(s, &lock, &size), HF_ENOTFOUND);
}

/* ---- a server that loses its disk ---- */

TEST(a_repository_that_has_vanished_is_not_an_empty_one)
{
	hf_autofree char *repo = NULL, *away = NULL, *folder = NULL;
	hf_autoptr(hf_store) s = NULL;
	hf_auto(hf_buf) b = HF_BUF_MAX(100);
	const struct hf_name config = {.kind = HF_CONFIG}, snapshot = {HF_SNAPSHOT, {{1}}};
	size_t n = 0;
	uint64_t size;

	REQUIRE(asprintf(&repo, "%s/repo", test_tmpdir()) > 0);
	REQUIRE(asprintf(&away, "%s/away", test_tmpdir()) > 0);
	REQUIRE(asprintf(&folder, "%s/repo/index", test_tmpdir()) > 0);
	REQUIRE_OK(open_command(SERVER, 0, &s));
	/* Nothing is expected of a place where no repository was seen. */
	REQUIRE_OK(hf_store_list(s, HF_SNAPSHOT, count_listed, &n));
	REQUIRE_OK(hf_store_create(s));
	REQUIRE_OK(put(s, &config, 10));
	REQUIRE_OK(put(s, &snapshot, 10));
	REQUIRE_OK(hf_store_get(s, &config, 0, SIZE_MAX, &b));

	REQUIRE(rename(repo, away) == 0);
	CHECK_ERR(hf_store_list(s, HF_SNAPSHOT, count_listed, &n), HF_EIO);
	CHECK_ERR(hf_store_list(s, HF_PACK, count_listed, &n), HF_EIO);
	CHECK_ERR(hf_store_get(s, &snapshot, 0, SIZE_MAX, &b), HF_EIO);
	CHECK_ERR(hf_store_stat(s, &snapshot, &size), HF_EIO);
	CHECK_EQ(n, 0);

	REQUIRE(rename(away, repo) == 0);
	REQUIRE_OK(hf_store_list(s, HF_SNAPSHOT, count_listed, &n));
	CHECK_EQ(n, 1);
	/* One that is there may lack folders and files. */
	REQUIRE(rmdir(folder) == 0);
	REQUIRE_OK(hf_store_list(s, HF_INDEX, count_listed, &n));
	CHECK_EQ(n, 1);
	CHECK_ERR(hf_store_get(s, &other, 0, SIZE_MAX, &b), HF_ENOTFOUND);
	CHECK_ERR(hf_store_stat(s, &other, &size), HF_ENOTFOUND);
}

/* ---- the rest ---- */

TEST(modes_are_those_of_restic)
{
	hf_autofree char *command = hf_str_dup(hf_str(SERVER)), *path = NULL, *folder = NULL;
	hf_autoptr(hf_store) s = NULL;
	struct stat st;

	umask(022);
	REQUIRE_OK(open_command(command, 0, &s));
	REQUIRE_OK(hf_store_create(s));
	REQUIRE_OK(put(s, &(struct hf_name){.kind = HF_CONFIG}, 10));
	REQUIRE_OK(put(s, &pack, 10));
	check_content(s, &pack, 10); /* after that the server has dealt with the mode */
	REQUIRE(asprintf(&path, "%s/repo/" PACK, test_tmpdir()) > 0);
	REQUIRE(asprintf(&folder, "%s/repo/data/ab", test_tmpdir()) > 0);
	REQUIRE(stat(path, &st) == 0);
	CHECK_EQ(st.st_mode & 07777, 0400);
	REQUIRE(stat(folder, &st) == 0);
	CHECK_EQ(st.st_mode & 07777, 0700);
	/* A group that may read `config` may read everything. */
	hf_autofree char *config = NULL;
	REQUIRE(asprintf(&config, "%s/repo/config", test_tmpdir()) > 0);
	REQUIRE(chmod(config, 0440) == 0);
	REQUIRE(unlink(path) == 0 && rmdir(folder) == 0);
	hf_store_free(hf_steal(s));
	REQUIRE_OK(open_command(command, 0, &s));
	REQUIRE_OK(put(s, &pack, 10));
	check_content(s, &pack, 10);
	REQUIRE(stat(path, &st) == 0);
	CHECK_EQ(st.st_mode & 07777, 0440);
	REQUIRE(stat(folder, &st) == 0);
	CHECK_EQ(st.st_mode & 07777, 0770);
}

TEST(promises_are_those_of_the_server)
{
	hf_autofree char *plain = NULL;
	struct hf_store *s = NULL;

	REQUIRE_OK(open_command(SERVER, 0, &s));
	CHECK(hf_store_promises(s, HF_REPLACES_ATOMICALLY));
	CHECK(hf_store_promises(s, HF_IS_DURABLE));
	CHECK(hf_store_promises(s, HF_LISTS_AT_ONCE));
	hf_store_free(s);
	REQUIRE(asprintf(&plain, "python3 %s/sftp_between.py --without all -- %s",
			getenv("PYTHONPATH"), SERVER) > 0);
	REQUIRE_OK(open_command(plain, 0, &s));
	CHECK(!hf_store_promises(s, HF_REPLACES_ATOMICALLY));
	CHECK(!hf_store_promises(s, HF_IS_DURABLE));
	CHECK(!hf_store_promises(s, HF_LISTS_AT_ONCE));
	hf_store_free(s);
}

TEST(a_relative_path_is_where_the_server_begins)
{
	hf_autofree char *command = NULL, *path = NULL;
	hf_autoptr(hf_store) s = NULL;

	REQUIRE(asprintf(&command, SERVER " -d %s", test_tmpdir()) > 0);
	struct hf_option option = {"sftp.command", command};
	struct hf_open o = {.options = &option, .n_options = 1};
	REQUIRE_OK(hf_backend_sftp.open("h:some/where", &o, 1, &s));
	REQUIRE_OK(put(s, &lock, 10));
	REQUIRE(asprintf(&path, "%s/some/where/locks", test_tmpdir()) > 0);
	CHECK(access(path, F_OK) == 0);
	REQUIRE_OK(hf_store_del(s, &lock));
}

TEST(nothing_is_left_running)
{
	hf_autofree char *command = NULL, *path = NULL;
	hf_auto(hf_buf) text = HF_BUF_MAX(100);
	struct hf_store *s = NULL;

	REQUIRE(asprintf(&path, "%s/pid", test_tmpdir()) > 0);
	/* It does not end when it hears that nothing more comes. */
	REQUIRE(asprintf(&command, "sh -c 'trap \"\" HUP TERM; echo $$ >%s; %s; sleep 1000'",
			path, SERVER) > 0);
	REQUIRE_OK(open_command(command, 0, &s));
	REQUIRE_OK(hf_read_file(path, &text));
	hf_buf_add_char(&text, '\0');
	pid_t pid = (pid_t)strtol((const char *)text.p, NULL, 10);
	REQUIRE(pid > 1 && kill(-pid, 0) == 0);
	hf_store_free(s);
	/* The group is empty, but for what init has not reaped yet. */
	for (int i = 0; i < 100 && kill(-pid, 0) == 0; i++)
		usleep(50000);
	CHECK(kill(-pid, 0) != 0);
}
