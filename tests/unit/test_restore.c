/* SPDX-License-Identifier: BSD-2-Clause */
/* Restore: trees made by hand, restored to real folders and looked at there. */
#include "engine/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/io.h"
#include "store/call.h"
#include "store/sema.h"
#include "store/trace.h"
#include "unit/trees.h"

/* A repository, a target, and what a run said. */
struct rig {
	struct trees t;
	char target[512], outside[512];
	struct hf_restore_options opt;
	pthread_mutex_t lock;
	struct hf_buf log;    /* items: "+/path " new, "~" updated, "=" unchanged, ... */
	struct hf_buf errors; /* "/path: text\n" */
	uint64_t n_errors;
	struct {
		uint64_t files, bytes, restored, bytes_restored, skipped, bytes_skipped,
			deleted;
	} sum;
};

static void
rig_init_in(struct rig *g, struct hf_store *store)
{
	trees_init_in(&g->t, store);
	snprintf(g->target, sizeof g->target, "%s/target", test_tmpdir());
	snprintf(g->outside, sizeof g->outside, "%s/outside", test_tmpdir());
	REQUIRE_EQ(mkdir(g->outside, 0755), 0);
	g->opt.target = g->target;
	pthread_mutex_init(&g->lock, NULL);
	g->log = (struct hf_buf)HF_BUF_MAX(64 << 20);
	g->errors = (struct hf_buf)HF_BUF_MAX(64 << 20);
}

static void
rig_init(struct rig *g)
{
	rig_init_in(g, hf_store_mem());
}

static void
rig_clear(struct rig *g)
{
	trees_clear(&g->t);
	hf_buf_clear(&g->log);
	hf_buf_clear(&g->errors);
}

static void
on_error(void *arg, const char *path, const struct hf_err *e)
{
	struct rig *g = arg;

	pthread_mutex_lock(&g->lock);
	hf_buf_addf(&g->errors, "%s: %s\n", path, hf_err_text(e));
	pthread_mutex_unlock(&g->lock);
}

static void
on_item(void *arg, enum hf_restore_action action, const char *path, uint64_t size)
{
	struct rig *g = arg;

	(void)size;
	pthread_mutex_lock(&g->lock);
	hf_buf_addf(&g->log, "%c%s ", "d+~=o-"[action], path);
	pthread_mutex_unlock(&g->lock);
}

static const char *
text_of(struct hf_buf *b)
{
	hf_buf_add_char(b, 0);
	b->len--;
	return (const char *)b->p;
}

static bool
said(struct rig *g, const char *what)
{
	return strstr(text_of(&g->log), what) != NULL;
}

/* Restores, verifying on demand; the log and the figures are those of this run. */
static struct hf_err *
rig_run(struct rig *g, const struct hf_id *tree)
{
	struct hf_restore_events ev = {.arg = g, .error = on_error, .item = on_item};
	hf_autoptr(hf_restore) r = hf_restore_new(g->t.repo, g->t.ix, &g->opt, &ev);
	const struct hf_restore_progress *p = hf_restore_progress(r);

	hf_buf_reset(&g->log);
	hf_buf_reset(&g->errors);
	struct hf_err *e = hf_restore_run(r, tree);

	if (e == NULL && g->opt.can_verify) {
		e = hf_restore_verify(r, tree);
		if (atomic_load(&p->errors) == 0)
			CHECK_EQ(atomic_load(&p->files_verified),
				atomic_load(&p->files_to_verify));
	}
	g->n_errors = atomic_load(&p->errors);
	g->sum.files = atomic_load(&p->total_files);
	g->sum.bytes = atomic_load(&p->total_bytes);
	g->sum.restored = atomic_load(&p->files_restored);
	g->sum.bytes_restored = atomic_load(&p->bytes_restored);
	g->sum.skipped = atomic_load(&p->files_skipped);
	g->sum.bytes_skipped = atomic_load(&p->bytes_skipped);
	g->sum.deleted = atomic_load(&p->files_deleted);
	return e;
}

/* Restores without an error. */
static void
rig_good(struct rig *g, const struct hf_id *tree)
{
	REQUIRE_OK(rig_run(g, tree));
	CHECK_EQ(g->n_errors, 0);
	CHECK_STR(text_of(&g->errors), "");
}

static const char *
in_target(struct rig *g, const char *name)
{
	static char p[4][8192];
	static unsigned i;
	char *s = p[i++ % 4];

	snprintf(s, sizeof p[0], "%s/%s", g->target, name);
	return s;
}

static struct stat
look(struct rig *g, const char *name)
{
	struct stat st = {0};

	if (lstat(in_target(g, name), &st) != 0)
		st.st_mode = 0;
	return st;
}

static void
check_content(const char *path, const char *want)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);

	REQUIRE_OK(hf_read_file(path, &b));
	hf_buf_add_char(&b, 0);
	CHECK_STR((const char *)b.p, want);
}

static void
put_file(const char *path, const char *content)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);

	REQUIRE(fd >= 0);
	REQUIRE_OK(hf_write_full(fd, content, strlen(content)));
	close(fd);
}

