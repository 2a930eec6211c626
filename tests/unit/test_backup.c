/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "codec/sha256.h"
#include "engine/backup_i.h"
#include "harness/test.h"
#include "repo/tree.h"
#include "store/fault.h"
#include "store/mem.h"
#include "unit/handmade.h"

/* A repository in memory and what a run told. */
struct bed {
	struct hf_repo *repo;
	struct hf_index *ix;
	struct hf_backup_progress progress;
	struct hf_backup_result result;
	atomic_int errors, warnings, excluded;
	pthread_mutex_t lock;
	char last_error[256];
};

static void
on_error(void *arg, const char *path, const char *during, const struct hf_err *e)
{
	struct bed *b = arg;

	(void)during;
	pthread_mutex_lock(&b->lock);
	snprintf(b->last_error, sizeof b->last_error, "%s: %s", path, hf_err_text(e));
	pthread_mutex_unlock(&b->lock);
	atomic_fetch_add(&b->errors, 1);
}

static void
on_warning(void *arg, const char *path, const struct hf_err *e)
{
	struct bed *b = arg;

	(void)path;
	(void)e;
	atomic_fetch_add(&b->warnings, 1);
}

static void
on_excluded(void *arg, const char *path)
{
	struct bed *b = arg;

	(void)path;
	atomic_fetch_add(&b->excluded, 1);
}

static struct bed *
bed_new(const struct hf_fault_plan *plan)
{
	struct bed *b = hf_new(struct bed);
	static const struct hf_fault_plan none;

	pthread_mutex_init(&b->lock, NULL);
	b->ix = hf_index_new();
	struct hf_store *s = hf_store_fault(hf_store_mem(), plan != NULL ? plan : &none);
	b->repo = made_repo_with_packs(s, 2, 4 << 20);
	return b;
}

static void
bed_free(struct bed *b)
{
	if (b == NULL)
		return;
	hf_index_free(b->ix);
	hf_repo_free(b->repo);
	pthread_mutex_destroy(&b->lock);
	free(b);
}
HF_AUTOPTR(bed)

static struct hf_err *
run(struct bed *b, struct hf_backup_options *o)
{
	struct hf_backup_events ev = {
		.arg = b, .error = on_error, .warning = on_warning, .excluded = on_excluded};

	o->time = (struct hf_time){.sec = 1767323045};
	o->backup_start = o->time;
	o->no_scan = true;
	return hf_backup(b->repo, b->ix, o, &ev, &b->progress, &b->result);
}

static struct hf_err *
backup(struct bed *b, const char *target, const struct hf_snapshot *parent)
{
	return run(b, &(struct hf_backup_options){
			      .targets = &target, .n_targets = 1, .parent = parent});
}

/* A working folder that is empty. */
static void
enter(void)
{
	REQUIRE(chdir(test_tmpdir()) == 0);
}

static void
put_file(const char *path, struct hf_bytes data)
{
	hf_autofd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	REQUIRE(fd >= 0);
	REQUIRE_OK(hf_write_full(fd, data.p, data.len));
}

static void
put_text(const char *path, const char *text)
{
	put_file(path, hf_str_bytes(hf_str(text)));
}

/* The node at `path` in the tree of the last run, its tree in *tree; NULL: there is none. */
static const struct hf_node *
find(struct bed *b, const char *path, struct hf_tree **tree)
{
	hf_autoptr(hf_reader) r = hf_reader_new(b->repo, b->ix);
	const struct hf_node *node = NULL;
	struct hf_id id = b->result.tree;

	for (const char *p = path; *p != 0;) {
		size_t n = strcspn(p, "/");

		hf_tree_free(hf_steal(*tree));
		REQUIRE_OK(hf_tree_load(r, &id, tree));
		REQUIRE_OK(hf_tree_seek(*tree, (struct hf_str){p, n}, &node));
		if (node == NULL)
			return NULL;
		id = node->subtree;
		p += n + (p[n] == '/');
	}
	return node;
}

static bool
has(struct bed *b, const char *path)
{
	hf_autoptr(hf_tree) tree = NULL;

	return find(b, path, &tree) != NULL;
}

