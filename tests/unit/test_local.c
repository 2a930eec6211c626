/* SPDX-License-Identifier: BSD-2-Clause */
/* What is particular to repositories in folders: permissions, leftovers, disks that are full. */
#include "harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/io.h"
#include "store/local.h"
#include "unit/listed.h"

enum { NOBODY = 65534 };

static const struct hf_name config = {.kind = HF_CONFIG};
static const struct hf_name pack = {HF_PACK, {{0xab, 1, 2, 3}}};
static const struct hf_name snapshot = {HF_SNAPSHOT, {{0xcd}}};

#define ABS "ab01020300000000000000000000000000000000000000000000000000000000"

/* test_tmpdir()/name; good until the fourth call after this one. */
static const char *
below(const char *name)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];

	REQUIRE(snprintf(path, sizeof paths[0], "%s/%s", test_tmpdir(), name) < 512);
	return path;
}

static struct hf_store *
open_repo(void)
{
	struct hf_store *s = NULL;

	REQUIRE_OK(hf_store_local(below("repo"), 0, &s));
	return s;
}

static struct hf_err *
put(struct hf_store *s, const struct hf_name *name)
{
	return hf_store_put(s, name, hf_str_bytes(hf_str("content")));
}

static unsigned
mode_of(const char *name)
{
	struct stat st;

	if (lstat(below(name), &st) != 0)
		return 0;
	return st.st_mode & 07777;
}

static size_t
count(struct hf_store *s, enum hf_kind kind)
{
	size_t n = 0;

	REQUIRE_OK(hf_store_list(s, kind, count_listed, &n));
	return n;
}

TEST(create_makes_all_folders_for_the_owner_alone)
{
	hf_autoptr(hf_store) s = open_repo();

	umask(022);
	CHECK_EQ(mode_of("repo"), 0);
	REQUIRE_OK(hf_store_create(s));
	static const char *const folders[] = {"repo", "repo/keys", "repo/locks",
		"repo/snapshots", "repo/index", "repo/data", "repo/data/00", "repo/data/7f",
		"repo/data/ff"};
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
		CHECK_EQ(mode_of(folders[i]), 0700);
	unsigned n = 0;
	for (unsigned i = 0; i < 256; i++) {
		hf_autofree char *path = NULL;
		REQUIRE(asprintf(&path, "%s/repo/data/%02x", test_tmpdir(), i) > 0);
		n += access(path, F_OK) == 0;
	}
	CHECK_EQ(n, 256);
}

TEST(files_end_up_read_only)
{
	hf_autoptr(hf_store) s = open_repo();

	umask(0);
	REQUIRE_OK(put(s, &config));
	REQUIRE_OK(put(s, &pack));
	CHECK_EQ(mode_of("repo/config"), 0400);
	CHECK_EQ(mode_of("repo/data/ab/" ABS), 0400);
	CHECK_EQ(mode_of("repo/data/ab"), 0700);
	CHECK_EQ(mode_of("repo/data"), 0700);
	REQUIRE_OK(put(s, &pack)); /* over the read-only one */
	CHECK_EQ(mode_of("repo/data/ab/" ABS), 0400);
	CHECK_OK(hf_store_del(s, &pack));
}

TEST(the_group_may_read_when_it_may_read_config)
{
	hf_autoptr(hf_store) s = open_repo();

	umask(077);
	REQUIRE_OK(put(s, &config));
	REQUIRE_EQ(chmod(below("repo/config"), 0440), 0);
	/* Decided when the store was opened. */
	REQUIRE_OK(put(s, &snapshot));
	CHECK_EQ(mode_of("repo/snapshots"), 0700);

	hf_autoptr(hf_store) again = open_repo();
	umask(0);
	REQUIRE_OK(put(again, &pack));
	CHECK_EQ(mode_of("repo/data/ab/" ABS), 0440);
	CHECK_EQ(mode_of("repo/data"), 0770);
	CHECK_EQ(mode_of("repo/data/ab"), 0770);
	umask(027);
	REQUIRE_OK(hf_store_create(again));
	CHECK_EQ(mode_of("repo/index"), 0750);
}