/* One file "f" with this content. */
static struct hf_id
tree_of_file(struct rig *g, const char *content)
{
	struct trees_folder d = trees_folder();
	struct hf_id id = trees_data(&g->t, content);
	struct hf_node n = trees_file("f", &id, 1, strlen(content));

	trees_add(&d, &n);
	id = trees_save(&g->t, &d);
	trees_flush(&g->t);
	return id;
}

static struct hf_id
tree_in(struct rig *g, const char *name, const struct hf_id *sub)
{
	struct trees_folder d = trees_folder();
	struct hf_node n = trees_dir(name, sub);

	trees_add(&d, &n);
	struct hf_id id = trees_save(&g->t, &d);
	trees_flush(&g->t);
	return id;
}

/* d/{empty,many,one}, fifo, link, x1, x2 (the same file) */
static struct hf_id
tree_of_all(struct rig *g)
{
	struct trees_folder d = trees_folder(), root = trees_folder();
	struct hf_id a = trees_data(&g->t, "aaaa"), b = trees_data(&g->t, "bbb"), id;
	struct hf_id many[] = {a, b, a, a, b};
	struct hf_xattr x = {hf_str("user.k"), {(const uint8_t *)"v\0w", 3}};
	struct hf_node n = trees_file("empty", NULL, 0, 0);

	trees_add(&d, &n);
	n = trees_file("many", many, 5, 18);
	n.mode = hf_mode_from_stat(S_IFREG | 04750);
	trees_add(&d, &n);
	n = trees_file("one", &b, 1, 3);
	n.mode = hf_mode_from_stat(S_IFREG | 0400);
	n.xattrs = &x;
	n.n_xattrs = 1;
	trees_add(&d, &n);
	id = trees_save(&g->t, &d);
	n = trees_dir("d", &id);
	n.mode = hf_mode_from_stat(S_IFDIR | 01550);
	trees_add(&root, &n);
	n = trees_node("fifo", HF_NODE_FIFO, S_IFIFO | 0620);
	trees_add(&root, &n);
	n = trees_node("link", HF_NODE_SYMLINK, S_IFLNK | 0777);
	n.linktarget = hf_str("../outside/f");
	trees_add(&root, &n);
	n = trees_node("sock", HF_NODE_SOCKET, S_IFSOCK | 0777);
	trees_add(&root, &n);
	for (int i = 0; i < 2; i++) {
		n = trees_file(i == 0 ? "x1" : "x2", &a, 1, 4);
		n.links = 2;
		n.inode = 77;
		n.device_id = 5;
		trees_add(&root, &n);
	}
	id = trees_save(&g->t, &root);
	trees_flush(&g->t);
	return id;
}

static void
check_all(struct rig *g)
{
	char to[64] = {0};
	struct stat st = look(g, "d");

	CHECK_EQ(st.st_mode, S_IFDIR | 01550);
	CHECK_EQ(st.st_mtim.tv_sec, 1767323045);
	CHECK_EQ(st.st_mtim.tv_nsec, 123456789);
	st = look(g, "d/many");
	CHECK_EQ(st.st_mode, S_IFREG | 04750);
	CHECK_EQ(st.st_mtim.tv_sec, 1767323045);
	check_content(in_target(g, "d/many"), "aaaabbbaaaaaaaabbb");
	CHECK_EQ(look(g, "d/one").st_mode, S_IFREG | 0400);
	check_content(in_target(g, "d/one"), "bbb");
	CHECK_EQ(look(g, "d/empty").st_size, 0);
	CHECK_EQ(look(g, "d/empty").st_mode, S_IFREG | 0644);
	CHECK_EQ(look(g, "fifo").st_mode, S_IFIFO | 0620);
	CHECK_EQ(readlink(in_target(g, "link"), to, sizeof to - 1), 12);
	CHECK_STR(to, "../outside/f");
	CHECK_EQ(look(g, "link").st_mtim.tv_nsec, 123456789);
	CHECK_EQ(look(g, "sock").st_mode, 0);
	CHECK_EQ(look(g, "x1").st_ino, look(g, "x2").st_ino);
	CHECK_EQ(look(g, "x1").st_nlink, 2);
	check_content(in_target(g, "x2"), "aaaa");
}

TEST(everything_comes_back)
{
	hf_auto(rig) g = {0};

	rig_init(&g);
	struct hf_id root = tree_of_all(&g);
	g.opt.can_verify = true;
	rig_good(&g, &root);
	check_all(&g);
	CHECK_EQ(g.sum.files, 8);
	CHECK_EQ(g.sum.restored, 8);
	CHECK_EQ(g.sum.bytes, 25);
	CHECK_EQ(g.sum.bytes_restored, 25);
	/* Once more: nothing but links and the like is made again. */
	rig_good(&g, &root);
	check_all(&g);
	CHECK_EQ(g.sum.skipped, 4);
	CHECK_EQ(g.sum.bytes_skipped, 25);
	CHECK_EQ(g.sum.bytes_restored, 0);
	CHECK(said(&g, "=/d/many "));
	CHECK(said(&g, "o/x2 "));
}

