/* SPDX-License-Identifier: BSD-2-Clause */
/* The HTTP client against a server that says exactly what a test wants, byte for byte. */
#include "net/http.h"

#include "harness/test.h"
#include "unit/poured.h"

#include <pthread.h>
#include <stdio.h>

#include "base/time.h"
#include "http_server.h"
#include "net/http_i.h"
#include "net/url.h"

/* A server `s` with these steps, and a client `h` with these options. */
#define WORLD(options, ...)                                                                    \
	static const struct step steps[] = {__VA_ARGS__};                                      \
	__attribute__((cleanup(server_freep_))) struct server *s =                             \
		start(steps, sizeof steps / sizeof *steps);                                    \
	struct hf_http_options o = options;                                                    \
	struct hf_http *client = NULL;                                                         \
	REQUIRE_OK(hf_http_new(&o, &client));                                                  \
	hf_autoptr(hf_http) h = client;                                                        \
	hf_auto(hf_http_answer) a = {0};                                                       \
	hf_auto(hf_buf) out = HF_BUF_MAX(100);                                                 \
	struct hf_http_request r = {.method = "GET", .url = s->url, .out = &out}

#define PLAIN                                                                                  \
	(struct hf_http_options)                                                               \
	{                                                                                      \
		.user_agent = NULL                                                             \
	}
#define PATIENCE(seconds)                                                                      \
	(struct hf_http_options)                                                               \
	{                                                                                      \
		.stall_s = (seconds)                                                           \
	}

static void
check_out(const struct hf_buf *out, const char *want)
{
	REQUIRE_EQ(out->len, strlen(want));
	CHECK_MEM(out->p, want, out->len);
}

TEST(an_answer_and_its_headers)
{
	static const char *const headers[] = {"Accept: some/thing"};
	static const char *const want[] = {"content-type", "X-Absent", "X-Spaces"};
	WORLD(PLAIN, {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/x\r\n"
		      "X-Spaces: \t a b \r\n\r\nhello",
			     CLOSES});

	hf_buf_add_str(&out, "before:");
	r.headers = headers;
	r.n_headers = 1;
	r.want = want;
	r.n_want = 3;
	REQUIRE_OK(hf_http_do(h, &r, &a));
	CHECK_EQ(a.status, 200);
	CHECK_OK(hf_http_error(&a));
	CHECK(a.has_size);
	CHECK_EQ(a.size, 5);
	CHECK_STR(a.values[0], "text/x");
	CHECK_STR(a.values[1], NULL);
	CHECK_STR(a.values[2], "a b");
	check_out(&out, "before:hello");
	CHECK(strncmp(s->got[0], "GET /a/b HTTP/1.1\r\n", 19) == 0);
	CHECK(strstr(s->got[0], "\r\nAccept: some/thing\r\n") != NULL);
	CHECK(strstr(s->got[0], "\r\nUser-Agent: holdfast/") != NULL);
	CHECK(strstr(s->got[0], "Expect") == NULL);
	CHECK(strstr(s->got[0], "Authorization") == NULL);
}

TEST(connections_are_used_again)
{
	WORLD(PLAIN, {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", KEEPS},
		{"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found", KEEPS},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "1\r\nb\r\n0\r\n\r\n",
			KEEPS});

	REQUIRE_OK(hf_http_do(h, &r, &a));
	REQUIRE_OK(hf_http_do(h, &r, &a));
	CHECK_EQ(a.status, 404);
	CHECK_ERR_TEXT(hf_http_error(&a), HF_ENOTFOUND, "/a/b: no such file (404)");
	REQUIRE_OK(hf_http_do(h, &r, &a));
	check_out(&out, "ab");
	CHECK_EQ(s->n_connections, 1);
}

TEST(a_connection_that_died_while_idle_is_opened_again)
{
	static const uint8_t body[200000];
	WORLD(PLAIN, {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CLOSES},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CLOSES});

	r.method = "POST";
	r.body = (struct hf_bytes){body, sizeof body};
	REQUIRE_OK(hf_http_do(h, &r, &a));
	REQUIRE_OK(hf_http_do(h, &r, &a));
	CHECK_EQ(s->body[0], sizeof body);
	CHECK_EQ(s->body[1], sizeof body);
}

