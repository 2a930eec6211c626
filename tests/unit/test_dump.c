/* SPDX-License-Identifier: BSD-2-Clause */
/* Dumping files and folders; the headers of tar. */
#include "engine/dump.h"

#include <stdio.h>

#include "engine/tar.h"
#include "unit/trees.h"

/* Collects the stream, and fails or stops after some bytes. */
struct sink {
	struct hf_buf out;
	size_t fail_at;
	struct hf_stop *stop;
};

static struct hf_err *
into(void *arg, struct hf_bytes data)
{
	struct sink *s = arg;

	hf_buf_add(&s->out, data.p, data.len);
	if (s->fail_at != 0 && s->out.len >= s->fail_at)
		return hf_err(HF_EFATAL, "the pipe is full");
	if (s->stop != NULL)
		hf_stop_set(s->stop);
	return hf_buf_ok(&s->out);
}

#define SINK(s) struct sink s = {.out = HF_BUF_MAX(256 << 20)}

TEST(a_file_of_many_blobs_in_order)
{
	enum { N = 3000, KINDS = 7 };
	hf_auto(trees) f = {0};
	struct hf_id ids[N];
	char text[32];

	trees_init(&f);
	for (size_t i = 0; i < N; i++) {
		snprintf(text, sizeof text, "%zu,", i % 100 < 50 ? i : i % KINDS);
		ids[i] = trees_data(&f, text);
	}
	trees_flush(&f);
	struct hf_node n = trees_file("f", ids, N, 0);
	SINK(s);
	REQUIRE_OK(hf_dump_file(f.repo, f.ix, &n, into, &s, NULL));
	size_t at = 0;
	for (size_t i = 0; i < N; i++) {
		int len = snprintf(text, sizeof text, "%zu,", i % 100 < 50 ? i : i % KINDS);

		REQUIRE(at + (size_t)len <= s.out.len);
		REQUIRE_MEM(s.out.p + at, text, (size_t)len);
		at += (size_t)len;
	}
	CHECK_EQ(at, s.out.len);
	hf_buf_clear(&s.out);
}

/* More than may wait at once, and one blob larger than that would have to pass as well. */
TEST(large_blobs)
{
	hf_auto(trees) f = {0};
	static uint8_t block[8 << 20];
	struct hf_id ids[12];

	trees_init(&f);
	for (unsigned i = 0; i < 12; i++) {
		memset(block, (int)(i % 3), sizeof block);
		ids[i] = trees_blob(&f, block, sizeof block);
	}
	trees_flush(&f);
	struct hf_node n = trees_file("f", ids, 12, 0);
	SINK(s);
	REQUIRE_OK(hf_dump_file(f.repo, f.ix, &n, into, &s, NULL));
	REQUIRE_EQ(s.out.len, 12 * sizeof block);
	for (unsigned i = 0; i < 12; i++) {
		memset(block, (int)(i % 3), sizeof block);
		CHECK_MEM(s.out.p + i * sizeof block, block, sizeof block);
	}
	hf_buf_clear(&s.out);
}

TEST(errors_end_the_stream)
{
	hf_auto(trees) f = {0};
	struct hf_stop stop = {0};
	struct hf_id ids[2000];

	trees_init(&f);
	for (size_t i = 0; i < 2000; i++)
		ids[i] = trees_data(&f, "0123456789");
	memset(&ids[1500], 5, sizeof ids[0]);
	trees_flush(&f);
	struct hf_node n = trees_file("f", ids, 2000, 0);
	SINK(s);
	CHECK_ERR_TEXT(
		hf_dump_file(f.repo, f.ix, &n, into, &s, NULL), HF_ENOTFOUND, "data blob 0505");
	CHECK_EQ(s.out.len, 15000); /* all that comes before */
	hf_buf_reset(&s.out);
	s.fail_at = 100;
	CHECK_ERR_TEXT(hf_dump_file(f.repo, f.ix, &n, into, &s, NULL), HF_EFATAL, "pipe");
	CHECK_EQ(s.out.len, 100);
	s.fail_at = 0;
	s.stop = &stop;
	CHECK_ERR(hf_dump_file(f.repo, f.ix, &n, into, &s, &stop), HF_ECANCELED);
	hf_buf_clear(&s.out);
}

/* ---- tar ---- */

