/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dumping: the content of a file, or a folder as an archive, as a stream of bytes. Blobs are read
 * ahead by several threads (engine/ahead.h); the sink is called on the caller's thread.
 */
#ifndef HF_ENGINE_DUMP_H
#define HF_ENGINE_DUMP_H

#include "engine/ahead.h"
#include "repo/node.h"

/* Writes the content of a file's node, which must stay valid. */
struct hf_err *hf_dump_file(struct hf_repo *repo, struct hf_index *ix, const struct hf_node *n,
	hf_sink_fn *sink, void *arg, struct hf_stop *stop) HF_MUST;

/* What goes into an archive, and how. Zeroed but for `root` it is what restic's `dump` writes. */
struct hf_tar_options {
	/*
	 * The folder's path in the snapshot, "/" or "/a/b", with which the names in the archive
	 * begin (without the first slash).
	 */
	const char *root;
	uint64_t
		strip; /* so many first parts of names are left out; what has no more is, too */
	/* Second names of files are links to the first; devices and pipes are there as well. */
	bool is_whole;
	/*
	 * Holes are left out (engine/tar.h). Where they were nobody has kept: a hole is a row of
	 * chunks of zeros, each of which is 512 KiB, as such places are cut.
	 */
	bool is_sparse;
	/* Whether an item is meant, as in hf_restore_options. NULL: all are. On any one thread. */
	void (*select)(void *arg, const char *path, bool is_dir, bool *is_selected,
		bool *child_may_be);
	void *select_arg;
};

/*
 * Writes what is below the tree `id` as a tar archive (engine/tar.h). Sockets have no place in
 * it. A file has the size of its blobs. Whatever cannot be read ends the archive with the error.
 */
struct hf_err *hf_dump_tar(struct hf_repo *repo, struct hf_index *ix, const struct hf_id *id,
	const struct hf_tar_options *options, hf_sink_fn *sink, void *arg,
	struct hf_stop *stop) HF_MUST;

#endif
