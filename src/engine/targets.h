/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the paths that a user named to the upper part of a snapshot's tree (restic-format 11.2):
 * inner targets are folders of which only some children are taken, leaves are taken whole.
 */
#ifndef HF_ENGINE_TARGETS_H
#define HF_ENGINE_TARGETS_H

#include "base/buf.h"

struct hf_target {
	char *name;      /* in the snapshot */
	char *path;      /* of a leaf: where it is, relative to the working folder; else NULL */
	char *meta_path; /* of an inner target: the folder whose metadata it gets */
	char *root;      /* the folder that holds the first component; tells namesakes apart */
	bool is_explicit;            /* named by the user, not found by listing `.` */
	struct hf_target **children; /* owned; sorted by name once the tree is built */
	size_t n_children;
	void *by_name; /* the children again, for tsearch(); only while building */
};

void hf_target_clear(struct hf_target *t);

/*
 * Builds the tree of `n` paths into *root, which has no name. Lists folders where `.`, `..` or
 * `/` stand for their contents and where one target lies inside another.
 */
struct hf_err *hf_targets_build(
	const char *const *paths, size_t n, struct hf_target *root) HF_MUST;

#endif
