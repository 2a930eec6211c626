/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store keeps the files of a repository: named, whole, never changed once written. It does not
 * know what is in them. Backends (backend.h) and wrappers fill in a struct hf_store_ops; everybody
 * else calls the functions below.
 *
 * Calls about locks never wait for others: a backend with few connections keeps one for them.
 *
 * Every call blocks, ends by itself (backends have timeouts), and may be made from any number of
 * threads at once. Besides the errors named at each, a call can fail with HF_EIO (worth another
 * try) and HF_EFATAL (not worth one: no room, no permission). Texts say what was attempted and
 * name the file, "reading pack 3f2a9c01: ...", so callers add only what they know beyond that.
 */
#ifndef HF_STORE_STORE_H
#define HF_STORE_STORE_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/sink.h"

enum hf_kind { HF_CONFIG, HF_KEY, HF_LOCK, HF_SNAPSHOT, HF_INDEX, HF_PACK };
enum { HF_KINDS = HF_PACK + 1 };

/* The name of one file. `id` is the SHA-256 of its bytes; all zero for HF_CONFIG. */
struct hf_name {
	enum hf_kind kind;
	struct hf_id id;
	/*
	 * A hint about a pack, no part of its name: it is read (or written) for its trees, which many
	 * commands will want again; so a cache keeps it, and it belongs on fast storage.
	 */
	bool is_meta;
	/*
	 * Nor is this, of the config that is put: it is new, and one that somebody else has written is
	 * not to be replaced. Who does not promise HF_CREATES_IF_ABSENT keeps to it as far as he can.
	 */
	bool is_new;
};

/* "config", or the path below the repository with the id in full: "data/3f/3f2a…". */
struct hf_name_text {
	char s[96];
};
struct hf_name_text hf_name_text(const struct hf_name *name);

/* "key", "lock", "snapshot", "index", "pack", "config": the singular, for messages. */
const char *hf_kind_text(enum hf_kind kind);

/* "keys", "locks", "snapshots", "index", "data": the folder; NULL for HF_CONFIG. */
const char *hf_kind_folder(enum hf_kind kind);

/*
 * For listings: the name of the file `file` in the folder of a kind. False: it is not one of ours,
 * since those are ids in lower case.
 */
bool hf_name_of_file(enum hf_kind kind, struct hf_str file, struct hf_name *out);

struct hf_store;
typedef struct hf_err *hf_store_list_fn(void *arg, const struct hf_name *name, uint64_t size);

/*
 * Makes the folders (or whatever else the place needs) of an empty repository. What is there
 * already is left alone; the caller has looked whether a repository exists.
 */
struct hf_err *hf_store_create(struct hf_store *s) HF_MUST;

/*
 * Writes a file of `data.len` bytes. Atomic: when it fails, the file is absent or complete, never
 * in part. Durable as far as HF_IS_DURABLE says. A file of that name that was there before is
 * replaced, or with name.is_new, where the store can, it stays: HF_EEXISTS, unless it has the same
 * bytes, since then an earlier try has written it.
 */
struct hf_err *hf_store_put(
	struct hf_store *s, const struct hf_name *name, struct hf_bytes data) HF_MUST;

/*
 * Appends `len` bytes from byte `off` on to `out`; len SIZE_MAX means up to the end.
 * HF_ENOTFOUND: no such file. HF_ECORRUPT: the file ends before off + len. HF_EFATAL also when
 * the rest of the file exceeds the maximum of `out`. On failure `out` is as long as it was.
 */
struct hf_err *hf_store_get(struct hf_store *s, const struct hf_name *name, uint64_t off,
	size_t len, struct hf_buf *out) HF_MUST;

/*
 * The same for who works on the bytes as they come, at least one: they go to the sink, whose begin() is
 * called again when a try is repeated. The sink keeps a connection busy and must not call
 * the store, nor wait for anybody who does. What it was given is what the file has only if this ends
 * well. Only where hf_store_pours().
 */
struct hf_err *hf_store_pour(struct hf_store *s, const struct hf_name *name, uint64_t off,
	size_t len, struct hf_sink *sink) HF_MUST;
bool hf_store_pours(const struct hf_store *s);

/* The size of a file in bytes. HF_ENOTFOUND: no such file. */
struct hf_err *hf_store_stat(
	struct hf_store *s, const struct hf_name *name, uint64_t *size) HF_MUST;

/*
 * Calls fn(arg, name, size in bytes) once per file of that kind, in no order, on the calling
 * thread. What is listed can be read: files whose names are not ids, or that are not where their
 * id belongs, are passed over. A missing folder is an empty one. `fn` may call the store. An error
 * from `fn` ends the listing and is returned as it is.
 */
struct hf_err *hf_store_list(
	struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg) HF_MUST;

/* The same for who does not need the sizes: they are 0 where it costs something to know them. */
struct hf_err *hf_store_names(
	struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg) HF_MUST;