/* The content of the file at `path`, put together from its blobs. */
static void
content(struct bed *b, const char *path, struct hf_buf *out)
{
	hf_autoptr(hf_tree) tree = NULL;
	hf_autoptr(hf_reader) r = hf_reader_new(b->repo, b->ix);
	const struct hf_node *node = find(b, path, &tree);

	REQUIRE(node != NULL);
	for (size_t i = 0; i < node->n_content; i++) {
		struct hf_blob blob = {node->content[i], HF_DATA};

		REQUIRE_OK(hf_reader_blob(r, &blob, out));
	}
	CHECK_EQ(node->size, out->len);
}

TEST(backup_takes_what_is_there)
{
	hf_autoptr(bed) b = bed_new(NULL);
	hf_autoptr(hf_tree) tree = NULL;
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 20);
	const struct hf_node *n;

	enter();
	REQUIRE(mkdir("d", 0755) == 0 && mkdir("d/sub", 0700) == 0);
	put_text("d/empty", "");
	put_text("d/sub/hello", "hello\n");
	REQUIRE(symlink("no\xffwhere", "d/link") == 0);
	REQUIRE(mkfifo("d/pipe", 0640) == 0);
	REQUIRE(link("d/sub/hello", "d/again") == 0);
	REQUIRE_OK(backup(b, "d", NULL));
	CHECK_EQ(atomic_load(&b->errors), 0);
	CHECK(!hf_id_is_zero(&b->result.snapshot));

	content(b, "d/sub/hello", &text);
	CHECK_EQ(text.len, 6);
	CHECK_MEM(text.p, "hello\n", 6);
	n = find(b, "d/again", &tree);
	REQUIRE(n != NULL);
	CHECK_EQ(n->links, 2);
	n = find(b, "d/empty", &tree);
	REQUIRE(n != NULL && n->has_content);
	CHECK_EQ(n->n_content, 0);
	n = find(b, "d/link", &tree);
	REQUIRE(n != NULL);
	CHECK_EQ(n->type, HF_NODE_SYMLINK);
	CHECK(hf_str_is(n->linktarget, "no\xffwhere"));
	n = find(b, "d/pipe", &tree);
	REQUIRE(n != NULL);
	CHECK_EQ(n->type, HF_NODE_FIFO);
	n = find(b, "d/sub", &tree);
	REQUIRE(n != NULL && n->has_subtree);

	const struct hf_summary *s = &b->result.summary;
	CHECK_EQ(s->files_new, 3);
	CHECK_EQ(s->dirs_new, 2);
	CHECK_EQ(s->data_blobs, 1);
	CHECK_EQ(s->tree_blobs, 3);
	CHECK_EQ(s->total_files_processed, 3);
	CHECK_EQ(s->total_bytes_processed, 12);
}

TEST(backup_takes_over_what_did_not_change)
{
	hf_autoptr(bed) b = bed_new(NULL);
	hf_autoptr(hf_snapshot) parent = NULL;

	enter();
	REQUIRE(mkdir("d", 0755) == 0);
	put_text("d/same", "same");
	put_text("d/other", "before");
	REQUIRE_OK(backup(b, "d", NULL));
	REQUIRE_OK(hf_snapshot_load(b->repo, &b->result.snapshot, &parent));
	REQUIRE_OK(backup(b, "d", parent));
	CHECK(hf_id_eq(&b->result.tree, &parent->tree));
	CHECK_EQ(b->result.summary.files_unmodified, 2);
	CHECK_EQ(b->result.summary.dirs_unmodified, 1);
	CHECK_EQ(b->result.summary.data_blobs + b->result.summary.tree_blobs, 0);

	put_text("d/other", "after!");
	REQUIRE_OK(backup(b, "d", parent));
	CHECK_EQ(b->result.summary.files_unmodified, 1);
	CHECK_EQ(b->result.summary.files_changed, 1);
	CHECK_EQ(b->result.summary.dirs_changed, 1);
	CHECK_EQ(b->result.summary.data_blobs, 1);

	const char *target = "d";
	struct hf_backup_options o = {.targets = &target,
		.n_targets = 1,
		.parent = parent,
		.skip_if_unchanged = true};
	REQUIRE_OK(run(b, &o));
	CHECK(!b->result.is_skipped);
	put_text("d/other", "before");
	hf_snapshot_free(hf_steal(parent));
	REQUIRE_OK(hf_snapshot_load(b->repo, &b->result.snapshot, &parent));
	REQUIRE_OK(backup(b, "d", parent));
	hf_snapshot_free(hf_steal(parent));
	REQUIRE_OK(hf_snapshot_load(b->repo, &b->result.snapshot, &parent));
	o.parent = parent;
	REQUIRE_OK(run(b, &o));
	CHECK(b->result.is_skipped);
	CHECK(hf_id_is_zero(&b->result.snapshot));
}

