/* SPDX-License-Identifier: BSD-2-Clause */
/* The grammar of options, restic's (pflag's) to the letter, and the texts of its errors. */
#include "cli/opt.h"

#include <stdio.h>

#include "base/time.h"
#include "harness/test.h"

struct values {
	bool quiet, json;
	unsigned verbose, mode;
	char *repo, *host;
	struct hf_strings tags, options;
	int64_t latest;
	uint64_t jobs, size;
	double wait_s;
};

#define V struct values
static const struct hf_opt table[] = {
	{"quiet", 'q', HF_OPT_FLAG(V, quiet), .help = "say less"},
	{"json", 0, HF_OPT_FLAG(V, json), .help = "print JSON", .env = "JSON"},
	{"verbose", 'v', HF_OPT_COUNT(V, verbose), .help = "say more"},
	{"repo", 'r', HF_OPT_STRING(V, repo), .arg = "place", .env = "REPOSITORY",
		.help = "where"},
	{"host", 'H', HF_OPT_STRING(V, host), .arg = "name", .def = "here", .help = "who"},
	{"tag", 't', HF_OPT_LIST(V, tags), .arg = "tag", .env = "TAG", .help = "label"},
	{"option", 'o', HF_OPT_COMMA_LIST(V, options), .arg = "key=value", .help = "more"},
	{"latest", 'n', HF_OPT_INT(V, latest), .arg = "n", .help = "how many"},
	{"jobs", 0, HF_OPT_UINT(V, jobs), .arg = "n", .def = "2", .env = "JOBS",
		.help = "at once"},
	{"size", 0, HF_OPT_SIZE(V, size), .arg = "size", .help = "bytes"},
	{"wait", 0, HF_OPT_SECONDS(V, wait_s), .arg = "duration", .help = "how long"},
	{"mode", 0, HF_OPT_WORD(V, mode), .arg = "mode", .words = "auto|off=none|max",
		.env = "MODE", .help = "which"},
	{"old", 0, HF_OPT_FLAG(V, json), .help = "", .instead = "use --json"},
};
enum { N = sizeof table / sizeof table[0] };

struct parse {
	struct values values;
	bool given[N];
	struct hf_opts opts;
	struct hf_args args;
	char note[256];
	struct hf_err *e;
};

static void
parse_clear(struct parse *p)
{
	hf_opt_clear(&p->opts);
	hf_args_clear(&p->args);
	hf_err_free(p->e);
}

static void
note(void *arg, const char *text)
{
	struct parse *p = arg;

	snprintf(p->note, sizeof p->note, "%s", text);
}

static void
start(struct parse *p)
{
	memset(p, 0, sizeof *p);
	p->opts = (struct hf_opts){table, N, &p->values, p->given};
	hf_opt_defaults(&p->opts);
}

/* Parses words that are separated by single blanks. */
static void
parse(struct parse *p, const char *line)
{
	static char words[32][64];
	char *argv[32];
	int argc = 0;

	start(p);
	while (*line != '\0') {
		size_t len = strcspn(line, " ");

		memcpy(words[argc], line, len);
		words[argc][len] = '\0';
		argv[argc] = words[argc];
		argc++;
		line += len + (line[len] == ' ');
	}
	p->e = hf_opt_parse(&p->opts, 1, argc, argv, false, note, p, &p->args);
}

static void
check_fails(const char *line, const char *text)
{
	struct parse p;

	parse(&p, line);
	if (p.e == NULL)
		FAIL("\"%s\" was accepted", line);
	CHECK_EQ(hf_err_code(p.e), HF_EINVAL);
	CHECK_STR(hf_err_text(p.e), text);
	parse_clear(&p);
}

TEST(forms_of_a_value)
{
	static const char *const lines[] = {"--repo=x", "--repo x", "-r x", "-rx", "-r=x",
		"a -r x b", "-q -r x", "-qr x", "-qrx", "-vqr=x"};

	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		struct parse p;

		parse(&p, lines[i]);
		CHECK(p.e == NULL);
		CHECK_STR(p.values.repo, "x");
		CHECK(hf_opt_is_given(&p.opts, "repo"));
		CHECK(!hf_opt_is_given(&p.opts, "host"));
		parse_clear(&p);
	}
}

TEST(values_may_look_like_options)
{
	struct parse p;

	parse(&p, "--repo --json -t -q -n -5 --host=");
	CHECK(p.e == NULL);
	CHECK_STR(p.values.repo, "--json");
	CHECK_STR(p.values.tags.v[0], "-q");
	CHECK_EQ(p.values.latest, -5);
	CHECK_STR(p.values.host, "");
	CHECK(!p.values.json);
	parse_clear(&p);
}