TEST(folders_above_are_made)
{
	struct hf_store *s = NULL;

	umask(077);
	REQUIRE_OK(hf_store_local(below("a//b/c/"), 0, &s));
	CHECK_EQ(count(s, HF_PACK), 0);
	REQUIRE_OK(put(s, &pack));
	CHECK_EQ(mode_of("a/b/c/data/ab/" ABS), 0400);
	CHECK_EQ(count(s, HF_PACK), 1);
	hf_store_free(s);
}

TEST(a_relative_path_keeps_its_meaning)
{
	struct hf_store *s = NULL;

	REQUIRE_EQ(mkdir(below("repo"), 0700), 0);
	REQUIRE_EQ(chdir(test_tmpdir()), 0);
	REQUIRE_OK(hf_store_local("repo", 0, &s));
	REQUIRE_EQ(chdir("/"), 0);
	REQUIRE_OK(put(s, &config));
	CHECK_EQ(mode_of("repo/config"), 0400);
	hf_store_free(s);
}

TEST(leftover_temporary_files_harm_nobody)
{
	hf_autoptr(hf_store) s = open_repo();

	REQUIRE_OK(put(s, &pack));
	hf_autofd int fd = open(below("repo/data/ab/" ABS "-tmp-1"), O_CREAT | O_WRONLY, 0600);
	REQUIRE(fd >= 0);
	CHECK_EQ(count(s, HF_PACK), 1);
	REQUIRE_OK(hf_store_del(s, &pack));
	CHECK_EQ(count(s, HF_PACK), 0);
	REQUIRE_OK(put(s, &pack));
	CHECK_EQ(count(s, HF_PACK), 1);
}

TEST(what_is_no_regular_file_is_no_file)
{
	hf_autoptr(hf_store) s = open_repo();
	hf_auto(hf_buf) b = HF_BUF_MAX(100);
	uint64_t size;

	REQUIRE_OK(hf_store_create(s));
	/* A FIFO must not hold the reader. */
	REQUIRE_EQ(mkfifo(below("repo/data/ab/" ABS), 0600), 0);
	CHECK_EQ(count(s, HF_PACK), 0);
	CHECK_ERR_TEXT(hf_store_get(s, &pack, 0, 1, &b), HF_EFATAL, "not a regular file");
	CHECK_ERR_TEXT(hf_store_stat(s, &pack, &size), HF_EFATAL, "not a regular file");
	REQUIRE_EQ(unlink(below("repo/data/ab/" ABS)), 0);

	REQUIRE_EQ(mkdir(below("repo/data/ab/" ABS), 0700), 0);
	CHECK_EQ(count(s, HF_PACK), 0);
	CHECK_ERR(hf_store_get(s, &pack, 0, 1, &b), HF_EFATAL);
	CHECK_ERR(put(s, &pack), HF_EFATAL);
	REQUIRE_EQ(rmdir(below("repo/data/ab/" ABS)), 0);

	REQUIRE_EQ(symlink("nowhere", below("repo/data/ab/" ABS)), 0);
	CHECK_EQ(count(s, HF_PACK), 0);
	CHECK_ERR(hf_store_get(s, &pack, 0, 1, &b), HF_ENOTFOUND);
}

/* Somebody keeps a part of the repository on another disk. */
TEST(links_are_followed)
{
	hf_autoptr(hf_store) s = open_repo();
	hf_auto(hf_buf) b = HF_BUF_MAX(100);

	REQUIRE_OK(hf_store_create(s));
	REQUIRE_EQ(rename(below("repo/data/ab"), below("elsewhere")), 0);
	REQUIRE_EQ(symlink("../../elsewhere", below("repo/data/ab")), 0);
	REQUIRE_OK(put(s, &pack));
	CHECK_EQ(mode_of("elsewhere/" ABS), 0400);
	CHECK_EQ(count(s, HF_PACK), 1);
	CHECK_OK(hf_store_get(s, &pack, 0, 7, &b));
}

