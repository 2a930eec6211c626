/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A repository with as many blobs as one likes: make_blobs REPO MILLIONS [BLOBS_IN_A_PACK]
 *
 * REPO exists; its password is $RESTIC_PASSWORD. The data packs have the right size and nothing in
 * them (they are sparse), so that it costs minutes and megabytes instead of days and terabytes; the
 * index, the trees and two snapshots are real. The second snapshot has half of the folders. So all
 * commands work on it that do not read data: check, stats, prune --dry-run, ls, find, snapshots.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/endian.h"
#include "codec/sha256.h"
#include "repo/saver.h"
#include "repo/snapshot.h"
#include "store/local.h"

enum {
	FOLDERS = 200,
	FILES = 20, /* in each */
	STORED = 4000,
	RAW = 9000, /* bytes of each blob */
	IN_PACK = 4096,
	IN_INDEX = 48 << 10, /* blobs */
	MAX_PACKS = 8192,    /* in one index file */
};

struct making {
	const char *path;
	struct hf_repo *repo;
	struct hf_index *ix;
	struct hf_saver *saver;
	struct hf_sealer *sealer;
	struct hf_buf json;
	unsigned in_pack;
	struct hf_index_pack packs[MAX_PACKS];
	size_t n_packs;
};

static struct hf_id
id_of(const char *what, uint64_t number)
{
	char text[64];

	snprintf(text, sizeof text, "%s %llu", what, (unsigned long long)number);
	return hf_sha256(hf_str_bytes(hf_str(text)));
}

static struct hf_err *
write_index(struct making *m)
{
	struct hf_id id;

	if (m->n_packs == 0)
		return NULL;
	hf_buf_reset(&m->json);
	hf_index_json(&m->json, m->packs, m->n_packs);
	HF_TRY(hf_buf_ok(&m->json));
	HF_TRY(hf_repo_save(m->repo, HF_INDEX, hf_buf_bytes(&m->json), &id));
	for (size_t i = 0; i < m->n_packs; i++)
		hf_pack_entries_reset(&m->packs[i].entries);
	m->n_packs = 0;
	return NULL;
}

static struct hf_err *
make_pack(struct making *m, const struct hf_index_pack *p)
{
	struct hf_hex hex = hf_id_hex(&p->id);
	hf_autofree char *path = NULL;

	if (asprintf(&path, "%s/data/%.2s/%s", m->path, hex.s, hex.s) < 0)
		abort();
	hf_autofd int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)hf_pack_size(p->entries.v, p->entries.len)) != 0)
		return hf_err(HF_EIO, "%s: cannot be made", path);
	return NULL;
}

static struct hf_err *
make_data(struct making *m, uint64_t n)
{
	for (uint64_t i = 0; i < n;) {
		struct hf_index_pack *p = &m->packs[m->n_packs++];

		p->id = id_of("pack", i);
		for (uint32_t k = 0; k < m->in_pack && i < n; k++, i++)
			hf_pack_entries_add(&p->entries,
				&(struct hf_pack_entry){
					{id_of("blob", i), HF_DATA}, k * STORED, STORED, RAW});
		HF_TRY(make_pack(m, p));
		if (m->n_packs == MAX_PACKS || m->n_packs * m->in_pack >= IN_INDEX)
			HF_TRY(write_index(m));
	}
	return write_index(m);
}

static void
begin_node(struct hf_buf *b, const char *comma, const char *name, unsigned number,
	const char *type)
{
	hf_buf_addf(b,
		"%s{\"name\":\"%s-%05u\",\"type\":\"%s\",\"mode\":420,"
		"\"mtime\":\"2026-01-02T03:04:05Z\",\"atime\":\"2026-01-02T03:04:05Z\","
		"\"ctime\":\"2026-01-02T03:04:05Z\",\"uid\":0,\"gid\":0,\"inode\":%u",
		comma, name, number, type, number + 1);
}

