/* SPDX-License-Identifier: BSD-2-Clause */
/* One snapshot: its JSON in both directions, loading and saving. */
#include "repo/snapshot.h"

#include <stddef.h>

struct hf_snapshot *
hf_snapshot_new(void)
{
	struct hf_snapshot *s = hf_new(struct hf_snapshot);

	s->time = HF_TIME_ZERO;
	s->summary.backup_start = HF_TIME_ZERO;
	s->summary.backup_end = HF_TIME_ZERO;
	s->hostname = hf_str_dup(hf_str(""));
	s->username = hf_str_dup(hf_str(""));
	s->program_version = hf_str_dup(hf_str(""));
	return s;
}

void
hf_snapshot_free(struct hf_snapshot *s)
{
	if (s == NULL)
		return;
	hf_strings_clear(&s->paths);
	hf_strings_clear(&s->excludes);
	hf_strings_clear(&s->tags);
	free(s->hostname);
	free(s->username);
	free(s->program_version);
	free(s);
}

/*
 * A string with a NUL in it would read shorter than it is, and then match what it should not.
 */
static struct hf_str
read_str(struct hf_json *j)
{
	struct hf_str s = hf_json_str(j);

	if (s.len > 0 && memchr(s.p, '\0', s.len) != NULL) {
		hf_json_fail(j, "a text holds a NUL");
		return hf_str("");
	}
	return s;
}

static void
read_text(struct hf_json *j, char **out)
{
	free(*out);
	*out = hf_str_dup(read_str(j));
}

static void
read_strings(struct hf_json *j, struct hf_strings *out)
{
	hf_strings_clear(out); /* of a field that is there twice the last one counts */
	hf_json_array(j);
	while (hf_json_item(j))
		hf_strings_add_str(out, read_str(j));
}

/* False: it was null. */
static bool
read_id(struct hf_json *j, struct hf_id *out)
{
	*out = (struct hf_id){0};
	if (hf_json_null(j))
		return false;
	*out = hf_json_id(j);
	return true;
}

/* The numbers of a summary, in the order in which they are written after the two times. */
static const struct {
	const char *name;
	size_t at;
} summary_fields[] = {
	{"files_new", offsetof(struct hf_summary, files_new)},
	{"files_changed", offsetof(struct hf_summary, files_changed)},
	{"files_unmodified", offsetof(struct hf_summary, files_unmodified)},
	{"dirs_new", offsetof(struct hf_summary, dirs_new)},
	{"dirs_changed", offsetof(struct hf_summary, dirs_changed)},
	{"dirs_unmodified", offsetof(struct hf_summary, dirs_unmodified)},
	{"data_blobs", offsetof(struct hf_summary, data_blobs)},
	{"tree_blobs", offsetof(struct hf_summary, tree_blobs)},
	{"data_added", offsetof(struct hf_summary, data_added)},
	{"data_added_packed", offsetof(struct hf_summary, data_added_packed)},
	{"total_files_processed", offsetof(struct hf_summary, total_files_processed)},
	{"total_bytes_processed", offsetof(struct hf_summary, total_bytes_processed)},
};

enum { SUMMARY_FIELDS = sizeof summary_fields / sizeof summary_fields[0] };

static void
read_summary(struct hf_json *j, struct hf_summary *out)
{
	struct hf_str key;
	size_t i;

	hf_json_object(j);
	while (hf_json_key(j, &key)) {
		if (hf_json_key_is(key, "backup_start")) {
			out->backup_start = hf_json_time(j);
			continue;
		}
		if (hf_json_key_is(key, "backup_end")) {
			out->backup_end = hf_json_time(j);
			continue;
		}
		for (i = 0; i < SUMMARY_FIELDS; i++) {
			if (hf_json_key_is(key, summary_fields[i].name))
				break;
		}
		if (i < SUMMARY_FIELDS)
			*(uint64_t *)(void *)((char *)out + summary_fields[i].at) =
				hf_json_u64(j, UINT64_MAX);
		else
			hf_json_skip(j);
	}
}

static void
read_field(struct hf_json *j, struct hf_str key, struct hf_snapshot *s)
{
	if (hf_json_key_is(key, "time")) {
		s->time = hf_json_time(j);
	} else if (hf_json_key_is(key, "parent")) {
		read_id(j, &s->parent);
	} else if (hf_json_key_is(key, "tree")) {
		s->has_tree = read_id(j, &s->tree);
	} else if (hf_json_key_is(key, "paths")) {
		read_strings(j, &s->paths);
	} else if (hf_json_key_is(key, "hostname")) {
		read_text(j, &s->hostname);
	} else if (hf_json_key_is(key, "username")) {
		read_text(j, &s->username);
	} else if (hf_json_key_is(key, "uid")) {
		s->uid = (uint32_t)hf_json_u64(j, UINT32_MAX);
	} else if (hf_json_key_is(key, "gid")) {
		s->gid = (uint32_t)hf_json_u64(j, UINT32_MAX);
	} else if (hf_json_key_is(key, "excludes")) {
		read_strings(j, &s->excludes);
	} else if (hf_json_key_is(key, "tags")) {
		read_strings(j, &s->tags);
	} else if (hf_json_key_is(key, "original")) {
		read_id(j, &s->original);
	} else if (hf_json_key_is(key, "program_version")) {
		read_text(j, &s->program_version);
	} else if (hf_json_key_is(key, "summary")) {
		s->has_summary = !hf_json_null(j);
		if (s->has_summary)
			read_summary(j, &s->summary);
	} else {
		hf_json_skip(j);
	}
}

