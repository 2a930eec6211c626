/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A place holds the session that is used for it now. Sessions are counted: one that has ended leaves
 * its place when its successor comes, and is freed when the last call that used it has returned.
 */
#include "store/sftp_pool.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "base/clocks.h"
#include "base/time.h"

enum {
	MAX_PLACES = 8,
	LOOK_MS = 200,          /* between two looks whether to stop */
	WINDOW = 8 << 20,       /* of a session for data alone */
	MAIN_WINDOW = 1 << 20,  /* of the main one beside others */
	ALONE_WINDOW = 2 << 20, /* and without them */
	LARGE = 1 << 20,        /* so many bytes are worth a session of their own */
	BUSY = 2 << 20,         /* no more is under way in OpenSSH; the rest waits in ssh */
};
static const double asking_s = 300; /* for people who type a password */
/* So that a try about a lock is over in 45 (locking-design, T_try). */
static const double connect_s = 25;
static const double again_s = 60; /* to the next try to open a session for data */

struct hf_sftp_member {
	struct hf_sftp *session;
	unsigned users; /* the place counts as one */
};

struct place {
	struct hf_sftp_member *member; /* or NULL */
	bool is_opening;
	unsigned tries;    /* so far; who waited for one shares its outcome */
	char *why;         /* the last one failed, or NULL */
	double not_before; /* hf_clock() */
	bool has_thread;   /* that opens it, or did */
	pthread_t thread;
	struct hf_sftp_pool *pool;
};

struct hf_sftp_pool {
	struct hf_strings command;
	double stuck_s;
	struct hf_stop *stop;
	void (*say)(void *, const char *);
	void *arg;
	unsigned n; /* places; [0] is the main one */

	atomic_bool is_closing;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	struct place places[MAX_PLACES];
};

/* ---- opening ---- */

static void
say(void *arg, const char *line)
{
	struct hf_sftp_pool *p = arg;

	if (p->say != NULL)
		p->say(p->arg, line);
}

static bool
gives_up(void *arg)
{
	struct hf_sftp_pool *p = arg;

	return atomic_load(&p->is_closing) || hf_stop_is_set(p->stop);
}

/* How a session is opened. */
struct opening {
	bool may_ask; /* on the terminal */
	bool no_stop;
};

static struct hf_err *
connect_to(struct hf_sftp_pool *p, bool is_main, struct opening how, struct hf_sftp **out)
{
	hf_autofree const char **argv = hf_alloc_(p->command.len + 1, sizeof *argv);
	struct hf_sftp_setup setup = {.argv = argv,
		.terminal = how.may_ask ? HF_CHILD_MAY_ASK : HF_CHILD_ALONE,
		/* Nobody types: a server that is stuck is stuck here, too. */
		.connect_s = how.may_ask ? asking_s : fmin(connect_s, p->stuck_s),
		.stuck_s = p->stuck_s,
		.window = !is_main   ? WINDOW
			  : p->n > 1 ? MAIN_WINDOW
				     : ALONE_WINDOW,
		.say = is_main ? say : NULL, /* what the others say, the main one has said */
		.gives_up = gives_up,
		.no_stop = how.no_stop,
		.arg = p};

	for (size_t i = 0; i < p->command.len; i++)
		argv[i] = p->command.v[i];
	return hf_sftp_open(&setup, out);
}

/* Under the lock. The last one frees, without the lock, what is returned. */
static struct hf_sftp_member *
put_down(struct hf_sftp_member *m)
{
	return m != NULL && --m->users == 0 ? m : NULL;
}

static void
free_member(struct hf_sftp_member *m)
{
	if (m != NULL)
		hf_sftp_free(m->session);
	free(m);
}

/* Opens the session of a place that says is_opening, and tells everybody. */
static struct hf_err *
fill_place(struct hf_sftp_pool *p, struct place *place, struct opening how)
{
	struct hf_sftp_member *m = hf_new(struct hf_sftp_member), *old = NULL;
	struct hf_err *e = connect_to(p, place == p->places, how, &m->session);

	pthread_mutex_lock(&p->lock);
	free(place->why);
	place->why = e != NULL ? hf_str_dup(hf_str(hf_err_text(e))) : NULL;
	if (e == NULL) {
		old = put_down(place->member);
		m->users = 1;
		place->member = m;
	} else {
		free(m);
		place->not_before = hf_clock() + again_s;
	}
	place->tries++;
	place->is_opening = false;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	free_member(old);
	return e;
}

static void *
open_beside(void *arg)
{
	struct place *place = arg;

	hf_err_free(fill_place(place->pool, place, (struct opening){.may_ask = false}));
	return NULL;
}

/* Under the lock. Begins to open a session for data, unless that was in vain a moment ago. */
static void
start_beside(struct place *place)
{
	if (place->is_opening || hf_clock() < place->not_before)
		return;
	if (place->has_thread)
		pthread_join(place->thread, NULL); /* it has done its work */
	place->is_opening = true;
	place->has_thread = pthread_create(&place->thread, NULL, open_beside, place) == 0;
	if (!place->has_thread)
		place->is_opening = false;
}

/* ---- using ---- */

static bool
is_usable(struct place *place)
{
	return place->member != NULL && hf_sftp_is_alive(place->member->session);
}

/* Under the lock. */
static void
use(struct hf_sftp_pool *p, struct place *place, struct hf_sftp_use *out)
{
	place->member->users++;
	*out = (struct hf_sftp_use){place->member->session, p, place->member};
}

void
hf_sftp_use_clear(struct hf_sftp_use *u)
{
	if (u->member == NULL)
		return;
	pthread_mutex_lock(&u->pool->lock);
	struct hf_sftp_member *last = put_down(u->member);
	pthread_mutex_unlock(&u->pool->lock);
	free_member(last);
	*u = (struct hf_sftp_use){.session = NULL};
}

