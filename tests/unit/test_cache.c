/* SPDX-License-Identifier: BSD-2-Clause */
/* The cache: what it answers, what it removes, and what it does about folders that are not its own. */
#include "harness/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/group.h"
#include "base/io.h"
#include "codec/sha256.h"
#include "store/cache.h"
#include "store/cache_base.h"
#include "store/fault.h"
#include "store/mem.h"
#include "unit/listed.h"

static const struct hf_id repo_id = {{0xab, 0xcd}};

/* A store in memory behind a cache; the two names are the same store. */
struct rig {
	char *base;
	struct hf_store *mem, *store; /* `store` owns `mem` */
	unsigned n_said;
	char said[512];
};

static void
hear(void *arg, const char *text)
{
	struct rig *r = arg;

	r->n_said++;
	snprintf(r->said, sizeof r->said, "%s", text);
}

static struct hf_err *
try_open(struct rig *r, struct hf_store *inner, uint64_t limit, uint64_t floor)
{
	struct hf_cache_options o = {
		.base = r->base, .limit = limit, .floor = floor, .say = hear, .arg = r};
	struct hf_cache *cache;

	HF_TRY(hf_cache_open(&o, &repo_id, &cache));
	r->store = hf_store_cache(inner, cache);
	return NULL;
}

static void
open_rig(struct rig *r, uint64_t limit)
{
	*r = (struct rig){.mem = hf_store_mem()};
	REQUIRE(asprintf(&r->base, "%s/some/cache", test_tmpdir()) > 0);
	REQUIRE_OK(try_open(r, r->mem, limit, 1));
}

static void
close_rig(struct rig *r)
{
	hf_store_free(r->store);
	free(r->base);
}

/* `n` bytes that depend on `seed`, and the name that they have. */
static struct hf_name
make(enum hf_kind kind, unsigned seed, size_t n, struct hf_buf *out)
{
	REQUIRE_OK(hf_buf_resize(out, n));
	for (size_t i = 0; i < n; i++)
		out->p[i] = (uint8_t)(i * 7 + i / 251 + seed * 31);
	return (struct hf_name){
		.kind = kind, .id = hf_sha256(hf_buf_bytes(out)), .is_meta = true};
}

/* Puts such a file into the store, past the cache, or through it. */
static struct hf_name
put(struct hf_store *s, enum hf_kind kind, unsigned seed, size_t n)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(64 << 20);
	struct hf_name name = make(kind, seed, n, &b);

	REQUIRE_OK(hf_store_put(s, &name, hf_buf_bytes(&b)));
	return name;
}

static char *
path_of(const struct rig *r, const struct hf_name *name)
{
	struct hf_hex id = hf_id_hex(&name->id);
	char *path;

	REQUIRE(asprintf(&path, "%s/%s/%s/%.2s/%s", r->base, hf_id_hex(&repo_id).s,
			hf_kind_folder(name->kind), id.s, id.s) > 0);
	return path;
}

static bool
is_cached(const struct rig *r, const struct hf_name *name)
{
	hf_autofree char *path = path_of(r, name);
	struct stat st;

	return lstat(path, &st) == 0;
}

static bool
is_read(struct hf_store *s, const struct hf_name *name)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(64 << 20);
	hf_autoptr(hf_err) e = hf_store_get(s, name, 0, SIZE_MAX, &b);
	struct hf_id id = hf_sha256(hf_buf_bytes(&b));

	return e == NULL && hf_id_eq(&id, &name->id);
}

/* Sets back the times of a copy by so many seconds. */
static void
make_older(const struct rig *r, const struct hf_name *name, time_t s)
{
	hf_autofree char *path = path_of(r, name);
	/* Read after it was written: else the kernel notes the next reading by itself. */
	struct timespec used = {.tv_sec = time(NULL) - s},
			made = {.tv_sec = used.tv_sec - 3600};

	REQUIRE_EQ(utimensat(AT_FDCWD, path, (struct timespec[]){used, made}, 0), 0);
}