TEST(what_is_cut_short_is_no_answer)
{
	WORLD(PLAIN, {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", CLOSES},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", RESETS},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", CLOSES},
		{"HTTP/1.1 200 OK\r\n\r\nhello", CLOSES}, {"HTTP/1.1 200 OK\r\nConte", CLOSES},
		{NULL, CLOSES}, {NULL, RESETS},
		{"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello", CLOSES});

	hf_buf_add_str(&out, "before");
	for (size_t i = 0; i < s->n; i++) {
		struct hf_err *e = hf_http_do(h, &r, &a);

		REQUIRE(e != NULL);
		CHECK(strncmp(hf_err_text(e), "GET http://127.0.0.1:", 21) == 0);
		CHECK_ERR_TEXT(e, HF_EIO, "/a/b: ");
		CHECK_EQ(out.len, 6);
	}
}

TEST(an_answer_beyond_the_maximum_is_refused)
{
	WORLD(PLAIN, {"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n0", HANGS},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n"
		 "0123456789012345678901234567890123456789012345678901234567890123456789"
		 "0123456789012345678901234567890\r\n",
			HANGS});

	CHECK_ERR(hf_http_do(h, &r, &a), HF_EFATAL);
	CHECK_ERR(hf_http_do(h, &r, &a), HF_EFATAL);
	CHECK_EQ(out.len, 0);
}

/* ---- ranges ---- */