/* A folder whose files have the blobs from `first` on, `n` each. */
static struct hf_err *
make_folder(struct making *m, uint64_t first, uint64_t n, struct hf_id *id)
{
	struct hf_buf *b = &m->json;

	hf_buf_reset(b);
	hf_buf_add_str(b, "{\"nodes\":[");
	for (unsigned f = 0; f < FILES; f++) {
		begin_node(b, f > 0 ? "," : "", "file", f, "file");
		hf_buf_addf(b, ",\"size\":%llu,\"links\":1,\"content\":[",
			(unsigned long long)(n * RAW));
		for (uint64_t i = 0; i < n; i++) {
			struct hf_id blob = id_of("blob", first++);

			hf_buf_addf(b, "%s\"%s\"", i > 0 ? "," : "", hf_id_hex(&blob).s);
		}
		hf_buf_add_str(b, "]}");
	}
	hf_buf_add_str(b, "]}\n");
	HF_TRY(hf_buf_ok(b));
	return hf_sealer_save(m->sealer, HF_TREE, hf_buf_bytes(b), id, NULL);
}

static struct hf_err *
make_root(struct making *m, const struct hf_id *folders, unsigned n, struct hf_id *id)
{
	struct hf_buf *b = &m->json;

	hf_buf_reset(b);
	hf_buf_add_str(b, "{\"nodes\":[");
	for (unsigned i = 0; i < n; i++) {
		begin_node(b, i > 0 ? "," : "", "folder", i, "dir");
		hf_buf_addf(b, ",\"subtree\":\"%s\"}", hf_id_hex(&folders[i]).s);
	}
	hf_buf_add_str(b, "]}\n");
	HF_TRY(hf_buf_ok(b));
	return hf_sealer_save(m->sealer, HF_TREE, hf_buf_bytes(b), id, NULL);
}

static struct hf_err *
make_snapshot(struct making *m, const struct hf_id *root)
{
	hf_autoptr(hf_snapshot) s = hf_snapshot_new();

	s->time = hf_time_now();
	s->tree = *root;
	s->has_tree = true;
	hf_strings_add(&s->paths, "/made");
	return hf_snapshot_save(m->repo, s);
}

static struct hf_err *
make(struct making *m, uint64_t n)
{
	const struct hf_saver_options options = {.lease = NULL};
	struct hf_id folders[FOLDERS], roots[2];
	uint64_t each = n / (FOLDERS * FILES);

	HF_TRY(make_data(m, each * FOLDERS * FILES));
	HF_TRY(hf_saver_new(m->repo, m->ix, &options, &m->saver));
	m->sealer = hf_sealer_new(m->saver);
	for (unsigned i = 0; i < FOLDERS; i++)
		HF_TRY(make_folder(m, i * each * FILES, each, &folders[i]));
	for (unsigned i = 0; i < 2; i++)
		HF_TRY(make_root(m, folders, FOLDERS / (i + 1), &roots[i]));
	HF_TRY(hf_saver_flush(m->saver));
	HF_TRY(make_snapshot(m, &roots[0]));
	return make_snapshot(m, &roots[1]);
}

int
main(int argc, char **argv)
{
	struct making *made = hf_new(struct making);
	hf_auto(hf_secret) password = {0};
	const char *secret = getenv("RESTIC_PASSWORD");
	struct hf_store *store;

	made->json = (struct hf_buf)HF_BUF_MAX(1 << 30);
	made->ix = hf_index_new();

	if (argc < 3 || argc > 4 || secret == NULL)
		return 2;
	made->in_pack = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : IN_PACK;
	made->path = argv[1];
	hf_secret_set(&password, hf_str_bytes(hf_str(secret)));
	struct hf_err *e = hf_store_local(argv[1], 4, &store);
	if (e == NULL)
		e = hf_repo_open(store, &password, NULL, &made->repo);
	if (e == NULL)
		e = make(made, (uint64_t)(strtod(argv[2], NULL) * 1e6));
	if (e != NULL)
		fprintf(stderr, "make_blobs: %s\n", hf_err_text(e));
	hf_sealer_free(made->sealer);
	hf_saver_free(made->saver);
	for (size_t i = 0; i < MAX_PACKS; i++)
		hf_pack_entries_clear(&made->packs[i].entries);
	hf_index_free(made->ix);
	hf_buf_clear(&made->json);
	hf_repo_free(made->repo);
	free(made);
	return e != NULL;
}