static void
overwrite(const struct rig *r, const struct hf_name *name, off_t off)
{
	hf_autofree char *path = path_of(r, name);
	hf_autofd int fd = open(path, O_WRONLY);

	REQUIRE(fd >= 0);
	REQUIRE_EQ(pwrite(fd, "!", 1, off), 1);
}

/* ---- reading and writing ---- */

TEST(what_was_read_once_is_not_asked_for_again)
{
	static const enum hf_kind kinds[] = {HF_INDEX, HF_SNAPSHOT, HF_PACK};
	struct rig r;

	open_rig(&r, 0);
	for (size_t i = 0; i < 3; i++) {
		struct hf_name name = put(r.mem, kinds[i], (unsigned)i, 5000);

		CHECK(!is_cached(&r, &name));
		CHECK(is_read(r.store, &name));
		CHECK(is_cached(&r, &name));
		REQUIRE_OK(hf_store_del(r.mem, &name));
		CHECK(is_read(r.store, &name));
		REQUIRE_OK(hf_err_ignore(hf_store_del(r.store, &name), HF_ENOTFOUND));
		CHECK(!is_cached(&r, &name));
		CHECK(!is_read(r.store, &name));
	}
	CHECK_EQ(r.n_said, 0);
	close_rig(&r);
}

TEST(what_was_written_is_there)
{
	struct rig r;

	open_rig(&r, 0);
	struct hf_name name = put(r.store, HF_INDEX, 1, 100), data = name;
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);

	CHECK(is_cached(&r, &name));
	/* Packs of data, and what is not what its name says, are not. */
	data = make(HF_PACK, 2, 100, &b);
	data.is_meta = false;
	REQUIRE_OK(hf_store_put(r.store, &data, hf_buf_bytes(&b)));
	CHECK(!is_cached(&r, &data));
	name.id.b[5] ^= 1;
	REQUIRE_OK(hf_store_put(r.store, &name, hf_buf_bytes(&b)));
	CHECK(!is_cached(&r, &name));
	close_rig(&r);
}

/* Parts of packs of every size, near and far, cold and warm. */
static void
check_parts(bool is_near)
{
	static const size_t sizes[] = {1, 4095, 1 << 20, (1 << 20) + 1, (3 << 20) + 77};
	struct rig r;

	open_rig(&r, 0);
	r.mem->is_near = is_near;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		hf_auto(hf_buf) all = HF_BUF_MAX(64 << 20), part = HF_BUF_MAX(64 << 20);
		struct hf_name name = make(HF_PACK, (unsigned)i, sizes[i], &all);
		size_t off = sizes[i] / 3, len = sizes[i] / 2;

		REQUIRE_OK(hf_store_put(r.mem, &name, hf_buf_bytes(&all)));
		for (int warm = 0; warm < 2; warm++) {
			hf_buf_reset(&part);
			REQUIRE_OK(hf_store_get(r.store, &name, off, len, &part));
			REQUIRE_EQ(part.len, len);
			CHECK_MEM(part.p, all.p + off, len);
			CHECK(is_cached(&r, &name));
		}
		CHECK(is_read(r.store, &name));
		CHECK_ERR(hf_store_get(r.store, &name, off, sizes[i] + 1, &part), HF_ECORRUPT);
	}
	close_rig(&r);
}

TEST(parts_of_packs_far_away)
{
	check_parts(false);
}

TEST(parts_of_packs_near_by)
{
	check_parts(true);
}

struct reader {
	struct hf_store *store;
	struct hf_name name;
};

static struct hf_err *
read_it(void *arg)
{
	struct reader *r = arg;

	return is_read(r->store, &r->name) ? NULL : hf_err(HF_ECORRUPT, "wrong");
}