TEST(the_repository_is_a_file)
{
	hf_autofd int fd = open(below("repo"), O_CREAT | O_WRONLY, 0600);
	struct hf_store *s = NULL;

	REQUIRE(fd >= 0);
	CHECK_ERR_TEXT(
		hf_store_local(below("repo"), 0, &s), HF_EFATAL, "/repo is not a folder");
	CHECK(s == NULL);
	CHECK_ERR(hf_store_local(below("repo/deeper"), 0, &s), HF_EFATAL);
}

TEST(a_folder_became_a_file)
{
	hf_autoptr(hf_store) s = open_repo();

	REQUIRE_OK(hf_store_create(s));
	REQUIRE_EQ(rmdir(below("repo/snapshots")), 0);
	hf_autofd int fd = open(below("repo/snapshots"), O_CREAT | O_WRONLY, 0600);
	REQUIRE(fd >= 0);
	CHECK_ERR_TEXT(hf_store_list(s, HF_SNAPSHOT, count_listed, &(size_t){0}), HF_EFATAL,
		"listing snapshot files: ");
	CHECK_ERR_TEXT(put(s, &snapshot), HF_EFATAL, "/repo/snapshots/cd0000");
}

/* Root may do everything, so the tests of permissions are made by somebody else. */
static void
become_nobody(void)
{
	if (geteuid() != 0)
		return;
	REQUIRE_EQ(chmod(test_tmpdir(), 0755), 0);
	REQUIRE_EQ(seteuid(NOBODY), 0);
}

static void
become_myself(void)
{
	REQUIRE_EQ(seteuid(getuid()), 0);
	/* Changing users took this away, and the leak sanitizer needs it. */
	REQUIRE_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
}

/* As below a network file system whose server has lost its disk. */
TEST(a_repository_that_has_vanished_is_not_an_empty_one)
{
	hf_autoptr(hf_store) s = open_repo();
	hf_auto(hf_buf) b = HF_BUF_MAX(100);
	uint64_t size;

	REQUIRE_OK(hf_store_create(s));
	CHECK_EQ(count(s, HF_SNAPSHOT), 0);
	REQUIRE_OK(put(s, &snapshot));
	REQUIRE_OK(put(s, &config));
	REQUIRE_EQ(mkdir(below("away"), 0700), 0);
	REQUIRE_EQ(rename(below("repo/config"), below("away/config")), 0);
	/* A folder that is there is believed. */
	CHECK_EQ(count(s, HF_SNAPSHOT), 1);
	REQUIRE_EQ(rename(below("repo/snapshots"), below("away/snapshots")), 0);
	CHECK_ERR(hf_store_list(s, HF_SNAPSHOT, count_listed, &(size_t){0}), HF_EIO);
	CHECK_ERR(hf_store_names(s, HF_SNAPSHOT, count_listed, &(size_t){0}), HF_EIO);
	CHECK_ERR(hf_store_get(s, &snapshot, 0, SIZE_MAX, &b), HF_EIO);
	CHECK_ERR(hf_store_stat(s, &snapshot, &size), HF_EIO);
	/* One that is there may lack folders. */
	REQUIRE_EQ(rename(below("away/config"), below("repo/config")), 0);
	CHECK_EQ(count(s, HF_SNAPSHOT), 0);
	CHECK_ERR(hf_store_stat(s, &snapshot, &size), HF_ENOTFOUND);
	/* Who deletes the config himself expects it to be gone. */
	REQUIRE_OK(hf_store_del(s, &config));
	CHECK_EQ(count(s, HF_SNAPSHOT), 0);
}

