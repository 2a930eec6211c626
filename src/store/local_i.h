/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the store in a folder share: local.c opens, reads and lists, local_put.c makes folders,
 * writes, marks and deletes.
 *
 * All names are looked up below one descriptor of the repository's folder, so that a relative
 * path keeps its meaning and a folder that is moved away meanwhile does not split a repository.
 */
#ifndef HF_STORE_LOCAL_I_H
#define HF_STORE_LOCAL_I_H

#include <stdatomic.h>
#include <sys/types.h>

#include "store/local.h"

struct local {
	struct hf_store store; /* its url is the path */
	mode_t folder_mode;    /* of new folders, minus umask */
	mode_t file_mode;      /* of finished files */
	atomic_int root;       /* -1 while the folder was not there yet; see local_root() */
};

static inline struct local *
local_of(struct hf_store *s)
{
	return hf_container_of(s, struct local, store);
}

/* The error for `path` below the repository, or for the repository itself (NULL). */
struct hf_err *local_failed(struct local *l, const char *path, int en) HF_MUST;

/*
 * The descriptor of the repository's folder, opened by whoever comes first after the folder came
 * into being. HF_ENOTFOUND: it is not there.
 */
struct hf_err *local_root(struct local *l, int *out) HF_MUST;

/* Of hf_store_ops. */
struct hf_err *local_create(struct hf_store *s) HF_MUST;
struct hf_err *local_put(
	struct hf_store *s, const struct hf_name *name, struct hf_bytes data) HF_MUST;
struct hf_err *local_put_held(
	struct hf_store *s, const struct hf_name *name, struct hf_bytes data, int *fd) HF_MUST;
enum hf_held local_held(struct hf_store *s, const struct hf_name *name);
struct hf_err *local_del(struct hf_store *s, const struct hf_name *name) HF_MUST;

#endif