TEST(threads_share_a_fetch)
{
	struct hf_fault_plan plan = {
		.kind = HF_FAULT_DELAY, .first = 1, .lasts = true, .delay_ms = 100};
	struct rig r;

	open_rig(&r, 0);
	hf_store_free(r.store);
	struct hf_store *mem = hf_store_mem(), *slow = hf_store_fault(mem, &plan);
	struct reader reader = {.name = put(mem, HF_PACK, 9, 100000)};

	REQUIRE_OK(try_open(&r, slow, 0, 1));
	reader.store = r.store;
	hf_autoptr(hf_group) g = hf_group_new(NULL, NULL);
	for (int i = 0; i < 8; i++)
		REQUIRE_OK(hf_group_go(g, "reader", read_it, &reader));
	REQUIRE_OK(hf_group_wait(g));
	CHECK_EQ(hf_store_fault_calls(slow), 1);
	close_rig(&r);
}

/* ---- damage ---- */

TEST(damaged_copy_goes_once)
{
	struct rig r;

	open_rig(&r, 0);
	struct hf_name name = put(r.mem, HF_PACK, 3, 5000);

	CHECK(!hf_store_forget(r.store, &name)); /* nothing came from here */
	CHECK(is_read(r.store, &name));
	CHECK(!hf_store_forget(r.store, &name)); /* this was the store's own */
	overwrite(&r, &name, 17);
	CHECK(!is_read(r.store, &name));
	CHECK(hf_store_forget(r.store, &name));
	CHECK_EQ(r.n_said, 1);
	CHECK(strstr(r.said, "pack") != NULL && strstr(r.said, "damaged") != NULL);
	CHECK(!is_cached(&r, &name));
	CHECK(is_read(r.store, &name));
	CHECK(is_cached(&r, &name));
	CHECK(is_read(r.store, &name));
	/* A second time the disk is not to be relied on: then this process asks the store. */
	overwrite(&r, &name, 18);
	CHECK(!is_read(r.store, &name));
	CHECK(hf_store_forget(r.store, &name));
	CHECK(is_read(r.store, &name));
	CHECK(!is_cached(&r, &name));
	close_rig(&r);
}

TEST(half_a_copy_is_a_miss)
{
	struct rig r;

	open_rig(&r, 0);
	struct hf_name name = put(r.store, HF_PACK, 3, 5000);
	hf_autofree char *path = path_of(&r, &name);
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);

	REQUIRE_EQ(truncate(path, 100), 0);
	REQUIRE_OK(hf_store_get(r.store, &name, 90, 500, &b));
	CHECK_EQ(b.len, 500);
	CHECK(is_read(r.store, &name));
	CHECK_EQ(r.n_said, 0);
	close_rig(&r);
}

TEST(damage_of_the_store_is_not_kept)
{
	struct hf_fault_plan flip = {.kind = HF_FAULT_FLIP, .first = 1};
	struct rig r;

	open_rig(&r, 0);
	hf_store_free(r.store);
	struct hf_store *mem = hf_store_mem();
	struct hf_name name = put(mem, HF_PACK, 9, 1000);

	REQUIRE_OK(try_open(&r, hf_store_fault(mem, &flip), 0, 1));
	CHECK(!is_read(r.store, &name));
	CHECK(!is_cached(&r, &name));
	CHECK(is_read(r.store, &name));
	CHECK(is_cached(&r, &name));
	close_rig(&r);
}

/* ---- clearing ---- */

struct during {
	struct rig *r;
	enum hf_kind kind;
	struct hf_name name;
	size_t n;
};

/* Another process finishes a file while we list. */
static struct hf_err *
meanwhile(void *arg, const struct hf_name *name, uint64_t size)
{
	struct during *d = arg;

	(void)name;
	(void)size;
	if (d->n++ == 0) {
		hf_autoptr(hf_store) other = d->r->store;

		/* The same base, opened once more, around the same store. */
		REQUIRE_OK(try_open(d->r, hf_store_mem(), 0, 1));
		d->name = put(d->r->store, d->kind, 77, 500);
		hf_store_free(d->r->store);
		d->r->store = hf_steal(other);
	}
	return NULL;
}