TEST(a_repository_that_must_not_be_written)
{
	hf_autoptr(hf_store) s = open_repo();
	hf_auto(hf_buf) b = HF_BUF_MAX(100);

	umask(022);
	REQUIRE_OK(put(s, &snapshot));
	REQUIRE_EQ(
		chmod(below("repo/snapshots/cd"
			    "00000000000000000000000000000000000000000000000000000000000000"),
			0444),
		0);
	REQUIRE_EQ(chmod(below("repo/snapshots"), 0555), 0);
	REQUIRE_EQ(chmod(below("repo"), 0555), 0);
	become_nobody();
	CHECK_OK(hf_store_get(s, &snapshot, 0, SIZE_MAX, &b));
	CHECK_ERR_TEXT(put(s, &snapshot), HF_EFATAL, "Permission denied");
	CHECK_ERR_TEXT(put(s, &pack), HF_EFATAL, "saving pack ab010203: ");
	CHECK_ERR_TEXT(hf_store_del(s, &snapshot), HF_EFATAL, "Permission denied");
	CHECK_ERR_TEXT(hf_store_create(s), HF_EFATAL, "Permission denied");
	CHECK_EQ(count(s, HF_SNAPSHOT), 1);
	become_myself();
}

TEST(a_repository_that_must_not_be_read)
{
	hf_autoptr(hf_store) s = open_repo();
	hf_auto(hf_buf) b = HF_BUF_MAX(100);
	struct hf_store *again = NULL;

	umask(022);
	REQUIRE_OK(put(s, &config));
	REQUIRE_OK(put(s, &pack));
	REQUIRE_EQ(chmod(below("repo"), 0711), 0);
	REQUIRE_EQ(chmod(below("repo/data"), 0), 0);
	REQUIRE_EQ(chmod(below("repo/config"), 0), 0);
	become_nobody();
	CHECK_ERR_TEXT(hf_store_get(s, &config, 0, 1, &b), HF_EFATAL, "Permission denied");
	CHECK_ERR(hf_store_get(s, &pack, 0, 1, &b), HF_EFATAL);
	CHECK_ERR(hf_store_list(s, HF_PACK, count_listed, &(size_t){0}), HF_EFATAL);
	CHECK_EQ(count(s, HF_CONFIG), 1);
	CHECK_ERR(hf_store_local(below("repo/data/ab"), 0, &again), HF_EFATAL);
	become_myself();
}

/* The folder of packs is empty but for what a failed put must not leave. */
static void
check_too_large(struct hf_store *s, size_t size, const char *reason)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 30);

	REQUIRE_OK(hf_buf_resize(&b, size));
	memset(b.p, 1, size);
	struct hf_err *e = hf_store_put(s, &pack, hf_buf_bytes(&b));
	REQUIRE(e != NULL);
	CHECK(strstr(hf_err_text(e), reason) != NULL);
	CHECK(strstr(hf_err_text(e), "/repo/data/ab/" ABS) != NULL);
	CHECK_ERR_TEXT(e, HF_EFATAL, "saving pack ab010203: ");
	CHECK_EQ(count(s, HF_PACK), 0);
	/* rmdir() tells whether anything is left, whatever its name. */
	CHECK_EQ(rmdir(below("repo/data/ab")), 0);
}

TEST(a_file_larger_than_allowed)
{
	hf_autoptr(hf_store) s = open_repo();
	struct rlimit limit = {1 << 20, 1 << 20};

	signal(SIGXFSZ, SIG_IGN);
	REQUIRE_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	check_too_large(s, 2 << 20, "File too large");
	CHECK_OK(put(s, &pack));
}

TEST(a_full_disk)
{
	REQUIRE_EQ(mkdir(below("repo"), 0700), 0);
	if (mount("none", below("repo"), "tmpfs", 0, "size=1m") != 0) {
		/* Not root, or a container. The system calls are tested with strace too. */
		CHECK_EQ(errno, EPERM);
		return;
	}
	hf_autoptr(hf_store) s = open_repo();
	check_too_large(s, 2 << 20, "No space left on device");
	CHECK_OK(put(s, &pack));
	hf_store_free(hf_steal(s));
	CHECK_EQ(umount2(below("repo"), MNT_DETACH), 0);
}
