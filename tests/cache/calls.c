/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache/calls.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/path.h"

enum { NONE = -1, CWD = -2 };
enum { INTR = 1, RUN = 2 };

/* Where a call says which file it means: numbers of arguments. */
struct place {
	int8_t dir;  /* a descriptor, or CWD */
	int8_t path; /* or NONE: the descriptor itself */
};

struct known {
	long nr; /* NONE: not on this architecture */
	const char *name;
	int flags;
	struct place places[2];
};

#define NOT_THERE NONE
#define NOWHERE                                                                                \
	{                                                                                      \
		NONE, NONE                                                                     \
	}
#define FD(n)                                                                                  \
	{                                                                                      \
		{n, NONE}, NOWHERE                                                             \
	}
#define PATH(n)                                                                                \
	{                                                                                      \
		{CWD, n}, NOWHERE                                                              \
	}
#define AT(d, n)                                                                               \
	{                                                                                      \
		{d, n}, NOWHERE                                                                \
	}
#define TWO(a, b)                                                                              \
	{                                                                                      \
		{CWD, a},                                                                      \
		{                                                                              \
			CWD, b                                                                 \
		}                                                                              \
	}
#define TWO_AT                                                                                 \
	{                                                                                      \
		{0, 1},                                                                        \
		{                                                                              \
			2, 3                                                                   \
		}                                                                              \
	}
#define CALL(x, flags, ...)                                                                    \
	{                                                                                      \
		SYS_##x, #x, flags, __VA_ARGS__                                                \
	}
#define LACK(x, ...)                                                                           \
	{                                                                                      \
		NOT_THERE, #x, 0,                                                              \
		{                                                                              \
			NOWHERE, NOWHERE                                                       \
		}                                                                              \
	}

/* Calls that only old architectures have, since the ones with a folder replaced them. */
#ifdef SYS_open
#define OLD CALL
#else
#define OLD LACK
#endif

static const struct known known[] = {
	CALL(openat, INTR, AT(0, 1)),
	CALL(openat2, INTR, AT(0, 1)),
	CALL(unlinkat, 0, AT(0, 1)),
	CALL(renameat2, 0, TWO_AT),
	CALL(linkat, 0, TWO_AT),
	CALL(symlinkat, 0, AT(1, 2)),
	CALL(readlinkat, 0, AT(0, 1)),
	CALL(mkdirat, 0, AT(0, 1)),
	CALL(mknodat, 0, AT(0, 1)),
	CALL(fchmodat, 0, AT(0, 1)),
	CALL(fchownat, 0, AT(0, 1)),
	CALL(faccessat, 0, AT(0, 1)),
	CALL(faccessat2, 0, AT(0, 1)),
	CALL(newfstatat, 0, AT(0, 1)),
	CALL(statx, 0, AT(0, 1)),
	CALL(utimensat, 0, AT(0, 1)),
	CALL(statfs, INTR, PATH(0)),
	CALL(truncate, INTR, PATH(0)),
	CALL(chdir, 0, PATH(0)),
	CALL(setxattr, 0, PATH(0)),
	CALL(getxattr, 0, PATH(0)),
	CALL(fsetxattr, 0, FD(0)),
	CALL(fgetxattr, 0, FD(0)),
	CALL(getdents64, 0, FD(0)),
	CALL(read, INTR, FD(0)),
	CALL(pread64, INTR, FD(0)),
	CALL(readv, INTR, FD(0)),
	CALL(preadv, INTR, FD(0)),
	CALL(write, INTR, FD(0)),
	CALL(pwrite64, INTR, FD(0)),
	CALL(writev, INTR, FD(0)),
	CALL(pwritev, INTR, FD(0)),
	CALL(lseek, 0, FD(0)),
	CALL(fstat, 0, FD(0)),
	CALL(fstatfs, INTR, FD(0)),
	CALL(ftruncate, INTR, FD(0)),
	CALL(fallocate, INTR, FD(0)),
	CALL(fadvise64, 0, FD(0)),
	CALL(fsync, INTR, FD(0)),
	CALL(fdatasync, INTR, FD(0)),
	CALL(syncfs, 0, FD(0)),
	CALL(fchmod, 0, FD(0)),
	CALL(fchown, 0, FD(0)),
	CALL(fchdir, 0, FD(0)),
	CALL(fcntl, INTR, FD(0)),
	CALL(flock, INTR, FD(0)),
	CALL(ioctl, 0, FD(0)),
	CALL(dup, 0, FD(0)),
	CALL(close, INTR | RUN, FD(0)),
	CALL(mmap, 0, FD(4)),
	CALL(copy_file_range, 0, {{0, NONE}, {2, NONE}}),
	CALL(sendfile, 0, {{1, NONE}, {0, NONE}}),
#ifdef SYS_renameat
	CALL(renameat, 0, TWO_AT),
#else
	LACK(renameat, ),
#endif
	OLD(open, INTR, PATH(0)),
	OLD(creat, INTR, PATH(0)),
	OLD(unlink, 0, PATH(0)),
	OLD(rmdir, 0, PATH(0)),
	OLD(rename, 0, TWO(0, 1)),
	OLD(link, 0, TWO(0, 1)),
	OLD(symlink, 0, PATH(1)),
	OLD(readlink, 0, PATH(0)),
	OLD(mkdir, 0, PATH(0)),
	OLD(stat, 0, PATH(0)),
	OLD(lstat, 0, PATH(0)),
	OLD(access, 0, PATH(0)),
	OLD(chmod, 0, PATH(0)),
	OLD(chown, 0, PATH(0)),
	OLD(utime, 0, PATH(0)),
	OLD(utimes, 0, PATH(0)),
};

