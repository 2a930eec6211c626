/* SPDX-License-Identifier: BSD-2-Clause */
/* Nodes: exact bytes as restic 0.19.1 writes them, and what it accepts when reading. */
#include "repo/node.h"

#include <stdio.h>
#include <sys/stat.h>

#include "harness/test.h"

#define TIMES                                                                                  \
	"\"mtime\":\"2026-01-02T03:04:05Z\",\"atime\":\"2026-01-02T03:04:05Z\","               \
	"\"ctime\":\"2026-01-02T03:04:05Z\""
#define ID "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

static const struct hf_time t0 = {.sec = 1767323045};

static struct hf_str
lit(const char *s, size_t n)
{
	return (struct hf_str){s, n};
}
#define LIT(s) lit(s, sizeof(s) - 1)

/* Writes `n` and compares with `want`. */
static void
check_written(const struct hf_node *n, const char *want)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);

	hf_node_add(&b, n);
	REQUIRE_OK(hf_buf_ok(&b));
	hf_buf_add_char(&b, 0);
	CHECK_STR((const char *)b.p, want);
}

/* Reads one node; NULL or an error. The store is the caller's. */
static struct hf_err *
read_node(const char *json, struct hf_node_store *s, struct hf_node *n)
{
	struct hf_json j;

	hf_json_init(&j, hf_str_bytes(hf_str(json)), &s->strings);
	hf_node_read(&j, s, n);
	return hf_json_end(&j);
}

/* The text survives reading and writing. */
static void
check_stable(const char *json)
{
	struct hf_node_store s;
	struct hf_node n;

	hf_node_store_init(&s);
	REQUIRE_OK(read_node(json, &s, &n));
	check_written(&n, json);
	hf_node_store_clear(&s);
}

static void
check_refused(const char *json)
{
	struct hf_node_store s;
	struct hf_node n;

	hf_node_store_init(&s);
	CHECK_ERR(read_node(json, &s, &n), HF_ECORRUPT);
	hf_node_store_clear(&s);
}

TEST(file_as_restic)
{
	struct hf_id id;
	struct hf_node n = {.name = LIT("hello"),
		.type = HF_NODE_FILE,
		.mode = 0644,
		.mtime = t0,
		.atime = t0,
		.ctime = t0,
		.size = 6,
		.content = &id,
		.n_content = 1,
		.has_content = true};

	REQUIRE(hf_id_parse(LIT(ID), &id));
	check_written(&n, "{\"name\":\"hello\",\"type\":\"file\",\"mode\":420," TIMES
			  ",\"uid\":0,\"gid\":0,\"size\":6,\"content\":[\"" ID "\"]}");
	n.n_content = 0;
	n.size = 0;
	n.mode = 0;
	check_written(&n, "{\"name\":\"hello\",\"type\":\"file\"," TIMES
			  ",\"uid\":0,\"gid\":0,\"content\":[]}");
}

TEST(all_fields_in_order)
{
	struct hf_xattr x[] = {
		{LIT("user.a<b"), {(const uint8_t *)"\0\1\2", 3}}, {LIT("user.e"), {NULL, 0}}};
	struct hf_node n = {.name = LIT("n"),
		.type = HF_NODE_SYMLINK,
		.mode = hf_mode_from_stat(S_IFLNK | 0777),
		.mtime = {.sec = 1767323045, .nsec = 123456000, .zone_s = 3600},
		.atime = t0,
		.ctime = {.sec = 1767323045, .nsec = 123456000, .zone_s = 3600},
		.uid = 4294967295,
		.gid = 1,
		.user = LIT("ü&"),
		.group = LIT("wheel"),
		.inode = UINT64_MAX,
		.device_id = 2,
		.size = 3,
		.links = 4,
		.linktarget = LIT("a\xff/b\""),
		.xattrs = x,
		.n_xattrs = 2,
		.generic_attributes = LIT("{\"windows.file_attributes\":32}"),
		.device = 5,
		.has_subtree = true,
		.error = LIT("e")};

	memset(n.subtree.b, 0xab, HF_ID_LEN);
	check_written(&n,
		"{\"name\":\"n\",\"type\":\"symlink\",\"mode\":134218239,"
		"\"mtime\":\"2026-01-02T04:04:05.123456+01:00\","
		"\"atime\":\"2026-01-02T03:04:05Z\","
		"\"ctime\":\"2026-01-02T04:04:05.123456+01:00\","
		"\"uid\":4294967295,\"gid\":1,\"user\":\"ü\\u0026\",\"group\":\"wheel\","
		"\"inode\":18446744073709551615,\"device_id\":2,\"size\":3,\"links\":4,"
		"\"linktarget\":\"a\\ufffd/b\\\"\",\"linktarget_raw\":\"Yf8vYiI=\","
		"\"extended_attributes\":[{\"name\":\"user.a\\u003cb\",\"value\":\"AAEC\"},"
		"{\"name\":\"user.e\",\"value\":\"\"}],"
		"\"generic_attributes\":{\"windows.file_attributes\":32},\"device\":5,"
		"\"content\":null,"
		"\"subtree\":"
		"\"abababababababababababababababababababababababababababababababab\","
		"\"error\":\"e\"}");
}