/* Checks a header's checksum as POSIX says, and returns the entry behind it. */
static const uint8_t *
check_header(const uint8_t *h, char type, const char *name, uint64_t size)
{
	unsigned sum = 0, said = 0;
	char text[256];

	CHECK_EQ(h[156], type);
	CHECK_MEM(h + 257, "ustar\00000", 8);
	if (name != NULL) {
		snprintf(text, sizeof text, "%.100s", (const char *)h);
		CHECK_STR(text, name);
	}
	snprintf(text, sizeof text, "%011llo", (unsigned long long)size);
	CHECK_MEM(h + 124, text, 12);
	for (size_t i = 0; i < HF_TAR_BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : h[i];
	REQUIRE_EQ(sscanf((const char *)h + 148, "%o", &said), 1);
	CHECK_EQ(said, sum);
	return h + HF_TAR_BLOCK + (size + 511) / 512 * 512;
}

static void
header_of(struct hf_buf *b, const char *path, const struct hf_node *n, uint64_t size)
{
	hf_buf_reset(b);
	REQUIRE_OK(hf_tar_header(
		b, &(struct hf_tar_entry){.path = path, .node = n, .size = size}));
}

TEST(plain_headers_need_no_pax)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);
	struct hf_node n = trees_file("f", NULL, 0, 0);

	n.mtime = (struct hf_time){.sec = 1767323045};
	n.uid = 1000;
	n.gid = 0;
	n.user = hf_str("alice");
	n.mode = hf_mode_from_stat(0104755);
	header_of(&b, "a/f", &n, 5);
	REQUIRE_EQ(b.len, 512);
	check_header(b.p, '0', "a/f", 5);
	CHECK_STR((const char *)b.p + 100, "0004755");
	CHECK_STR((const char *)b.p + 108, "0001750");
	CHECK_STR((const char *)b.p + 136, "15125632645");
	CHECK_STR((const char *)b.p + 265, "alice");
	n.type = HF_NODE_DIR;
	header_of(&b, "a", &n, 0);
	check_header(b.p, '5', "a/", 0);
	n.type = HF_NODE_SYMLINK;
	n.linktarget = hf_str("../x");
	header_of(&b, "a", &n, 0);
	check_header(b.p, '2', "a", 0);
	CHECK_STR((const char *)b.p + 157, "../x");
}

TEST(long_names_are_split_or_in_pax)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);
	struct hf_node n = trees_file("f", NULL, 0, 0);
	char path[400], want[450];

	n.mtime.nsec = 0;
	memset(path, 'p', 150);
	path[150] = '/';
	memset(path + 151, 'n', 100);
	path[251] = 0;
	header_of(&b, path, &n, 0);
	REQUIRE_EQ(b.len, 512);
	check_header(b.p, '0', path + 151, 0);
	CHECK_MEM(b.p + 345, path, 150);
	CHECK_EQ(b.p[345 + 150], 0);
	/* One byte more does not fit. */
	memset(path + 251, 'n', 1);
	path[252] = 0;
	header_of(&b, path, &n, 0);
	snprintf(want, sizeof want, "262 path=%s\n", path);
	REQUIRE_EQ(strlen(want), 262);
	const uint8_t *p = check_header(b.p, 'x', NULL, 262);
	CHECK_MEM(b.p + 512, want, 262);
	check_header(p, '0', NULL, 0);
	CHECK_EQ(p + 512 - b.p, (ptrdiff_t)b.len);
}

/* The length of a record counts its own digits: 9 and 10, 99 and 100 bytes. */
TEST(pax_records_count_themselves)
{
	static const struct {
		size_t value;
		const char *want;
	} v[] = {{79, "97 "}, {80, "98 "}, {81, "99 "}, {82, "101 "}, {83, "102 "}};
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);
	struct hf_node n = trees_file("f", NULL, 0, 0);
	char value[100];

	n.mtime.nsec = 0;
	memset(value, 'v', sizeof value);
	for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
		struct hf_xattr x = {{"", 0}, {(const uint8_t *)value, v[i].value}};
		unsigned len = 0;

		n.xattrs = &x;
		n.n_xattrs = 1;
		header_of(&b, "f", &n, 0);
		REQUIRE_EQ(sscanf((const char *)b.p + 512, "%u", &len), 1);
		CHECK_EQ(b.p[512 + len - 1], '\n');
		CHECK_MEM(b.p + 512, v[i].want, strlen(v[i].want));
		check_header(b.p, 'x', NULL, len);
	}
}

