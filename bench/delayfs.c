/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A folder that is far away: delayfs [-d MS] FOLDER MOUNTPOINT
 *
 * Serves FOLDER below MOUNTPOINT by means of FUSE until it gets SIGTERM or is unmounted, and sleeps
 * for MS milliseconds (20) wherever a store behind a network would need a round trip. So programs
 * that know no common server can be measured on one and the same distant store. It adds latency
 * only: any number of requests are on their way at once, and bytes come as fast as they can.
 *
 * What costs one delay is what would be one request to an object store, however many system calls
 * a program makes of it, so that one program's habits on a local disk do not count against it:
 *
 *	get     opening a file for reading. Its size came with it: fstat() of an open file is free,
 *	        and so are the bytes.
 *	head    asking for a file's attributes, unless a list or an open file has told them
 *	list    reading a folder, of any size. The sizes of the files came with it: each may be
 *	        asked for once without another delay.
 *	put     creating a file. Writing, syncing, giving it its final name and mode are part of it.
 *	delete  unlinking
 *
 * Looking for a name that is not there is free as well, since the kernel looks before it creates
 * and before it renames and does not say why it looks; it is counted as
 *
 *	absent  which holds a request that got "not found", if anybody made one.
 *
 * Folders are free: object stores have none. The kernel is told to believe nothing that it has been
 * told about files before (all timeouts are 0, and no page survives the next open), so that it
 * answers no request by itself; only that a folder is a folder does it remember.
 *
 * The extended attribute user.delayfs of MOUNTPOINT is a line with how many there have been of each
 * ("get 3 head 1 ..."), at any time.
 */
#define FUSE_USE_VERSION 312

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "base/auto.h"

enum { BUCKETS = 1 << 14, LISTED = 1 << 16, THREADS = 128, FOLDER_VALID_S = 3600 };

enum kind { GET, HEAD, LIST, PUT, DELETE, ABSENT, KINDS };
static const char *const kind_name[KINDS] = {"get", "head", "list", "put", "delete", "absent"};
static const char counts_name[] = "user.delayfs";

/* A file or folder that the kernel knows. All of FOLDER is taken to be one file system. */
struct node {
	struct node *next; /* in its bucket */
	ino_t ino;
	int fd;           /* O_PATH */
	uint64_t lookups; /* how many of them the kernel has not yet forgotten */
	atomic_uint opens;
};

struct folder {
	DIR *d;
	off_t at; /* where `d` stands */
};

static struct {
	struct timespec delay;
	atomic_uint_fast64_t counts[KINDS];
	pthread_mutex_t lock; /* for the nodes */
	struct node *nodes[BUCKETS];
	struct node root;
	/* Inodes whose attributes a list has told. Another of the same slot costs one delay. */
	_Atomic ino_t listed[LISTED];
} all = {.delay = {0, 20000000}, .lock = PTHREAD_MUTEX_INITIALIZER};

struct proc_path {
	char s[sizeof "/proc/self/fd/2147483647"];
};

/* A path by which an O_PATH descriptor can be opened, and changed. */
static struct proc_path
path_of(const struct node *n)
{
	struct proc_path p;

	snprintf(p.s, sizeof p.s, "/proc/self/fd/%d", n->fd);
	return p;
}

static void
request(enum kind kind)
{
	atomic_fetch_add(&all.counts[kind], 1);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &all.delay, NULL);
}

/* ---- nodes ---- */

static struct node *
node_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &all.root : (struct node *)(uintptr_t)ino;
}

/* The node of an inode, one lookup more; takes the descriptor. */
static struct node *
remember(ino_t ino, int fd)
{
	struct node **bucket = &all.nodes[ino % BUCKETS];
	struct node *n;

	pthread_mutex_lock(&all.lock);
	for (n = *bucket; n != NULL && n->ino != ino; n = n->next)
		;
	if (n == NULL) {
		n = hf_new(struct node);
		n->ino = ino;
		n->fd = fd;
		n->next = *bucket;
		*bucket = n;
	} else {
		close(fd);
	}
	n->lookups++;
	pthread_mutex_unlock(&all.lock);
	return n;
}

static void
forget(struct node *n, uint64_t lookups)
{
	struct node **p = &all.nodes[n->ino % BUCKETS];

	if (n == &all.root)
		return;
	pthread_mutex_lock(&all.lock);
	n->lookups -= lookups;
	if (n->lookups == 0) {
		while (*p != n)
			p = &(*p)->next;
		*p = n->next;
		close(n->fd);
		free(n);
	}
	pthread_mutex_unlock(&all.lock);
}