/*
 * Deletes a file. HF_ENOTFOUND: it was not there, where that can be told: many servers delete what
 * is not there with success. But for packs and locks the file stays away
 * after a power cut: others are deleted on the strength of a snapshot or an index being gone.
 */
struct hf_err *hf_store_del(struct hf_store *s, const struct hf_name *name) HF_MUST;

/*
 * What a get delivered proved to be wrong. If it may have come from a copy nearer than the store
 * itself (cache.h), that copy goes. True: another get may deliver something else. Never fails.
 */
bool hf_store_forget(struct hf_store *s, const struct hf_name *name);

/*
 * Sees to it that a file can be read: what lies in an archive is ordered back, which takes minutes
 * or hours. *is_warm false: that is under way, and who asks again later orders nothing twice. True,
 * always, where nothing is ever ordered (hf_store_thaw()). HF_ENOTFOUND: no such file.
 */
struct hf_err *hf_store_warm(
	struct hf_store *s, const struct hf_name *name, bool *is_warm) HF_MUST;

/*
 * How long ago, in seconds, the file was written, by the store's own clock; a store that cannot
 * tell says NAN. HF_ENOTFOUND: no such file.
 */
struct hf_err *hf_store_age(
	struct hf_store *s, const struct hf_name *name, double *seconds) HF_MUST;

/*
 * As hf_store_put(), and the kernel keeps a mark on the file for as long as the caller keeps *fd
 * open: a mark that ends with the process, however it ends, and that is there before the file can
 * be seen. Only local file systems of this kernel have such marks; elsewhere *fd is -1 and the
 * file is written all the same. The caller closes *fd.
 */
struct hf_err *hf_store_put_held(
	struct hf_store *s, const struct hf_name *name, struct hf_bytes data, int *fd) HF_MUST;

enum hf_held {
	HF_HELD_UNKNOWN, /* no marks here, or the file is gone */
	HF_HELD_NO,      /* nobody on this kernel keeps a mark on it */
	HF_HELD_YES,
};

/* Whether a process of this kernel, in whatever container, keeps a mark on the file. */
enum hf_held hf_store_held(struct hf_store *s, const struct hf_name *name);

/* True when hf_store_put_held() sets marks here. */
bool hf_store_can_hold(const struct hf_store *s);

/* A request that changes what is stored. */
struct hf_change {
	struct hf_name name;
	bool is_del;
	size_t size;     /* bytes that a put writes */
	double within_s; /* the request is over, one way or the other, after so many seconds */
};

/*
 * The gate through which every change must go: the only place where a lease keeps its promise
 * that nothing is written after its end. It is asked by hf_store_put() and hf_store_del() before
 * anything is done, and once more by backends that prepare for long, at the last moment before the
 * change can be seen. pass() may wait; an error is what the caller gets, and nothing was changed.
 * Files in locks/ belong to the lease itself and pass unasked.
 */
struct hf_gate {
	struct hf_err *(*pass)(struct hf_gate *gate, const struct hf_change *change);
};

/* Sets the gate, which outlives the store or the next call; NULL lets everything pass. */
void hf_store_set_gate(struct hf_store *s, struct hf_gate *gate);

/* For backends: asks the gate of this store. */
struct hf_err *hf_store_pass(
	struct hf_store *s, const struct hf_name *name, bool is_del, size_t size) HF_MUST;

/*
 * For backends: the deadline of such a change, in seconds from when the gate was asked, which is told
 * the same. It grows with what is to be written, up to HF_WITHIN_MAX_S: a lease that is refreshed
 * every two minutes lets that pass at any time, also when a refresh or two have failed. Packs may
 * take longer in any case: one that comes late harms nobody.
 */
#define HF_WITHIN_MAX_S 600.0
double hf_store_within(const struct hf_store *s, const struct hf_name *name, size_t size);

/* A gate that nothing passes, for commands that work without a lock. */
extern struct hf_gate hf_gate_shut;

/* Where the store is, for messages, without any password in it. Dies with the store. */
const char *hf_store_url(const struct hf_store *s);

/*
 * What not every store can promise. Bits: a store declares the sum of what it can. The lease needs none
 * of them, not even that a name can be had once: where lists are not up to date at once, it waits
 * (lease.h).
 */
enum hf_promise {
	/* A put over a file that is there: readers get the one or the other, never neither. */
	HF_REPLACES_ATOMICALLY = 1 << 0,
	/* A listing that begins after a put has ended, anywhere, shows that file for certain. */
	HF_LISTS_AT_ONCE = 1 << 1,
	/* When a put has returned, the file is there after a power cut, as far as it can be told. */
	HF_IS_DURABLE = 1 << 2,
	/* Of two puts with name.is_new, wherever they come from, one is told that there is a file. */
	HF_CREATES_IF_ABSENT = 1 << 3,
};

/* False: it cannot, or nobody knows. May change while a backend learns about its server. */
bool hf_store_promises(const struct hf_store *s, enum hf_promise what);