static bool
exclude_o(void *arg, const char *path)
{
	(void)arg;
	return strlen(path) > 2 && strcmp(path + strlen(path) - 2, ".o") == 0;
}

TEST(backup_leaves_out_what_it_is_told)
{
	hf_autoptr(bed) b = bed_new(NULL);
	const char *target = "d";
	struct hf_exclude_tag tags[] = {{"NOBACKUP", NULL}, {"TAG", "right"}};

	enter();
	REQUIRE(mkdir("d", 0755) == 0 && mkdir("d/t", 0755) == 0 && mkdir("d/u", 0755) == 0 &&
		mkdir("d/v", 0755) == 0);
	put_text("d/a.o", "x");
	put_text("d/a.c", "x");
	put_text("d/large", "0123456789 0123456789 0123456789");
	put_text("d/t/NOBACKUP", "");
	put_text("d/t/x", "");
	put_text("d/u/TAG", "right and more");
	put_text("d/u/x", "");
	put_text("d/v/TAG", "wrong");
	put_text("d/v/x", "");
	REQUIRE_OK(run(b, &(struct hf_backup_options){.targets = &target,
				  .n_targets = 1,
				  .exclude = exclude_o,
				  .exclude_tags = tags,
				  .n_exclude_tags = 2,
				  .exclude_larger_than = &(uint64_t){30}}));
	CHECK(!has(b, "d/a.o"));
	CHECK(has(b, "d/a.c"));
	CHECK(!has(b, "d/large"));
	CHECK(has(b, "d/t/NOBACKUP"));
	CHECK(!has(b, "d/t/x"));
	CHECK(has(b, "d/u/TAG"));
	CHECK(!has(b, "d/u/x"));
	CHECK(has(b, "d/v/x"));
	CHECK_EQ(atomic_load(&b->excluded), 2);
	CHECK_EQ(atomic_load(&b->warnings), 1); /* the tag with the wrong head */
	CHECK_EQ(atomic_load(&b->errors), 0);
}

TEST(backup_of_one_target_and_none)
{
	hf_autoptr(bed) b = bed_new(NULL);

	enter();
	put_text("file", "x");
	REQUIRE_OK(backup(b, "file", NULL));
	CHECK(has(b, "file"));
	REQUIRE(mkdir("empty", 0755) == 0 && chdir("empty") == 0);
	CHECK_ERR_TEXT(backup(b, ".", NULL), HF_EINVAL, "snapshot is empty");
}

/* Long files come back in order, whoever saved which chunk. */
TEST(backup_long_file)
{
	enum { LEN = 40 << 20 };
	hf_autoptr(bed) b = bed_new(NULL);
	hf_auto(hf_buf) back = HF_BUF_MAX(LEN);
	hf_autofree uint8_t *data = malloc(LEN);

	enter();
	hf_random(data, LEN / 2);
	memset(data + LEN / 2, 0, LEN / 4);
	memset(data + LEN / 4 * 3, 'x', LEN / 4);
	REQUIRE(mkdir("d", 0755) == 0);
	for (int i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof name, "d/f%d", i);
		put_file(name, (struct hf_bytes){data + i, LEN - (size_t)i});
	}
	REQUIRE_OK(backup(b, "d", NULL));
	for (int i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof name, "d/f%d", i);
		hf_buf_reset(&back);
		content(b, name, &back);
		REQUIRE_EQ(back.len, LEN - (size_t)i);
		CHECK(memcmp(back.p, data + i, back.len) == 0);
	}
}