TEST(listing_clears_what_is_gone_and_nothing_newer)
{
	static const enum hf_kind kinds[] = {HF_INDEX, HF_SNAPSHOT};

	for (int i = 0; i < 2; i++) {
		struct rig r;

		open_rig(&r, 0);
		r.mem->promises |= HF_LISTS_AT_ONCE;
		hf_store_free(r.store);
		r.mem = hf_store_mem();
		r.mem->promises |= HF_LISTS_AT_ONCE;
		REQUIRE_OK(try_open(&r, r.mem, 0, 1));
		struct hf_name stays = put(r.store, kinds[i], 1, 300);
		struct hf_name goes = put(r.store, kinds[i], 2, 300);
		struct hf_name other = put(r.store, HF_PACK, 2, 300);
		struct during d = {.r = &r, .kind = kinds[i]};

		REQUIRE_OK(hf_store_del(r.mem, &goes));
		REQUIRE_OK(hf_store_list(r.store, kinds[i], meanwhile, &d));
		CHECK(is_cached(&r, &stays));
		CHECK(!is_cached(&r, &goes));
		CHECK(is_cached(&r, &other));
		CHECK(is_cached(&r, &d.name));
		close_rig(&r);
	}
}

TEST(nothing_is_cleared_by_a_listing_that_failed_or_cannot_be)
{
	struct hf_fault_plan plan = {
		.kind = HF_FAULT_LOST, .first = 1, .ops = 1 << HF_FAULT_LIST};
	struct hf_name names[20], config = {.kind = HF_CONFIG};
	struct rig r;
	size_t n = 0;

	open_rig(&r, 0);
	hf_store_free(r.store);
	struct hf_store *mem = hf_store_mem();
	mem->promises |= HF_LISTS_AT_ONCE;
	REQUIRE_OK(try_open(&r, hf_store_fault(mem, &plan), 0, 1));
	for (unsigned i = 0; i < 20; i++) {
		names[i] = put(r.store, HF_INDEX, i, 100 + i);
		REQUIRE_OK(hf_store_del(mem, &names[i]));
	}
	REQUIRE_OK(hf_store_put(mem, &config, hf_str_bytes(hf_str("config"))));
	CHECK_ERR(hf_store_list(r.store, HF_INDEX, count_listed, &n), HF_EIO);
	CHECK(is_cached(&r, &names[0]));
	REQUIRE_OK(hf_store_del(mem, &config));
	/* All gone, and the config as well: this is no repository, but a disk that is not mounted. */
	REQUIRE_OK(hf_store_list(r.store, HF_INDEX, count_listed, &n));
	CHECK(is_cached(&r, &names[0]));
	REQUIRE_OK(hf_store_put(mem, &config, hf_str_bytes(hf_str("config"))));
	REQUIRE_OK(hf_store_list(r.store, HF_INDEX, count_listed, &n));
	CHECK(!is_cached(&r, &names[0]));
	close_rig(&r);
}

TEST(late_listings_clear_only_what_is_old)
{
	struct rig r;
	size_t n = 0;

	open_rig(&r, 0);
	r.store->inner->promises = 0;
	struct hf_name young = put(r.store, HF_INDEX, 1, 300),
		       old = put(r.store, HF_INDEX, 2, 300);

	REQUIRE_OK(hf_store_del(r.mem, &young));
	REQUIRE_OK(hf_store_del(r.mem, &old));
	make_older(&r, &old, 7200);
	REQUIRE_OK(hf_store_list(r.store, HF_INDEX, count_listed, &n));
	CHECK(is_cached(&r, &young));
	CHECK(!is_cached(&r, &old));
	close_rig(&r);
}

