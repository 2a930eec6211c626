/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/libarchive.h"

#include "base/late.h"

#define SONAME "libarchive.so.13"

#define OF_ENTRY(X, type, name)                                                                \
	X(return, type, archive_entry_##name, (struct archive_entry * e), (e))

#define FUNCTIONS(X)                                                                           \
	X(return, struct archive *, archive_read_new, (void), ())                              \
	X(return, int, archive_read_support_format_tar, (struct archive * a), (a))             \
	X(return, int, archive_read_support_filter_all, (struct archive * a), (a))             \
	X(return, int, archive_read_set_option,                                                \
		(struct archive * a, const char *module, const char *name, const char *value), \
		(a, module, name, value))                                                      \
	X(return, int, archive_read_open_fd, (struct archive * a, int fd, size_t block),       \
		(a, fd, block))                                                                \
	X(return, int, archive_read_next_header,                                               \
		(struct archive * a, struct archive_entry * *e), (a, e))                       \
	X(return, int, archive_read_data_block,                                                \
		(struct archive * a, const void **p, size_t *len, la_int64_t *off),            \
		(a, p, len, off))                                                              \
	X(return, int, archive_read_free, (struct archive * a), (a))                           \
	X(return, const char *, archive_error_string, (struct archive * a), (a))               \
	X(return, int, archive_entry_xattr_next,                                               \
		(struct archive_entry * e, const char **name, const void **value,              \
			size_t *len),                                                          \
		(e, name, value, len))                                                         \
	X(return, int, archive_entry_acl_reset, (struct archive_entry * e, int which),         \
		(e, which))                                                                    \
	X(return, int, archive_entry_acl_next,                                                 \
		(struct archive_entry * e, int which, int *type, int *perm, int *tag, int *id, \
			const char **name),                                                    \
		(e, which, type, perm, tag, id, name))                                         \
	OF_ENTRY(X, int, xattr_reset)                                                          \
	OF_ENTRY(X, const char *, pathname)                                                    \
	OF_ENTRY(X, const char *, hardlink)                                                    \
	OF_ENTRY(X, const char *, symlink)                                                     \
	OF_ENTRY(X, const char *, uname)                                                       \
	OF_ENTRY(X, const char *, gname)                                                       \
	OF_ENTRY(X, la_int64_t, uid)                                                           \
	OF_ENTRY(X, la_int64_t, gid)                                                           \
	OF_ENTRY(X, la_int64_t, size)                                                          \
	OF_ENTRY(X, mode_t, filetype)                                                          \
	OF_ENTRY(X, mode_t, perm)                                                              \
	OF_ENTRY(X, dev_t, rdev)                                                               \
	OF_ENTRY(X, time_t, mtime)                                                             \
	OF_ENTRY(X, long, mtime_nsec)                                                          \
	OF_ENTRY(X, int, atime_is_set)                                                         \
	OF_ENTRY(X, time_t, atime)                                                             \
	OF_ENTRY(X, long, atime_nsec)                                                          \
	OF_ENTRY(X, int, ctime_is_set)                                                         \
	OF_ENTRY(X, time_t, ctime)                                                             \
	OF_ENTRY(X, long, ctime_nsec)

static struct {
	FUNCTIONS(HF_LATE_MEMBER)
} loaded;

static const struct hf_late_function functions[] = {FUNCTIONS(HF_LATE_NAME)};

static struct hf_late library = {
	.file = SONAME,
	.package = "libarchive13",
	.purpose = "reading archives",
	.functions = functions,
	.n = sizeof functions / sizeof *functions,
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

HF_LATE_NOTE(note, "archives", "Reading tar archives, for import-tar", SONAME);

struct hf_err *
hf_libarchive_load(void)
{
	return hf_late_load(&library);
}

FUNCTIONS(HF_LATE_CALL)