TEST(a_dry_run_writes_nothing)
{
	hf_auto(rig) g = {0};

	rig_init(&g);
	struct hf_id root = tree_of_all(&g);
	g.opt.is_dry_run = true;
	rig_good(&g, &root);
	CHECK_EQ(access(g.target, F_OK), -1);
	CHECK_EQ(g.sum.restored, 8);
	CHECK_EQ(g.sum.bytes_restored, 25);
	g.opt.is_dry_run = false;
	rig_good(&g, &root);
	put_file(in_target(&g, "x1"), "axxa");
	put_file(in_target(&g, "more"), "");
	g.opt.is_dry_run = true;
	g.opt.should_delete = true;
	rig_good(&g, &root);
	CHECK(said(&g, "~/x1 "));
	CHECK(said(&g, "=/d/one "));
	CHECK_EQ(g.sum.deleted, 1);
	CHECK_EQ(look(&g, "more").st_mode & S_IFMT, S_IFREG);
	check_content(in_target(&g, "x1"), "axxa");
}

TEST(links_in_the_target_do_not_lead_out)
{
	hf_auto(rig) g = {0};
	char secret[600];

	rig_init(&g);
	struct hf_id f = tree_of_file(&g, "new"), root = tree_in(&g, "d", &f);
	snprintf(secret, sizeof secret, "%s/f", g.outside);
	put_file(secret, "old");
	REQUIRE_EQ(mkdir(g.target, 0755), 0);
	/* A link where a folder belongs. */
	REQUIRE_EQ(symlink(g.outside, in_target(&g, "d")), 0);
	rig_good(&g, &root);
	check_content(secret, "old");
	CHECK_EQ(look(&g, "d").st_mode, S_IFDIR | 0755);
	check_content(in_target(&g, "d/f"), "new");
	/* A link where a file belongs; also one that leads nowhere. */
	for (int i = 0; i < 2; i++) {
		unlink(in_target(&g, "d/f"));
		REQUIRE_EQ(
			symlink(i == 0 ? secret : "/nonexistent/x", in_target(&g, "d/f")), 0);
		rig_good(&g, &root);
		check_content(secret, "old");
		CHECK_EQ(look(&g, "d/f").st_mode, S_IFREG | 0644);
		check_content(in_target(&g, "d/f"), "new");
	}
	/* With --delete a link is removed, not what it leads to. */
	REQUIRE_EQ(symlink(g.outside, in_target(&g, "d/more")), 0);
	g.opt.should_delete = true;
	rig_good(&g, &root);
	CHECK_EQ(look(&g, "d/more").st_mode, 0);
	check_content(secret, "old");
}

TEST(other_things_in_the_way_are_replaced)
{
	hf_auto(rig) g = {0};

	rig_init(&g);
	struct hf_id f = tree_of_file(&g, "new"), root = tree_in(&g, "d", &f);
	REQUIRE_EQ(mkdir(g.target, 0755), 0);
	put_file(in_target(&g, "d"), "a file");
	rig_good(&g, &root);
	check_content(in_target(&g, "d/f"), "new");
	unlink(in_target(&g, "d/f"));
	REQUIRE_EQ(mkfifo(in_target(&g, "d/f"), 0600), 0);
	rig_good(&g, &root);
	check_content(in_target(&g, "d/f"), "new");
	unlink(in_target(&g, "d/f"));
	REQUIRE_EQ(mkdir(in_target(&g, "d/f"), 0700), 0);
	rig_good(&g, &root);
	check_content(in_target(&g, "d/f"), "new");
	/* A folder with something in it only goes with --delete. */
	unlink(in_target(&g, "d/f"));
	REQUIRE_EQ(mkdir(in_target(&g, "d/f"), 0700), 0);
	put_file(in_target(&g, "d/f/x"), "");
	REQUIRE_OK(rig_run(&g, &root));
	CHECK_EQ(g.n_errors, 1);
	CHECK(strstr(text_of(&g.errors), "/d/f: ") == text_of(&g.errors));
	g.opt.should_delete = true;
	rig_good(&g, &root);
	check_content(in_target(&g, "d/f"), "new");
}

TEST(strange_names_are_refused)
{
	static const char *const names[] = {"..", "../x", "a/b"};
	hf_auto(rig) g = {0};

	rig_init(&g);
	REQUIRE_EQ(mkdir(g.target, 0755), 0);
	put_file(in_target(&g, "keep"), "");
	struct trees_folder d = trees_folder();
	struct hf_id id = trees_data(&g.t, "x");
	for (size_t i = 0; i < 3; i++) {
		struct hf_node n = trees_file(names[i], &id, 1, 1);

		trees_add(&d, &n);
	}
	struct hf_node z = trees_file("z", &id, 1, 1);
	trees_add(&d, &z);
	id = trees_save(&g.t, &d);
	trees_flush(&g.t);
	g.opt.should_delete = true;
	REQUIRE_OK(rig_run(&g, &id));
	CHECK_EQ(g.n_errors, 3);
	CHECK(strstr(text_of(&g.errors), "/: invalid child node name ../x\n") != NULL);
	check_content(in_target(&g, "z"), "x");
	/* Such a tree is not trusted with deletions. */
	CHECK_EQ(look(&g, "keep").st_mode & S_IFMT, S_IFREG);
}

