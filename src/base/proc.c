/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"

/* The inode that the kernel gives to its first pid namespace (include/linux/proc_ns.h). */
#define FIRST_PIDNS UINT64_C(0xEFFFFFFC)

/* Longer than any line of stat: a name has 15 bytes, and there are 52 numbers. */
enum { MAX_STAT = 2048 };

static uint64_t
inode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_ino : 0;
}

/*
 * The state stands behind the name, which is in brackets and may itself contain brackets and blanks;
 * the start time 19 fields further on.
 */
bool
hf_proc_stat(const char *path, struct hf_proc_stat *out)
{
	char text[MAX_STAT];
	const char *p;
	size_t got = 0;
	hf_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	hf_autoptr(hf_err) e = hf_read_full(fd, text, sizeof text - 1, &got);
	text[got] = '\0';
	if (e != NULL || (p = strrchr(text, ')')) == NULL)
		return false;
	p += 1 + strspn(p + 1, " ");
	out->state = *p;
	if (sscanf(p, "%*c %d %d", &out->parent, &out->group) != 2)
		return false;
	for (int field = 3; field < 22; field++) {
		p += strcspn(p, " ");
		p += strspn(p, " ");
	}
	return sscanf(p, "%" SCNu64, &out->start) == 1;
}

/* 0: not to be had. */
static uint64_t
start_of(const char *path)
{
	struct hf_proc_stat s;

	return hf_proc_stat(path, &s) ? s.start : 0;
}

struct hf_proc
hf_proc_self(void)
{
	struct hf_proc p = {
		.pid = getpid(),
		.start = start_of("/proc/self/stat"),
		.pidns = inode_of("/proc/self/ns/pid"),
		.timens = inode_of("/proc/self/ns/time"),
	};
	hf_auto(hf_buf) boot = HF_BUF_MAX(256);
	hf_autoptr(hf_err) e = hf_read_file("/proc/sys/kernel/random/boot_id", &boot);

	while (boot.len > 0 && boot.p[boot.len - 1] == '\n')
		boot.len--;
	if (e == NULL && boot.len < sizeof p.boot)
		memcpy(p.boot, boot.p, boot.len);
	return p;
}

/* /proc may be that of another pid namespace, where our numbers mean other processes. */
static bool
proc_is_ours(const struct hf_proc *self)
{
	char link[32], number[32];
	ssize_t n = readlink("/proc/self", link, sizeof link);

	snprintf(number, sizeof number, "%lld", (long long)self->pid);
	return n > 0 && (size_t)n == strlen(number) && memcmp(link, number, (size_t)n) == 0;
}

enum hf_life
hf_proc_life(const struct hf_proc *p, const struct hf_proc *self)
{
	char path[64];
	uint64_t start;

	if (p->pid <= 0 || p->pid > INT32_MAX || p->boot[0] == '\0' || p->pidns == 0)
		return HF_LIFE_UNKNOWN;
	if (strcmp(p->boot, self->boot) != 0 || p->pidns != self->pidns)
		return HF_LIFE_UNKNOWN;
	hf_autofd int fd = (int)syscall(SYS_pidfd_open, (pid_t)p->pid, 0);
	if (fd < 0)
		return errno == ESRCH ? HF_LIFE_DEAD : HF_LIFE_ALIVE;
	/* It has ended, but nobody has asked for its exit code; in containers that lasts. */
	struct pollfd ended = {.fd = fd, .events = POLLIN};
	if (poll(&ended, 1, 0) == 1 && (ended.revents & POLLIN) != 0)
		return HF_LIFE_DEAD;
	if (p->start == 0 || p->timens != self->timens || !proc_is_ours(self))
		return HF_LIFE_ALIVE;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)p->pid);
	start = start_of(path);
	return start == 0 || start == p->start ? HF_LIFE_ALIVE : HF_LIFE_DEAD;
}

bool
hf_proc_is_initial(const struct hf_proc *self)
{
	return self->pidns == FIRST_PIDNS;
}
