/* SPDX-License-Identifier: BSD-2-Clause */
/* Snapshots: the JSON, what is accepted, filters, and finding one or many. */
#include "repo/snapshot.h"

#include <stdio.h>

#include "harness/test.h"
#include "store/mem.h"
#include "unit/handmade.h"

#define TREE   "375d84e8444d4d271426ad13c0fc7f5e3b2739f5c20be86fec8a2b56d77a67d7"
#define PARENT "5ae2e60a79a2b1d4f16b8b3b6357420818f03800bbc59e592f2c045f2c0c66e6"

static struct hf_snapshot *
parse(const char *json)
{
	struct hf_snapshot *s;

	REQUIRE_OK(hf_snapshot_parse(hf_str_bytes(hf_str(json)), &s));
	return s;
}

/* Reads `json` and writes it again. */
static void
check_written(const char *json, const char *want)
{
	hf_autoptr(hf_snapshot) s = parse(json);
	hf_auto(hf_buf) out = HF_BUF_MAX(1 << 16);
	struct hf_jout o = {.buf = &out};

	hf_jout_object(&o);
	hf_snapshot_fields(&o, s);
	hf_jout_object_end(&o);
	hf_buf_add(&out, "", 1);
	CHECK_STR((const char *)out.p, want);
}

/* All fields, as restic 0.19 writes them. */
static const char full[] =
	"{\"time\":\"2026-01-02T03:04:05.123456789+05:30\",\"parent\":\"" PARENT
	"\",\"tree\":\"" TREE "\",\"paths\":[\"/hello\",\"/a \\u003c\\u0026\\u003e\"],"
	"\"hostname\":\"h\",\"username\":\"u\",\"uid\":1000,\"gid\":100,"
	"\"excludes\":[\"*.o\"],\"tags\":[\"t1\",\"t2\"],\"original\":\"" PARENT
	"\",\"program_version\":\"restic 0.19.1\",\"summary\":{"
	"\"backup_start\":\"2026-01-02T03:04:05Z\",\"backup_end\":\"2026-01-02T03:04:06.5Z\","
	"\"files_new\":1,\"files_changed\":2,\"files_unmodified\":3,\"dirs_new\":4,"
	"\"dirs_changed\":5,\"dirs_unmodified\":6,\"data_blobs\":7,\"tree_blobs\":8,"
	"\"data_added\":9,\"data_added_packed\":10,\"total_files_processed\":11,"
	"\"total_bytes_processed\":18446744073709551615}}";

TEST(json_in_both_directions)
{
	hf_autoptr(hf_snapshot) s = parse(full);

	check_written(full, full);
	CHECK_EQ(s->uid, 1000);
	CHECK_EQ(s->time.zone_s, 19800);
	CHECK_EQ(s->paths.len, 2);
	CHECK_STR(s->paths.v[1], "/a <&>");
	CHECK(s->has_summary);
	CHECK_EQ(s->summary.dirs_unmodified, 6);

	/* the snapshot of the format notes */
	check_written("{\"time\":\"2026-01-02T03:04:05Z\",\"tree\":\"" TREE
		      "\",\"paths\":[\"/hello\"],\"hostname\":\"h\"}",
		"{\"time\":\"2026-01-02T03:04:05Z\",\"tree\":\"" TREE
		"\",\"paths\":[\"/hello\"],\"hostname\":\"h\"}");
}