TEST(files_with_other_names_are_replaced_not_changed)
{
	hf_auto(rig) g = {0};
	char other[600];

	rig_init(&g);
	struct hf_id parts[] = {trees_data(&g.t, "same"), trees_data(&g.t, "new!")};
	struct trees_folder d = trees_folder();
	struct hf_node n = trees_file("f", parts, 2, 8);
	trees_add(&d, &n);
	struct hf_id root = trees_save(&g.t, &d);
	trees_flush(&g.t);
	REQUIRE_EQ(mkdir(g.target, 0755), 0);
	put_file(in_target(&g, "f"), "sameold!");
	snprintf(other, sizeof other, "%s/other", g.outside);
	REQUIRE_EQ(link(in_target(&g, "f"), other), 0);
	rig_good(&g, &root);
	check_content(in_target(&g, "f"), "samenew!");
	check_content(other, "sameold!");
	CHECK(said(&g, "~/f "));
}

TEST(only_what_differs_is_written)
{
	hf_auto(rig) g = {0};

	rig_init(&g);
	struct hf_id parts[] = {
		trees_data(&g.t, "1111"), trees_data(&g.t, "2222"), trees_data(&g.t, "3333")};
	struct trees_folder d = trees_folder();
	struct hf_node n = trees_file("f", parts, 3, 12);
	trees_add(&d, &n);
	struct hf_id root = trees_save(&g.t, &d);
	trees_flush(&g.t);
	g.opt.can_verify = true;
	REQUIRE_EQ(mkdir(g.target, 0755), 0);
	put_file(in_target(&g, "f"), "1111xxxx3333");
	ino_t ino = look(&g, "f").st_ino;
	rig_good(&g, &root);
	check_content(in_target(&g, "f"), "111122223333");
	CHECK_EQ(look(&g, "f").st_ino, ino);
	CHECK(said(&g, "~/f "));
	CHECK_EQ(g.sum.bytes_restored, 12);
	CHECK_EQ(g.sum.bytes, 12);
	/* Too short, and too long by what is behind the end. */
	REQUIRE_EQ(truncate(in_target(&g, "f"), 6), 0);
	rig_good(&g, &root);
	check_content(in_target(&g, "f"), "111122223333");
	put_file(in_target(&g, "f"), "111122223333more");
	rig_good(&g, &root);
	check_content(in_target(&g, "f"), "111122223333");
	CHECK(said(&g, "~/f "));
	CHECK_EQ(look(&g, "f").st_ino, ino);
}

TEST(overwrite_rules)
{
	hf_auto(rig) g = {0};
	struct timespec t[2] = {{0}, {.tv_sec = 1767323045, .tv_nsec = 123456789}};

	rig_init(&g);
	struct hf_id root = tree_of_file(&g, "new");
	REQUIRE_EQ(mkdir(g.target, 0755), 0);
	put_file(in_target(&g, "f"), "old");
	g.opt.overwrite = HF_OVERWRITE_NEVER;
	rig_good(&g, &root);
	check_content(in_target(&g, "f"), "old");
	CHECK(said(&g, "=/f "));
	CHECK_EQ(g.sum.bytes_skipped, 3);
	/* The same size and time are believed. */
	REQUIRE_EQ(utimensat(AT_FDCWD, in_target(&g, "f"), t, 0), 0);
	g.opt.overwrite = HF_OVERWRITE_IF_CHANGED;
	rig_good(&g, &root);
	check_content(in_target(&g, "f"), "old");
	/* As new as in the snapshot is not older. */
	g.opt.overwrite = HF_OVERWRITE_IF_NEWER;
	rig_good(&g, &root);
	check_content(in_target(&g, "f"), "old");
	t[1].tv_nsec--;
	REQUIRE_EQ(utimensat(AT_FDCWD, in_target(&g, "f"), t, 0), 0);
	rig_good(&g, &root);
	check_content(in_target(&g, "f"), "new");
	put_file(in_target(&g, "f"), "old");
	REQUIRE_EQ(utimensat(AT_FDCWD, in_target(&g, "f"), t, 0), 0);
	g.opt.overwrite = HF_OVERWRITE_IF_CHANGED;
	rig_good(&g, &root);
	check_content(in_target(&g, "f"), "new");
	put_file(in_target(&g, "f"), "old");
	REQUIRE_EQ(utimensat(AT_FDCWD, in_target(&g, "f"), t, 0), 0);
	g.opt.overwrite = HF_OVERWRITE_ALWAYS;
	rig_good(&g, &root);
	check_content(in_target(&g, "f"), "new");
}

/* Only /d/one and what is called "junk". */
static void
select_one(void *arg, const char *path, bool is_dir, bool *is_selected, bool *child_may_be)
{
	(void)arg;
	*is_selected = strcmp(path, "/d/one") == 0 || strstr(path, "junk") != NULL;
	*child_may_be = is_dir && strcmp(path, "/d") == 0;
}

