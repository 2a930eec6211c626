/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two halves of the saver share: saver.c has packs, their uploads and their index, sealer.c
 * makes of a blob what stands in a pack.
 */
#ifndef HF_REPO_SAVER_I_H
#define HF_REPO_SAVER_I_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/group.h"
#include "base/queue.h"
#include "repo/saver.h"

enum {
	OPEN_PACKS = 2, /* per type; blobs choose one at random, against guessing by sizes */
	PACK_SPILL = 64 << 20, /* packs beyond this are built in a file */
};

/* A pack that is being filled. */
struct builder {
	struct hf_buf bytes;
	struct hf_pack_entries entries;
	struct builder *next; /* in the list of spares */
};

/* The place where blobs of one type are appended. */
struct slot {
	pthread_mutex_t lock;
	struct builder *open; /* owned; NULL until the next blob */
};

struct hf_saver {
	struct hf_repo *repo;   /* borrowed */
	struct hf_index *ix;    /* borrowed */
	struct hf_lease *lease; /* borrowed, may be NULL, as is the trail */
	struct hf_trail *trail;
	bool is_dry_run;
	struct hf_loose *loose; /* borrowed, or NULL */
	size_t pack_size;
	struct slot slots[2][OPEN_PACKS];
	struct hf_queue *packs;   /* owned, and so are the builders in it */
	struct hf_group *threads; /* owned; keeps the first error */
	unsigned max_full;

	pthread_mutex_t lock; /* for the fields below */
	pthread_cond_t room;
	unsigned n_full; /* packs in the queue or being uploaded */
	bool is_stopped;
	struct builder *spares;
	unsigned n_spares;
	struct hf_index_pack *unsaved; /* durable packs that no index file names yet */
	size_t n_unsaved, cap_unsaved;
	size_t unsaved_blobs;
	double unsaved_since;

	atomic_bool must_look; /* there is an index file that the end has to answer for */
	atomic_uint_fast64_t blobs[2], bytes[2], packed[2];
};

/* One that is empty; one that is not needed any more. */
struct builder *builder_get(struct hf_saver *s);
void builder_free(void *builder);

bool builder_is_full(const struct hf_saver *s, const struct builder *b);

/* Appends a sealed blob. HF_EFATAL: it does not fit into a pack. */
struct hf_err *builder_add(
	struct builder *b, struct hf_bytes sealed, const struct hf_pack_entry *e) HF_MUST;

/* Waits until fewer packs are on their way than there are connections. Takes `b`, always. */
struct hf_err *saver_queue_pack(struct hf_saver *s, struct builder *b) HF_MUST;

#endif