TEST(what_may_be_missing_or_new)
{
	check_written("{}", "{\"time\":\"0001-01-01T00:00:00Z\",\"tree\":null,\"paths\":[]}");
	check_written("{\"time\":null,\"parent\":null,\"tree\":null,\"paths\":null,"
		      "\"hostname\":null,\"uid\":null,\"tags\":null,\"excludes\":null,"
		      "\"original\":null,\"program_version\":null,\"summary\":null}",
		"{\"time\":\"0001-01-01T00:00:00Z\",\"tree\":null,\"paths\":[]}");
	/* other cases, what rustic adds, a field that is there twice */
	check_written("{\"TREE\":\"" TREE "\",\"Paths\":[\"/x\",\"/y\"],\"paths\":[\"/z\"],"
		      "\"label\":\"l\",\"delete\":{\"After\":\"x\"},\"summary\":{"
		      "\"command\":\"c\",\"backup_duration\":0.5,\"files_new\":3}}",
		"{\"time\":\"0001-01-01T00:00:00Z\",\"tree\":\"" TREE
		"\",\"paths\":[\"/z\"],\"summary\":{"
		"\"backup_start\":\"0001-01-01T00:00:00Z\",\"backup_end\":"
		"\"0001-01-01T00:00:00Z\",\"files_new\":3,\"files_changed\":0,"
		"\"files_unmodified\":0,\"dirs_new\":0,\"dirs_changed\":0,"
		"\"dirs_unmodified\":0,\"data_blobs\":0,\"tree_blobs\":0,\"data_added\":0,"
		"\"data_added_packed\":0,\"total_files_processed\":0,"
		"\"total_bytes_processed\":0}}");
	/* bytes that are no UTF-8 become U+FFFD, which is longer */
	check_written("{\"hostname\":\"\xff\xff\xff\xff\xff\xff\xff\xff\"}",
		"{\"time\":\"0001-01-01T00:00:00Z\",\"tree\":null,\"paths\":[],\"hostname\":"
		"\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
		"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}");
}

TEST(what_is_refused)
{
	static const char *const bad[] = {
		"",
		"{",
		"{} {}",
		"[]",
		"{\"time\":\"yesterday\"}",
		"{\"time\":1}",
		"{\"uid\":-1}",
		"{\"uid\":4294967296}",
		"{\"gid\":1.0}",
		"{\"tree\":\"\"}",
		"{\"tree\":\"375d84\"}",
		"{\"parent\":7}",
		"{\"paths\":\"/x\"}",
		"{\"paths\":[1]}",
		"{\"paths\":[\"a\\u0000b\"]}",
		"{\"hostname\":\"a\\u0000b\"}",
		"{\"summary\":[]}",
		"{\"summary\":{\"files_new\":\"1\"}}",
	};
	struct hf_snapshot *s;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK_ERR(hf_snapshot_parse(hf_str_bytes(hf_str(bad[i])), &s), HF_ECORRUPT);
}

static void
add_all(struct hf_strings *l, const char *text)
{
	hf_strings_clear(l);
	for (; text != NULL && *text != '\0'; text += strcspn(text, "|"), text += *text == '|')
		hf_strings_add_str(l, (struct hf_str){text, strcspn(text, "|")});
}

