/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/descend.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/io.h"
#include "base/proc.h"

enum { MAX_ENVIRON = 8 << 20 };

/* ---- reading /proc ---- */

static bool
is_number(const char *name)
{
	return isdigit((unsigned char)*name) && strspn(name, "0123456789") == strlen(name);
}

/* What the threads of a process do, all together. */
struct threads {
	bool is_alive; /* one has not ended; the first may have, and the process live on */
	bool is_awake; /* one is not stopped: it may go on writing while the others stand */
};

static struct threads
look_at_threads(pid_t pid)
{
	char path[64];
	struct threads t = {false, false};
	const struct dirent *d;

	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);

	while (dir != NULL && !t.is_awake && (d = readdir(dir)) != NULL) {
		char task[sizeof path + sizeof d->d_name + 8];
		struct hf_proc_stat line;

		if (!is_number(d->d_name))
			continue;
		snprintf(task, sizeof task, "%s/%s/stat", path, d->d_name);
		if (!hf_proc_stat(task, &line) || line.state == 'Z' || line.state == 'X')
			continue;
		t.is_alive = true;
		t.is_awake = line.state != 'T' && line.state != 't';
	}
	if (dir != NULL)
		closedir(dir);
	return t;
}

/* ---- the list ---- */

static bool
is_listed(const struct hf_relatives *r, pid_t pid)
{
	for (size_t i = 0; i < r->len; i++)
		if (r->v[i].pid == pid)
			return true;
	return false;
}

static void
add(struct hf_relatives *r, pid_t pid)
{
	char path[64];
	struct hf_proc_stat line;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	if (r->len == HF_RELATIVES_MAX || is_listed(r, pid) || !hf_proc_stat(path, &line))
		return;
	struct threads t = look_at_threads(pid);
	r->v[r->len++] =
		(struct hf_relative){pid, line.group, line.start, t.is_awake, !t.is_alive};
}

/* The children of one thread: numbers, each with a blank behind it. */
static void
add_children_of_thread(const char *path, pid_t except, struct hf_relatives *out)
{
	hf_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[4096];
	size_t got = sizeof text;
	int n = 0;

	while (fd >= 0 && got == sizeof text) {
		hf_autoptr(hf_err) e = hf_read_full(fd, text, sizeof text, &got);

		for (size_t i = 0; e == NULL && i < got; i++) {
			if (isdigit((unsigned char)text[i])) {
				n = n * 10 + (text[i] - '0');
				continue;
			}
			if (n > 0 && n != except)
				add(out, n);
			n = 0;
		}
	}
}

static void
add_children(pid_t pid, pid_t except, struct hf_relatives *out)
{
	char path[64];
	const struct dirent *d;

	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);

	while (dir != NULL && (d = readdir(dir)) != NULL) {
		char task[sizeof path + sizeof d->d_name + 16];

		if (!is_number(d->d_name))
			continue;
		snprintf(task, sizeof task, "%s/%s/children", path, d->d_name);
		add_children_of_thread(task, except, out);
	}
	if (dir != NULL)
		closedir(dir);
}

/* Goes down from everything that is listed from number `from` on. */
static void
descend(struct hf_relatives *out, size_t from, pid_t except)
{
	for (size_t i = from; i < out->len; i++)
		if (!out->v[i].is_zombie)
			add_children(out->v[i].pid, except, out);
}

void
hf_relatives_find(pid_t root, pid_t except, struct hf_relatives *out)
{
	out->len = 0;
	add_children(root, except, out);
	descend(out, 0, except);
}

/* Whether `mark` is one of the strings in the environment that the process began with. */
static bool
is_marked(const char *number, const char *mark)
{
	char path[64];
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_ENVIRON);
	size_t len = strlen(mark) + 1;

	snprintf(path, sizeof path, "/proc/%.20s/environ", number);
	hf_autoptr(hf_err) e = hf_read_file(path, &text);
	for (size_t i = 0; e == NULL && i + len <= text.len;) {
		if (memcmp(text.p + i, mark, len) == 0)
			return true;
		const uint8_t *end = memchr(text.p + i, '\0', text.len - i);
		if (end == NULL)
			break;
		i = (size_t)(end - text.p) + 1;
	}
	return false;
}

uint64_t
hf_relative_start(pid_t pid)
{
	char path[64];
	struct hf_proc_stat line;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	return hf_proc_stat(path, &line) ? line.start : 0;
}

void
hf_relatives_search(pid_t child, uint64_t start, const char *mark, struct hf_relatives *out)
{
	DIR *dir = opendir("/proc");
	const struct dirent *d;
	pid_t self = getpid();

	uint64_t found = child > 0 ? hf_relative_start(child) : 0;

	out->len = 0;
	if (start != 0 && found != 0 && found != start)
		child = 0; /* the number is somebody else's now */
	if (child > 0)
		add(out, child);
	while (dir != NULL && (d = readdir(dir)) != NULL) {
		char path[sizeof d->d_name + 16];
		struct hf_proc_stat line;
		int pid;

		if (!is_number(d->d_name) || sscanf(d->d_name, "%d", &pid) != 1 || pid == self)
			continue;
		snprintf(path, sizeof path, "/proc/%s/stat", d->d_name);
		if (hf_proc_stat(path, &line) &&
			((child > 0 && line.group == child) || is_marked(d->d_name, mark)))
			add(out, pid);
	}
	if (dir != NULL)
		closedir(dir);
	descend(out, 0, self);
}

size_t
hf_relatives_alive(const struct hf_relatives *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->len; i++)
		n += !r->v[i].is_zombie;
	return n;
}

bool
hf_relative_signal(const struct hf_relative *r, int sig)
{
	hf_autofd int fd = (int)syscall(SYS_pidfd_open, r->pid, 0);

	if (fd < 0)
		return false;
	/* The descriptor now names one process for good; is it the one that was seen? */
	if (hf_relative_start(r->pid) != r->start)
		return false;
	return syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) == 0;
}