TEST(selection_and_deletion)
{
	hf_auto(rig) g = {0};

	rig_init(&g);
	struct hf_id root = tree_of_all(&g);
	REQUIRE_EQ(mkdir(g.target, 0755), 0);
	REQUIRE_EQ(mkdir(in_target(&g, "d"), 0700), 0);
	REQUIRE_EQ(mkdir(in_target(&g, "d/junk"), 0700), 0);
	put_file(in_target(&g, "d/junk/x"), "");
	put_file(in_target(&g, "d/stays"), "");
	put_file(in_target(&g, "d/many"), "not selected");
	put_file(in_target(&g, "junk"), "");
	g.opt.select = select_one;
	g.opt.should_delete = true;
	rig_good(&g, &root);
	check_content(in_target(&g, "d/one"), "bbb");
	check_content(in_target(&g, "d/many"), "not selected");
	CHECK_EQ(look(&g, "x1").st_mode, 0);
	CHECK_EQ(look(&g, "d").st_mode, S_IFDIR | 01550);
	CHECK_EQ(look(&g, "d/stays").st_mode & S_IFMT, S_IFREG);
	CHECK_EQ(look(&g, "d/junk").st_mode, 0);
	CHECK_EQ(look(&g, "junk").st_mode, 0);
	CHECK_EQ(g.sum.deleted, 3);
	char want[1200];
	snprintf(want, sizeof want, "-%s/d/junk/x -%s/d/junk ", g.target, g.target);
	CHECK(said(&g, want));
}

TEST(zeros_become_holes)
{
	static uint8_t block[1 << 20];
	hf_auto(rig) g = {0};
	hf_auto(hf_buf) back = HF_BUF_MAX(8 << 20);

	rig_init(&g);
	struct hf_id parts[4];
	parts[0] = parts[2] = trees_blob(&g.t, block, sizeof block);
	memset(block + 5000, 'x', 3);
	parts[1] = parts[3] = trees_blob(&g.t, block, sizeof block);
	struct trees_folder d = trees_folder();
	struct hf_node n = trees_file("f", parts, 4, 4 << 20);
	trees_add(&d, &n);
	struct hf_id root = trees_save(&g.t, &d);
	trees_flush(&g.t);
	g.opt.is_sparse = true;
	g.opt.can_verify = true;
	rig_good(&g, &root);
	CHECK_EQ(look(&g, "f").st_size, 4 << 20);
	CHECK(look(&g, "f").st_blocks <= 64);
	REQUIRE_OK(hf_read_file(in_target(&g, "f"), &back));
	REQUIRE_EQ(back.len, 4 << 20);
	for (size_t i = 0; i < back.len; i++) {
		size_t at = i % (2 << 20);
		uint8_t want = at >= (1 << 20) + 5000 && at < (1 << 20) + 5003 ? 'x' : 0;

		if (back.p[i] != want)
			FAIL("byte %zu is %d", i, back.p[i]);
	}
}

TEST(lost_blobs_hurt_only_their_files)
{
	hf_auto(rig) g = {0};

	rig_init(&g);
	struct hf_id good = trees_data(&g.t, "good"), lost;
	memset(&lost, 9, sizeof lost);
	struct hf_id parts[] = {good, lost, good};
	struct trees_folder d = trees_folder();
	struct hf_node n = trees_file("a", parts, 3, 12);
	trees_add(&d, &n);
	n = trees_file("b", &lost, 1, 4);
	trees_add(&d, &n);
	n = trees_dir("c", &lost);
	trees_add(&d, &n);
	n = trees_file("d", &good, 1, 4);
	trees_add(&d, &n);
	struct hf_id root = trees_save(&g.t, &d);
	trees_flush(&g.t);
	REQUIRE_OK(rig_run(&g, &root));
	CHECK_EQ(g.n_errors, 3);
	CHECK(strstr(text_of(&g.errors), "/a: data blob 0909") != NULL);
	CHECK(strstr(text_of(&g.errors), "/b: data blob 0909") != NULL);
	CHECK(strstr(text_of(&g.errors), "/c: ") != NULL);
	check_content(in_target(&g, "d"), "good");
	CHECK(!said(&g, "/a "));
}

static void
count_reads(void *arg, const char *line)
{
	atomic_uint *n = arg;

	if (strstr(line, " get ") != NULL && strstr(line, "data") != NULL)
		atomic_fetch_add(n, 1);
}

/* Small files among large ones that are not wanted: nearly a MiB is read to save requests. */
TEST(neighbours_on_a_far_store_are_read_together)
{
	static uint8_t large[300 << 10];
	hf_auto(rig) g = {0};
	atomic_uint reads = 0;
	char name[2] = "a";

	rig_init_in(&g, hf_store_trace(hf_store_mem(), count_reads, &reads));
	struct trees_folder d = trees_folder();
	for (; name[0] < 'm'; name[0]++) {
		struct hf_id data = trees_data(&g.t, name);
		struct hf_node n = trees_file(name, &data, 1, 1);

		trees_add(&d, &n);
		hf_random(large, sizeof large);
		if (name[0] % 4 == 0)
			(void)trees_blob(&g.t, large, sizeof large);
	}
	struct hf_id root = trees_save(&g.t, &d);
	trees_flush(&g.t);
	atomic_store(&reads, 0);
	rig_good(&g, &root);
	CHECK_EQ(atomic_load(&reads), 2); /* the tree, and all files */
	check_content(in_target(&g, "l"), "l");
}

