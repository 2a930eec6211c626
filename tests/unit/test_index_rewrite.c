/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/index_rewrite.h"

#include "handmade.h"
#include "repo/remove.h"

enum { FULL = 50000 };

static struct hf_id
number_id(uint64_t n)
{
	struct hf_id id = {{1}};

	hf_put_le64(id.b + 8, n);
	hf_put_le64(id.b + 24, n * 7);
	return id;
}

/* `n` blobs with the numbers from `first` on, as a pack has them. */
static void
make_entries(struct hf_pack_entries *l, uint64_t first, size_t n)
{
	hf_pack_entries_reset(l);
	for (size_t i = 0; i < n; i++) {
		struct hf_pack_entry e = {.blob = {number_id(first + i), HF_DATA},
			.offset = (uint32_t)i * 100,
			.length = 100,
			.raw_length = 200};

		hf_pack_entries_add(l, &e);
	}
}

/* Writes an index file with packs first … first + n - 1, each of `blobs` blobs. */
static struct hf_id
write_file(struct hf_repo *repo, uint64_t first, size_t n, size_t blobs)
{
	hf_autofree struct hf_index_pack *v = hf_alloc_(n + 1, sizeof *v);
	hf_auto(hf_buf) json = HF_BUF_MAX(64 << 20);
	struct hf_id id;

	for (size_t i = 0; i < n; i++) {
		v[i].id = number_id(first + i);
		make_entries(&v[i].entries, (first + i) * 1000000, blobs);
	}
	hf_index_json(&json, v, n);
	for (size_t i = 0; i < n; i++)
		hf_pack_entries_clear(&v[i].entries);
	REQUIRE_OK(hf_repo_save(repo, HF_INDEX, hf_buf_bytes(&json), &id));
	return id;
}

struct found {
	size_t n_packs, n_blobs, n_third;
};

static struct hf_err *
count_pack(void *arg, const struct hf_id *pack, const struct hf_pack_entry *entries, size_t n)
{
	struct found *f = arg;
	struct hf_id third = number_id(3);

	CHECK_EQ(entries[n - 1].offset, (n - 1) * 100);
	f->n_packs++;
	f->n_blobs += n;
	f->n_third += hf_id_eq(pack, &third);
	return NULL;
}

/* What all index files of the repository list, those alike as often as they do. */
static struct found
look(struct hf_repo *repo)
{
	hf_autofree struct hf_id *ids = NULL;
	struct found f = {0};
	size_t n;

	REQUIRE_OK(hf_repo_list(repo, HF_INDEX, &ids, NULL, &n));
	for (size_t i = 0; i < n; i++) {
		hf_auto(hf_buf) json = HF_BUF_MAX(64 << 20);
		struct hf_name name = {HF_INDEX, ids[i]};

		REQUIRE_OK(hf_repo_load(repo, &name, &json));
		REQUIRE_OK(hf_index_each(hf_buf_bytes(&json), 2, count_pack, &f));
	}
	return f;
}

static bool
drops_third(void *arg, const struct hf_id *pack)
{
	struct hf_id third = number_id(3);

	(void)arg;
	return hf_id_eq(pack, &third);
}

/* Rewrites all index files; returns how many are obsolete, after they have been deleted. */
static size_t
rewrite_all(struct hf_repo *repo, bool (*drops)(void *, const struct hf_id *), size_t *n_new)
{
	hf_autoptr(hf_index_writer) writer = hf_index_writer_new(repo);
	hf_autofree struct hf_id *ids = NULL, *obsolete = NULL;
	struct hf_index_rewrite how = {.drops = drops, .writer = writer};
	struct hf_removal removal = {.kind = HF_INDEX};
	atomic_uint_fast64_t done = 0;
	size_t n;

	REQUIRE_OK(hf_repo_list(repo, HF_INDEX, &ids, NULL, &how.n_files));
	how.files = ids;
	how.done = &done;
	REQUIRE_OK(hf_index_rewrite(repo, &how, &obsolete, &n));
	CHECK_EQ(done, how.n_files);
	hf_index_writer_files(writer, n_new);
	REQUIRE_OK(hf_repo_remove(repo, &removal, obsolete, n));
	return n;
}

TEST(small_files_become_one)
{
	hf_autoptr(hf_repo) repo = made_repo(hf_store_mem(), 2);
	size_t n_new;

	for (uint64_t i = 0; i < 10; i++)
		write_file(repo, i, 1, 20);
	CHECK_EQ(rewrite_all(repo, NULL, &n_new), 10);
	CHECK_EQ(n_new, 1);
	struct found f = look(repo);
	CHECK_EQ(f.n_packs, 10);
	CHECK_EQ(f.n_blobs, 200);
}