/* What restic 0.19.1 wrote for these names. */
TEST(names_as_restic)
{
	static const struct {
		const char *raw, *json;
	} v[] = {
		{"a\001b", "\"a\\\\x01b\""},
		{"a\tb\vc", "\"a\\\\tb\\\\vc\""},
		{"a\nb", "\"a\\\\nb\""},
		{"a\"b", "\"a\\\\\\\"b\""},
		{"a'b", "\"a'b\""},
		{"a<&>b", "\"a\\u003c\\u0026\\u003eb\""},
		{"a\\b", "\"a\\\\\\\\b\""},
		{"a\177b", "\"a\\\\x7fb\""},
		{"a\377b", "\"a\\\\xffb\""},
		{"\xc2\xa0x", "\"\\\\u00a0x\""},
		{"\xc2\xadz", "\"\\\\u00adz\""},
		{"\xc3\xa4", "\"\xc3\xa4\""},
		{"\xe2\x80\xa8", "\"\\\\u2028\""},
		{"\xed\xa0\x80", "\"\\\\xed\\\\xa0\\\\x80\""},
		{"\xef\xbf\xbd", "\"\xef\xbf\xbd\""},
		{"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
		{"\xf3\xa0\x80\x81", "\"\\\\U000e0001\""},
	};

	for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
		struct hf_node n = {.name = hf_str(v[i].raw),
			.type = HF_NODE_FIFO,
			.mtime = t0,
			.atime = t0,
			.ctime = t0};
		struct hf_node_store s;
		hf_auto(hf_buf) want = HF_BUF_MAX(4096);

		hf_buf_add_str(&want, "{\"name\":");
		hf_buf_add_str(&want, v[i].json);
		hf_buf_add_str(&want,
			",\"type\":\"fifo\"," TIMES ",\"uid\":0,\"gid\":0,\"content\":null}");
		hf_buf_add_char(&want, 0);
		check_written(&n, (const char *)want.p);

		struct hf_node back;
		hf_node_store_init(&s);
		REQUIRE_OK(read_node((const char *)want.p, &s, &back));
		CHECK_EQ(back.name.len, strlen(v[i].raw));
		CHECK(hf_str_eq(back.name, hf_str(v[i].raw)));
		hf_node_store_clear(&s);
	}
}

TEST(reading_and_writing_is_stable)
{
	check_stable("{\"name\":\"d\",\"type\":\"dir\",\"mode\":2148532735," TIMES
		     ",\"uid\":0,\"gid\":0,\"user\":\"root\",\"inode\":247066,"
		     "\"device_id\":65024,\"content\":null,\"subtree\":\"" ID "\"}");
	check_stable("{\"name\":\"f\",\"type\":\"file\"," TIMES
		     ",\"uid\":0,\"gid\":0,\"links\":1,\"extended_attributes\":["
		     "{\"name\":\"user.ä\\\"\",\"value\":\"eA==\"},"
		     "{\"name\":\"user.b\",\"value\":\"\"}],"
		     "\"generic_attributes\":{\"a\":[1, {\"b\":null}],\"c\":\"\\u00e4\"},"
		     "\"content\":[\"" ID "\",\"" ID "\"]}");
	check_stable("{\"name\":\"l\",\"type\":\"symlink\"," TIMES
		     ",\"uid\":0,\"gid\":0,\"linktarget\":\"x\\ufffd\","
		     "\"linktarget_raw\":\"eP8=\",\"content\":null}");
	check_stable("{\"name\":\"a\\\\xff\\\\n\",\"type\":\"chardev\"," TIMES
		     ",\"uid\":0,\"gid\":0,\"user\":\"\\\"\\n\",\"group\":\"\\\\\","
		     "\"device\":259,\"content\":null,\"error\":\"\\u003c\"}");
}