TEST(packs_in_no_index_go_when_they_are_old)
{
	struct rig r;

	open_rig(&r, 0);
	struct hf_name known = put(r.store, HF_PACK, 1, 300),
		       young = put(r.store, HF_PACK, 2, 300),
		       old = put(r.store, HF_PACK, 3, 300), late;

	make_older(&r, &known, 7200);
	make_older(&r, &old, 7200);
	struct hf_cached_packs *p = hf_cached_packs(r.store);
	REQUIRE(p != NULL);
	late = put(r.store, HF_PACK, 4, 300);
	make_older(&r, &late, 7200);
	hf_cached_packs_keep(p, &known.id);
	hf_cached_packs_end(p, false);
	CHECK(is_cached(&r, &old));

	p = hf_cached_packs(r.store);
	REQUIRE(p != NULL);
	struct hf_name newest = put(r.store, HF_PACK, 5, 300);
	make_older(&r, &newest, 7200);
	hf_cached_packs_keep(p, &known.id);
	hf_cached_packs_keep(p, &late.id);
	hf_cached_packs_end(p, true);
	CHECK(is_cached(&r, &known));
	CHECK(is_cached(&r, &young));
	CHECK(!is_cached(&r, &old));
	CHECK(is_cached(&r, &late));
	CHECK(is_cached(&r, &newest)); /* it came after the beginning */
	CHECK(hf_cached_packs(r.mem) == NULL);
	close_rig(&r);
}

/* ---- room ---- */

TEST(least_recently_used_goes_first)
{
	struct rig r;

	open_rig(&r, 10 * 8192);
	struct hf_name snapshot = put(r.store, HF_SNAPSHOT, 0, 8192);
	struct hf_name names[10];

	make_older(&r, &snapshot, 1000000);
	for (unsigned i = 0; i < 9; i++) {
		names[i] = put(r.store, HF_PACK, 1 + i, 8192);
		make_older(&r, &names[i], 80000 - 8000 * i);
	}
	CHECK(is_read(r.store, &names[0])); /* used now */
	names[9] = put(r.store, HF_PACK, 10, 8192);
	CHECK(is_cached(&r, &names[0]));
	CHECK(!is_cached(&r, &names[1]));
	CHECK(!is_cached(&r, &names[2]));
	for (unsigned i = 3; i < 10; i++)
		CHECK(is_cached(&r, &names[i]));
	CHECK(is_cached(&r, &snapshot));
	CHECK(is_read(r.store, &names[1])); /* it is only a cache */
	CHECK_EQ(r.n_said, 0);
	close_rig(&r);
}

TEST(limit_below_everything)
{
	struct rig r;

	open_rig(&r, 1);
	for (unsigned i = 0; i < 50; i++) {
		struct hf_name name = put(r.store, i % 2 ? HF_PACK : HF_INDEX, i, 3000);

		CHECK(is_read(r.store, &name));
	}
	close_rig(&r);
	hf_autofree struct hf_cache_part *parts = NULL;
	struct hf_cache_base base;
	size_t n;

	open_rig(&r, 1);
	REQUIRE_OK(hf_cache_base_open(r.base, false, &base));
	REQUIRE_OK(hf_cache_parts(&base, HF_CACHE_SIZE, &parts, &n));
	REQUIRE_EQ(n, 1);
	CHECK_EQ(parts[0].bytes, 1); /* `version` */
	CHECK(parts[0].is_in_use);
	hf_cache_base_clear(&base);
	close_rig(&r);
}

TEST(full_disk_is_said_once)
{
	struct rig r;

	open_rig(&r, 0);
	hf_store_free(r.store);
	r.mem = hf_store_mem();
	REQUIRE_OK(try_open(&r, r.mem, 0, UINT64_MAX)); /* more than any disk has */
	for (unsigned i = 0; i < 5; i++) {
		struct hf_name name = put(r.store, HF_PACK, i, 3000);

		CHECK(!is_cached(&r, &name));
		CHECK(is_read(r.store, &name));
	}
	CHECK_EQ(r.n_said, 1);
	CHECK(strstr(r.said, "No space left") != NULL);
	close_rig(&r);
}

/* ---- folders ---- */

