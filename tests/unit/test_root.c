/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "harness/test.h"

/* in/f, in/d/g, in/up -> .., in/d/out -> ../../secret, in/self -> d; secret */
static void
make(char *in, size_t size)
{
	char p[4096];
	const char *top = test_tmpdir();
	static const char *const dirs[] = {"in", "in/d"}, *const files[] = {
								  "in/f", "in/d/g", "secret"};
	static const char *const links[][2] = {
		{"..", "in/up"}, {"../../secret", "in/d/out"}, {"d", "in/self"}};

	for (size_t i = 0; i < 2; i++) {
		snprintf(p, sizeof p, "%s/%s", top, dirs[i]);
		REQUIRE_EQ(mkdir(p, 0755), 0);
	}
	for (size_t i = 0; i < 3; i++) {
		snprintf(p, sizeof p, "%s/%s", top, files[i]);
		close(open(p, O_CREAT | O_WRONLY, 0600));
	}
	for (size_t i = 0; i < 3; i++) {
		snprintf(p, sizeof p, "%s/%s", top, links[i][1]);
		REQUIRE_EQ(symlink(links[i][0], p), 0);
	}
	snprintf(in, size, "%s/in", top);
}

static bool
opens(const struct hf_root *r, const char *path, int flags)
{
	int fd = hf_root_openat(r, path, flags, 0600);

	if (fd < 0)
		return false;
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	return true;
}

static void
check(bool has_openat2)
{
	hf_auto(hf_root) r = {.fd = -1};
	char in[4096];

	make(in, sizeof in);
	REQUIRE_OK(hf_root_open(in, &r));
	r.has_openat2 &= has_openat2;
	CHECK(opens(&r, "", O_RDONLY | O_DIRECTORY));
	CHECK(opens(&r, "f", O_RDONLY));
	CHECK(opens(&r, "d/g", O_WRONLY));
	CHECK(opens(&r, "d", O_PATH | O_DIRECTORY));
	CHECK(opens(&r, "d/new", O_WRONLY | O_CREAT | O_EXCL));
	CHECK(!opens(&r, "d/new", O_WRONLY | O_CREAT | O_EXCL));
	CHECK_EQ(errno, EEXIST);
	CHECK(!opens(&r, "none", O_RDONLY));
	CHECK_EQ(errno, ENOENT);
	CHECK(!opens(&r, "up", O_RDONLY));
	CHECK(!opens(&r, "up/secret", O_RDONLY));
	CHECK(errno == ELOOP || errno == ENOTDIR);
	CHECK(!opens(&r, "up/made", O_WRONLY | O_CREAT));
	CHECK(!opens(&r, "self/g", O_RDONLY));
	CHECK(!opens(&r, "d/out", O_RDONLY));
	CHECK(!opens(&r, "d/out", O_WRONLY | O_CREAT));
	CHECK_EQ(errno, ELOOP);
}

TEST(root_is_not_left)
{
	check(true);
}

TEST(root_is_not_left_without_openat2)
{
	check(false);
}

TEST(root_must_be_a_folder)
{
	struct hf_root r;

	CHECK_ERR(hf_root_open("/nonexistent", &r), HF_ENOTFOUND);
	CHECK_ERR_TEXT(hf_root_open("/etc/passwd", &r), HF_EFATAL, "Not a directory");
}