/* True when a call costs no round trip to another computer, so that more of them cost little. */
bool hf_store_is_near(const struct hf_store *s);

/* Whether requests follow each other without waiting, so that short reads cost what long ones do. */
bool hf_store_pipelines(const struct hf_store *s);

/* True when what has been read of index files, snapshots and trees is kept on this machine. */
bool hf_store_has_copies(const struct hf_store *s);

/* Of a store with an archive, what the user says about it. */
struct hf_thaw {
	bool orders;    /* hf_store_warm() brings files back */
	double wait_s;  /* so long what is under way is waited for */
	double pause_s; /* between one look and the next */
	/* Tells the user that `n` packs are waited for; or NULL. */
	void (*say)(void *arg, size_t n);
	void *say_arg;
};
const struct hf_thaw *hf_store_thaw(const struct hf_store *s);

/* How many calls at once make sense (restic's `X.connections`). */
unsigned hf_store_connections(const struct hf_store *s);

/*
 * How many threads that read and work on what they read, at least one and at most `max`, keep busy
 * the processors and the connections. Far away, who works leaves a connection idle, so that there
 * are more threads than connections.
 */
unsigned hf_store_workers(const struct hf_store *s, unsigned max);

void hf_store_free(struct hf_store *s); /* no call may be in flight; NULL is fine */
HF_AUTOPTR(hf_store)

/*
 * What a backend implements: one function per function above, same contract. Texts of errors say
 * what is wrong at the place itself ("/srv/repo/config: Permission denied"); the functions above
 * put the attempt before them and cut `out` of a failed get.
 */
struct hf_store_ops {
	struct hf_err *(*create)(struct hf_store *);
	struct hf_err *(*put)(struct hf_store *, const struct hf_name *, struct hf_bytes);
	struct hf_err *(*get)(
		struct hf_store *, const struct hf_name *, uint64_t, size_t, struct hf_buf *);
	struct hf_err *(*stat)(struct hf_store *, const struct hf_name *, uint64_t *);
	struct hf_err *(*list)(struct hf_store *, enum hf_kind, hf_store_list_fn *, void *);
	struct hf_err *(*del)(struct hf_store *, const struct hf_name *);
	void (*free)(struct hf_store *);
	/* These may be NULL: then nothing is known, and put_held() is put(). */
	struct hf_err *(*age)(struct hf_store *, const struct hf_name *, double *);
	struct hf_err *(*put_held)(
		struct hf_store *, const struct hf_name *, struct hf_bytes, int *);
	enum hf_held (*held)(struct hf_store *, const struct hf_name *);
	bool (*forget)(struct hf_store *, const struct hf_name *);
	struct hf_err *(*warm)(struct hf_store *, const struct hf_name *, bool *);
	/* NULL: list() is as good. */
	struct hf_err *(*names)(struct hf_store *, enum hf_kind, hf_store_list_fn *, void *);
	/* Called only where hf_store.pours. */
	struct hf_err *(*pour)(
		struct hf_store *, const struct hf_name *, uint64_t, size_t, struct hf_sink *);
};

/* First member of every backend's own struct; container_of() leads back. */
struct hf_store {
	const struct hf_store_ops *ops;
	char *url; /* owned by the backend */
	unsigned connections;
	atomic_uint promises; /* enum hf_promise; of a wrapper nobody asks it */
	bool can_hold;
	bool pours;
	bool is_near; /* a call costs no round trip to another computer */
	bool pipelines;
	bool has_copies;        /* of metadata, which the first call fetches whole */
	atomic_bool has_config; /* of a backend: it was seen; see hf_store_doubts() */
	struct hf_thaw thaw;
	/* Longest that a change can take between its last look and its end, but for its bytes. */
	double within_s;
	double slowest; /* bytes per second that get through at least; 0: they do not matter */
	_Atomic(struct hf_gate *) gate; /* borrowed, or NULL; calls may be in flight */
	struct hf_store *inner;         /* what a wrapper wraps, or NULL */
	struct early *early; /* store/early.h; NULL: that is another one's, or nobody's */
};

/* For wrappers: which of the two listings of `s` is meant. */
static inline struct hf_err *
hf_store_list_op(
	struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg, bool no_sizes)
{
	return no_sizes && s->ops->names != NULL ? s->ops->names(s, kind, fn, arg)
						 : s->ops->list(s, kind, fn, arg);
}

/* For backends that have no folder with the config in it: lists it by looking for it. */
struct hf_err *hf_store_list_config(
	struct hf_store *s, hf_store_list_fn *fn, void *arg) HF_MUST;

/*
 * For wrappers: makes `s` pass for `inner`, which it takes over, with the operations `ops`; the url
 * stays that of `inner`. A wrapper that waits before a change asks hf_store_pass(inner, …) again.
 */
void hf_store_wrap(struct hf_store *s, const struct hf_store_ops *ops, struct hf_store *inner);

#endif
