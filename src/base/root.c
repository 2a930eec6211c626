/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

static int
openat2_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC | O_NOFOLLOW,
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};

	return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
}

struct hf_err *
hf_root_open(const char *path, struct hf_root *out)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return hf_err_errno(errno, "opening %s", path);
	/* Old kernels do not know it, and some sandboxes forbid it. */
	int probe = openat2_beneath(fd, ".", O_PATH | O_DIRECTORY, 0);

	*out = (struct hf_root){fd, probe >= 0};
	if (probe >= 0)
		close(probe);
	return NULL;
}

static int
open_by_steps(int root, const char *path, int flags, mode_t mode)
{
	hf_autofd int owned = -1;
	int dir = root;
	char name[NAME_MAX + 1];

	for (;;) {
		const char *slash = strchr(path, '/');

		if (slash == NULL)
			return openat(dir, path, flags | O_NOFOLLOW | O_CLOEXEC, mode);
		size_t n = (size_t)(slash - path);

		if (n > NAME_MAX) {
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(name, path, n);
		name[n] = 0;
		path = slash + 1;
		int next = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (next < 0)
			return -1;
		if (owned >= 0)
			close(owned);
		dir = owned = next;
	}
}

int
hf_root_openat(const struct hf_root *r, const char *path, int flags, mode_t mode)
{
	if (*path == 0)
		path = ".";
	if (!r->has_openat2)
		return open_by_steps(r->fd, path, flags, mode);
	for (int tries = 0;; tries++) {
		int fd = openat2_beneath(r->fd, path, flags, mode);

		/* A rename elsewhere in the system made the kernel doubt its walk. */
		if (fd >= 0 || errno != EAGAIN || tries == 8)
			return fd;
	}
}