TEST(a_range)
{
	WORLD(PLAIN,
		{"HTTP/1.1 206 Partial\r\nContent-Length: 4\r\n"
		 "Content-Range: bytes 3-6/10\r\n\r\n3456",
			KEEPS},
		{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", KEEPS},
		{"HTTP/1.1 206 Partial\r\nContent-Length: 7\r\n"
		 "Content-Range: bytes 3-9/10\r\n\r\n3456789",
			KEEPS},
		{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", KEEPS});

	r.is_range = true;
	r.off = 3;
	r.len = 4;
	for (int i = 0; i < 4; i++) {
		hf_buf_reset(&out);
		r.len = i < 2 ? 4 : SIZE_MAX;
		REQUIRE_OK(hf_http_do(h, &r, &a));
		check_out(&out, i < 2 ? "3456" : "3456789");
		CHECK(a.has_size);
		CHECK_EQ(a.size, 10);
	}
	CHECK(strstr(s->got[0], "\r\nRange: bytes=3-6\r\n") != NULL);
	CHECK(strstr(s->got[2], "\r\nRange: bytes=3-\r\n") != NULL);
	CHECK_EQ(s->n_connections, 1);
}

TEST(a_range_of_a_short_file_has_status_416)
{
	WORLD(PLAIN,
		{"HTTP/1.1 206 Partial\r\nContent-Length: 2\r\n"
		 "Content-Range: bytes 8-9/10\r\n\r\n89",
			KEEPS},
		{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", KEEPS},
		{"HTTP/1.1 416 No\r\nContent-Length: 0\r\nContent-Range: bytes */10\r\n\r\n",
			KEEPS});

	r.is_range = true;
	r.off = 8;
	r.len = 4;
	for (int i = 0; i < 3; i++) {
		REQUIRE_OK(hf_http_do(h, &r, &a));
		CHECK_EQ(a.status, 416);
		CHECK_EQ(a.size, 10);
		CHECK_EQ(out.len, 0);
		CHECK_ERR_TEXT(hf_http_error(&a), HF_ECORRUPT, "only 10 bytes");
	}
}

TEST(another_range_than_asked_for_is_no_answer)
{
	WORLD(PLAIN,
		{"HTTP/1.1 206 Partial\r\nContent-Length: 4\r\n"
		 "Content-Range: bytes 2-5/10\r\n\r\n2345",
			CLOSES},
		{"HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n"
		 "Content-Range: bytes 3-5/10\r\n\r\n345",
			CLOSES},
		{"HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n"
		 "Content-Range: bytes 3-6/10\r\n\r\n345",
			CLOSES},
		{"HTTP/1.1 206 Partial\r\nContent-Length: 4\r\n\r\n3456", CLOSES});

	r.is_range = true;
	r.off = 3;
	r.len = 4;
	for (int i = 0; i < 4; i++) {
		CHECK_ERR(hf_http_do(h, &r, &a), HF_EIO);
		CHECK_EQ(out.len, 0);
	}
}

/* What goes to a sink is judged as what goes to a buffer; the body of an error does not go there. */
TEST(a_sink_gets_the_body)
{
	hf_auto(poured) p = poured_new(8);
	WORLD(PLAIN,
		{"HTTP/1.1 206 Partial\r\nContent-Length: 4\r\n"
		 "Content-Range: bytes 3-6/10\r\n\r\n3456",
			KEEPS},
		{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", KEEPS},
		{"HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n"
		 "Content-Range: bytes 3-5/6\r\n\r\n345",
			KEEPS},
		{"HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nnone", KEEPS},
		{"HTTP/1.1 206 Partial\r\nContent-Length: 4\r\n"
		 "Content-Range: bytes 3-6/10\r\n\r\n345",
			CLOSES},
		{"HTTP/1.1 206 Partial\r\nContent-Length: 9\r\n"
		 "Content-Range: bytes 3-11/12\r\n\r\n3456789ab",
			CLOSES});

	r.out = NULL;
	r.sink = &p.sink;
	r.is_range = true;
	r.off = 3;
	r.len = 4;
	REQUIRE(hf_http_pours(h));
	for (int i = 0; i < 2; i++) {
		REQUIRE_OK(hf_http_do(h, &r, &a));
		CHECK_EQ(a.status, i == 0 ? 206 : 200);
		check_out(&p.bytes, "3456");
	}
	REQUIRE_OK(hf_http_do(h, &r, &a));
	CHECK_EQ(a.status, 416);
	REQUIRE_OK(hf_http_do(h, &r, &a));
	CHECK_EQ(a.status, 404);
	CHECK_EQ(p.bytes.len, 0);
	CHECK_ERR(hf_http_do(h, &r, &a), HF_EIO);
	r.len = 9;
	CHECK_ERR(hf_http_do(h, &r, &a), HF_EFATAL); /* the sink's own error */
}

/* ---- waiting ---- */

TEST(who_says_nothing_is_left)
{
	WORLD(PATIENCE(1), {NULL, HANGS},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", HANGS});

	CHECK_ERR_TEXT(hf_http_do(h, &r, &a), HF_EIO, "not one byte came or went for 1 s");
	CHECK_ERR_TEXT(hf_http_do(h, &r, &a), HF_EIO, "not one byte");
	CHECK_EQ(out.len, 0);
}

TEST(a_deadline_holds)
{
	WORLD(PLAIN, {NULL, HANGS});

	r.deadline_s = 1;
	CHECK_ERR_TEXT(hf_http_do(h, &r, &a), HF_EIO, "not done after 1 s");
}

TEST(what_was_not_sent_in_time_is_not_sent_later)
{
	static const uint8_t body[1 << 20];
	const int small = 16 << 10;
	WORLD(PLAIN, {.says = NULL, .late_s = 2, .then = CLOSES});

	/* So the server's kernel takes little, and ours has the rest. */
	REQUIRE(setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
	r.method = "POST";
	r.body = (struct hf_bytes){body, sizeof body};
	r.deadline_s = 0.5;
	CHECK_ERR_TEXT(hf_http_do(h, &r, &a), HF_EIO, "not done after");
	while (atomic_load(&s->n_done) == 0)
		usleep(10000);
	CHECK(s->body[0] < 256 << 10);
}

/* ---- limits ---- */

TEST(a_limited_connection_is_never_silent_for_long)
{
	static const uint8_t body[30000];
	struct hf_pace pace;
	double begin;
	hf_pace_init(&pace, 20000);
	WORLD((struct hf_http_options){.upload = &pace},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", KEEPS},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", KEEPS});

	r.method = "POST";
	r.body = (struct hf_bytes){body, sizeof body};
	(void)hf_pace_take(&pace, 40000); /* others have been busy: one second from now */
	begin = hf_clock();
	REQUIRE_OK(hf_http_do(h, &r, &a));
	CHECK(hf_clock() - begin > 2);
	CHECK(s->silent[0] < 2);
	/* In a hurry it takes its share first, and then nothing holds it up. */
	begin = hf_clock();
	REQUIRE_OK(hf_http_share(h, sizeof body));
	CHECK(hf_clock() - begin > 1);
	r.deadline_s = 1;
	REQUIRE_OK(hf_http_do(h, &r, &a));
	CHECK(s->silent[1] < 1);
	CHECK_EQ(s->body[1], sizeof body);
	hf_pace_clear(&pace);
}

static void *
stop_soon(void *arg)
{
	usleep(300000);
	hf_stop_set(arg);
	return NULL;
}

TEST(stop_ends_a_request)
{
	struct hf_stop stop = {0};
	pthread_t t;
	WORLD(PLAIN, {NULL, HANGS});
	struct hf_http_options so = {.stop = &stop};
	struct hf_http *stoppable = NULL;

	(void)h; /* the world's own, which cannot be stopped */
	REQUIRE_OK(hf_http_new(&so, &stoppable));
	REQUIRE(pthread_create(&t, NULL, stop_soon, &stop) == 0);
	CHECK_ERR(hf_http_do(stoppable, &r, &a), HF_ECANCELED);
	pthread_join(t, NULL);
	/* What must be made all the same is, and ends when it must. */
	r.no_stop = true;
	r.deadline_s = 1;
	CHECK_ERR_TEXT(hf_http_do(stoppable, &r, &a), HF_EIO, "not done after 1 s");
	hf_http_free(stoppable);
}

TEST(how_long_a_server_wants_to_be_left_alone)
{
	WORLD(PLAIN,
		{"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy", KEEPS},
		{"HTTP/1.1 429 No\r\nRetry-After: Sat, 01 Jan 2000 00:00:00 GMT\r\n"
		 "Content-Length: 0\r\n\r\n",
			KEEPS},
		{"HTTP/1.1 503 Busy\r\nRetry-After: Fri, 01 Jan 2100 00:00:00 GMT\r\n"
		 "Content-Length: 0\r\n\r\n",
			KEEPS});

	REQUIRE_OK(hf_http_do(h, &r, &a));
	CHECK(a.retry_after == 7);
	struct hf_err *e = hf_http_error(&a);
	CHECK(e != NULL && hf_err_wait(e) == 7);
	CHECK_ERR_TEXT(e, HF_EIO, "not available (503: busy)");
	REQUIRE_OK(hf_http_do(h, &r, &a));
	CHECK(a.retry_after == 0);
	REQUIRE_OK(hf_http_do(h, &r, &a));
	CHECK(a.retry_after > 1e6);
}

/* ---- redirections and credentials ---- */

#define SECRET                                                                                 \
	(struct hf_http_options)                                                               \
	{                                                                                      \
		.user = {"ann", 3}, .password = { "geheim", 6 }                                \
	}
/* "ann:geheim" */
#define BASIC "Authorization: Basic YW5uOmdlaGVpbQ=="

TEST(credentials_go_to_the_own_host_only)
{
	WORLD(SECRET,
		{"HTTP/1.1 307 There\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n", KEEPS},
		{"HTTP/1.1 308 There\r\nLocation: http://localhost:1/x\r\n"
		 "Content-Length: 0\r\n\r\n",
			CLOSES});

	hf_buf_add_str(&out, "body");
	r.method = "POST";
	r.body = hf_buf_bytes(&out);
	r.out = NULL;
	CHECK_ERR(hf_http_do(h, &r, &a), HF_EIO); /* port 1 of another name */
	CHECK(strstr(s->got[0], "\r\n" BASIC "\r\n") != NULL);
	CHECK(strncmp(s->got[1], "POST /other ", 12) == 0);
	CHECK(strstr(s->got[1], "\r\n" BASIC "\r\n") != NULL);
	CHECK_EQ(s->body[1], 4);
}

TEST(another_host_does_not_get_them)
{
	WORLD(SECRET, {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CLOSES});
	static char text[200];
	static struct step there[1];

	snprintf(text, sizeof text,
		"HTTP/1.1 302 There\r\nLocation: http://localhost:%s\r\nContent-Length: "
		"0\r\n\r\n",
		strrchr(s->url, ':') + 1);
	there[0] = (struct step){text, CLOSES};
	__attribute__((cleanup(server_freep_))) struct server *first = start(there, 1);
	r.url = first->url;
	REQUIRE_OK(hf_http_do(h, &r, &a));
	CHECK_EQ(a.status, 200);
	CHECK(strstr(first->got[0], BASIC) != NULL);
	CHECK(strncmp(s->got[0], "GET /a/b ", 9) == 0);
	CHECK(strstr(s->got[0], "Authorization") == NULL);
}

TEST(an_upload_is_not_turned_into_a_download)
{
	WORLD(PLAIN,
		{"HTTP/1.1 302 There\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", KEEPS});

	r.method = "POST";
	r.out = NULL;
	REQUIRE_OK(hf_http_do(h, &r, &a));
	CHECK_ERR_TEXT(hf_http_error(&a), HF_EFATAL, "/login (302)");
}

#define AGAIN                                                                                  \
	{                                                                                      \
		"HTTP/1.1 307 A\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n", KEEPS           \
	}

TEST(circles_end)
{
	WORLD(PLAIN, AGAIN, AGAIN, AGAIN, AGAIN, AGAIN, AGAIN, AGAIN, AGAIN, AGAIN, AGAIN,
		AGAIN, AGAIN);

	r.no_redirect = true;
	REQUIRE_OK(hf_http_do(h, &r, &a));
	CHECK_EQ(a.status, 307);
	r.no_redirect = false;
	CHECK_ERR_TEXT(hf_http_do(h, &r, &a), HF_EFATAL, "in a circle");
	CHECK_EQ(s->n_got, 12);
}

TEST(secrets_stay_out_of_texts)
{
	WORLD(SECRET, {"HTTP/1.1 401 No\r\nContent-Length: 13\r\n\r\nUnauthorized\n", CLOSES});
	char url[100];

	snprintf(url, sizeof url, "http://ann:geheim@%s", s->url + 7);
	r.url = url;
	REQUIRE_OK(hf_http_do(h, &r, &a));
	CHECK(strstr(a.what, "geheim") == NULL);
	struct hf_err *e = hf_http_error(&a);
	REQUIRE(e != NULL);
	CHECK(strstr(hf_err_text(e), "geheim") == NULL);
	CHECK_ERR_TEXT(e, HF_EFATAL, "refuses user name or password (401: Unauthorized)");
}

TEST(nobody_there_and_no_such_name)
{
	WORLD(PLAIN, {NULL, CLOSES});

	r.url = "http://127.0.0.1:1/x";
	CHECK_ERR_TEXT(
		hf_http_do(h, &r, &a), HF_EIO, "GET http://127.0.0.1:1/x: no connection");
	r.url = "http://no-such-host.invalid/x";
	CHECK_ERR_TEXT(hf_http_do(h, &r, &a), HF_EIO, "name is not found");
	r.url = "http://tlsv1-alert.invalid/x"; /* its name says nothing */
	CHECK_ERR_TEXT(hf_http_do(h, &r, &a), HF_EIO, "tlsv1-alert.invalid");
	r.url = "ftp://127.0.0.1/x";
	CHECK_ERR(hf_http_do(h, &r, &a), HF_EFATAL);
	r.url = "http://127.0.0.1:port/x";
	CHECK_ERR(hf_http_do(h, &r, &a), HF_EFATAL);
	/* The step that was not reached. */
	r.url = s->url;
	CHECK_ERR(hf_http_do(h, &r, &a), HF_EIO);
}

TEST(which_ends_of_tls_are_final)
{
#define OPENSSL "OpenSSL SSL_read: error:0A000000:SSL routines::"
	static const struct {
		CURLcode rc;
		const char *said;
		enum hf_code code;
	} table[] = {
		{CURLE_RECV_ERROR, OPENSSL "tlsv13 alert certificate required, errno 0",
			HF_EFATAL},
		{CURLE_SSL_CONNECT_ERROR, OPENSSL "sslv3 alert handshake failure", HF_EFATAL},
		{CURLE_SEND_ERROR, OPENSSL "tlsv1 alert access denied", HF_EFATAL},
		{CURLE_SSL_CONNECT_ERROR, OPENSSL "wrong version number", HF_EFATAL},
		{CURLE_SSL_CONNECT_ERROR,
			"gnutls_handshake() failed: A TLS fatal alert has "
			"been received.",
			HF_EFATAL},
		{CURLE_RECV_ERROR, OPENSSL "tlsv1 alert internal error", HF_EIO},
		{CURLE_RECV_ERROR, OPENSSL "sslv3 alert bad record mac", HF_EIO},
		{CURLE_SSL_CONNECT_ERROR,
			"OpenSSL SSL_connect: Connection reset by peer in "
			"connection to alert.example:443 ",
			HF_EIO},
		{CURLE_COULDNT_CONNECT, "Failed to connect to alert port 443", HF_EIO},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct call c = {.why = NOT_ENDED};

		snprintf(c.said, sizeof c.said, "%s", table[i].said);
		CHECK_ERR_TEXT(call_failed(&c, table[i].rc), table[i].code, table[i].said);
	}
}

TEST(what_a_status_means)
{
	static const struct {
		int status;
		enum hf_code code;
	} table[] = {{204, 0}, {301, HF_EFATAL}, {400, HF_EFATAL}, {401, HF_EFATAL},
		{403, HF_EFATAL}, {404, HF_ENOTFOUND}, {408, HF_EIO}, {416, HF_ECORRUPT},
		{429, HF_EIO}, {500, HF_EIO}, {501, HF_EFATAL}, {503, HF_EIO}, {507, HF_EFATAL},
		{599, HF_EIO}};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct hf_http_answer a = {.status = table[i].status};
		char what[] = "GET it";

		a.what = what;
		if (table[i].code == 0)
			CHECK_OK(hf_http_error(&a));
		else
			CHECK_ERR_TEXT(hf_http_error(&a), table[i].code, "GET it: ");
	}
}

TEST(encoding)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(100);

	hf_http_encode(&b, hf_str("aZ09-._~ /+=\xc3\xa4"), false);
	check_out(&b, "aZ09-._~%20%2F%2B%3D%C3%A4");
	hf_buf_reset(&b);
	hf_http_encode(&b, hf_str("a/b c"), true);
	check_out(&b, "a/b%20c");
}

/* ---- URLs as people write them ---- */

TEST(urls)
{
	static const struct {
		const char *text, *clean, *user, *password;
	} table[] = {
		{"http://host/repo/", "http://host/repo/", NULL, NULL},
		{"HTTPS://host:8000", "HTTPS://host:8000", NULL, NULL},
		{"http://u:p@ss@host/r/", "http://host/r/", "u", "p@ss"},
		{"http://u@x:p:q@[::1]:80/r/", "http://[::1]:80/r/", "u@x", "p:q"},
		{"http://%61%40:100%25%2f%@host/", "http://host/", "a@", "100%/%"},
		{"http://u@host/", "http://host/", "u", NULL},
		{"http://u:@host/", "http://host/", "u", ""},
		{"http://@host/", "http://host/", NULL, NULL},
		{"http://host/my repo/a@b/%20/", "http://host/my%20repo/a@b/%20/", NULL, NULL},
		{"http://host/\xc3\xa4\"{}/", "http://host/%C3%A4%22%7B%7D/", NULL, NULL},
	};
	static const char *const bad[] = {"http://", "http:///path", "ftp://host/", "host/path",
		"http://my host/", "http://u:geheim@host:port/", "http://u:gehe/im@host/",
		"http://u:geheim%00@host/", "http://host/a\nb"};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		hf_auto(hf_url) u = {0};

		REQUIRE_OK(hf_url_parse(table[i].text, &u));
		CHECK_STR(u.clean, table[i].clean);
		CHECK_EQ(u.has_user, table[i].user != NULL);
		if (table[i].user != NULL)
			CHECK_STR((char *)u.user.p, table[i].user);
		if (table[i].user != NULL)
			CHECK_STR((char *)u.password.p, table[i].password);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		hf_auto(hf_url) u = {0};
		struct hf_err *e = hf_url_parse(bad[i], &u);

		REQUIRE(e != NULL);
		CHECK(strstr(hf_err_text(e), "gehe") == NULL);
		CHECK_ERR(e, HF_EINVAL);
	}
}
