/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A long line: every byte comes out half of MS milliseconds after it went in, in both directions,
 * and as many may be under way as there is memory.
 *
 *	relay MS tcp PORT        listens on loopback, prints its port, leads to PORT
 *	relay MS pipe WORD ...   runs the command, between its input and output and ours
 *	relay MS http2 FILE WORD ...   the same; FILE grows by a byte with each request of HTTP/2
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/time.h"

enum { PIECE = 256 << 10, MAX_LINKS = 128 };

struct piece {
	struct piece *next;
	double due;
	size_t len, sent; /* of length 0: the end */
	uint8_t data[];
};

/* One direction. A file descriptor is -1 when nothing more comes or goes there. */
struct way {
	int in, out;
	struct piece *first, **last;
};

/* Two ways between two sockets, or between our input and output and a command's. */
struct link {
	struct way to, back;
	int sockets[2]; /* or -1 each */
};

/* Where the frames of HTTP/2 begin, after its preface; a request is one of type HEADERS. */
struct counter {
	int fd; /* -1: nobody wants to know */
	size_t skip, n_head;
	uint8_t head[9];
};

struct relay {
	double late; /* seconds */
	int listener, port;
	struct link *links[MAX_LINKS];
	size_t n_links;
	struct counter counter;
};

static void
die(const char *what)
{
	fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
way_open(struct way *w, int in, int out)
{
	*w = (struct way){.in = in, .out = out};
	w->last = &w->first;
	for (int i = 0; i < 2; i++) {
		int fd = i == 0 ? in : out;

		if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
			die("fcntl");
	}
}

static struct link *
link_new(struct relay *r)
{
	struct link *l = malloc(sizeof *l);

	if (l == NULL || r->n_links == MAX_LINKS)
		die("too many connections");
	l->sockets[0] = l->sockets[1] = -1;
	r->links[r->n_links++] = l;
	return l;
}

static void
count(struct counter *c, const uint8_t *p, size_t n)
{
	while (n > 0 && c->fd >= 0) {
		size_t part = c->skip < n ? c->skip : n;

		c->skip -= part;
		p += part;
		n -= part;
		if (n == 0)
			return;
		c->head[c->n_head++] = *p++;
		n--;
		if (c->n_head < sizeof c->head)
			continue;
		if (c->head[3] == 1 && write(c->fd, ".", 1) != 1)
			die("counting");
		c->skip = (size_t)c->head[0] << 16 | (size_t)c->head[1] << 8 | c->head[2];
		c->n_head = 0;
	}
}

/* Takes what has come in. */
static void
take(struct relay *r, struct way *w)
{
	struct piece *p = malloc(sizeof *p + PIECE);

	if (p == NULL)
		die("memory");
	ssize_t n = TEMP_FAILURE_RETRY(read(w->in, p->data, PIECE));
	if (n < 0 && errno == EAGAIN) {
		free(p);
		return;
	}
	*p = (struct piece){.due = hf_clock() + r->late, .len = n > 0 ? (size_t)n : 0};
	if (w->in == STDIN_FILENO)
		count(&r->counter, p->data, p->len);
	if (n <= 0)
		w->in = -1;
	struct piece *fits = realloc(p, sizeof *p + p->len);
	*w->last = fits != NULL ? fits : p;
	w->last = &(*w->last)->next;
}

static void
drop_first(struct way *w)
{
	struct piece *p = w->first;

	w->first = p->next;
	if (w->first == NULL)
		w->last = &w->first;
	free(p);
}

/* Nobody takes anything any more, or everything has been given. */
static void
way_end(struct way *w, bool is_socket)
{
	while (w->first != NULL)
		drop_first(w);
	if (is_socket)
		shutdown(w->out, SHUT_WR);
	else
		close(w->out);
	w->in = w->out = -1;
}

/* Gives what has been under way for long enough. */
static void
give(struct way *w, double now, bool is_socket)
{
	while (w->first != NULL && w->first->due <= now) {
		struct piece *p = w->first;

		if (p->len == 0) {
			way_end(w, is_socket);
			return;
		}
		ssize_t n = write(w->out, p->data + p->sent, p->len - p->sent);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			way_end(w, is_socket);
			return;
		}
		p->sent += (size_t)n;
		if (p->sent == p->len)
			drop_first(w);
	}
}