enum { N_KNOWN = sizeof(known) / sizeof(known[0]) };

bool
call_is_known(const char *name, size_t len)
{
	for (size_t i = 0; i < N_KNOWN; i++)
		if (strlen(known[i].name) == len && memcmp(known[i].name, name, len) == 0)
			return true;
	return false;
}

/* A string of the other process; false if it is none, as the call will find as well. */
static bool
read_string(pid_t tid, uint64_t at, char *out, size_t cap)
{
	const size_t page = 4096;
	size_t n = 0;

	if (at == 0)
		return false;
	while (n < cap) {
		/* Not beyond a page: the next may not be there. */
		size_t want = page - (at + n) % page;
		struct iovec to = {out + n, want < cap - n ? want : cap - n};
		struct iovec from = {(void *)(uintptr_t)(at + n), to.iov_len};
		ssize_t got = process_vm_readv(tid, &to, 1, &from, 1, 0);
		if (got <= 0)
			return false;
		if (memchr(out + n, 0, (size_t)got) != NULL)
			return true;
		n += (size_t)got;
	}
	return false;
}

/* The path behind a link of proc(5), on the heap, or NULL if that is not a file. */
static char *
proc_link(pid_t tid, const char *name)
{
	static const char deleted[] = " (deleted)";
	char link[64], path[PATH_MAX + sizeof(deleted)];

	(void)snprintf(link, sizeof(link), "/proc/%d/%s", tid, name);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0 || path[0] != '/')
		return NULL;
	path[n] = '\0';
	size_t tail = sizeof(deleted) - 1;
	if ((size_t)n > tail && strcmp(path + n - tail, deleted) == 0)
		path[(size_t)n - tail] = '\0';
	return strdup(path);
}

static char *
descriptor_path(pid_t tid, int fd)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "fd/%d", fd);
	return fd < 0 ? NULL : proc_link(tid, name);
}

static char *
place_path(pid_t tid, const struct place *p, const uint64_t *args)
{
	char name[PATH_MAX];

	if (p->dir == NONE)
		return NULL;
	if (p->path == NONE)
		return descriptor_path(tid, (int)args[p->dir]);
	/* No path, or an empty one, is AT_EMPTY_PATH: the descriptor itself. */
	if (!read_string(tid, args[p->path], name, sizeof(name)))
		name[0] = '\0';
	if (name[0] == '/')
		return hf_path_clean(name);
	int fd = p->dir == CWD ? AT_FDCWD : (int)args[p->dir];
	char *dir = fd == AT_FDCWD ? proc_link(tid, "cwd") : descriptor_path(tid, fd);
	if (dir == NULL || name[0] == '\0')
		return dir;
	char *path = hf_path_abs(dir, name);
	free(dir);
	return path;
}

bool
call_describe(pid_t tid, uint64_t nr, const uint64_t args[6], struct call *out)
{
	const struct known *k = NULL;

	*out = (struct call){0};
	for (size_t i = 0; i < N_KNOWN && k == NULL; i++)
		if (known[i].nr >= 0 && (uint64_t)known[i].nr == nr)
			k = &known[i];
	if (k == NULL)
		return false;
	out->name = k->name;
	out->may_be_interrupted = (k->flags & INTR) != 0;
	out->must_run = (k->flags & RUN) != 0;
	for (int i = 0; i < 2; i++)
		out->paths[i] = place_path(tid, &k->places[i], args);
	return out->paths[0] != NULL || out->paths[1] != NULL;
}

void
call_clear(struct call *c)
{
	free(c->paths[0]);
	free(c->paths[1]);
	*c = (struct call){0};
}
