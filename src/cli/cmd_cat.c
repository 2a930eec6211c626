/* SPDX-License-Identifier: BSD-2-Clause */
/* cat: prints one object of the repository, decrypted. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/session.h"
#include "codec/sha256.h"
#include "repo/raw.h"
#include "repo/reader.h"
#include "repo/tree.h"

#define TYPES "masterkey|config|pack|blob|snapshot|index|key|lock|tree"

enum { CHUNK = 8 << 20 };

static void
print_line(struct hf_cli *cli, struct hf_bytes text)
{
	hf_out_write(cli->out, text);
	if (text.len == 0 || text.p[text.len - 1] != '\n')
		hf_out_write(cli->out, hf_str_bytes(hf_str("\n")));
}

static struct hf_err *
print_indented(struct hf_cli *cli, struct hf_bytes json)
{
	hf_auto(hf_buf) text = HF_BUF_SPOOL(SIZE_MAX / 2);

	HF_TRY(hf_json_indent(json, &text));
	print_line(cli, hf_buf_bytes(&text));
	return NULL;
}

static struct hf_err *
cat_config(struct hf_session *s)
{
	const struct hf_config *config = hf_repo_config(s->repo);
	hf_auto(hf_buf) json = HF_BUF_MAX(4096);
	struct hf_jout o = {.buf = &json};
	char polynomial[24];

	snprintf(polynomial, sizeof polynomial, "%" PRIx64, (uint64_t)config->polynomial);
	hf_jout_object(&o);
	hf_jout_key(&o, "version");
	hf_jout_u64(&o, config->version);
	hf_jout_key(&o, "id");
	hf_jout_id(&o, &config->id);
	hf_jout_key(&o, "chunker_polynomial");
	hf_jout_str(&o, hf_str(polynomial));
	hf_jout_object_end(&o);
	return print_indented(s->cli, hf_buf_bytes(&json));
}

static struct hf_err *
cat_masterkey(struct hf_session *s)
{
	const struct hf_key *key = hf_repo_key(s->repo);
	hf_auto(hf_buf) json = HF_BUF_MAX(4096);
	struct hf_jout o = {.buf = &json};
	struct hf_err *e;

	hf_jout_object(&o);
	hf_jout_key(&o, "mac");
	hf_jout_object(&o);
	hf_jout_key(&o, "k");
	hf_jout_base64(&o, (struct hf_bytes){key->mac_k, sizeof key->mac_k});
	hf_jout_key(&o, "r");
	hf_jout_base64(&o, (struct hf_bytes){key->mac_r, sizeof key->mac_r});
	hf_jout_object_end(&o);
	hf_jout_key(&o, "encrypt");
	hf_jout_base64(&o, (struct hf_bytes){key->encrypt, sizeof key->encrypt});
	hf_jout_object_end(&o);
	e = print_indented(s->cli, hf_buf_bytes(&json));
	explicit_bzero(json.p, json.cap);
	return e;
}

static struct hf_err *
cat_snapshot(struct hf_session *s, const char *text)
{
	static const struct hf_filter_opts any = {0};
	hf_autoptr(hf_snapshot) sn = NULL;
	hf_autofree char *subfolder = NULL;
	hf_auto(hf_buf) json = HF_BUF_MAX(HF_MAX_SNAPSHOT_FILE);
	struct hf_jout o = {.buf = &json};

	HF_TRY(hf_err_in(hf_session_snapshot(s, &any, text, &sn, &subfolder),
		"could not find snapshot"));
	hf_jout_object(&o);
	hf_snapshot_fields(&o, sn);
	hf_jout_object_end(&o);
	return print_indented(s->cli, hf_buf_bytes(&json));
}

/* Index files are printed as they are, locks and keys with indentation. */
static struct hf_err *
cat_file(struct hf_session *s, const struct hf_name *name)
{
	hf_auto(hf_buf) text = HF_BUF_SPOOL(hf_raw_max(name->kind));

	if (name->kind == HF_KEY)
		HF_TRY(hf_raw_load(hf_repo_store(s->repo), name, &text));
	else
		HF_TRY(hf_repo_load(s->repo, name, &text));
	if (name->kind != HF_INDEX)
		return print_indented(s->cli, hf_buf_bytes(&text));
	print_line(s->cli, hf_buf_bytes(&text));
	return NULL;
}

/* A pack is printed even when it is damaged; that may be why somebody wants to see it. */
static struct hf_err *
cat_pack(struct hf_session *s, const struct hf_name *name)
{
	struct hf_store *store = hf_repo_store(s->repo);
	hf_autoptr(hf_sha256) hash = hf_sha256_new();
	struct hf_id got;
	uint64_t size;

	HF_TRY(hf_store_stat(store, name, &size));
	for (uint64_t off = 0; off < size; off += CHUNK) {
		size_t len = size - off < CHUNK ? (size_t)(size - off) : CHUNK;
		hf_auto(hf_buf) bytes = HF_BUF_MAX(CHUNK);

		HF_TRY(hf_stop_check(&s->cli->stop));
		HF_TRY(hf_store_get(store, name, off, len, &bytes));
		hf_sha256_add(hash, hf_buf_bytes(&bytes));
		hf_out_write(s->cli->out, hf_buf_bytes(&bytes));
	}
	got = hf_sha256_end(hash);
	if (!hf_id_eq(&got, &name->id))
		hf_say_err(s->cli->out,
			"Warning: hash of data does not match ID, want\n  %s\ngot:\n  %s",
			hf_id_hex(&name->id).s, hf_id_hex(&got).s);
	return NULL;
}