TEST(filters)
{
	hf_autoptr(hf_snapshot) s =
		parse("{\"time\":\"2026-01-02T03:04:05Z\",\"paths\":[\"/a\",\"/b\"],"
		      "\"hostname\":\"h\",\"tags\":[\"x\",\"y\"]}");
	hf_autoptr(hf_snapshot) untagged = parse("{\"hostname\":\"h\"}");
	hf_auto(hf_snapshot_filter) f = {0};
	const struct {
		const char *hosts, *tags, *paths;
		bool matches;
	} cases[] = {
		{"", "", "", true},
		{"h", "", "", true},
		{"g|h", "", "", true},
		{"g", "", "", false},
		{"H", "", "", false},
		{"", "x", "", true},
		{"", "x,y", "", true},
		{"", " y , x ", "", true},
		{"", "x,z", "", false},
		{"", "z|y", "", true},
		{"", ",", "", false},
		{"", "x,", "", false},
		{"", "", "/a", true},
		{"", "", "/b|/a", true},
		{"", "", "/a|/c", false},
		{"", "", "/a/", false},
		{"h", "x", "/a", true},
		{"g", "x", "/a", false},
		{"h", "z", "/a", false},
		{"h", "x", "/c", false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		add_all(&f.hosts, cases[i].hosts);
		add_all(&f.tags, cases[i].tags);
		add_all(&f.paths, cases[i].paths);
		CHECK_EQ(hf_snapshot_matches(s, &f), cases[i].matches);
	}
	hf_snapshot_filter_clear(&f);
	hf_strings_add(&f.tags, "");
	CHECK(!hf_snapshot_matches(s, &f));
	CHECK(hf_snapshot_matches(untagged, &f));
	hf_snapshot_filter_clear(&f);
	f.has_until = true;
	f.until = s->time;
	CHECK(hf_snapshot_matches(s, &f));
	f.until.sec--;
	CHECK(!hf_snapshot_matches(s, &f));
}

static struct hf_id
save(struct hf_repo *repo, int64_t sec, const char *host, const char *tag)
{
	hf_autoptr(hf_snapshot) s = hf_snapshot_new();

	s->time.sec = sec;
	free(s->hostname);
	s->hostname = hf_str_dup(hf_str(host));
	hf_strings_add(&s->paths, "/p");
	if (tag != NULL)
		hf_strings_add(&s->tags, tag);
	REQUIRE_OK(hf_snapshot_save(repo, s));
	return s->id;
}

/* Stores a snapshot file that is none. */
static struct hf_id
save_junk(struct hf_repo *repo)
{
	struct hf_id id;

	REQUIRE_OK(hf_repo_save(repo, HF_SNAPSHOT, hf_str_bytes(hf_str("{\"uid\":-1}")), &id));
	return id;
}

/* What was said of bad snapshots: "what: text\n" each. */
static void
note_bad(void *arg, const char *what, struct hf_err *e)
{
	hf_buf_addf(arg, "%s: %s\n", what, hf_err_text(e));
	hf_err_free(e);
}

TEST(loading_all)
{
	hf_autoptr(hf_repo) repo = made_repo(hf_store_mem(), 2);
	hf_auto(hf_snapshots) all = {0};
	hf_auto(hf_snapshot_filter) f = {0};
	hf_auto(hf_buf) said = HF_BUF_MAX(1 << 16);

	REQUIRE_OK(hf_snapshots_load(repo, NULL, NULL, NULL, &all));
	CHECK_EQ(all.len, 0);
	hf_snapshots_clear(&all);
	for (int i = 0; i < 100; i++)
		save(repo, 1000 + i * 37 % 100, i % 2 == 0 ? "even" : "odd", NULL);
	REQUIRE_OK(hf_snapshots_load(repo, NULL, NULL, NULL, &all));
	REQUIRE_EQ(all.len, 100);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(all.v[i]->time.sec, 1000 + i);
	hf_snapshots_clear(&all);

	hf_strings_add(&f.hosts, "odd");
	struct hf_id junk = save_junk(repo);
	CHECK_ERR_TEXT(
		hf_snapshots_load(repo, &f, NULL, NULL, &all), HF_ECORRUPT, "load snapshot");
	REQUIRE_OK(hf_snapshots_load(repo, &f, note_bad, &said, &all));
	CHECK_EQ(all.len, 50);
	CHECK(said.len > 64 && memcmp(said.p, hf_id_hex(&junk).s, 64) == 0);
}

/* A store in which the next snapshot that is read is not found, and perhaps gone indeed. */
static struct {
	struct hf_store_ops real, ours;
	atomic_bool is_armed, is_gone;
} missing;

static struct hf_err *
get_missing(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	if (name->kind != HF_SNAPSHOT || !atomic_exchange(&missing.is_armed, false))
		return missing.real.get(s, name, off, len, out);
	if (atomic_load(&missing.is_gone))
		hf_err_free(missing.real.del(s, name));
	return hf_err(HF_ENOTFOUND, "no such file");
}

TEST(only_snapshots_that_vanish_are_passed_over)
{
	struct hf_store *store = hf_store_mem();
	hf_auto(hf_snapshots) all = {0};
	hf_auto(hf_buf) said = HF_BUF_MAX(1 << 16);

	missing.real = missing.ours = *store->ops;
	missing.ours.get = get_missing;
	store->ops = &missing.ours;
	hf_autoptr(hf_repo) repo = made_repo(store, 2);
	for (int i = 0; i < 3; i++)
		save(repo, i, "h", NULL);
	atomic_store(&missing.is_armed, true);
	CHECK_ERR_TEXT(hf_snapshots_load(repo, NULL, NULL, NULL, &all), HF_EIO,
		"is listed, but cannot be found");
	atomic_store(&missing.is_armed, true);
	REQUIRE_OK(hf_snapshots_load(repo, NULL, note_bad, &said, &all));
	CHECK_EQ(all.len, 2);
	CHECK(said.len > 64);
	hf_snapshots_clear(&all);
	/* A list that lags tells nothing. */
	atomic_fetch_and(&store->promises, ~(unsigned)HF_LISTS_AT_ONCE);
	atomic_store(&missing.is_armed, true);
	REQUIRE_OK(hf_snapshots_load(repo, NULL, NULL, NULL, &all));
	CHECK_EQ(all.len, 2);
	hf_snapshots_clear(&all);
	atomic_fetch_or(&store->promises, HF_LISTS_AT_ONCE);
	atomic_store(&missing.is_gone, true);
	atomic_store(&missing.is_armed, true);
	REQUIRE_OK(hf_snapshots_load(repo, NULL, NULL, NULL, &all));
	CHECK_EQ(all.len, 2);
}

TEST(finding_one)
{
	hf_autoptr(hf_repo) repo = made_repo(hf_store_mem(), 2);
	hf_auto(hf_snapshot_filter) f = {0};
	struct hf_id old = save(repo, 1000, "a", "x"), new = save(repo, 2000, "b", NULL);
	char text[100];

	const struct {
		const char *prefix, *suffix, *subfolder;
	} cases[] = {{"%.64s", "", NULL}, {"%.20s", "", NULL}, {"%.64s", ":", NULL},
		{"%.20s", ":/a/b", "/a/b"}, {"%.64s", ":x:y", "x:y"}};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		hf_autoptr(hf_snapshot) s = NULL;
		hf_autofree char *subfolder = NULL;

		int digits = cases[i].prefix[2] == '6' ? 64 : 20;
		snprintf(text, sizeof text, "%.*s%s", digits, hf_id_hex(&old).s,
			cases[i].suffix);
		REQUIRE_OK(hf_snapshot_find(repo, text, &f, &s, &subfolder));
		CHECK(hf_id_eq(&s->id, &old));
		CHECK_STR(subfolder, cases[i].subfolder);
	}

	struct hf_snapshot *s;
	char *subfolder;
	REQUIRE_OK(hf_snapshot_find(repo, "latest", NULL, &s, &subfolder));
	CHECK(hf_id_eq(&s->id, &new));
	hf_snapshot_free(s);
	hf_strings_add(&f.hosts, "a");
	REQUIRE_OK(hf_snapshot_find(repo, "latest:sub", &f, &s, &subfolder));
	CHECK(hf_id_eq(&s->id, &old));
	CHECK_STR(subfolder, "sub");
	free(subfolder);
	hf_snapshot_free(s);

	hf_strings_add(&f.hosts, "c d");
	hf_strings_add(&f.tags, "x,y");
	hf_strings_add(&f.tags, "z");
	hf_strings_add(&f.paths, "/p");
	hf_strings_add(&f.paths, "/q");
	CHECK_ERR_TEXT(hf_snapshot_find(repo, "latest", &f, &s, &subfolder), HF_ENOTFOUND,
		"snapshot filter (Paths:[/p /q] Tags:[[x, y] [z]] Hosts:[a c d]): "
		"no snapshot found");
	CHECK_ERR_TEXT(hf_snapshot_find(repo, "nonsense", &f, &s, &subfolder), HF_ENOTFOUND,
		"no matching ID found for prefix \"nonsense\"");
	CHECK_ERR_TEXT(
		hf_snapshot_find(repo, TREE, &f, &s, &subfolder), HF_ENOTFOUND, "375d84e8");
	CHECK_ERR(hf_snapshot_find(repo, "", &f, &s, &subfolder), HF_ENOTFOUND);
}

