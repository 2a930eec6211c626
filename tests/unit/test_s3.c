/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of places and what follows from them; the rest of the store is tested over servers. */
#include "store/s3_i.h"

#include "harness/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/time.h"
#include "store/s3.h"

TEST(places)
{
	static const struct {
		const char *text;
		bool is_plain;
		const char *host, *bucket, *prefix;
	} places[] = {
		{"s3.amazonaws.com/bucket", false, "s3.amazonaws.com", "bucket", ""},
		{"//host/bucket/a/b", false, "host", "bucket", "a/b"},
		{"https://Host:443/bucket//a//../b/", false, "host", "bucket", "b"},
		{"https://host:80/bucket", false, "host:80", "bucket", ""},
		{"http://host:80/bucket/", true, "host", "bucket", ""},
		{"http://127.0.0.1:9000/b.c/x y/../../../z", true, "127.0.0.1:9000", "b.c",
			"z"},
		{"http://[::1]:9000/bucket/p", true, "[::1]:9000", "bucket", "p"},
		/* Escapes are those of URLs, as restic's. */
		{"http://h/bucket/my%20repo%2fa%25/\xc3\xa4+%c3%A4", true, "h", "bucket",
			"my repo/a%/\xc3\xa4+\xc3\xa4"},
		{"https://h/b%2Dc/x y", false, "h", "b-c", "x y"},
		{"h/bucket/my%20repo?#", false, "h", "bucket", "my%20repo?#"},
		{"//h/bucket/my%2", false, "h", "bucket", "my%2"},
	};
	static const char *const wrong[] = {"", "/", "host", "host/", "host//x", "http://",
		"//", "http:///bucket", "https://u:p@host/bucket", "host/b cket", "host/../x",
		"ho st/b", "http://h/b/a%2", "http://h/b/a%zz", "http://h/b/a%00",
		"http://h/b/a?b", "https://h/b/a#b", "http://h/%2fb"};

	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		hf_auto(s3_place) p = {0};

		REQUIRE_OK(s3_place_parse(places[i].text, &p));
		CHECK_EQ(p.is_plain, places[i].is_plain);
		CHECK_STR(p.host, places[i].host);
		CHECK_STR(p.bucket, places[i].bucket);
		CHECK_STR(p.prefix, places[i].prefix);
	}
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		hf_auto(s3_place) p = {0};

		CHECK_ERR(s3_place_parse(wrong[i], &p), HF_EINVAL);
	}
}