struct hf_err *
hf_snapshot_parse(struct hf_bytes json, struct hf_snapshot **out)
{
	/* A byte that is not UTF-8 takes three when decoded. */
	hf_auto(hf_buf) scratch = HF_BUF_SPOOL(3 * json.len + 16);
	hf_autoptr(hf_snapshot) s = hf_snapshot_new();
	struct hf_json j;
	struct hf_str key;

	hf_json_init(&j, json, &scratch);
	hf_json_object(&j);
	while (hf_json_key(&j, &key))
		read_field(&j, key, s);
	HF_TRY(hf_json_end(&j));
	*out = hf_steal(s);
	return NULL;
}

static void
write_strings(struct hf_jout *o, const char *name, const struct hf_strings *l)
{
	hf_jout_key(o, name);
	hf_jout_array(o);
	for (size_t i = 0; i < l->len; i++)
		hf_jout_str(o, hf_str(l->v[i]));
	hf_jout_array_end(o);
}

static void
write_id(struct hf_jout *o, const char *name, const struct hf_id *id)
{
	if (hf_id_is_zero(id))
		return;
	hf_jout_key(o, name);
	hf_jout_id(o, id);
}

static void
write_text(struct hf_jout *o, const char *name, const char *text)
{
	if (text[0] == '\0')
		return;
	hf_jout_key(o, name);
	hf_jout_str(o, hf_str(text));
}

static void
write_u32(struct hf_jout *o, const char *name, uint32_t v)
{
	if (v == 0)
		return;
	hf_jout_key(o, name);
	hf_jout_u64(o, v);
}

static void
write_summary(struct hf_jout *o, const struct hf_summary *s)
{
	hf_jout_key(o, "summary");
	hf_jout_object(o);
	hf_jout_key(o, "backup_start");
	hf_jout_time(o, &s->backup_start);
	hf_jout_key(o, "backup_end");
	hf_jout_time(o, &s->backup_end);
	for (size_t i = 0; i < SUMMARY_FIELDS; i++) {
		hf_jout_key(o, summary_fields[i].name);
		hf_jout_u64(o, *(const uint64_t *)(const void *)((const char *)s +
								 summary_fields[i].at));
	}
	hf_jout_object_end(o);
}

void
hf_snapshot_fields(struct hf_jout *o, const struct hf_snapshot *s)
{
	hf_jout_key(o, "time");
	hf_jout_time(o, &s->time);
	write_id(o, "parent", &s->parent);
	hf_jout_key(o, "tree");
	if (s->has_tree)
		hf_jout_id(o, &s->tree);
	else
		hf_jout_null(o);
	write_strings(o, "paths", &s->paths);
	write_text(o, "hostname", s->hostname);
	write_text(o, "username", s->username);
	write_u32(o, "uid", s->uid);
	write_u32(o, "gid", s->gid);
	if (s->excludes.len > 0)
		write_strings(o, "excludes", &s->excludes);
	if (s->tags.len > 0)
		write_strings(o, "tags", &s->tags);
	write_id(o, "original", &s->original);
	write_text(o, "program_version", s->program_version);
	if (s->has_summary)
		write_summary(o, &s->summary);
}

struct hf_err *
hf_snapshot_load(struct hf_repo *repo, const struct hf_id *id, struct hf_snapshot **out)
{
	hf_auto(hf_buf) json = HF_BUF_SPOOL(HF_MAX_SNAPSHOT_FILE);
	struct hf_name name = {HF_SNAPSHOT, *id};
	hf_autoptr(hf_snapshot) s = NULL;

	HF_TRY(hf_err_in(hf_repo_load(repo, &name, &json), "failed to load snapshot %.8s",
		hf_id_hex(id).s));
	HF_TRY(hf_err_in(hf_snapshot_parse(hf_buf_bytes(&json), &s),
		"failed to load snapshot %.8s", hf_id_hex(id).s));
	s->id = *id;
	*out = hf_steal(s);
	return NULL;
}

struct hf_err *
hf_snapshot_save(struct hf_repo *repo, struct hf_snapshot *s)
{
	hf_auto(hf_buf) json = HF_BUF_SPOOL(HF_MAX_SNAPSHOT_FILE);
	struct hf_jout o = {.buf = &json};

	hf_jout_object(&o);
	hf_snapshot_fields(&o, s);
	hf_jout_object_end(&o);
	HF_TRY(hf_buf_ok(&json));
	return hf_repo_save(repo, HF_SNAPSHOT, hf_buf_bytes(&json), &s->id);
}
