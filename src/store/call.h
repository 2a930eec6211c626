/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A call to a store as an object, for wrappers that do the same around every call: such a wrapper
 * is one function that gets the call and runs it on the store inside, once, several times or not
 * at all. What a call means is said in store.h.
 */
#ifndef HF_STORE_CALL_H
#define HF_STORE_CALL_H

#include "store/store.h"

enum hf_op {
	HF_OP_CREATE,
	HF_OP_PUT,
	HF_OP_GET,
	HF_OP_STAT,
	HF_OP_LIST,
	HF_OP_DEL,
	HF_OP_AGE,
	HF_OP_WARM,
};

struct hf_call {
	enum hf_op op;
	struct hf_name name;  /* of a listing: the kind; of create: zeroed */
	struct hf_bytes data; /* put */
	int *fd;              /* put: where the kernel's mark goes, or NULL: none is wanted */
	uint64_t off;         /* get */
	size_t len;
	struct hf_sink *sink; /* get: where the bytes go, or NULL: to `out` */
	struct hf_buf *out;
	size_t out_len; /* its length when the call began */
	uint64_t *size; /* stat */
	double *age_s;  /* age */
	bool *is_warm;  /* warm */
	bool no_sizes;  /* list */
	hf_store_list_fn *fn;
	void *arg;
	/* What came of the last run. */
	size_t n_bytes, n_files;
	struct hf_buf *kept; /* list: where the files go instead, or NULL */
};

/* Whether the call is about a lock: such calls wait for nobody. */
static inline bool
hf_call_is_lock(const struct hf_call *c)
{
	return c->op != HF_OP_CREATE && c->name.kind == HF_LOCK;
}

/* Runs the call on `inner`. May be repeated: what an earlier run has left is taken back. */
struct hf_err *hf_call_run(struct hf_call *c, struct hf_store *inner) HF_MUST;

/*
 * With `kept`, the files of a listing end up there, in at most so many bytes, and hf_call_tell()
 * tells of them later.
 */
enum { HF_CALL_MAX_LIST = 1 << 30 }; /* 26 million files */
struct hf_err *hf_call_tell(
	const struct hf_buf *kept, enum hf_kind kind, hf_store_list_fn *fn, void *arg) HF_MUST;

/*
 * Asks the gate whether the call may still change something: for wrappers that have waited. NULL
 * for calls that change nothing.
 */
struct hf_err *hf_call_pass(const struct hf_call *c, struct hf_store *inner) HF_MUST;

/* First member of the wrapper's own struct. */
struct hf_around {
	struct hf_store store;
	struct hf_store *inner; /* owned */
	struct hf_err *(*around)(struct hf_around *, struct hf_call *);
	void (*free)(
		struct hf_around *); /* frees the wrapper; the store inside is gone already */
	/* What must end before the store inside goes, or NULL. */
	void (*quit)(struct hf_around *);
	/*
	 * A listing is told to the caller when around() has returned, and not while it is under
	 * way: it may run several times, and the caller may call the store.
	 */
	bool keeps_lists;
};

/* Fills in a->store for `inner`, which it takes over. */
void hf_around_init(struct hf_around *a, struct hf_store *inner);

#endif