TEST(folder_that_is_not_ours_alone)
{
	static const struct {
		mode_t mode;
		const char *word;
	} cases[] = {{0770, "by others"}, {0707, "by others"}, {0777, "by others"}};
	struct rig r;

	open_rig(&r, 0);
	hf_store_free(r.store);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		hf_autoptr(hf_store) mem = hf_store_mem();

		REQUIRE_EQ(chmod(r.base, cases[i].mode), 0);
		hf_autoptr(hf_err) e = try_open(&r, mem, 0, 1);
		REQUIRE(e != NULL);
		CHECK_EQ(hf_err_code(e), HF_EFATAL);
		CHECK(strstr(hf_err_text(e), cases[i].word) != NULL);
		CHECK(strstr(hf_err_text(e), r.base) != NULL);
	}
	REQUIRE_EQ(chmod(r.base, 0755), 0);
	if (geteuid() == 0) {
		hf_autoptr(hf_store) mem = hf_store_mem();

		REQUIRE_EQ(chown(r.base, 12345, 0), 0);
		hf_autoptr(hf_err) e = try_open(&r, mem, 0, 1);
		REQUIRE(e != NULL);
		CHECK(strstr(hf_err_text(e), "belongs to 12345") != NULL);
		REQUIRE_EQ(chown(r.base, 0, 0), 0);
	}
	REQUIRE_OK(try_open(&r, hf_store_mem(), 0, 1));
	close_rig(&r);
}

static char *
below(const struct rig *r, const char *rest)
{
	char *path;

	REQUIRE(asprintf(&path, "%s/%s/%s", r->base, hf_id_hex(&repo_id).s, rest) > 0);
	return path;
}

TEST(links_lead_nowhere)
{
	struct rig r;
	char outside[256];

	open_rig(&r, 0);
	hf_autofree char *snapshots = below(&r, "snapshots");
	struct hf_name name = put(r.mem, HF_SNAPSHOT, 1, 100);
	struct stat st;

	snprintf(outside, sizeof outside, "%s/outside", test_tmpdir());
	REQUIRE_EQ(mkdir(outside, 0700), 0);
	REQUIRE_EQ(symlink(outside, snapshots), 0);
	CHECK(is_read(r.store, &name));
	REQUIRE_EQ(stat(outside, &st), 0);
	CHECK_EQ(st.st_nlink, 2); /* nothing was made in it */
	snprintf(outside, sizeof outside, "%s/outside/%.2s", test_tmpdir(),
		hf_id_hex(&name.id).s);
	REQUIRE_EQ(mkdir(outside, 0700), 0);
	CHECK(is_read(r.store, &name));
	REQUIRE_EQ(rmdir(outside), 0); /* nothing in this one either */
	/* A link in the place of a copy is not read, and not written through. */
	struct hf_name pack = put(r.store, HF_PACK, 2, 100);
	hf_autofree char *path = path_of(&r, &pack);
	REQUIRE_EQ(unlink(path), 0);
	REQUIRE_EQ(symlink("/etc/passwd", path), 0);
	CHECK(is_read(r.store, &pack));
	close_rig(&r);
}

TEST(version_that_is_none_is_mended)
{
	static const char *const texts[] = {"", "0", "x", "1x", "-1", "\n"};
	struct rig r;

	open_rig(&r, 0);
	hf_store_free(r.store);
	hf_autofree char *path = below(&r, "version");
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		FILE *f = fopen(path, "w");
		char got[8] = "";

		REQUIRE(f != NULL);
		fputs(texts[i], f);
		fclose(f);
		REQUIRE_OK(try_open(&r, hf_store_mem(), 0, 1));
		hf_store_free(r.store);
		f = fopen(path, "r");
		REQUIRE(f != NULL && fgets(got, sizeof got, f) != NULL);
		fclose(f);
		CHECK_STR(got, "1");
	}
	hf_autoptr(hf_store) mem = hf_store_mem();
	FILE *f = fopen(path, "w");
	REQUIRE(f != NULL);
	fputs("2", f);
	fclose(f);
	CHECK_ERR(try_open(&r, mem, 0, 1), HF_EFATAL);
	free(r.base);
}

