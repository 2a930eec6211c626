/* SPDX-License-Identifier: BSD-2-Clause */
/* A server of HTTP on loopback that says exactly what a test wants, byte for byte. */
#ifndef HF_TESTS_UNIT_HTTP_SERVER_H
#define HF_TESTS_UNIT_HTTP_SERVER_H

#include "harness/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/time.h"

/* What the server does with the connections that come, one after the other. */
struct step {
	const char *says; /* after a whole request has come; NULL: nothing */
	enum {
		CLOSES,
		RESETS, /* so that what was sent before may be lost */
		HANGS,  /* until the client goes */
		KEEPS,  /* and waits for the next request on this connection */
	} then;
	double late_s; /* so long it looks at the header before it reads the body */
};

struct server {
	int fd;
	char url[64];
	pthread_t thread;
	const struct step *steps;
	size_t n;
	char got[16][4096]; /* the header of each request, NUL-terminated */
	size_t body[16];    /* bytes of each body */
	double begun[16];   /* when its header had come, on hf_clock() */
	double silent[16];  /* the longest time after that in which nothing came */
	size_t n_got, n_connections;
	atomic_size_t n_done; /* steps */
};

static bool
read_body(struct server *s, int fd, size_t left)
{
	double before = s->begun[s->n_got];

	for (char b[65536]; left > 0;) {
		ssize_t n = recv(fd, b, left < sizeof b ? left : sizeof b, 0);
		double now = hf_clock();

		if (n <= 0)
			return false;
		left -= (size_t)n;
		s->body[s->n_got] += (size_t)n;
		if (now - before > s->silent[s->n_got])
			s->silent[s->n_got] = now - before;
		before = now;
	}
	return true;
}

static bool
read_request(struct server *s, int fd, double late_s)
{
	char *head = s->got[s->n_got];
	size_t len = 0, left = 0;
	bool is_whole;

	while (len < 4095) {
		ssize_t n = recv(fd, head + len, 1, 0);

		if (n <= 0)
			return false;
		head[++len] = '\0';
		if (len >= 4 && strcmp(head + len - 4, "\r\n\r\n") == 0)
			break;
	}
	const char *length = strstr(head, "Content-Length: ");
	if (length != NULL)
		sscanf(length, "Content-Length: %zu", &left);
	s->begun[s->n_got] = hf_clock();
	if (late_s > 0)
		usleep((useconds_t)(late_s * 1e6));
	is_whole = read_body(s, fd, left);
	s->n_got++;
	return is_whole;
}

static void
drop(int fd, const struct step *step)
{
	char b[4096];

	if (step->then == HANGS)
		while (recv(fd, b, sizeof b, 0) > 0)
			;
	if (step->then == RESETS)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0},
			sizeof(struct linger));
	close(fd);
}

static void *
serve(void *arg)
{
	struct server *s = arg;
	int fd = -1;

	for (size_t i = 0; i < s->n; i++) {
		const struct step *step = &s->steps[i];

		if (fd < 0) {
			fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
			s->n_connections++;
		}
		if (read_request(s, fd, step->late_s) && step->says != NULL)
			hf_err_free(hf_write_full(fd, step->says, strlen(step->says)));
		if (step->then != KEEPS) {
			drop(fd, step);
			fd = -1;
		}
		atomic_fetch_add(&s->n_done, 1);
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static struct server *
start(const struct step *steps, size_t n)
{
	struct server *s = hf_new(struct server);
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;

	s->steps = steps;
	s->n = n;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(bind(s->fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(s->fd, 8) == 0);
	REQUIRE(getsockname(s->fd, (struct sockaddr *)&a, &len) == 0);
	snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d/a/b", ntohs(a.sin_port));
	REQUIRE(pthread_create(&s->thread, NULL, serve, s) == 0);
	return s;
}

static void
server_free(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR); /* a step that was not reached */
	pthread_join(s->thread, NULL);
	close(s->fd);
	free(s);
}

static inline void
server_freep_(struct server **s)
{
	server_free(*s);
}

#endif