TEST(flags_take_values_only_after_equals)
{
	struct parse p;

	parse(&p, "--json=false -q=true --json false");
	CHECK(p.e == NULL);
	CHECK(p.values.json);
	CHECK(p.values.quiet);
	CHECK_EQ(p.args.len, 1);
	CHECK_STR(p.args.v[0], "false");
	parse_clear(&p);
	parse(&p, "--json --json=0");
	CHECK(!p.values.json);
	parse_clear(&p);
}

TEST(counts_add_up_or_are_set)
{
	static const struct {
		const char *line;
		unsigned want;
	} cases[] = {{"-v", 1}, {"-vv", 2}, {"-v -v --verbose", 3}, {"--verbose=2", 2},
		{"-v=2", 2}, {"-v --verbose=1", 1}, {"", 0}};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct parse p;

		parse(&p, cases[i].line);
		CHECK_EQ(p.values.verbose, cases[i].want);
		parse_clear(&p);
	}
}

TEST(arguments_and_options_mix)
{
	struct parse p;

	parse(&p, "ls -q latest --json /a - -- -r --x");
	CHECK(p.e == NULL);
	CHECK(p.values.quiet && p.values.json);
	REQUIRE_EQ(p.args.len, 6);
	CHECK_STR(p.args.v[2], "/a");
	CHECK_STR(p.args.v[3], "-");
	CHECK_STR(p.args.v[4], "-r");
	CHECK_STR(p.args.v[5], "--x");
	CHECK(p.values.repo == NULL);
	parse_clear(&p);
}

TEST(lists_grow)
{
	struct parse p;

	parse(&p, "--tag a,b -t c --tag= -o x=1,y=2 -o \"z,w\"");
	CHECK(p.e == NULL);
	REQUIRE_EQ(p.values.tags.len, 3);
	CHECK_STR(p.values.tags.v[0], "a,b");
	CHECK_STR(p.values.tags.v[2], "");
	REQUIRE_EQ(p.values.options.len, 3);
	CHECK_STR(p.values.options.v[1], "y=2");
	CHECK_STR(p.values.options.v[2], "z,w");
	parse_clear(&p);
}

TEST(errors_name_the_option)
{
	check_fails("--nope", "unknown flag: --nope");
	check_fails("--nope=3", "unknown flag: --nope");
	check_fails("--rep x", "unknown flag: --rep");
	check_fails("-qz", "unknown shorthand flag: 'z' in -qz");
	check_fails("-v2", "unknown shorthand flag: '2' in -v2");
	check_fails("--repo", "flag needs an argument: --repo");
	check_fails("-qr", "flag needs an argument: 'r' in -qr");
	check_fails("--json=maybe",
		"invalid argument for \"--json\": \"maybe\" is not true or false");
	check_fails("-n 1x", "invalid argument for \"-n, --latest\": \"1x\" is not a number");
	check_fails("--jobs -1",
		"invalid argument for \"--jobs\": \"-1\" is not a number from 0 on");
	check_fails("--mode fast",
		"invalid argument for \"--mode\": \"fast\" is none of (auto|off=none|max)");
	check_fails("--size 1.5G", "invalid argument for \"--size\": \"1.5G\" is not a size "
				   "such as 300, 20k or 5M");
	check_fails("--wait 5", "invalid argument for \"--wait\": \"5\" is not a duration such "
				"as 90s, 5m or 1h30m");
}

TEST(deprecated_options_say_so)
{
	struct parse p;

	parse(&p, "--old");
	CHECK(p.e == NULL);
	CHECK(p.values.json);
	CHECK_STR(p.note, "Flag --old has been deprecated, use --json");
	parse_clear(&p);
}

TEST(words_have_synonyms)
{
	static const struct {
		const char *line;
		unsigned want;
	} cases[] = {
		{"--mode auto", 0}, {"--mode off", 1}, {"--mode none", 1}, {"--mode max", 2}};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct parse p;

		parse(&p, cases[i].line);
		CHECK(p.e == NULL);
		CHECK_EQ(p.values.mode, cases[i].want);
		parse_clear(&p);
	}
	check_fails("--mode auto|off",
		"invalid argument for \"--mode\": \"auto|off\" is none of "
		"(auto|off=none|max)");
}

static const char *
fake_env(const void *arg, const char *name)
{
	static const char *const env[][2] = {{"REPOSITORY", "from-env"}, {"JOBS", "7"},
		{"TAG", "e"}, {"MODE", "max"}, {"JSON", ""}};

	(void)arg;
	for (size_t i = 0; i < sizeof env / sizeof env[0]; i++)
		if (strcmp(env[i][0], name) == 0)
			return env[i][1];
	return NULL;
}

static const char *
bad_env(const void *arg, const char *name)
{
	(void)arg;
	return strcmp(name, "MODE") == 0 ? "fast" : NULL;
}