/* Fills in the entry `name` of a folder. Returns 0 or an errno value. */
static int
find(const struct node *parent, const char *name, struct fuse_entry_param *e)
{
	hf_autofd int fd = openat(parent->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	*e = (struct fuse_entry_param){0};
	if (fd < 0 || fstatat(fd, "", &e->attr, AT_EMPTY_PATH) != 0)
		return errno;
	if (S_ISDIR(e->attr.st_mode))
		e->entry_timeout = FOLDER_VALID_S;
	e->ino = (uintptr_t)remember(e->attr.st_ino, hf_steal_fd(&fd));
	return 0;
}

/* Whether a list has told the attributes, and nobody has asked for them since. */
static bool
take_listed(ino_t ino)
{
	ino_t want = ino;

	return atomic_compare_exchange_strong(&all.listed[ino % LISTED], &want, 0);
}

/* ---- names ---- */

static void
on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;
	int en = find(node_of(parent), name, &e);

	if (en == ENOENT)
		atomic_fetch_add(&all.counts[ABSENT], 1);
	if (en != 0)
		fuse_reply_err(req, en);
	else
		fuse_reply_entry(req, &e);
}

static void
on_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	forget(node_of(ino), lookups);
	fuse_reply_none(req);
}

static void
on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	request(DELETE);
	fuse_reply_err(req, unlinkat(node_of(parent)->fd, name, 0) == 0 ? 0 : errno);
}

static void
on_rename(fuse_req_t req, fuse_ino_t from, const char *name, fuse_ino_t to,
	const char *new_name, unsigned flags)
{
	int r = renameat2(node_of(from)->fd, name, node_of(to)->fd, new_name, flags);

	fuse_reply_err(req, r == 0 ? 0 : errno);
}

static void
on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct fuse_entry_param e;
	int en = mkdirat(node_of(parent)->fd, name, mode) == 0 ? 0 : errno;

	if (en == 0)
		en = find(node_of(parent), name, &e);
	if (en != 0)
		fuse_reply_err(req, en);
	else
		fuse_reply_entry(req, &e);
}

static void
on_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, unlinkat(node_of(parent)->fd, name, AT_REMOVEDIR) == 0 ? 0 : errno);
}

/* ---- attributes ---- */

static void
reply_attr(fuse_req_t req, const struct node *n)
{
	struct stat st;

	if (fstatat(n->fd, "", &st, AT_EMPTY_PATH) != 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_attr(req, &st, 0);
}

static void
on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_of(ino);
	struct stat st;

	(void)fi; /* the kernel does not say that it is for an open file */
	if (fstatat(n->fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISREG(st.st_mode) &&
		!take_listed(st.st_ino) && atomic_load(&n->opens) == 0)
		request(HEAD);
	reply_attr(req, n);
}

static void
on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int what, struct fuse_file_info *fi)
{
	struct node *n = node_of(ino);
	struct proc_path path = path_of(n);
	struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};

	(void)fi;
	if (what & FUSE_SET_ATTR_ATIME)
		times[0] = st->st_atim;
	if (what & FUSE_SET_ATTR_MTIME)
		times[1] = st->st_mtim;
	if (what & FUSE_SET_ATTR_ATIME_NOW)
		times[0].tv_nsec = UTIME_NOW;
	if (what & FUSE_SET_ATTR_MTIME_NOW)
		times[1].tv_nsec = UTIME_NOW;
	if (((what & FUSE_SET_ATTR_MODE) && chmod(path.s, st->st_mode) != 0) ||
		((what & FUSE_SET_ATTR_SIZE) && truncate(path.s, st->st_size) != 0) ||
		utimensat(AT_FDCWD, path.s, times, 0) != 0)
		fuse_reply_err(req, errno);
	else
		reply_attr(req, n);
}

static void
on_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char text[KINDS * 32];
	size_t len = 0;

	if (ino != FUSE_ROOT_ID || strcmp(name, counts_name) != 0) {
		fuse_reply_err(req, ENODATA);
		return;
	}
	for (int k = 0; k < KINDS; k++)
		len += (size_t)snprintf(text + len, sizeof text - len, "%s%s %llu",
			k > 0 ? " " : "", kind_name[k],
			(unsigned long long)atomic_load(&all.counts[k]));
	if (size == 0)
		fuse_reply_xattr(req, len);
	else if (size < len)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, text, len);
}

static void
on_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;

	(void)ino;
	if (fstatvfs(all.root.fd, &st) != 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_statfs(req, &st);
}

/* ---- files ---- */

static void
on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_of(ino);

	request((fi->flags & O_ACCMODE) == O_RDONLY ? GET : PUT);
	int fd = open(path_of(n).s, (fi->flags & ~O_NOFOLLOW) | O_CLOEXEC);
	if (fd < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	atomic_fetch_add(&n->opens, 1);
	fi->fh = (uint64_t)fd;
	fuse_reply_open(req, fi);
}

static void
on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	struct fuse_file_info *fi)
{
	struct fuse_entry_param e;
	const struct node *folder = node_of(parent);

	request(PUT);
	hf_autofd int fd = openat(folder->fd, name, fi->flags | O_CREAT | O_CLOEXEC, mode);
	int en = fd < 0 ? errno : find(folder, name, &e);
	if (en != 0) {
		fuse_reply_err(req, en);
		return;
	}
	atomic_fetch_add(&node_of(e.ino)->opens, 1);
	fi->fh = (uint64_t)hf_steal_fd(&fd);
	fuse_reply_create(req, &e, fi);
}