/* As minio-go decides for restic. */
TEST(buckets_are_found_by_name_or_path)
{
	static const struct {
		const char *text;
		enum s3_lookup lookup;
		bool by_name;
	} cases[] = {
		{"s3.amazonaws.com/bucket", S3_AUTO, true},
		{"s3.amazonaws.com/my.bucket", S3_AUTO, false},
		{"http://s3.amazonaws.com/my.bucket", S3_AUTO, true},
		{"s3.cn-north-1.amazonaws.com.cn/bucket", S3_AUTO, true},
		{"storage.googleapis.com/bucket", S3_AUTO, true},
		{"oss-eu-west-1.aliyuncs.com/bucket", S3_AUTO, true},
		{"notamazonaws.com/bucket", S3_AUTO, false},
		{"minio.example.org/bucket", S3_AUTO, false},
		{"minio.example.org/my.bucket", S3_DNS, true},
		{"s3.amazonaws.com/bucket", S3_PATH, false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		hf_auto(s3_place) p = {0};

		REQUIRE_OK(s3_place_parse(cases[i].text, &p));
		CHECK_EQ(s3_place_by_name(&p, cases[i].lookup), cases[i].by_name);
	}
}

TEST(regions_in_names)
{
	static const struct {
		const char *text, *region;
	} cases[] = {
		{"s3.amazonaws.com/b", NULL},
		{"s3.eu-west-1.amazonaws.com/b", "eu-west-1"},
		{"s3-eu-west-1.amazonaws.com/b", "eu-west-1"},
		{"s3.dualstack.us-west-2.amazonaws.com/b", "us-west-2"},
		{"s3.cn-north-1.amazonaws.com.cn/b", "cn-north-1"},
		{"s3.eu-west-1.example.org/b", NULL},
		{"minio.example.org/b", NULL},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		hf_auto(s3_place) p = {0};

		REQUIRE_OK(s3_place_parse(cases[i].text, &p));
		hf_autofree char *region = s3_place_region(&p);
		CHECK_STR(region, cases[i].region);
	}
}

/* Amazon's general host has buckets of one region alone for who names them in the path. */
TEST(hosts_of_regions)
{
	static const struct {
		const char *text, *region, *host;
	} cases[] = {
		{"s3.amazonaws.com/b", "us-east-1", "s3.amazonaws.com"},
		{"s3.amazonaws.com/b", "eu-west-1", "s3.eu-west-1.amazonaws.com"},
		{"https://S3.amazonaws.com:443/b", "eu-west-1", "s3.eu-west-1.amazonaws.com"},
		{"s3.amazonaws.com/b", "cn-north-1", "s3.cn-north-1.amazonaws.com.cn"},
		{"s3.amazonaws.com/b", "evil.example.org/", "s3.amazonaws.com"},
		{"s3.eu-west-1.amazonaws.com/b", "eu-west-2", "s3.eu-west-1.amazonaws.com"},
		{"minio.example.org:9000/b", "eu-west-1", "minio.example.org:9000"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		hf_auto(s3_place) p = {0};

		REQUIRE_OK(s3_place_parse(cases[i].text, &p));
		hf_autofree char *host = s3_place_host(&p, cases[i].region);
		CHECK_STR(host, cases[i].host);
	}
}

static struct hf_http_answer
answer(int status, const char *body)
{
	struct hf_http_answer a = {.status = status, .what = strdup("GET http://h/b")};

	a.says.max = HF_HTTP_SAYS;
	hf_buf_add_str(&a.says, body);
	return a;
}

TEST(what_answers_mean)
{
#define ERROR(code) "<Error><Code>" code "</Code><Message>m</Message></Error>"
	static const struct {
		int status;
		const char *body;
		enum hf_code code;
		const char *text;
	} cases[] = {
		{404, "", HF_EIO,
			"GET http://h/b: not found, and not in the words of S3 (404)"},
		{404, "404 page not found\n", HF_EIO, "not in the words of S3 (404)"},
		{404, "<html><body>no</body></html>", HF_EIO, "not in the words of S3"},
		{404, ERROR("NoSuchBucket"), HF_EFATAL, "only init makes a bucket"},
		{404, ERROR("NoSuchKey"), HF_ENOTFOUND, "NoSuchKey: m (404)"},
		{404, ERROR("NoSuchUpload"), HF_EIO, "NoSuchUpload"},
		{416, ERROR("InvalidRange"), HF_ECORRUPT, "InvalidRange"},
		{503, ERROR("SlowDown"), HF_EIO, "GET http://h/b: SlowDown: m (503)"},
		{400, ERROR("RequestTimeout"), HF_EIO, "RequestTimeout"},
		{400, ERROR("XAmzContentSHA256Mismatch"), HF_EIO, "XAmz"},
		{400, ERROR("InvalidArgument"), HF_EFATAL, "InvalidArgument: m (400)"},
		{403, ERROR("AccessDenied"), HF_EFATAL, "the key may not do this"},
		{403, ERROR("SignatureDoesNotMatch"), HF_EFATAL, "AWS_SECRET_ACCESS_KEY"},
		{403, ERROR("RequestTimeTooSkewed"), HF_EFATAL, "clock"},
		{403, "<html>no", HF_EFATAL, "access denied (403)"},
		{500, "", HF_EIO, "(500)"},
		{502, "<html><body>bad", HF_EIO, "the server refuses (502)"},
		{501, ERROR("NotImplemented"), HF_EFATAL, "NotImplemented"},
		{507, "", HF_EFATAL, "(507)"},
		{429, "", HF_EIO, "(429)"},
		{400, "<Error><Code>X</Code><Message>a&#10;b\x1b[31m", HF_EFATAL, "X (400)"},
		{400, "<Error><Code>X</Code><Message>a&#10;b&#27;[31m</Message></Error>",
			HF_EFATAL, "X: a b [31m (400)"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct hf_http_answer a = answer(cases[i].status, cases[i].body);

		CHECK_ERR_TEXT(s3_error(&a), cases[i].code, cases[i].text);
		hf_http_answer_clear(&a);
	}
	for (int i = 0; i < 2; i++) {
		struct hf_http_answer a = answer(503, i == 0 ? ERROR("SlowDown") : "");

		a.retry_after = 7;
		struct hf_err *e = s3_error(&a);
		CHECK_EQ((int)hf_err_wait(e), 7);
		hf_err_free(e);
		hf_http_answer_clear(&a);
	}
	struct hf_http_answer a = answer(200, "");
	CHECK_OK(s3_error(&a));
	CHECK_OK(s3_error_in(&a, hf_str_bytes(hf_str("<Fine/>"))));
	CHECK_ERR_TEXT(s3_error_in(&a, hf_str_bytes(hf_str(ERROR("InternalError")))), HF_EIO,
		"InternalError: m");
	hf_http_answer_clear(&a);
}

/* ---- time ---- */

static struct slow {
	int fd;
	atomic_uint n; /* requests */
} slow;

/* Takes a request and says after 300 ms that the clock is wrong, which makes it worth another try. */
static void
answer_slowly(int fd)
{
	static const char says[] =
		"HTTP/1.1 403 no\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\n"
		"Content-Length: 68\r\nConnection: close\r\n\r\n" ERROR("RequestTimeTooSkewed");
	char b[4096];
	size_t len = 0;

	while (len < sizeof b && memmem(b, len, "\r\n\r\n", 4) == NULL) {
		ssize_t n = recv(fd, b + len, sizeof b - len, 0);

		if (n <= 0)
			return;
		len += (size_t)n;
	}
	atomic_fetch_add(&slow.n, 1);
	usleep(300000);
	hf_err_free(hf_write_full(fd, says, strlen(says)));
}

static void *
serve_slowly(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept4(slow.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		answer_slowly(fd);
		close(fd);
	}
	return NULL;
}

/* What a change promises to the lease holds for all its tries together. */
TEST(tries_share_their_time)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct hf_option anonymous = {"s3.unsafe-anonymous-auth", "true"};
	const struct hf_open o = {.options = &anonymous, .n_options = 1};
	const struct hf_name name = {.kind = HF_INDEX};
	hf_autoptr(hf_store) s = NULL;
	socklen_t len = sizeof a;
	pthread_t thread;
	char place[64];

	slow.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(bind(slow.fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(slow.fd, 8) == 0);
	REQUIRE(getsockname(slow.fd, (struct sockaddr *)&a, &len) == 0);
	REQUIRE(pthread_create(&thread, NULL, serve_slowly, NULL) == 0);
	snprintf(place, sizeof place, "http://127.0.0.1:%d/bucket", ntohs(a.sin_port));
	REQUIRE_OK(hf_backend_s3.open(place, &o, 1, &s));
	CHECK_ERR(hf_store_del(s, &name), HF_EFATAL); /* with all its tries */
	CHECK(atomic_load(&slow.n) >= 4);
	s->within_s = 0.5;
	double begin = hf_clock();
	CHECK_ERR(hf_store_del(s, &name), HF_EIO);
	CHECK(hf_clock() - begin < 0.9);
	shutdown(slow.fd, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(slow.fd);
}