TEST(flag_beats_environment_beats_default)
{
	struct parse p;

	parse(&p, "--repo given --tag t");
	CHECK_EQ(p.values.jobs, 2);
	REQUIRE(hf_opt_env(&p.opts, 1, fake_env, NULL) == NULL);
	CHECK_STR(p.values.repo, "given");
	REQUIRE_EQ(p.values.tags.len, 1);
	CHECK_STR(p.values.tags.v[0], "t");
	CHECK_EQ(p.values.jobs, 7);
	CHECK_EQ(p.values.mode, 2);
	CHECK(!p.values.json);
	CHECK_STR(p.values.host, "here");
	parse_clear(&p);
}

TEST(wrong_environment_is_an_error_unless_overruled)
{
	struct parse p;

	parse(&p, "");
	p.e = hf_opt_env(&p.opts, 1, bad_env, NULL);
	REQUIRE(p.e != NULL);
	CHECK_STR(hf_err_text(p.e),
		"invalid value for RESTIC_MODE: \"fast\" is none of (auto|off=none|max)");
	parse_clear(&p);
	parse(&p, "--mode off");
	CHECK(hf_opt_env(&p.opts, 1, bad_env, NULL) == NULL);
	parse_clear(&p);
}

TEST(skipping_finds_the_command)
{
	static char words[7][16] = {"--unknown", "-r", "x", "-z", "ls", "--also=1", "latest"};
	char *argv[7];
	struct parse p;

	for (size_t i = 0; i < 7; i++)
		argv[i] = words[i];
	start(&p);
	p.e = hf_opt_parse(&p.opts, 1, 7, argv, true, NULL, NULL, &p.args);
	CHECK(p.e == NULL);
	REQUIRE_EQ(p.args.len, 2);
	CHECK_STR(p.args.v[0], "ls");
	parse_clear(&p);
}

TEST(durations_are_those_of_go)
{
	static const struct {
		const char *text;
		double want;
	} good[] = {{"0", 0}, {"5m", 300}, {"1h30m", 5400}, {"1.5h", 5400}, {"90s", 90},
		{"300ms", 0.3}, {"1h1m1s", 3661}, {".5s", 0.5}, {"2.s", 2}, {"-5s", -5}};
	static const char *const bad[] = {
		"", "5", "m", "5x", "1h 30m", "1..5s", "h5", "-", "5 m", "1d", "999999999h"};
	double got;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		REQUIRE(hf_duration_parse(good[i].text, &got));
		CHECK(got > good[i].want - 1e-9 && got < good[i].want + 1e-9);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (hf_duration_parse(bad[i], &got))
			FAIL("\"%s\" was accepted", bad[i]);
}

TEST(sizes_are_binary)
{
	static const struct {
		const char *text;
		uint64_t want;
	} good[] = {{"0", 0}, {"17", 17}, {"17b", 17}, {"2k", 2048}, {"3M", 3 << 20},
		{"1g", 1 << 30}, {"2T", UINT64_C(2) << 40}, {"9223372036854775807", INT64_MAX}};
	static const char *const bad[] = {"", "k", "-1", "+1", "1.5k", "1KiB", "1 k", "k1",
		"9223372036854775808", "8388608T", "99999999999999999999999999999999999"};
	uint64_t got;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		REQUIRE(hf_parse_size(good[i].text, &got));
		CHECK_EQ(got, good[i].want);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (hf_parse_size(bad[i], &got))
			FAIL("\"%s\" was accepted", bad[i]);
}

TEST(help_and_manual_come_from_the_table)
{
	hf_auto(hf_buf) help = HF_BUF_MAX(1 << 16), manual = HF_BUF_MAX(1 << 16);
	struct hf_opts opts = {table, N, NULL, NULL};

	hf_opt_help(&opts, 80, &help);
	hf_opt_scdoc(&opts, &manual);
	hf_buf_add_char(&help, '\0');
	hf_buf_add_char(&manual, '\0');
	CHECK(strstr((char *)help.p, "  -q, --quiet              say less\n") != NULL);
	CHECK(strstr((char *)help.p,
		      "      --jobs n             at once (default: $RESTIC_JOBS or 2)\n") !=
		NULL);
	CHECK(strstr((char *)help.p, "--old") == NULL);
	CHECK(strstr((char *)manual.p, "*-o*, *--option* _key=value_\n\tMore ") != NULL);
	CHECK(strstr((char *)manual.p, "$RESTIC\\_JOBS") != NULL);
	CHECK(strstr((char *)manual.p, "--old") == NULL);
	for (const char *s = (char *)help.p; *s != '\0'; s += strcspn(s, "\n") + 1)
		CHECK(strcspn(s, "\n") <= 80);
}
