/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file of a tar archive, with the program that compresses it in between. "-" is a standard
 * stream. A file that is written is there when all of it is, and in place of an old one only then.
 */
#ifndef HF_CLI_TAR_STREAM_H
#define HF_CLI_TAR_STREAM_H

#include <sys/types.h>

#include "cli/cli.h"

struct hf_tar_stream {
	struct hf_cli *cli;
	const char *path; /* as the user named it */
	int fd;           /* to write to or to read from; -1: closed, or standard output */
	bool is_input;
	char *temp; /* what is written before it gets its name; or NULL */
	pid_t pid;  /* of the program; 0: none */
	char *program;
};
#define HF_TAR_STREAM                                                                          \
	{                                                                                      \
		.fd = -1                                                                       \
	}

/* Removes what is not complete. */
void hf_tar_stream_clear(struct hf_tar_stream *s);

/* The option of both commands; `f` is a char * in T. */
#define HF_OPT_TAR_FILTER(T, f)                                                                \
	{                                                                                      \
		"tar-filter", 0, HF_OPT_STRING(T, f),                                          \
			.arg = "program", .def = "auto",                                       \
			.help = "command through which the archive goes; auto takes gzip, "    \
				"bzip2, xz, lz4 or zstd by the suffix of the file, none is "   \
				"none"                                                         \
	}

/* `filter` is the option's value. HF_EINVAL: standard output is a terminal. */
struct hf_err *hf_tar_stream_create(struct hf_cli *cli, const char *path, const char *filter,
	struct hf_tar_stream *out) HF_MUST;

/* An hf_sink_fn; `stream` is one. */
struct hf_err *hf_tar_stream_write(void *stream, struct hf_bytes b) HF_MUST;

/*
 * The same for reading, from out->fd. With "auto" there is no program, as the reader of archives
 * knows by itself what it sees.
 */
struct hf_err *hf_tar_stream_open(struct hf_cli *cli, const char *path, const char *filter,
	struct hf_tar_stream *out) HF_MUST;

/* After the last byte that is written, or wanted: what else comes out of a pipe is read. */
struct hf_err *hf_tar_stream_finish(struct hf_tar_stream *s) HF_MUST;

#endif