TEST(selecting_several)
{
	hf_autoptr(hf_repo) repo = made_repo(hf_store_mem(), 2);
	hf_auto(hf_snapshot_filter) f = {0};
	hf_auto(hf_snapshots) got = {0};
	hf_auto(hf_strings) texts = {0};
	hf_auto(hf_buf) said = HF_BUF_MAX(1 << 16);
	struct hf_id a = save(repo, 1000, "a", NULL), b = save(repo, 2000, "b", NULL);
	struct hf_id c = save(repo, 3000, "c", NULL);

	REQUIRE_OK(hf_snapshots_select(repo, &texts, NULL, NULL, NULL, &got));
	CHECK_EQ(got.len, 3);
	hf_snapshots_clear(&got);

	/* In the order of the texts, each once. */
	hf_strings_add(&texts, hf_id_hex(&c).s);
	hf_strings_add(&texts, "nope");
	hf_strings_add_str(&texts, (struct hf_str){hf_id_hex(&a).s, 20});
	hf_strings_add(&texts, "latest");
	hf_strings_add(&texts, "latest:x");
	hf_strings_add(&texts, hf_id_hex(&a).s);
	REQUIRE_OK(hf_snapshots_select(repo, &texts, NULL, note_bad, &said, &got));
	REQUIRE_EQ(got.len, 2);
	CHECK(hf_id_eq(&got.v[0]->id, &c));
	CHECK(hf_id_eq(&got.v[1]->id, &a));
	hf_buf_add(&said, "", 1);
	CHECK_STR((const char *)said.p,
		"nope: no matching ID found for prefix \"nope\"\n"
		"latest:x: <snapshot>:<subfolder> syntax not allowed\n");
	hf_snapshots_clear(&got);
	CHECK_ERR(hf_snapshots_select(repo, &texts, NULL, NULL, NULL, &got), HF_ENOTFOUND);

	/* The filter is for "latest". */
	hf_strings_clear(&texts);
	hf_buf_reset(&said);
	hf_strings_add(&f.hosts, "b");
	hf_strings_add(&texts, hf_id_hex(&a).s);
	REQUIRE_OK(hf_snapshots_select(repo, &texts, &f, note_bad, &said, &got));
	CHECK_EQ(got.len, 1);
	hf_buf_add(&said, "", 1);
	CHECK_STR((const char *)said.p, "filters: explicit snapshot ids are given\n");
	hf_snapshots_clear(&got);
	hf_strings_add(&texts, "latest");
	REQUIRE_OK(hf_snapshots_select(repo, &texts, &f, NULL, NULL, &got));
	REQUIRE_EQ(got.len, 2);
	CHECK(hf_id_eq(&got.v[1]->id, &b));
	hf_snapshots_clear(&got);
	hf_strings_clear(&f.hosts);
	hf_strings_add(&f.hosts, "nowhere");
	CHECK_ERR_TEXT(hf_snapshots_select(repo, &texts, &f, NULL, NULL, &got), HF_ENOTFOUND,
		"no snapshot matched given filter (Paths:[] Tags:[] Hosts:[nowhere])");
}

TEST(lists_of_strings)
{
	hf_auto(hf_strings) a = {0};
	hf_auto(hf_strings) b = {0};

	for (int i = 0; i < 20; i++)
		hf_strings_add(&a, i % 3 == 0 ? "x" : i % 3 == 1 ? "y" : "z");
	hf_strings_copy(&a, &b);
	CHECK_EQ(b.len, 20);
	CHECK(hf_strings_remove(&b, "x"));
	CHECK(!hf_strings_remove(&b, "x"));
	CHECK_EQ(b.len, 13);
	CHECK_STR(b.v[0], "y");
	CHECK_STR(b.v[1], "z");
	CHECK(hf_strings_has(&a, "x"));
	CHECK(!hf_strings_has(&b, "x"));
}