static struct hf_err *
spoil(void *arg, const struct hf_name *name, uint64_t size)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(64 << 20);
	struct hf_store *s = arg;

	(void)size;
	HF_TRY(hf_store_get(s, name, 0, SIZE_MAX, &b));
	b.p[20] ^= 1; /* in the first blob */
	return hf_store_put(s, name, hf_buf_bytes(&b));
}

/* Breaks off whatever is poured, some bytes later each time, and begins anew. */
struct breaking {
	struct hf_around around;
	atomic_uint n; /* times that it was broken off */
};

struct cut {
	struct hf_sink sink, *to;
	size_t left;
};

static void
cut_begin(struct hf_sink *sink)
{
	struct cut *c = hf_container_of(sink, struct cut, sink);

	c->to->begin(c->to);
}

static struct hf_err *
cut_take(struct hf_sink *sink, struct hf_bytes bytes)
{
	struct cut *c = hf_container_of(sink, struct cut, sink);

	if (bytes.len > c->left)
		return hf_err(HF_EIO, "cut off");
	c->left -= bytes.len;
	return c->to->take(c->to, bytes);
}

static struct hf_err *
break_off(struct hf_around *a, struct hf_call *c)
{
	struct breaking *b = hf_container_of(a, struct breaking, around);
	struct hf_sink *to = c->sink;

	for (size_t left = 0; to != NULL && left < c->len; left += 1000000) {
		struct cut cut = {{cut_begin, cut_take}, to, left};

		c->sink = &cut.sink;
		struct hf_err *e = hf_call_run(c, a->inner);
		if (e == NULL)
			return NULL;
		CHECK_ERR(e, HF_EIO);
		b->n++;
	}
	c->sink = to;
	return hf_call_run(c, a->inner);
}

static void
breaking_free(struct hf_around *a)
{
	free(hf_container_of(a, struct breaking, around));
}

TEST(a_range_that_is_broken_off_is_written_once)
{
	enum { BLOBS = 40, BLOB = 400000 };
	static uint8_t content[BLOBS][BLOB];
	struct breaking *b = hf_new(struct breaking);
	hf_auto(hf_buf) got = HF_BUF_MAX(sizeof content + 1);
	hf_auto(rig) g = {0};
	struct hf_id ids[BLOBS];

	hf_around_init(&b->around, hf_store_mem());
	b->around.around = break_off;
	b->around.free = breaking_free;
	rig_init_in(&g, &b->around.store);
	hf_random(content, sizeof content);
	for (size_t i = 0; i < BLOBS; i++)
		ids[i] = trees_blob(&g.t, content[i], BLOB);
	struct trees_folder d = trees_folder();
	struct hf_node n = trees_file("f", ids, BLOBS, sizeof content);
	trees_add(&d, &n);
	struct hf_id root = trees_save(&g.t, &d);
	trees_flush(&g.t);
	rig_good(&g, &root);
	CHECK(atomic_load(&b->n) > 10);
	REQUIRE_OK(hf_read_file(in_target(&g, "f"), &got));
	REQUIRE_EQ(got.len, sizeof content);
	CHECK_MEM(got.p, content[0], sizeof content);
}

/* Whoever finds one looks for another copy, which takes a connection: there is but one. */
TEST(damaged_blobs_are_not_written)
{
	enum { BAD = 6 };
	struct hf_store *mem = hf_store_mem();
	hf_auto(rig) g = {0};
	struct hf_id bad[BAD];
	char name[] = "bad0";

	mem->connections = 1;
	rig_init_in(&g, hf_store_sema(mem));
	for (int i = 0; i < BAD; i++) { /* a pack each */
		name[3] = (char)('0' + i);
		bad[i] = trees_data(&g.t, name);
		trees_flush(&g.t);
	}
	REQUIRE_OK(hf_store_list(
		hf_repo_store(g.t.repo), HF_PACK, spoil, hf_repo_store(g.t.repo)));
	struct hf_id ok = trees_data(&g.t, "fine");
	struct trees_folder d = trees_folder();
	struct hf_node n;
	for (int i = 0; i < BAD; i++) {
		name[3] = (char)('0' + i);
		n = trees_file(name, &bad[i], 1, 4);
		trees_add(&d, &n);
	}
	n = trees_file("ok", &ok, 1, 4);
	trees_add(&d, &n);
	struct hf_id root = trees_save(&g.t, &d);
	trees_flush(&g.t);
	REQUIRE_OK(rig_run(&g, &root));
	CHECK_EQ(g.n_errors, BAD);
	CHECK(strstr(text_of(&g.errors), "/bad5: ") != NULL);
	check_content(in_target(&g, "ok"), "fine");
}

/* Changes a file before it is verified. */
static void
tamper(void *arg, enum hf_restore_action action, const char *path, uint64_t size)
{
	struct rig *g = arg;

	if (action == HF_RESTORE_DIR) /* the last event of all */
		put_file(in_target(g, "d/f"), "neW");
	on_item(arg, action, path, size);
}

