/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that share one socket. A thread of its own drives libcurl, which puts them side by side
 * on one HTTP/2 connection; who makes a request hands its handle over and waits.
 */
#include <errno.h>
#include <sys/socket.h>

#include "net/http_i.h"

/* A handle on its way through the thread, on the stack of who waits. */
struct job {
	CURL *easy;
	CURLcode rc;
	bool is_done;
	struct job *next;
};

struct mux {
	CURLM *multi;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t done;
	struct job *fresh; /* not yet taken by the thread */
	int socket;        /* until libcurl has taken it; then -1 */
	bool ends, is_dead;
};

static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct mux *m = arg;
	int fd;

	(void)purpose, (void)address;
	pthread_mutex_lock(&m->lock);
	fd = hf_steal_fd(&m->socket);
	if (fd < 0)
		m->is_dead = true; /* the connection ended: there is no second one */
	pthread_mutex_unlock(&m->lock);
	return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

static int
is_connected(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	(void)arg, (void)fd, (void)purpose;
	return CURL_SOCKOPT_ALREADY_CONNECTED;
}

static void
finish(struct mux *m, CURL *easy, CURLcode rc)
{
	struct job *job = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&job);
	curl_multi_remove_handle(m->multi, easy);
	pthread_mutex_lock(&m->lock);
	job->rc = rc;
	job->is_done = true;
	pthread_cond_broadcast(&m->done);
	pthread_mutex_unlock(&m->lock);
}

/* Takes what has been handed over. False: the end. */
static bool
take_jobs(struct mux *m)
{
	pthread_mutex_lock(&m->lock);
	struct job *job = hf_steal(m->fresh);
	bool ends = m->ends;
	pthread_mutex_unlock(&m->lock);

	while (job != NULL) {
		struct job *next = job->next; /* who waits is gone once it is done */

		if (curl_multi_add_handle(m->multi, job->easy) != CURLM_OK)
			finish(m, job->easy, CURLE_OUT_OF_MEMORY);
		job = next;
	}
	return !ends;
}

static void *
drive(void *arg)
{
	struct mux *m = arg;

	while (take_jobs(m)) {
		int n;
		CURLMsg *msg;

		curl_multi_perform(m->multi, &n);
		while ((msg = curl_multi_info_read(m->multi, &n)) != NULL)
			if (msg->msg == CURLMSG_DONE)
				finish(m, msg->easy_handle, msg->data.result);
		curl_multi_poll(m->multi, NULL, 0, 1000, NULL);
	}
	return NULL;
}

struct hf_err *
mux_new(int socket, struct mux **out)
{
	struct mux *m = hf_new(struct mux);

	m->socket = socket;
	m->multi = curl_multi_init();
	if (m->multi == NULL)
		abort();
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->done, NULL);
	curl_multi_setopt(m->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	curl_multi_setopt(m->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, 1L);
	int en = pthread_create(&m->thread, NULL, drive, m);
	if (en != 0) {
		m->ends = true;
		mux_free(m);
		return hf_err_errno(en, "starting a thread");
	}
	*out = m;
	return NULL;
}

void
mux_free(struct mux *m)
{
	if (m == NULL)
		return;
	if (!m->ends) {
		pthread_mutex_lock(&m->lock);
		m->ends = true;
		pthread_mutex_unlock(&m->lock);
		curl_multi_wakeup(m->multi);
		pthread_join(m->thread, NULL);
	}
	curl_multi_cleanup(m->multi);
	if (m->socket >= 0)
		close(m->socket);
	pthread_cond_destroy(&m->done);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

bool
mux_is_dead(struct mux *m)
{
	pthread_mutex_lock(&m->lock);
	bool is_dead = m->is_dead;
	pthread_mutex_unlock(&m->lock);
	return is_dead;
}

CURLcode
mux_perform(struct mux *m, CURL *easy)
{
	struct job job = {.easy = easy};

	curl_easy_setopt(easy, CURLOPT_PRIVATE, &job);
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, m);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, is_connected);
	pthread_mutex_lock(&m->lock);
	job.next = m->fresh;
	m->fresh = &job;
	pthread_mutex_unlock(&m->lock);
	curl_multi_wakeup(m->multi);
	pthread_mutex_lock(&m->lock);
	while (!job.is_done)
		pthread_cond_wait(&m->done, &m->lock);
	pthread_mutex_unlock(&m->lock);
	return job.rc;
}