static void
on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct fuse_bufvec b = FUSE_BUFVEC_INIT(size);

	(void)ino;
	b.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	b.buf[0].fd = (int)fi->fh;
	b.buf[0].pos = off;
	fuse_reply_data(req, &b, FUSE_BUF_SPLICE_MOVE);
}

static void
on_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t size, off_t off,
	struct fuse_file_info *fi)
{
	ssize_t n = pwrite((int)fi->fh, p, size, off);

	(void)ino;
	if (n < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_write(req, (size_t)n);
}

static void
on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	fuse_reply_err(req, fsync((int)fi->fh) == 0 ? 0 : errno);
}

static void
on_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	atomic_fetch_sub(&node_of(ino)->opens, 1);
	close((int)fi->fh);
	fuse_reply_err(req, 0);
}

/* ---- folders ---- */

static void
on_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct folder *f = hf_new(struct folder);

	f->d = opendir(path_of(node_of(ino)).s);
	if (f->d == NULL) {
		fuse_reply_err(req, errno);
		free(f);
		return;
	}
	fi->fh = (uintptr_t)f;
	fuse_reply_open(req, fi);
}

static void
on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct folder *f = (struct folder *)(uintptr_t)fi->fh;
	hf_autofree char *buf = hf_realloc_array(NULL, size, 1);
	size_t len = 0;
	struct dirent *d;

	(void)ino;
	if (off == 0) {
		request(LIST);
		rewinddir(f->d);
	} else if (off != f->at) {
		seekdir(f->d, off);
	}
	f->at = off;
	while ((d = readdir(f->d)) != NULL) {
		struct stat st = {.st_ino = d->d_ino, .st_mode = (mode_t)d->d_type << 12};
		size_t n =
			fuse_add_direntry(req, buf + len, size - len, d->d_name, &st, d->d_off);

		if (n > size - len) {
			seekdir(f->d, f->at);
			break;
		}
		len += n;
		f->at = d->d_off;
		atomic_store(&all.listed[d->d_ino % LISTED], d->d_ino);
	}
	fuse_reply_buf(req, buf, len);
}

static void
on_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct folder *f = (struct folder *)(uintptr_t)fi->fh;

	(void)ino;
	(void)datasync;
	fuse_reply_err(req, fsync(dirfd(f->d)) == 0 ? 0 : errno);
}

static void
on_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct folder *f = (struct folder *)(uintptr_t)fi->fh;

	(void)ino;
	closedir(f->d);
	free(f);
	fuse_reply_err(req, 0);
}

/* ---- the program ---- */

static void
on_init(void *data, struct fuse_conn_info *conn)
{
	(void)data;
	conn->max_background = THREADS;
}

static const struct fuse_lowlevel_ops ops = {
	.init = on_init,
	.lookup = on_lookup,
	.forget = on_forget,
	.unlink = on_unlink,
	.rename = on_rename,
	.mkdir = on_mkdir,
	.rmdir = on_rmdir,
	.getattr = on_getattr,
	.setattr = on_setattr,
	.getxattr = on_getxattr,
	.statfs = on_statfs,
	.open = on_open,
	.create = on_create,
	.read = on_read,
	.write = on_write,
	.fsync = on_fsync,
	.release = on_release,
	.opendir = on_opendir,
	.readdir = on_readdir,
	.fsyncdir = on_fsyncdir,
	.releasedir = on_releasedir,
};

/* Serves until a signal or the end of the mount. */
static int
serve(const char *mountpoint)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_loop_config *loop = fuse_loop_cfg_create();
	struct fuse_session *s = NULL;
	int r = -1;

	if (fuse_opt_add_arg(&args, "delayfs") == 0 &&
		fuse_opt_add_arg(&args, "-ofsname=delayfs") == 0)
		s = fuse_session_new(&args, &ops, sizeof ops, NULL);
	fuse_loop_cfg_set_max_threads(loop, THREADS);
	fuse_loop_cfg_set_idle_threads(loop, THREADS);
	if (s != NULL && fuse_set_signal_handlers(s) == 0 &&
		fuse_session_mount(s, mountpoint) == 0) {
		r = fuse_session_loop_mt(s, loop);
		fuse_session_unmount(s);
	}
	if (s != NULL) {
		fuse_remove_signal_handlers(s);
		fuse_session_destroy(s);
	}
	fuse_loop_cfg_destroy(loop);
	fuse_opt_free_args(&args);
	return r < 0 ? 1 : 0; /* > 0 is the signal that ended it */
}

int
main(int argc, char **argv)
{
	struct rlimit files;
	int c;

	while ((c = getopt(argc, argv, "d:")) == 'd') {
		long ms = strtol(optarg, NULL, 10);

		all.delay = (struct timespec){ms / 1000, ms % 1000 * 1000000};
	}
	if (c != -1 || argc - optind != 2) {
		fputs("usage: delayfs [-d MS] FOLDER MOUNTPOINT\n", stderr);
		return 2;
	}
	all.root.fd = open(argv[optind], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (all.root.fd < 0) {
		perror(argv[optind]);
		return 1;
	}
	/* One for every file that the kernel remembers. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	umask(0);
	return serve(argv[optind + 1]);
}