static struct hf_err *
cat_blob(struct hf_session *s, const struct hf_id *id)
{
	hf_auto(hf_buf) bytes = HF_BUF_SPOOL(UINT32_MAX);
	hf_autoptr(hf_reader) reader = NULL;

	HF_TRY(hf_session_load_index(s));
	reader = hf_reader_new(s->repo, s->index);
	for (enum hf_blob_type t = HF_DATA; t <= HF_TREE; t++) {
		struct hf_blob blob = {*id, t};
		struct hf_location at;

		if (!hf_index_find(s->index, &blob, 0, &at))
			continue;
		HF_TRY(hf_reader_blob(reader, &blob, &bytes));
		hf_out_write(s->cli->out, hf_buf_bytes(&bytes));
		return NULL;
	}
	return hf_err(HF_ENOTFOUND, "blob not found");
}

static struct hf_err *
cat_tree(struct hf_session *s, const char *text)
{
	static const struct hf_filter_opts any = {0};
	hf_autoptr(hf_snapshot) sn = NULL;
	hf_autofree char *subfolder = NULL;
	hf_auto(hf_buf) bytes = HF_BUF_SPOOL(HF_MAX_TREE);
	hf_autoptr(hf_reader) reader = NULL;
	struct hf_blob blob = {.type = HF_TREE};

	HF_TRY(hf_err_in(hf_session_snapshot(s, &any, text, &sn, &subfolder),
		"could not find snapshot"));
	HF_TRY(hf_session_load_index(s));
	HF_TRY(hf_session_tree(s, sn, subfolder, &blob.id));
	reader = hf_reader_new(s->repo, s->index);
	HF_TRY(hf_reader_blob(reader, &blob, &bytes));
	hf_out_write(s->cli->out, hf_buf_bytes(&bytes));
	return NULL;
}

static struct hf_err *
cat_object(struct hf_session *s, const char *type, const char *arg)
{
	static const struct {
		const char *type;
		enum hf_kind kind;
	} files[] = {
		{"index", HF_INDEX}, {"key", HF_KEY}, {"lock", HF_LOCK}, {"pack", HF_PACK}};
	struct hf_name name;

	if (strcmp(type, "config") == 0)
		return cat_config(s);
	if (strcmp(type, "masterkey") == 0)
		return cat_masterkey(s);
	if (strcmp(type, "snapshot") == 0)
		return cat_snapshot(s, arg);
	if (strcmp(type, "tree") == 0)
		return cat_tree(s, arg);
	if (!hf_id_parse(hf_str(arg), &name.id))
		return hf_err(
			HF_EINVAL, "unable to parse ID: \"%s\" is not 64 hex digits", arg);
	if (strcmp(type, "blob") == 0)
		return cat_blob(s, &name.id);
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
		if (strcmp(type, files[i].type) == 0)
			name.kind = files[i].kind;
	return name.kind == HF_PACK ? cat_pack(s, &name) : cat_file(s, &name);
}

static struct hf_err *
check_args(const struct hf_args *args)
{
	struct hf_str types = hf_str(TYPES);
	bool is_known = false;

	if (args->len == 0)
		return hf_err(HF_EINVAL, "type not specified");
	while (types.len > 0) {
		size_t n = 0;

		while (n < types.len && types.p[n] != '|')
			n++;
		is_known = is_known || hf_str_is((struct hf_str){types.p, n}, args->v[0]);
		n += n < types.len;
		types.p += n;
		types.len -= n;
	}
	if (!is_known)
		return hf_err(HF_EINVAL, "invalid type \"%s\", must be one of [" TYPES "]",
			args->v[0]);
	if (strcmp(args->v[0], "masterkey") != 0 && strcmp(args->v[0], "config") != 0 &&
		args->len != 2)
		return hf_err(HF_EINVAL, "ID not specified");
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	hf_auto(hf_session) session = {0};

	(void)opts;
	HF_TRY(check_args(args));
	HF_TRY(hf_session_open(cli, HF_SESSION_SHARED, true, &session));
	return cat_object(&session, args->v[0], args->len > 1 ? args->v[1] : "");
}

const struct hf_command hf_cmd_cat = {
	.name = "cat",
	.usage =
		"[flags] [masterkey|config|pack ID|blob ID|snapshot ID|index ID|key ID|lock ID|"
		"tree snapshot:subfolder]",
	.summary = "Print internal objects to stdout",
	.text = "Prints one object of the repository, decrypted. Packs are printed as they "
		"are\n"
		"stored.",
	.is_raw = true,
	.run = run,
};
