/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/progress.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/time.h"
#include "cli/format.h"

struct hf_progress {
	struct hf_cli *cli;
	hf_progress_fn *report;
	void *arg;
	double start_s, interval_s; /* interval 0: only when asked */
	pthread_t thread;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	bool is_asked, is_ending;
};

/* Positive numbers of frames per second only; more than 60 are 60. */
static double
frames_per_second(const struct hf_cli *cli)
{
	const char *text = hf_env_get(cli->env, "PROGRESS_FPS");
	char *end;
	double fps;

	if (text == NULL)
		return 0;
	fps = strtod(text, &end);
	if (*end != '\0' || !(fps > 0))
		return 0;
	return fps > 60 ? 60 : fps;
}

static double
choose_interval(const struct hf_cli *cli)
{
	double fps = frames_per_second(cli);

	if (fps > 0)
		return 1 / fps;
	if (cli->global.is_quiet || (!cli->global.is_json && !hf_out_has_status(cli->out)))
		return 0;
	return 0.1;
}

bool
hf_progress_is_shown(const struct hf_cli *cli)
{
	return choose_interval(cli) > 0;
}

/* Waits for the next report; false: there will be none. The lock is held. */
static bool
wait_turn(struct hf_progress *p, struct timespec *next)
{
	while (!p->is_ending && !p->is_asked) {
		if (p->interval_s == 0)
			pthread_cond_wait(&p->wake, &p->lock);
		else if (pthread_cond_timedwait(&p->wake, &p->lock, next) != 0)
			break;
	}
	p->is_asked = false;
	return !p->is_ending;
}

static void *
progress_loop(void *arg)
{
	struct hf_progress *p = arg;
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	pthread_mutex_lock(&p->lock);
	for (;;) {
		uint64_t ns = (uint64_t)(p->interval_s * 1e9) + (uint64_t)next.tv_nsec;

		next.tv_sec += (time_t)(ns / 1000000000);
		next.tv_nsec = (long)(ns % 1000000000);
		if (!wait_turn(p, &next))
			break;
		pthread_mutex_unlock(&p->lock);
		p->report(p->arg, hf_progress_seconds(p));
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void
ask(void *arg)
{
	struct hf_progress *p = arg;

	pthread_mutex_lock(&p->lock);
	p->is_asked = true;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

struct hf_progress *
hf_progress_start(struct hf_cli *cli, hf_progress_fn *report, void *arg)
{
	struct hf_progress *p = hf_new(struct hf_progress);
	pthread_condattr_t attr;

	p->cli = cli;
	p->report = report;
	p->arg = arg;
	p->start_s = hf_clock();
	p->interval_s = choose_interval(cli);
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&p->thread, NULL, progress_loop, p) != 0) {
		pthread_cond_destroy(&p->wake);
		pthread_mutex_destroy(&p->lock);
		free(p);
		return NULL; /* the work goes on without anybody watching */
	}
	hf_signals_on_report(cli->signals, ask, p);
	return p;
}

void
hf_progress_stop(struct hf_progress *p)
{
	if (p == NULL)
		return;
	hf_signals_on_report(p->cli->signals, NULL, NULL);
	pthread_mutex_lock(&p->lock);
	p->is_ending = true;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	hf_out_status(p->cli->out, (struct hf_str){"", 0});
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

double
hf_progress_seconds(const struct hf_progress *p)
{
	return p != NULL ? hf_clock() - p->start_s : 0;
}

void
hf_progress_show(struct hf_cli *cli, struct hf_str text)
{
	if (hf_out_has_status(cli->out))
		hf_out_status(cli->out, text);
	else
		hf_say_err(cli->out, "%.*s", (int)text.len, text.p);
}

static size_t
bar_text(const struct hf_bar *bar, double seconds, char *out, size_t size)
{
	uint64_t value = hf_count(bar->value);
	uint64_t max = hf_count(bar->max);
	struct hf_text time = hf_format_seconds((uint64_t)seconds);
	int n;

	if (max == 0)
		n = snprintf(out, size, "[%s]          %llu %s", time.s,
			(unsigned long long)value, bar->what);
	else
		n = snprintf(out, size, "[%s] %s  %llu / %llu %s", time.s,
			hf_format_percent(value, max).s, (unsigned long long)value,
			(unsigned long long)max, bar->what);
	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

static void
report_bar(void *arg, double seconds)
{
	struct hf_bar *bar = arg;
	char text[160];
	size_t len = bar_text(bar, seconds, text, sizeof text);

	if (!bar->cli->global.is_json)
		hf_progress_show(bar->cli, (struct hf_str){text, len});
}

void
hf_bar_start(struct hf_bar *bar, struct hf_cli *cli, const char *what,
	const atomic_uint_fast64_t *value, const atomic_uint_fast64_t *max)
{
	*bar = (struct hf_bar){cli, what, value, max, NULL};
	bar->progress = hf_progress_start(cli, report_bar, bar);
}

void
hf_bar_stop(struct hf_bar *bar)
{
	double seconds = hf_progress_seconds(bar->progress);
	char text[160];

	if (bar->cli == NULL)
		return;
	hf_progress_stop(bar->progress);
	bar_text(bar, seconds, text, sizeof text);
	hf_say(bar->cli->out, HF_SAY_NORMAL, "%s", text);
	*bar = (struct hf_bar){0};
}

enum { BUCKETS = 256, MIN_BUCKETS = 20, WINDOW_S = 120 };
#define MIN_BYTES UINT64_C(100000000)

/* Forgets the oldest seconds, but neither the last twenty nor the last hundred megabytes. */
static void
trim(struct hf_rate *r, double now_s)
{
	while (r->len > MIN_BUCKETS) {
		uint64_t bytes = r->buckets[r->first].bytes;
		double end_s = r->buckets[r->first].end_s;

		if (r->len < BUCKETS &&
			(end_s > now_s - WINDOW_S || r->total - bytes < MIN_BYTES))
			return;
		r->start_s = end_s;
		r->total -= bytes;
		r->first = (r->first + 1) % BUCKETS;
		r->len--;
	}
}

void
hf_rate_add(struct hf_rate *r, double now_s, uint64_t bytes)
{
	uint64_t more = bytes > r->seen ? bytes - r->seen : 0;
	unsigned last;

	r->seen = bytes;
	if (more > 0) {
		last = (r->first + r->len + BUCKETS - 1) % BUCKETS;
		if (r->len == 0 || r->buckets[last].end_s <= now_s) {
			trim(r, now_s);
			last = (r->first + r->len) % BUCKETS;
			r->buckets[last].end_s = now_s + 1;
			r->buckets[last].bytes = 0;
			r->len++;
		}
		r->buckets[last].bytes += more;
		r->total += more;
	}
	trim(r, now_s);
}

double
hf_rate_get(const struct hf_rate *r, double now_s)
{
	return now_s > r->start_s ? (double)r->total / (now_s - r->start_s) : 0;
}
