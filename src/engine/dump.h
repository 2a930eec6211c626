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

/*
 * Writes everything below the tree `id` as a tar archive (engine/tar.h): files, folders and links;
 * other things have no place in it. `root` is the folder's path in the snapshot, "/" or "/a/b",
 * with which the names in the archive begin (without the first slash). A file has the size of its
 * blobs. Whatever cannot be read ends the archive with the error.
 */
struct hf_err *hf_dump_tar(struct hf_repo *repo, struct hf_index *ix, const struct hf_id *id,
	const char *root, hf_sink_fn *sink, void *arg, struct hf_stop *stop) HF_MUST;

#endif