/* A file with holes gives the same blobs as one that has the zeros written out. */
TEST(backup_holes)
{
	enum { LEN = 30 << 20 };
	hf_autoptr(bed) b = bed_new(NULL);
	hf_autoptr(hf_tree) t1 = NULL, *t2 = NULL;
	hf_autofree uint8_t *data = calloc(1, LEN);
	const struct {
		size_t off, len;
	} parts[] = {{0, 100}, {3 << 20, 700000}, {(9 << 20) + 5, 1}, {20 << 20, 3 << 20}};

	enter();
	REQUIRE(mkdir("d", 0755) == 0);
	hf_autofd int fd = open("d/holes", O_RDWR | O_CREAT, 0644);
	REQUIRE(fd >= 0 && ftruncate(fd, LEN) == 0);
	for (size_t i = 0; i < 4; i++) {
		hf_random(data + parts[i].off, parts[i].len);
		REQUIRE_OK(hf_pwrite_full(fd, data + parts[i].off, parts[i].len, parts[i].off));
	}
	put_file("d/plain", (struct hf_bytes){data, LEN});
	REQUIRE_OK(backup(b, "d", NULL));
	const struct hf_node *a = find(b, "d/holes", &t1), *c = find(b, "d/plain", &t2);
	REQUIRE(a != NULL && c != NULL);
	REQUIRE_EQ(a->n_content, c->n_content);
	CHECK(a->n_content > 20);
	CHECK_MEM(a->content, c->content, a->n_content * sizeof a->content[0]);
	CHECK_EQ(a->size, LEN);
}

TEST(backup_stops_when_told)
{
	hf_autoptr(bed) b = bed_new(NULL);
	struct hf_stop stop = {0};
	const char *target = "d";

	enter();
	REQUIRE(mkdir("d", 0755) == 0);
	put_text("d/f", "x");
	hf_stop_set(&stop);
	CHECK_ERR(run(b,
			  &(struct hf_backup_options){
				  .targets = &target, .n_targets = 1, .stop = &stop}),
		HF_ECANCELED);
	CHECK(hf_id_is_zero(&b->result.snapshot));
}

/*
 * The reader of a long file has failed while another thread saves a chunk of it, which is then the
 * last to let go. No node may come of what there is, nor a tree of its folder.
 */
TEST(backup_completes_no_file_that_was_dropped)
{
	static const struct hf_id none;
	hf_autoptr(bed) bed = bed_new(NULL);
	struct hf_backup_options o = {0};
	struct hf_backup_events ev = {0};
	struct backup b = {.repo = bed->repo,
		.ix = bed->ix,
		.o = &o,
		.ev = &ev,
		.progress = &bed->progress,
		.chunks_tail = &b.chunks};
	struct dir *d = dir_new(NULL, 0, hf_str(""));
	struct file *f = hf_new(struct file);
	struct chunk *c = chunk_new();
	struct entry entry;

	pthread_mutex_init(&b.lock, NULL);
	REQUIRE_OK(hf_saver_new(bed->repo, bed->ix, &(struct hf_saver_options){0}, &b.saver));
	f->job = file_job_new(d, dir_add_place(d), hf_str("long"));
	f->ids = DIR_BUF;
	hf_buf_add(&f->ids, &none, sizeof none);
	pthread_mutex_init(&f->lock, NULL);
	atomic_init(&f->left, 2);
	c->file = f;
	c->len = 1;
	c->p[0] = 'x';
	push_chunk(&b, c);

	file_drop(f);
	REQUIRE_OK(work_loop(&b));
	REQUIRE_EQ(d->entries.len, sizeof entry);
	memcpy(&entry, d->entries.p, sizeof entry);
	CHECK_EQ(entry.len, 0);
	CHECK(atomic_load(&d->is_void));

	dir_drop(d);
	chunk_free(b.spares);
	hf_saver_free(b.saver);
	pthread_mutex_destroy(&b.lock);
}