/* Under the lock, which is let go of for a moment, or until a try has been made. */
static void
wait_a_moment(struct hf_sftp_pool *p)
{
	int64_t until = hf_clocks_kernel.awake(NULL) + LOOK_MS * (HF_SECOND / 1000);
	struct timespec ts = {(time_t)(until / HF_SECOND), (long)(until % HF_SECOND)};

	(void)pthread_cond_timedwait(&p->changed, &p->lock, &ts);
}

/* Under the lock: the outcome of a try that another thread makes. */
static struct hf_err *
await_try(struct hf_sftp_pool *p, struct place *place, bool no_stop)
{
	unsigned tries = place->tries;

	while (place->tries == tries) { /* connecting ends by itself */
		if (!no_stop)
			HF_TRY(hf_stop_check(p->stop));
		wait_a_moment(p);
	}
	return place->why != NULL ? hf_err(HF_EIO, "%s", place->why) : NULL;
}

/* Under the lock, which is let go of meanwhile. */
static struct hf_err *
try_now(struct hf_sftp_pool *p, struct place *place, bool no_stop)
{
	place->is_opening = true;
	pthread_mutex_unlock(&p->lock);
	struct hf_err *e = fill_place(p, place, (struct opening){.no_stop = no_stop});
	pthread_mutex_lock(&p->lock);
	return hf_err_in(e, "connecting again");
}

/* Under the lock: a session is in the place, if there is no error. */
static struct hf_err *
fill_now(struct hf_sftp_pool *p, struct place *place, bool no_stop)
{
	while (!is_usable(place)) {
		if (!place->is_opening)
			return try_now(p, place, no_stop);
		struct hf_err *e = await_try(p, place, no_stop);
		/* Who tried may have given up because of the wish to stop. */
		if (e == NULL || !no_stop || !hf_stop_is_set(p->stop))
			return e;
		hf_err_free(e);
	}
	return NULL;
}

struct hf_err *
hf_sftp_pool_main(struct hf_sftp_pool *p, bool no_stop, struct hf_sftp_use *out)
{
	pthread_mutex_lock(&p->lock);
	struct hf_err *e = fill_now(p, &p->places[0], no_stop);
	if (e == NULL)
		use(p, &p->places[0], out);
	pthread_mutex_unlock(&p->lock);
	return e;
}

/* Under the lock. The one for data with the least to do; another is opened if all have much. */
static struct place *
find_place(struct hf_sftp_pool *p, bool is_busy)
{
	struct place *best = NULL;
	size_t least = SIZE_MAX;

	for (unsigned i = 1; i < p->n; i++) {
		struct place *place = &p->places[i];

		if (!is_usable(place)) {
			if (is_busy && (best == NULL || least >= BUSY))
				start_beside(place);
			break; /* one after the other */
		}
		size_t load = hf_sftp_load(place->member->session);
		if (load < least) {
			best = place;
			least = load;
		}
	}
	return best;
}

void
hf_sftp_pool_expect(struct hf_sftp_pool *p)
{
	pthread_mutex_lock(&p->lock);
	if (p->n > 1 && !is_usable(&p->places[1]))
		start_beside(&p->places[1]);
	pthread_mutex_unlock(&p->lock);
}

struct hf_err *
hf_sftp_pool_data(struct hf_sftp_pool *p, size_t size, struct hf_sftp_use *out)
{
	pthread_mutex_lock(&p->lock);
	bool is_busy = size >= LARGE ||
		       (is_usable(&p->places[0]) &&
			       hf_sftp_load(p->places[0].member->session) >= MAIN_WINDOW / 2);
	struct place *place = find_place(p, is_busy);
	/* Not where the last try was in vain: the next ones are made while data flow. */
	if (place == NULL && size >= LARGE && p->n > 1 && p->places[1].is_opening &&
		p->places[1].why == NULL) {
		hf_err_free(await_try(p, &p->places[1], false));
		place = find_place(p, false);
	}
	if (place != NULL)
		use(p, place, out);
	pthread_mutex_unlock(&p->lock);
	return place != NULL ? NULL : hf_sftp_pool_main(p, false, out);
}

/* ---- beginning and end ---- */

struct hf_err *
hf_sftp_pool_open(const struct hf_sftp_pool_setup *setup, struct hf_sftp_pool **out)
{
	hf_autoptr(hf_sftp_pool) p = hf_new(struct hf_sftp_pool);
	pthread_condattr_t attr;

	hf_strings_copy(setup->command, &p->command);
	p->n = 1 + (setup->more < MAX_PLACES ? setup->more : MAX_PLACES - 1);
	p->stuck_s = setup->stuck_s;
	p->stop = setup->stop;
	p->say = setup->say;
	p->arg = setup->arg;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &attr);
	pthread_condattr_destroy(&attr);
	for (unsigned i = 0; i < p->n; i++)
		p->places[i].pool = p;
	p->places[0].is_opening = true;
	HF_TRY(fill_place(p, &p->places[0], (struct opening){.may_ask = true}));
	*out = hf_steal(p);
	return NULL;
}

void
hf_sftp_pool_free(struct hf_sftp_pool *p)
{
	if (p == NULL)
		return;
	atomic_store(&p->is_closing, true);
	for (unsigned i = 0; i < p->n; i++) {
		if (p->places[i].has_thread)
			pthread_join(p->places[i].thread, NULL);
		if (p->places[i].member != NULL)
			hf_sftp_hang_up(
				p->places[i].member->session); /* all at the same time */
	}
	for (unsigned i = 0; i < p->n; i++) {
		free_member(p->places[i].member);
		free(p->places[i].why);
	}
	hf_strings_clear(&p->command);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->changed);
	free(p);
}