/* What is to be waited for. Returns when the first piece that is under way is due. */
static double
wishes(const struct way *w, double now, struct pollfd *in, struct pollfd *out)
{
	bool is_due = w->first != NULL && w->first->due <= now;

	*in = (struct pollfd){.fd = w->in, .events = POLLIN};
	*out = (struct pollfd){.fd = is_due ? w->out : -1, .events = POLLOUT};
	return w->first != NULL && !is_due ? w->first->due : now + 60;
}

static void
lead(struct relay *r, int client)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)r->port)};
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (server < 0 || connect(server, (struct sockaddr *)&to, sizeof to) != 0)
		die("connect");
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	struct link *l = link_new(r);
	way_open(&l->to, client, server);
	way_open(&l->back, server, client);
	l->sockets[0] = client;
	l->sockets[1] = server;
}

static void
remove_ended(struct relay *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_links; i++) {
		struct link *l = r->links[i];

		if (l->to.out >= 0 || l->back.out >= 0 || l->sockets[0] < 0) {
			r->links[n++] = l;
			continue;
		}
		close(l->sockets[0]);
		close(l->sockets[1]);
		free(l);
	}
	r->n_links = n;
}

/* Waits until something is to be done, and does it. */
static void
turn(struct relay *r)
{
	struct pollfd p[4 * MAX_LINKS + 1];
	double now = hf_clock(), due = now + 60;
	size_t n = r->n_links;

	for (size_t i = 0; i < n; i++) {
		double to = wishes(&r->links[i]->to, now, &p[4 * i], &p[4 * i + 1]);
		double back = wishes(&r->links[i]->back, now, &p[4 * i + 2], &p[4 * i + 3]);

		due = to < due ? to : due;
		due = back < due ? back : due;
	}
	p[4 * n] = (struct pollfd){.fd = r->listener, .events = POLLIN};
	struct timespec wait = {(time_t)(due - now)};
	wait.tv_nsec = (long)((due - now - (double)wait.tv_sec) * 1e9);
	if (ppoll(p, 4 * n + 1, &wait, NULL) < 0 && errno != EINTR)
		die("poll");
	now = hf_clock();
	for (size_t i = 0; i < n; i++) {
		struct link *l = r->links[i];
		bool is_socket = l->sockets[0] >= 0;

		if (p[4 * i].revents != 0 && l->to.in >= 0)
			take(r, &l->to);
		if (p[4 * i + 2].revents != 0 && l->back.in >= 0)
			take(r, &l->back);
		give(&l->to, now, is_socket);
		give(&l->back, now, is_socket);
	}
	int client =
		p[4 * n].revents != 0 ? accept4(r->listener, NULL, NULL, SOCK_CLOEXEC) : -1;
	if (client >= 0)
		lead(r, client);
	remove_ended(r);
}

static void
serve(struct relay *r, int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t len = sizeof at;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	r->port = port;
	r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (r->listener < 0 || bind(r->listener, (struct sockaddr *)&at, sizeof at) != 0 ||
		listen(r->listener, MAX_LINKS) != 0 ||
		getsockname(r->listener, (struct sockaddr *)&at, &len) != 0)
		die("listen");
	printf("%u\n", ntohs(at.sin_port));
	fflush(stdout);
	for (;;)
		turn(r);
}

static int
run(struct relay *r, char **command)
{
	int to[2], back[2], status;

	if (pipe2(to, O_CLOEXEC) != 0 || pipe2(back, O_CLOEXEC) != 0)
		die("pipe");
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		dup2(to[0], 0);
		dup2(back[1], 1);
		execvp(command[0], command);
		die(command[0]);
	}
	close(to[0]);
	close(back[1]);
	struct link *l = link_new(r);
	way_open(&l->to, STDIN_FILENO, to[1]);
	way_open(&l->back, back[0], STDOUT_FILENO);
	while (l->back.out >= 0)
		turn(r);
	if (waitpid(pid, &status, 0) < 0)
		die("wait");
	free(l);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int
main(int argc, char **argv)
{
	struct relay r = {.listener = -1, .counter = {.fd = -1, .skip = 24}};

	long port = argc > 3 ? strtol(argv[3], NULL, 10) : 0;

	if (argc < 4)
		return 2;
	r.late = strtod(argv[1], NULL) / 2000;
	signal(SIGPIPE, SIG_IGN);
	if (strcmp(argv[2], "tcp") == 0)
		serve(&r, (int)port);
	if (strcmp(argv[2], "http2") != 0)
		return run(&r, argv + 3);
	r.counter.fd = open(argv[3], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (r.counter.fd < 0)
		die(argv[3]);
	return run(&r, argv + 4);
}
