/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside a cache: cache_dir.c opens it and reads, cache_put.c publishes and keeps it small. */
#ifndef HF_STORE_CACHE_DIR_I_H
#define HF_STORE_CACHE_DIR_I_H

#include <pthread.h>
#include <time.h>

#include "store/cache_base.h"
#include "store/cache_dir.h"

enum { CACHE_MAX_PLACES = 4 }; /* how often the folder may be removed under us */

/* The opened folders. When somebody removes them, new ones are opened at the same path. */
struct cache_place {
	struct hf_cache_base base;
	struct hf_root repo;
	int mark;
	dev_t dev;
	ino_t ino;
};

struct hf_cache {
	char *path;
	struct hf_hex repo;
	bool is_new;
	uint64_t limit, floor;
	bool has_limit; /* the user's, which he wants to see kept at once */
	void (*say)(void *arg, const char *text);
	void *say_arg;

	/* Places are only added, so that threads may go on using one that is no longer current. */
	struct cache_place places[CACHE_MAX_PLACES];
	atomic_uint n_places;
	pthread_mutex_t reopening, evicting;

	/* Publishing. Times are seconds of CLOCK_BOOTTIME. */
	atomic_bool is_closed, has_no_tmpfile, has_said;
	atomic_uint strikes;
	atomic_int_fast64_t rests_until, evict_after;
	atomic_uint_fast64_t published; /* bytes since the last look */
	atomic_uint_fast64_t usage;     /* of everything, at the last look */
	atomic_int_fast64_t looked_at;  /* as in struct hf_cache_usage */

	atomic_uint_fast64_t hits, misses;
};

static inline struct cache_place *
cache_place_of(struct hf_cache *c)
{
	return &c->places[atomic_load(&c->n_places) - 1];
}

static inline int64_t
cache_seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec;
}

/* What a copy is called: the path of its folder below the repository's, and its name there. */
struct cache_copy_text {
	char shard[32];
	struct hf_hex file;
	char path[32 + 1 + HF_ID_HEX + 1];
};
struct cache_copy_text cache_copy_text(const struct hf_name *name);

/* Somebody removed the folder under us: makes it again, a few times. */
void cache_reopen(struct hf_cache *c);

/* Evicts if nobody does, and if the last time is not just over. */
void cache_evict(struct hf_cache *c);

/* More is there than should be. */
bool cache_is_over(struct hf_cache *c);

#endif
