/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stores over HTTP and the gate: what is let out when, and that each change of a call is let out
 * anew.
 */
#include "store/open.h"

#include "harness/test.h"

#include "http_server.h"
#include "store/rest_i.h"

static const struct hf_name config = {.kind = HF_CONFIG};
static const struct hf_name index_file = {HF_INDEX, {{0xab, 1, 2, 3}}};

/* A gate that writes down what it is asked, and is shut after so many questions. */
struct door {
	struct hf_gate gate;
	struct hf_change asked[8];
	double at[8]; /* on hf_clock() */
	unsigned n, open_for;
};

static struct hf_err *
pass(struct hf_gate *gate, const struct hf_change *change)
{
	struct door *d = hf_container_of(gate, struct door, gate);

	REQUIRE(d->n < 8);
	d->at[d->n] = hf_clock();
	d->asked[d->n++] = *change;
	return d->n <= d->open_for ? NULL : hf_err(HF_ELOST, "the door is shut");
}

/* A server `s` with these steps, and a repository `repo` on it behind a door `d`. */
#define WORLD(pace, ...)                                                                       \
	static const struct step steps[] = {__VA_ARGS__};                                      \
	__attribute__((cleanup(server_freep_))) struct server *s =                             \
		start(steps, sizeof steps / sizeof *steps);                                    \
	struct door d = {.gate = {pass}, .open_for = 8};                                       \
	hf_autoptr(hf_store) repo = open_repo(s, pace);                                        \
	hf_store_set_gate(repo, &d.gate)

static struct hf_store *
open_repo(const struct server *s, struct hf_pace *pace)
{
	struct hf_http_options o = {.upload = pace};
	struct hf_http *http;

	REQUIRE_OK(hf_http_new(&o, &http));
	return rest_new(&(struct rest_place){.http = http, .base = s->url, .url = "rest:x"});
}

#define ANSWER(status) "HTTP/1.1 " status "\r\nContent-Length: 0\r\n\r\n"
#define REFUSED        ANSWER("403 Forbidden")
#define DONE           ANSWER("200 OK")
#define OTHER          "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"

TEST(the_gate_is_asked_after_the_wait_for_the_limit)
{
	static const uint8_t data[40960];
	const struct hf_bytes bytes = {data, sizeof data};
	struct hf_pace pace;
	hf_pace_init(&pace, 20480);
	WORLD(&pace, {DONE, KEEPS});
	double begin = hf_clock();

	REQUIRE_OK(hf_store_put(repo, &index_file, bytes));
	REQUIRE_EQ(d.n, 2);
	CHECK(d.at[0] - begin < 0.5);
	CHECK(d.at[1] - begin > 0.9);
	CHECK(d.at[1] <= s->begun[0]);
	CHECK(s->silent[0] < 0.9);
	/* It has more time, since it is large, and the gate knows. */
	CHECK(d.asked[1].within_s > 189 && d.asked[1].within_s < 191);
	CHECK(hf_store_within(repo, &index_file, 100 << 20) == HF_WITHIN_MAX_S);
	hf_pace_clear(&pace);
}

static const char *
some_keys(void *arg, const char *name)
{
	(void)arg;
	return strncmp(name, "AWS_", 4) == 0 && strstr(name, "KEY") != NULL ? "key" : NULL;
}

TEST(the_same_over_s3)
{
	static const uint8_t data[40960];
	struct hf_pace pace;
	hf_pace_init(&pace, 20480);
	static const struct step steps[] = {{DONE, KEEPS}};
	__attribute__((cleanup(server_freep_))) struct server *s = start(steps, 1);
	struct door d = {.gate = {pass}, .open_for = 8};
	struct hf_store *opened;
	char url[100];

	snprintf(url, sizeof url, "s3:%s", s->url);
	REQUIRE_OK(hf_store_open(
		url, &(struct hf_open){.env = some_keys, .upload = &pace}, &opened));
	hf_autoptr(hf_store) repo = opened;
	hf_store_set_gate(repo, &d.gate);
	double begin = hf_clock();
	REQUIRE_OK(hf_store_put(repo, &index_file, (struct hf_bytes){data, sizeof data}));
	REQUIRE(d.n >= 2);
	CHECK(d.at[d.n - 1] - begin > 0.9);
	CHECK(d.at[d.n - 1] <= s->begun[0]);
	CHECK(s->silent[0] < 0.9);
	hf_pace_clear(&pace);
}

TEST(each_change_of_a_put_is_let_out)
{
	const struct hf_bytes bytes = hf_str_bytes(hf_str("right"));
	WORLD(NULL, {REFUSED, KEEPS}, {OTHER, KEEPS}, {OTHER "wrong", KEEPS}, {DONE, KEEPS},
		{DONE, KEEPS}, {REFUSED, KEEPS}, {OTHER, KEEPS}, {OTHER "wrong", KEEPS},
		{DONE, KEEPS});

	REQUIRE_OK(hf_store_put(repo, &index_file, bytes));
	CHECK_EQ(s->n_got, 5);
	CHECK(strncmp(s->got[3], "DELETE ", 7) == 0);
	/* By who calls, before the first, before the file is deleted, before the second. */
	REQUIRE_EQ(d.n, 4);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(d.asked[i].is_del, i == 2);
	d.n = 0;
	d.open_for = 3;
	CHECK_ERR_TEXT(hf_store_put(repo, &index_file, bytes), HF_ELOST, "the door is shut");
	CHECK_EQ(s->n_got, 9);
}

TEST(the_folder_of_a_config_is_made_only_if_that_is_let_out)
{
	WORLD(NULL, {ANSWER("500 No Folder"), KEEPS}, {DONE, KEEPS}, {DONE, KEEPS});

	d.open_for = 2;
	CHECK_ERR_TEXT(hf_store_put(repo, &config, hf_str_bytes(hf_str("x"))), HF_ELOST,
		"the door is shut");
	CHECK_EQ(s->n_got, 1);
}