TEST(backup_from_a_pipe)
{
	hf_autoptr(bed) b = bed_new(NULL);
	hf_autoptr(hf_tree) tree = NULL;
	hf_auto(hf_buf) text = HF_BUF_MAX(4 << 20);
	int p[2];

	REQUIRE(pipe(p) == 0);
	pid_t child = fork();
	if (child == 0) {
		close(p[0]);
		for (int i = 0; i < 200000; i++)
			hf_err_free(hf_write_full(p[1], "0123456789", 10));
		_exit(0);
	}
	close(p[1]);
	REQUIRE_OK(run(b, &(struct hf_backup_options){.use_stdin = true,
				  .stdin_fd = p[0],
				  .stdin_filename = "dumps/db.sql"}));
	REQUIRE(waitpid(child, NULL, 0) == child);
	close(p[0]);
	content(b, "dumps/db.sql", &text);
	CHECK_EQ(text.len, 2000000);
	const struct hf_node *n = find(b, "dumps", &tree);
	REQUIRE(n != NULL);
	CHECK_EQ(n->mode, 2147484141);

	/* Nothing came out: no file, but a snapshot, and an error. */
	REQUIRE(pipe(p) == 0);
	close(p[1]);
	REQUIRE_OK(run(b, &(struct hf_backup_options){
				  .use_stdin = true, .stdin_fd = p[0], .stdin_filename = "x"}));
	close(p[0]);
	CHECK_EQ(atomic_load(&b->errors), 1);
	CHECK(!has(b, "x"));
}

static struct hf_err *
refuse(void *arg)
{
	(void)arg;
	return hf_err(HF_EFATAL, "the command failed");
}

TEST(backup_can_be_refused_before_the_snapshot)
{
	hf_autoptr(bed) b = bed_new(NULL);
	hf_autofree struct hf_id *ids = NULL;
	const char *target = "f";
	size_t n;

	enter();
	put_text("f", "x");
	CHECK_ERR_TEXT(run(b, &(struct hf_backup_options){.targets = &target,
				      .n_targets = 1,
				      .before_commit = refuse}),
		HF_EFATAL, "the command failed");
	REQUIRE_OK(hf_repo_list(b->repo, HF_SNAPSHOT, &ids, NULL, &n));
	CHECK_EQ(n, 0);
}

/* Whichever write fails: no snapshot, the cause is told, and a second run succeeds. */
TEST_WITHIN(backup_survives_any_failure, 120)
{
	hf_autofree uint8_t *data = malloc(12 << 20);
	bool has_failed = true;
	uint64_t at = 0;

	enter();
	REQUIRE(mkdir("d", 0755) == 0);
	hf_random(data, 12 << 20);
	put_file("d/a", (struct hf_bytes){data, 6 << 20});
	put_file("d/b", (struct hf_bytes){data + (6 << 20), 6 << 20});
	for (int i = 0; i < 200; i++) {
		char name[16];

		snprintf(name, sizeof name, "d/s%d", i);
		put_text(name, name);
	}
	while (has_failed && at < 100) {
		struct hf_fault_plan plan = {.kind = HF_FAULT_FAIL,
			.code = HF_EFATAL,
			.first = ++at,
			.ops = 1u << HF_FAULT_PUT,
			.kinds = 1u << HF_PACK | 1u << HF_INDEX | 1u << HF_SNAPSHOT};
		hf_autoptr(bed) b = bed_new(&plan);
		hf_autofree struct hf_id *ids = NULL;
		size_t n;
		struct hf_err *e = backup(b, "d", NULL);

		has_failed = e != NULL;
		if (e != NULL)
			CHECK_EQ(hf_err_code(e), HF_EFATAL);
		hf_err_free(e);
		REQUIRE_OK(hf_repo_list(b->repo, HF_SNAPSHOT, &ids, NULL, &n));
		CHECK_EQ(n, has_failed ? 0 : 1);
		if (!has_failed)
			break;
		hf_index_free(b->ix);
		b->ix = hf_index_new();
		REQUIRE_OK(hf_index_load(b->repo, b->ix, NULL, NULL, NULL));
		REQUIRE_OK(backup(b, "d", NULL));
		CHECK(has(b, "d/s199"));
	}
	CHECK(!has_failed);
	CHECK(at > 4);
}