TEST(folder_removed_under_us_is_made_again)
{
	struct rig r;

	open_rig(&r, 0);
	for (unsigned i = 0; i < 3; i++) {
		struct hf_name name = put(r.store, HF_PACK, i, 100), again;

		CHECK(is_cached(&r, &name));
		REQUIRE_OK(hf_cache_remove_tree(AT_FDCWD, r.base));
		CHECK(is_read(r.store, &name));
		again = put(r.store, HF_INDEX, i, 100);
		CHECK(is_cached(&r, &again));
	}
	/* Not for ever. */
	for (unsigned i = 0; i < 3; i++) {
		REQUIRE_OK(hf_cache_remove_tree(AT_FDCWD, r.base));
		struct hf_name name = put(r.store, HF_PACK, 100 + i, 100);
		CHECK(is_read(r.store, &name));
	}
	CHECK_EQ(r.n_said, 0);
	close_rig(&r);
}

TEST(unfinished_copy_has_no_name)
{
	struct hf_cache_options o = {.floor = 1};
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);
	struct hf_cache_put put;
	struct hf_cache *cache;
	struct rig r;

	open_rig(&r, 0);
	struct hf_name name = make(HF_PACK, 1, 5000, &b);
	o.base = r.base;
	REQUIRE_OK(hf_cache_open(&o, &repo_id, &cache));
	REQUIRE(hf_cache_put_begin(cache, &name, 0, &put));
	CHECK(!is_cached(&r, &name));
	REQUIRE(hf_cache_put_add(cache, &put, (struct hf_bytes){b.p, 3000}));
	CHECK(!is_cached(&r, &name));
	CHECK(!hf_cache_put_end(cache, &put, &name, false));
	CHECK(!is_cached(&r, &name));
	REQUIRE(hf_cache_put_begin(cache, &name, 0, &put));
	REQUIRE(hf_cache_put_add(cache, &put, hf_buf_bytes(&b)));
	CHECK(hf_cache_put_end(cache, &put, &name, true));
	CHECK(is_cached(&r, &name));
	hf_cache_close(cache);
	close_rig(&r);
}

static void
remove_all(void *arg, int shard, const char *name, enum hf_kind kind)
{
	struct rig *r = arg;
	hf_autofree char *data = below(r, "data");

	(void)shard;
	(void)name;
	(void)kind;
	r->n_said++;
	hf_err_free(hf_cache_remove_tree(AT_FDCWD, data));
}

TEST(folders_that_vanish_are_passed_over)
{
	struct hf_root root;
	struct rig r;

	open_rig(&r, 0);
	for (unsigned i = 0; i < 20; i++)
		put(r.store, HF_PACK, i, 100);
	hf_autofree char *path = below(&r, "");
	REQUIRE_OK(hf_root_open(path, &root));
	/* All go when the first is seen; more can be seen only of the folder that is open. */
	CHECK(hf_cache_walk_all(&root, remove_all, &r));
	CHECK(r.n_said > 0 && r.n_said < 20);
	CHECK(hf_cache_walk_all(&root, remove_all, &r));
	hf_root_clear(&root);
	close_rig(&r);
}

/* ---- what others left ---- */

static void
leave(const struct rig *r, const struct hf_name *beside, const char *name, time_t age)
{
	hf_autofree char *path = path_of(r, beside);
	char *slash = strrchr(path, '/'), whole[512];
	struct timespec t = {.tv_sec = time(NULL) - age};

	*slash = '\0';
	snprintf(whole, sizeof whole, "%s/%s", path, name);
	hf_autofd int fd = open(whole, O_WRONLY | O_CREAT, 0600);
	REQUIRE(fd >= 0);
	REQUIRE_EQ(futimens(fd, (struct timespec[]){t, t}), 0);
}