static void
check_pax(const struct hf_node *n, uint64_t size, const char *want)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);

	header_of(&b, "f", n, size);
	const uint8_t *p = check_header(b.p, 'x', "PaxHeaders.0/f", strlen(want));
	CHECK_MEM(b.p + 512, want, strlen(want));
	CHECK_EQ(p + 512 - b.p, (ptrdiff_t)b.len);
}

TEST(what_ustar_cannot_say)
{
	struct hf_node n = trees_file("f", NULL, 0, 0);
	struct hf_xattr x[] = {{hf_str("user.a=%"), {(const uint8_t *)"\0\n", 2}},
		{hf_str("system.posix_acl_access"),
			{(const uint8_t *)"\2\0\0\0\1\0\6\0\377\377\377\377\2\0\5\0\7\0\0\0"
					  "\4\0\4\0\377\377\377\377\20\0\4\0\377\377\377\377"
					  "\40\0\0\0\377\377\377\377",
				44}}};

	n.mtime = (struct hf_time){.sec = 5, .nsec = 120000000};
	check_pax(&n, 0, "14 mtime=5.12\n");
	n.mtime = (struct hf_time){.sec = -2, .nsec = 500000000};
	check_pax(&n, 0, "14 mtime=-1.5\n");
	n.mtime = (struct hf_time){.sec = -2};
	check_pax(&n, 0, "12 mtime=-2\n");
	n.mtime = (struct hf_time){.sec = 1};
	n.uid = UINT32_MAX;
	n.gid = 2097152;
	check_pax(&n, 0, "18 uid=4294967295\n15 gid=2097152\n");
	n.uid = n.gid = 2097151;
	n.user = hf_str("j\xc3\xbcrgen");
	check_pax(&n, 0, "17 uname=j\xc3\xbcrgen\n");
	n.user = hf_str("");
	n.xattrs = x;
	n.n_xattrs = 2;
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);
	header_of(&b, "f", &n, 0);
	static const char want[] = "32 SCHILY.xattr.user.a%3D%25=\0\n\n"
				   "75 "
				   "SCHILY.acl.access=user::rw-\nuser:7:r-x\ngroup::r--\nmask::"
				   "r--\nother::---\n\n";
	check_header(b.p, 'x', NULL, sizeof want - 1);
	CHECK_MEM(b.p + 512, want, sizeof want - 1);
}

TEST(huge_files_have_their_size_in_pax)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);
	struct hf_node n = trees_file("f", NULL, 0, 0);

	n.mtime.nsec = 0;
	header_of(&b, "f", &n, (UINT64_C(1) << 33) - 1);
	CHECK_EQ(b.len, 512);
	CHECK_STR((const char *)b.p + 124, "77777777777");
	header_of(&b, "f", &n, UINT64_C(1) << 33);
	CHECK_MEM(b.p + 512, "19 size=8589934592\n", 19);
}

TEST(a_folder_as_tar)
{
	hf_auto(trees) f = {0};
	SINK(s);

	trees_init(&f);
	struct hf_id a = trees_data(&f, "aaaa"), b = trees_data(&f, "bb");
	struct hf_id two[] = {a, b};
	struct trees_folder d = trees_folder(), root = trees_folder();
	struct hf_node n = trees_file("in", two, 2, 99 /* a lie */);
	n.mtime.nsec = 0;
	trees_add(&d, &n);
	struct hf_id id = trees_save(&f, &d);
	n = trees_dir("d", &id);
	n.mtime.nsec = 0;
	trees_add(&root, &n);
	n = trees_node("fifo", HF_NODE_FIFO, 0010600);
	trees_add(&root, &n);
	n = trees_file("z", NULL, 0, 0);
	n.mtime.nsec = 0;
	trees_add(&root, &n);
	id = trees_save(&f, &root);
	trees_flush(&f);
	REQUIRE_OK(hf_dump_tar(
		f.repo, f.ix, &id, &(struct hf_tar_options){.root = "/r"}, into, &s, NULL));
	const uint8_t *p = check_header(s.out.p, '5', "r/d/", 0);
	CHECK_MEM(p + 512, "aaaabb", 6);
	p = check_header(p, '0', "r/d/in", 6);
	p = check_header(p, '0', "r/z", 0);
	CHECK_EQ(s.out.p + s.out.len - p, 1024);
	for (const uint8_t *q = p; q < s.out.p + s.out.len; q++)
		CHECK_EQ(*q, 0);
	hf_buf_clear(&s.out);
}
