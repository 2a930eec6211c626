/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was seen when. The file is text: one line that names the boot in which the times count,
 * then one line per lock file. Two processes that write it at once lose one of their sightings,
 * which makes a proof later and never wrong.
 */
#include "repo/lock_proof.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "base/io.h"

enum { MAX_FILE = 1 << 20, MAX_SIGHTINGS = 4096 };

/*
 * Times are this host's clock that stands still while it sleeps: a holder on the same host, or one
 * that was cut off by our sleep, has had all of the time in which he could have refreshed.
 */
struct sighting {
	struct hf_id id;
	int64_t first; /* ns, awake clock */
};

struct hf_watch {
	const struct hf_clocks *clocks;
	char *path; /* of the file, or NULL */
	struct hf_proc self;
	pthread_mutex_t lock; /* for what follows: who refreshes looks, and who validates */
	struct sighting *v;
	size_t len;
	bool is_changed; /* the file says something else */
};

static const char head[] = "holdfast-seen 1";

/* True when the file's first line is of this boot. *rest is what follows. */
static bool
is_of_this_boot(const struct hf_watch *w, const char *text, const char **rest)
{
	char boot[sizeof w->self.boot];
	uint64_t timens;
	int used = 0;

	if (sscanf(text, "holdfast-seen 1 %39s %" SCNu64 "\n%n", boot, &timens, &used) != 2 ||
		used == 0)
		return false;
	*rest = text + used;
	return strcmp(boot, w->self.boot) == 0 && timens == w->self.timens;
}

static void
add(struct hf_watch *w, const struct hf_id *id, int64_t first)
{
	if (w->len == MAX_SIGHTINGS)
		return;
	w->v = hf_realloc_array(w->v, w->len + 1, sizeof *w->v);
	w->v[w->len++] = (struct sighting){*id, first};
}

/* A time that lies ahead is not of this clock, whatever the first line says. */
static void
load(struct hf_watch *w)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_FILE);
	hf_autoptr(hf_err) e = hf_read_file(w->path, &text);
	int64_t now = w->clocks->awake(w->clocks->arg), first;
	const char *p;
	char hex[2 * HF_ID_LEN + 1];
	struct hf_id id;
	int used;

	hf_buf_add(&text, "", 1);
	if (e != NULL || text.is_full || !is_of_this_boot(w, (const char *)text.p, &p))
		return;
	while (sscanf(p, "%64s %" SCNd64 "\n%n", hex, &first, &used) == 2) {
		if (hf_id_parse(hf_str(hex), &id) && first <= now && first >= 0)
			add(w, &id, first);
		p += used;
	}
}

struct hf_watch *
hf_watch_new(const char *dir, const struct hf_id *repo, const struct hf_clocks *clocks)
{
	struct hf_watch *w = hf_new(struct hf_watch);

	w->clocks = clocks != NULL ? clocks : &hf_clocks_kernel;
	w->self = hf_proc_self();
	pthread_mutex_init(&w->lock, NULL);
	if (dir == NULL || w->self.boot[0] == '\0')
		return w;
	if (asprintf(&w->path, "%s/%s", dir, hf_id_hex(repo).s) < 0)
		w->path = NULL;
	else
		load(w);
	return w;
}

static void
save(struct hf_watch *w)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_FILE);

	if (w->len == 0) {
		(void)unlink(w->path);
		return;
	}
	hf_buf_addf(&text, "%s %s %" PRIu64 "\n", head, w->self.boot, w->self.timens);
	for (size_t i = 0; i < w->len; i++)
		hf_buf_addf(&text, "%s %" PRId64 "\n", hf_id_hex(&w->v[i].id).s, w->v[i].first);
	hf_err_free(hf_note(w->path, hf_buf_bytes(&text)));
}

void
hf_watch_free(struct hf_watch *w)
{
	if (w == NULL)
		return;
	if (w->path != NULL && w->is_changed)
		save(w);
	free(w->path);
	free(w->v);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static const struct sighting *
find(const struct hf_watch *w, const struct hf_id *id)
{
	for (size_t i = 0; i < w->len; i++)
		if (hf_id_eq(&w->v[i].id, id))
			return &w->v[i];
	return NULL;
}

void
hf_watch_saw(struct hf_watch *w, const struct hf_id *ids, size_t n)
{
	size_t kept = 0;

	if (w == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->len; i++)
		if (hf_id_find(ids, n, &w->v[i].id) < n)
			w->v[kept++] = w->v[i];
	w->is_changed |= kept != w->len;
	w->len = kept;
	for (size_t i = 0; i < n; i++) {
		if (find(w, &ids[i]) != NULL)
			continue;
		add(w, &ids[i], w->clocks->awake(w->clocks->arg));
		w->is_changed = true;
	}
	pthread_mutex_unlock(&w->lock);
}

double
hf_watch_seen_for(struct hf_watch *w, const struct hf_id *id)
{
	const struct sighting *s;
	double seconds = 0;

	if (w == NULL)
		return 0;
	pthread_mutex_lock(&w->lock);
	s = find(w, id);
	if (s != NULL)
		seconds = (double)(w->clocks->awake(w->clocks->arg) - s->first) / 1e9;
	pthread_mutex_unlock(&w->lock);
	return seconds;
}