static bool
is_left(const struct rig *r, const struct hf_name *beside, const char *name)
{
	hf_autofree char *path = path_of(r, beside);
	char whole[512];

	*strrchr(path, '/') = '\0';
	snprintf(whole, sizeof whole, "%s/%s", path, name);
	return access(whole, F_OK) == 0;
}

TEST(leftovers_go_by_death_or_age)
{
	struct rig r;
	struct hf_cache_temp dead = {""};
	int pipe_fds[2];

	REQUIRE_EQ(pipe(pipe_fds), 0);
	pid_t pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		struct hf_cache_temp own = hf_cache_temp_name();

		_exit(write(pipe_fds[1], &own, sizeof own) != sizeof own);
	}
	REQUIRE_EQ(read(pipe_fds[0], &dead, sizeof dead), sizeof dead);
	REQUIRE_EQ(waitpid(pid, NULL, 0), pid);

	open_rig(&r, 0);
	struct hf_name name = put(r.store, HF_INDEX, 1, 100);
	struct hf_cache_temp alive = hf_cache_temp_name();
	leave(&r, &name, dead.s, 0);
	leave(&r, &name, alive.s, 1000000);
	leave(&r, &name, ".t-00000000-1-1-1-1", 3600);
	leave(&r, &name, ".t-00000000-1-1-1-2", 90000);
	leave(&r, &name, "tmp-12345", 90000);
	leave(&r, &name, "tmp-12346", 8 * 24 * 3600);
	leave(&r, &name, "README", 1000000);
	close_rig(&r);

	open_rig(&r, 1 << 30);
	close_rig(&r);
	open_rig(&r, 1 << 30);
	CHECK(!is_left(&r, &name, dead.s));
	CHECK(is_left(&r, &name, alive.s));
	CHECK(is_left(&r, &name, ".t-00000000-1-1-1-1"));
	CHECK(!is_left(&r, &name, ".t-00000000-1-1-1-2"));
	CHECK(is_left(&r, &name, "tmp-12345"));
	CHECK(!is_left(&r, &name, "tmp-12346"));
	CHECK(is_left(&r, &name, "README"));
	CHECK(is_cached(&r, &name));
	close_rig(&r);
}

TEST(removal_spares_what_is_in_use)
{
	hf_autofree struct hf_cache_part *parts = NULL;
	enum hf_cache_removal removal;
	struct hf_cache_base base;
	struct rig r;
	size_t n;

	open_rig(&r, 0);
	struct hf_name name = put(r.store, HF_PACK, 1, 100);
	CHECK(is_read(r.store, &name));
	REQUIRE_OK(hf_cache_base_open(r.base, false, &base));
	REQUIRE_OK(hf_cache_parts(&base, HF_CACHE_SIZE, &parts, &n));
	REQUIRE_EQ(n, 1);
	CHECK_EQ(parts[0].files, 2); /* with `version` */
	CHECK_EQ(parts[0].bytes, 101);
	REQUIRE_OK(hf_cache_part_remove(&base, &parts[0], &removal));
	CHECK_EQ(removal, HF_CACHE_KEPT);
	CHECK(is_cached(&r, &name));
	hf_store_free(r.store);
	/* The hits of the process that ended are known. */
	free(parts);
	REQUIRE_OK(hf_cache_parts(&base, HF_CACHE_SIZE, &parts, &n));
	REQUIRE_EQ(n, 1);
	CHECK(!parts[0].is_in_use);
	CHECK_EQ(parts[0].rate.hits, 1);
	CHECK_EQ(parts[0].rate.misses, 0);
	REQUIRE_OK(hf_cache_part_remove(&base, &parts[0], &removal));
	CHECK_EQ(removal, HF_CACHE_REMOVED);
	CHECK(!is_cached(&r, &name));
	/* Somebody else may have been faster. */
	REQUIRE_OK(hf_cache_part_remove(&base, &parts[0], &removal));
	CHECK_EQ(removal, HF_CACHE_REMOVED);
	hf_cache_base_clear(&base);
	free(r.base);
}
