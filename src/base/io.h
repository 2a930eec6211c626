/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whole reads and writes on file descriptors: interrupted calls are repeated, short ones
 * continued. The only place outside the stores' network code that calls read() and write().
 */
#ifndef HF_BASE_IO_H
#define HF_BASE_IO_H

#include "base/buf.h"

/* Fills `p` up to the end of the file at most; *got < len only at the end of the file. */
struct hf_err *hf_read_full(int fd, void *p, size_t len, size_t *got) HF_MUST;

/* The same from byte `off` on, without moving the file position. */
struct hf_err *hf_pread_full(int fd, void *p, size_t len, uint64_t off, size_t *got) HF_MUST;

struct hf_err *hf_write_full(int fd, const void *p, size_t len) HF_MUST;
struct hf_err *hf_pwrite_full(int fd, const void *p, size_t len, uint64_t off) HF_MUST;

/* Appends everything up to the end of `fd` to `out`; its maximum is the limit. */
struct hf_err *hf_read_all(int fd, struct hf_buf *out) HF_MUST;

/* The same for the file at `path`. HF_ENOTFOUND: there is none. */
struct hf_err *hf_read_file(const char *path, struct hf_buf *out) HF_MUST;

/*
 * For small things that may be lost: the file at `path` has these bytes, or what it had before. The
 * folders above it are made, for nobody else to look into.
 */
struct hf_err *hf_note(const char *path, struct hf_bytes text) HF_MUST;

/* Fills `p` with random bytes from the kernel. Ends the program when there are none to be had. */
void hf_random(void *p, size_t len);

#endif