TEST(verification_finds_differences)
{
	hf_auto(rig) g = {0};

	rig_init(&g);
	struct hf_id f = tree_of_file(&g, "new"), root = tree_in(&g, "d", &f);
	struct hf_restore_events ev = {.arg = &g, .error = on_error, .item = tamper};
	g.opt.can_verify = true;
	hf_autoptr(hf_restore) r = hf_restore_new(g.t.repo, g.t.ix, &g.opt, &ev);
	REQUIRE_OK(hf_restore_run(r, &root));
	CHECK_EQ(atomic_load(&hf_restore_progress(r)->errors), 0);
	REQUIRE_OK(hf_restore_verify(r, &root));
	CHECK_EQ(atomic_load(&hf_restore_progress(r)->errors), 1);
	CHECK(strstr(text_of(&g.errors), "/d/f: unexpected content") != NULL);
}

/* Changes two of forty blobs. */
static void
tamper_inside(void *arg, enum hf_restore_action action, const char *path, uint64_t size)
{
	struct rig *g = arg;

	if (action == HF_RESTORE_DIR) {
		hf_autofd int fd = open(in_target(g, "d/f"), O_WRONLY);

		REQUIRE_OK(hf_pwrite_full(fd, "X", 1, 4 * 33 + 1));
		REQUIRE_OK(hf_pwrite_full(fd, "X", 1, 4 * 21 + 3));
	}
	on_item(arg, action, path, size);
}

/* Many blobs are compared at a time; the first one that differs is told. */
TEST(verification_tells_the_place)
{
	hf_auto(rig) g = {0};
	struct hf_id parts[40];

	rig_init(&g);
	for (int i = 0; i < 40; i++) {
		char text[16];

		snprintf(text, sizeof text, "%04d", i * i);
		parts[i] = trees_data(&g.t, text);
	}
	struct trees_folder d = trees_folder();
	struct hf_node n = trees_file("f", parts, 40, 160);
	trees_add(&d, &n);
	struct hf_id f = trees_save(&g.t, &d), root = tree_in(&g, "d", &f);
	struct hf_restore_events ev = {.arg = &g, .error = on_error, .item = tamper_inside};
	g.opt.can_verify = true;
	hf_autoptr(hf_restore) r = hf_restore_new(g.t.repo, g.t.ix, &g.opt, &ev);
	REQUIRE_OK(hf_restore_run(r, &root));
	REQUIRE_OK(hf_restore_verify(r, &root));
	CHECK_EQ(atomic_load(&hf_restore_progress(r)->errors), 1);
	CHECK(strstr(text_of(&g.errors), "/d/f: unexpected content, starting at offset 84") !=
		NULL);
	/* The next restore mends it, and finds nothing to do after that. */
	ev.item = on_item;
	for (int round = 0; round < 2; round++) {
		hf_autoptr(hf_restore) again = hf_restore_new(g.t.repo, g.t.ix, &g.opt, &ev);

		REQUIRE_OK(hf_restore_run(again, &root));
		REQUIRE_OK(hf_restore_verify(again, &root));
		CHECK_EQ(atomic_load(&hf_restore_progress(again)->errors), 0);
		CHECK(said(&g, round == 0 ? "~/d/f " : "=/d/f "));
	}
}

/* More blobs than a window holds, in one file; written, compared and mended. */
TEST_WITHIN(a_file_larger_than_a_window, 120)
{
	enum { N = 150000 };
	hf_auto(rig) g = {0};
	hf_auto(hf_buf) ids = HF_BUF_SPOOL(1 << 30);
	hf_auto(hf_buf) back = HF_BUF_MAX(1 << 20);

	rig_init(&g);
	struct hf_id two[] = {trees_data(&g.t, "ab"), trees_data(&g.t, "c")};
	for (int i = 0; i < N; i++)
		hf_buf_add(&ids, &two[i % 2], sizeof two[0]);
	struct trees_folder d = trees_folder();
	struct hf_node n = trees_file("f", (const struct hf_id *)ids.p, N, N / 2 * 3);
	trees_add(&d, &n);
	struct hf_id root = trees_save(&g.t, &d);
	trees_flush(&g.t);
	g.opt.can_verify = true;
	for (int round = 0; round < 3; round++) {
		rig_good(&g, &root);
		hf_buf_reset(&back);
		REQUIRE_OK(hf_read_file(in_target(&g, "f"), &back));
		REQUIRE_EQ(back.len, N / 2 * 3);
		for (size_t i = 0; i < back.len; i += 3)
			REQUIRE_MEM(back.p + i, "abc", 3);
		CHECK(said(&g, round == 0 ? "+/f " : round == 1 ? "=/f " : "~/f "));
		if (round == 1) {
			int fd = open(in_target(&g, "f"), O_WRONLY);

			REQUIRE_OK(hf_pwrite_full(fd, "x", 1, 200000));
			close(fd);
		}
	}
}