TEST(a_full_file_stays_unless_it_lists_what_goes)
{
	hf_autoptr(hf_repo) repo = made_repo(hf_store_mem(), 2);
	size_t n_new;

	write_file(repo, 0, 10, FULL / 10);  /* has pack 3 */
	write_file(repo, 10, 10, FULL / 10); /* has not */
	CHECK_EQ(rewrite_all(repo, NULL, &n_new), 0);
	CHECK_EQ(n_new, 0);
	CHECK_EQ(rewrite_all(repo, drops_third, &n_new), 1);
	CHECK_EQ(n_new, 1);
	struct found f = look(repo);
	CHECK_EQ(f.n_packs, 19);
	CHECK_EQ(f.n_third, 0);
}

TEST(listed_alike_once_listed_otherwise_again)
{
	hf_autoptr(hf_repo) repo = made_repo(hf_store_mem(), 2);
	size_t n_new;

	write_file(repo, 0, 5, 10);
	write_file(repo, 3, 5, 10); /* packs 3 and 4 once more */
	write_file(repo, 3, 1, 9);  /* and 3 with a blob less */
	CHECK_EQ(rewrite_all(repo, NULL, &n_new), 3);
	struct found f = look(repo);
	CHECK_EQ(f.n_packs, 9);
	CHECK_EQ(f.n_third, 2);
	/* Two full files that list the same: one of them goes. */
	hf_autoptr(hf_repo) twice = made_repo(hf_store_mem(), 2);
	write_file(twice, 0, 5, FULL / 5);
	write_file(twice, 0, 5, FULL / 5);
	CHECK_EQ(rewrite_all(twice, NULL, &n_new), 1);
	CHECK_EQ(n_new, 0);
	CHECK_EQ(look(twice).n_packs, 5);
}

TEST(nothing_left_is_no_file)
{
	hf_autoptr(hf_repo) repo = made_repo(hf_store_mem(), 2);
	size_t n_new;

	write_file(repo, 3, 1, 10);
	CHECK_EQ(rewrite_all(repo, drops_third, &n_new), 1);
	CHECK_EQ(n_new, 0);
	CHECK_EQ(look(repo).n_packs, 0);
}

TEST(large_files_are_split)
{
	hf_autoptr(hf_repo) repo = made_repo(hf_store_mem(), 2);
	hf_autoptr(hf_index_writer) w = hf_index_writer_new(repo);
	hf_auto(hf_pack_entries) entries = {0};
	size_t n;

	make_entries(&entries, 0, FULL / 2);
	for (uint64_t i = 0; i < 5; i++) {
		struct hf_id id = number_id(i);

		REQUIRE_OK(hf_index_writer_add(w, &id, entries.v, entries.len));
	}
	hf_index_writer_files(w, &n);
	CHECK_EQ(n, 2);
	REQUIRE_OK(hf_index_writer_flush(w));
	REQUIRE_OK(hf_index_writer_flush(w));
	hf_index_writer_files(w, &n);
	CHECK_EQ(n, 3);
	CHECK_EQ(look(repo).n_packs, 5);
}

TEST(a_file_that_cannot_be_read_ends_it)
{
	hf_autoptr(hf_repo) repo = made_repo(hf_store_mem(), 2);
	hf_autoptr(hf_index_writer) writer = hf_index_writer_new(repo);
	hf_autofree struct hf_id *obsolete = NULL;
	struct hf_id files[2] = {write_file(repo, 0, 1, 1), number_id(9)};
	struct hf_index_rewrite how = {.files = files, .n_files = 2, .writer = writer};
	size_t n;

	CHECK_ERR(hf_index_rewrite(repo, &how, &obsolete, &n), HF_ENOTFOUND);
	CHECK(obsolete == NULL);
	CHECK_EQ(look(repo).n_packs, 1);
}

/* Counts what is told. */
static void
told(void *arg, enum hf_kind kind, const struct hf_id *id, const struct hf_err *e)
{
	size_t *n = arg;

	(void)id;
	CHECK_EQ(kind, HF_INDEX);
	CHECK(e == NULL);
	++*n;
}

TEST(what_is_not_there_is_removed)
{
	hf_autoptr(hf_repo) repo = made_repo(hf_store_mem(), 2);
	struct hf_id files[3] = {
		write_file(repo, 0, 1, 1), number_id(9), write_file(repo, 1, 1, 1)};
	atomic_uint_fast64_t done = 0;
	size_t n_told = 0;
	struct hf_removal how = {HF_INDEX, false, NULL, &done, told, &n_told};

	REQUIRE_OK(hf_repo_remove(repo, &how, files, 3));
	CHECK_EQ(done, 3);
	CHECK_EQ(n_told, 3);
	CHECK_EQ(look(repo).n_packs, 0);
	struct hf_stop stop = {true};
	how.stop = &stop;
	CHECK_ERR(hf_repo_remove(repo, &how, files, 3), HF_ECANCELED);
}