TEST(tolerant_where_restic_is)
{
	struct hf_node_store s;
	struct hf_node n;

	hf_node_store_init(&s);
	REQUIRE_OK(read_node(" { \"SIZE\" : 7 , \"unknown\":[{}], \"Type\":\"file\",\n"
			     "\"uid\":null,\"name\":\"x\\u00e4\\\\u00e4\",\"size\":8,"
			     "\"content\":[],\"subtree\":null,\"extended_attributes\":null,"
			     "\"generic_attributes\":{},\"mtime\":null } ",
		&s, &n));
	CHECK_EQ(n.size, 8);
	CHECK_EQ(n.type, HF_NODE_FILE);
	CHECK_EQ(n.uid, 0);
	CHECK(hf_str_is(n.name, "xää"));
	CHECK(n.has_content);
	CHECK_EQ(n.n_content, 0);
	CHECK(!n.has_subtree);
	CHECK_EQ(n.n_xattrs, 0);
	CHECK_EQ(n.generic_attributes.len, 0);
	CHECK(hf_time_is_zero(&n.mtime));
	REQUIRE_OK(read_node("{\"name\":\"y\",\"type\":\"door\"}", &s, &n));
	CHECK_EQ(n.type, HF_NODE_INVALID);
	CHECK(!n.has_content);
	CHECK_EQ(n.size, 0);
	hf_node_store_clear(&s);
}

TEST(refuses_what_restic_refuses)
{
	check_refused("{\"name\":\"a\\\\qb\"}");
	check_refused("{\"name\":\"a\\\\'b\"}");
	check_refused("{\"name\":\"a\\\"b\"}");
	check_refused("{\"name\":\"a\\nb\"}");
	check_refused("{\"name\":\"a\",\"uid\":-1}");
	check_refused("{\"name\":\"a\",\"uid\":1.5}");
	check_refused("{\"name\":\"a\",\"mode\":4294967296}");
	check_refused("{\"name\":\"a\",\"mtime\":\"yesterday\"}");
	check_refused("{\"name\":\"a\",\"content\":[\"1234\"]}");
	check_refused("{\"name\":\"a\",\"content\":[null]}");
	check_refused("{\"name\":\"a\",\"generic_attributes\":[]}");
	check_refused("{\"name\":\"a\",\"linktarget_raw\":\"***\"}");
	check_refused("[]");
	check_refused("null");
	check_refused("{\"name\":\"a\"");
}

/* Strings and attributes lie in buffers that move while the node is read. */
TEST(many_escaped_strings_survive_growth)
{
	hf_auto(hf_buf) in = HF_BUF_MAX(16 << 20);
	struct hf_node_store s;
	struct hf_node n;

	hf_buf_add_str(&in,
		"{\"name\":\"\\\\x00name\",\"user\":\"\\\"u\",\"linktarget\":\"\\\\l\","
		"\"extended_attributes\":[");
	for (int i = 0; i < 20000; i++)
		hf_buf_addf(
			&in, "%s{\"name\":\"\\u003c%d\",\"value\":\"AAAA\"}", i ? "," : "", i);
	hf_buf_add_str(&in, "],\"group\":\"\\tg\"}");
	hf_buf_add_char(&in, 0);
	hf_node_store_init(&s);
	REQUIRE_OK(read_node((const char *)in.p, &s, &n));
	CHECK(hf_str_eq(n.name, LIT("\0name")));
	CHECK(hf_str_is(n.user, "\"u"));
	CHECK(hf_str_is(n.group, "\tg"));
	CHECK(hf_str_is(n.linktarget, "\\l"));
	REQUIRE_EQ(n.n_xattrs, 20000);
	for (int i = 0; i < 20000; i++) {
		char want[16];

		snprintf(want, sizeof want, "<%d", i);
		CHECK(hf_str_is(n.xattrs[i].name, want));
		REQUIRE_EQ(n.xattrs[i].value.len, 3);
		CHECK_MEM(n.xattrs[i].value.p, "\0\0\0", 3);
	}
	hf_node_store_clear(&s);
}

TEST(modes)
{
	static const struct {
		mode_t st;
		uint32_t go;
		const char *text;
	} v[] = {
		{S_IFDIR | 0755, 2147484141, "drwxr-xr-x"},
		{S_IFDIR | 01777, 2148532735, "dtrwxrwxrwx"},
		{S_IFDIR | 02755, 2151678445, "dgrwxr-xr-x"},
		{S_IFLNK | 0777, 134218239, "Lrwxrwxrwx"},
		{S_IFIFO | 0640, 33554848, "prw-r-----"},
		{S_IFBLK | 0600, 67109248, "Drw-------"},
		{S_IFCHR | 0600, 69206400, "Dcrw-------"},
		{S_IFREG | 04755, 8389101, "urwxr-xr-x"},
		{S_IFREG | 0644, 420, "-rw-r--r--"},
		{S_IFSOCK | 0755, 16777709, "Srwxr-xr-x"},
	};

	for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
		CHECK_EQ(hf_mode_from_stat(v[i].st), v[i].go);
		CHECK_EQ(hf_mode_perm(v[i].go), v[i].st & 07777);
		CHECK_STR(hf_mode_text(v[i].go).s, v[i].text);
	}
	CHECK_STR(hf_mode_text(UINT32_MAX).s, "dalTLDpSugct?rwxrwxrwx");
}