/* Several windows of files, many folders, and every file from the same few blobs. */
TEST_WITHIN(many_files, 120)
{
	enum { DIRS = 60, FILES = 150 };
	hf_auto(rig) g = {0};
	char name[32];

	rig_init(&g);
	struct trees_folder root = trees_folder();
	for (int i = 0; i < DIRS; i++) {
		struct trees_folder d = trees_folder();

		for (int k = 0; k < FILES; k++) {
			char content[32];

			snprintf(content, sizeof content, "%d", i * k % 1000);
			struct hf_id id = trees_data(&g.t, content);
			snprintf(name, sizeof name, "f%04d", k);
			struct hf_node n = trees_file(name, &id, 1, strlen(content));
			trees_add(&d, &n);
		}
		struct hf_id id = trees_save(&g.t, &d);
		snprintf(name, sizeof name, "d%04d", i);
		struct hf_node n = trees_dir(name, &id);
		trees_add(&root, &n);
	}
	struct hf_id id = trees_save(&g.t, &root);
	trees_flush(&g.t);
	g.opt.can_verify = true;
	rig_good(&g, &id);
	CHECK_EQ(g.sum.restored, DIRS * (FILES + 1));
	for (int i = 0; i < DIRS; i += 7) {
		for (int k = 0; k < FILES; k += 11) {
			char content[32];

			snprintf(content, sizeof content, "%d", i * k % 1000);
			snprintf(name, sizeof name, "d%04d/f%04d", i, k);
			check_content(in_target(&g, name), content);
		}
		snprintf(name, sizeof name, "d%04d", i);
		CHECK_EQ(look(&g, name).st_mtim.tv_sec, 1767323045);
	}
}

static void
on_item_stop(void *arg, enum hf_restore_action action, const char *path, uint64_t size)
{
	(void)action;
	(void)path;
	(void)size;
	hf_stop_set(((struct rig *)arg)->opt.stop);
}

TEST(stops_when_asked)
{
	hf_auto(rig) g = {0};
	struct hf_stop stop = {0};

	rig_init(&g);
	struct hf_id root = tree_of_all(&g);
	g.opt.stop = &stop;
	hf_stop_set(&stop);
	CHECK_ERR(rig_run(&g, &root), HF_ECANCELED);
	CHECK_EQ(look(&g, "x1").st_mode, 0);
	atomic_store(&stop.is_set, false);
	struct hf_restore_events ev = {.arg = &g, .item = on_item_stop};
	hf_autoptr(hf_restore) r = hf_restore_new(g.t.repo, g.t.ix, &g.opt, &ev);
	CHECK_ERR(hf_restore_run(r, &root), HF_ECANCELED);
}

/* Deeper than any path can be: an error where it ends, no more. */
TEST(paths_that_are_too_long)
{
	hf_auto(rig) g = {0};
	char name[201];

	rig_init(&g);
	memset(name, 'n', 200);
	name[200] = 0;
	struct hf_id id = tree_of_file(&g, "x");
	for (int i = 0; i < 25; i++)
		id = tree_in(&g, name, &id);
	REQUIRE_OK(rig_run(&g, &id));
	CHECK_EQ(g.n_errors, 1);
	CHECK(strstr(text_of(&g.errors), "too long") != NULL);
}

static bool
no_user_b(void *arg, const char *name)
{
	(void)arg;
	return strcmp(name, "user.b") != 0;
}

TEST(extended_attributes_are_made_the_same)
{
	hf_auto(rig) g = {0};
	struct hf_xattr x[] = {{hf_str("user.a"), {(const uint8_t *)"1", 1}},
		{hf_str("user.b"), {(const uint8_t *)"2", 1}}};
	char v[8];

	rig_init(&g);
	struct trees_folder d = trees_folder();
	struct hf_id id = trees_data(&g.t, "x");
	struct hf_node n = trees_file("f", &id, 1, 1);
	n.xattrs = x;
	n.n_xattrs = 2;
	trees_add(&d, &n);
	struct hf_id root = trees_save(&g.t, &d);
	trees_flush(&g.t);
	rig_good(&g, &root);
	if (lsetxattr(in_target(&g, "f"), "user.c", "3", 1, 0) != 0 && errno == ENOTSUP)
		SKIP("no user attributes on this file system");
	CHECK_EQ(lgetxattr(in_target(&g, "f"), "user.a", v, sizeof v), 1);
	CHECK_EQ(v[0], '1');
	REQUIRE_EQ(lsetxattr(in_target(&g, "f"), "user.b", "!", 1, 0), 0);
	REQUIRE_EQ(lsetxattr(in_target(&g, "f"), "user.a", "!", 1, 0), 0);
	g.opt.select_xattr = no_user_b;
	rig_good(&g, &root);
	CHECK_EQ(lgetxattr(in_target(&g, "f"), "user.a", v, sizeof v), 1);
	CHECK_EQ(v[0], '1');
	CHECK_EQ(lgetxattr(in_target(&g, "f"), "user.b", v, sizeof v), 1);
	CHECK_EQ(v[0], '!');
	CHECK_EQ(lgetxattr(in_target(&g, "f"), "user.c", v, sizeof v), -1);
}
