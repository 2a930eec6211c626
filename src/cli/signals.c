/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/signals.h"

#include <errno.h>
#include <pthread.h>
#include <termios.h>

struct hf_signals {
	struct hf_stop *stop; /* borrowed */
	sigset_t caught, before;
	pthread_t thread;
	bool has_termios;
	struct termios termios; /* of standard error, as it was at the start */

	pthread_mutex_t lock; /* guards what follows */
	void (*report)(void *arg);
	void *report_arg;
	bool is_ending;
};

/* The second request: whatever hangs, the user gets the prompt back. */
static void
end_now(struct hf_signals *s)
{
	if (s->has_termios)
		tcsetattr(STDERR_FILENO, TCSANOW,
			&s->termios); /* a prompt may have hidden input */
	_exit(130);
}

static void *
signal_loop(void *arg)
{
	struct hf_signals *s = arg;
	unsigned stops = 0;

	for (;;) {
		int sig;

		if (sigwait(&s->caught, &sig) != 0)
			continue;
		pthread_mutex_lock(&s->lock);
		if (s->is_ending) {
			pthread_mutex_unlock(&s->lock);
			return NULL;
		}
		if (sig == SIGUSR1 && s->report != NULL)
			s->report(s->report_arg);
		pthread_mutex_unlock(&s->lock);
		if (sig != SIGINT && sig != SIGTERM)
			continue;
		if (++stops > 1)
			end_now(s);
		hf_stop_set(s->stop);
	}
}

struct hf_err *
hf_signals_new(struct hf_stop *stop, struct hf_signals **out)
{
	struct hf_signals *s = hf_new(struct hf_signals);
	int en;

	s->stop = stop;
	s->has_termios = tcgetattr(STDERR_FILENO, &s->termios) == 0;
	pthread_mutex_init(&s->lock, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&s->caught);
	sigaddset(&s->caught, SIGINT);
	sigaddset(&s->caught, SIGTERM);
	sigaddset(&s->caught, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &s->caught, &s->before);
	en = pthread_create(&s->thread, NULL, signal_loop, s);
	if (en != 0) {
		pthread_sigmask(SIG_SETMASK, &s->before, NULL);
		pthread_mutex_destroy(&s->lock);
		free(s);
		return hf_err_errno(en, "starting the signal thread");
	}
	*out = s;
	return NULL;
}

void
hf_signals_free(struct hf_signals *s)
{
	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->is_ending = true;
	pthread_mutex_unlock(&s->lock);
	pthread_kill(s->thread, SIGUSR1);
	pthread_join(s->thread, NULL);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void
hf_signals_on_report(struct hf_signals *s, void (*fn)(void *arg), void *arg)
{
	pthread_mutex_lock(&s->lock);
	s->report = fn;
	s->report_arg = arg;
	pthread_mutex_unlock(&s->lock);
}

const sigset_t *
hf_signals_child_mask(const struct hf_signals *s)
{
	return s != NULL ? &s->before : NULL;
}
