/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys in files: those that AWS's programs share, with the program that such a file may name, and
 * that of MinIO's client. A file is read again when the server says that the keys have ended, since
 * whoever writes it may have new ones.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/strings.h"
#include "base/text.h"
#include "base/words.h"
#include "codec/json.h"
#include "net/child.h"
#include "store/s3_keys.h"

enum { PROCESS_MS = 25000 };

struct file_source {
	struct s3_source source;
	char *path, *section; /* a profile, or an alias */
};

static struct file_source *
file_of(struct s3_source *s)
{
	return hf_container_of(s, struct file_source, source);
}

static void
file_free(struct s3_source *s)
{
	free(file_of(s)->path);
	free(file_of(s)->section);
	free(file_of(s));
}

/* The file that a variable names, or that lies in the home folder; NULL: there is no such folder. */
static char *
path_of(const struct hf_open *o, const char *variable, const char *usual)
{
	const char *named = hf_open_env(o, variable), *home = hf_open_env(o, "HOME");
	char *path = NULL;

	if (named != NULL)
		return hf_str_dup(hf_str(named));
	if (home != NULL && asprintf(&path, "%s/%s", home, usual) < 0)
		abort();
	return path;
}

/* ---- the file of AWS's programs ---- */

struct profile {
	struct s3_keys keys;
	char *process; /* or NULL */
};

static void
profile_clear(struct profile *p)
{
	s3_keys_clear(&p->keys);
	free(p->process);
}

/* "key = value"; false: the line is none. */
static bool
split(struct hf_str line, struct hf_str *key, struct hf_str *value)
{
	const char *eq = memchr(line.p, '=', line.len);

	if (eq == NULL)
		return false;
	*key = hf_text_trim((struct hf_str){line.p, (size_t)(eq - line.p)});
	*value = hf_text_trim((struct hf_str){eq + 1, (size_t)(line.p + line.len - eq - 1)});
	return true;
}

static void
set_field(struct profile *p, struct hf_str key, struct hf_str value)
{
	if (hf_str_is(key, "aws_access_key_id")) {
		s3_secret_set(&p->keys.id, value);
	} else if (hf_str_is(key, "aws_secret_access_key")) {
		s3_secret_set(&p->keys.secret, value);
	} else if (hf_str_is(key, "aws_session_token")) {
		s3_secret_set(&p->keys.token, value);
	} else if (hf_str_is(key, "credential_process")) {
		free(p->process);
		p->process = hf_str_dup(value);
	}
}

/* Takes what the section says. */
static void
read_section(struct hf_str text, const char *section, struct profile *out)
{
	struct hf_str line, key, value;
	bool is_ours = false;

	while (hf_text_line(&text, &line)) {
		line = hf_text_trim(line);
		if (line.len == 0 || line.p[0] == '#' || line.p[0] == ';')
			continue;
		if (line.p[0] == '[') {
			struct hf_str name = {line.p + 1, line.len - 1};

			if (name.len > 0 && name.p[name.len - 1] == ']')
				name.len--;
			is_ours = hf_str_is(hf_text_trim(name), section);
		} else if (is_ours && split(line, &key, &value)) {
			set_field(out, key, value);
		}
	}
}

/* What is missing is missing; what cannot be read is an error. */
static struct hf_err *
read_profile(const struct file_source *f, struct profile *out)
{
	hf_auto(s3_said) text = {0};
	struct hf_err *e = s3_said_read(f->path, &text);

	if (e == NULL)
		read_section(hf_bytes_str(hf_buf_bytes(&text.text)), f->section, out);
	return hf_err_in(hf_err_ignore(e, HF_ENOTFOUND), "reading the keys for S3");
}

/* ---- the program that such a file names ---- */

/* What it has written; it has ended, and what it left behind in the background is not waited for. */
static struct hf_err *
read_rest(int fd, struct hf_buf *out)
{
	uint8_t b[4096];
	ssize_t n;

	while ((n = TEMP_FAILURE_RETRY(recv(fd, b, sizeof b, MSG_DONTWAIT))) > 0)
		hf_buf_add(out, b, (size_t)n);
	explicit_bzero(b, sizeof b);
	return hf_buf_ok(out);
}

static struct hf_err *
run_process(const char *command, struct s3_said *out)
{
	hf_auto(hf_strings) words = {0};
	struct hf_child child;

	HF_TRY(s3_said_init(out));
	HF_TRY(hf_words_split(command, &words));
	hf_autofree const char **argv = hf_alloc_(words.len + 1, sizeof *argv);
	for (size_t i = 0; i < words.len; i++)
		argv[i] = words.v[i];
	HF_TRY(hf_child_start(argv, HF_CHILD_ALONE, &child));
	hf_child_hang_up(&child);
	int status = hf_child_peek(&child, PROCESS_MS);
	struct hf_err *e = NULL;
	if (status < 0)
		e = hf_err(HF_EIO, "%s does not end", argv[0]);
	else if (status != 0)
		e = hf_err(HF_EFATAL, "%s: %s", argv[0], hf_child_status_text(status).s);
	else
		e = read_rest(child.talk, &out->text);
	hf_child_end(&child, 0);
	return e;
}

static struct hf_err *
profile_get(struct s3_source *s, struct s3_keys *out, int64_t *end)
{
	hf_auto(profile) p = {0};
	hf_auto(s3_said) said = {0};

	HF_TRY(read_profile(file_of(s), &p));
	*end = S3_NO_END;
	if (s3_keys_are_whole(&p.keys)) {
		*out = p.keys;
		p.keys = (struct s3_keys){0};
		return NULL;
	}
	if (p.process == NULL)
		return hf_err(HF_EFATAL, "there are no keys any more");
	HF_TRY(hf_err_in(run_process(p.process, &said), "credential_process"));
	return hf_err_in(s3_keys_read(s3_said_str(&said), out, end), "credential_process");
}

struct hf_err *
s3_profile_source(const struct hf_open *o, struct s3_source **out)
{
	const char *section = hf_open_env(o, "AWS_PROFILE");
	struct file_source f = {
		.path = path_of(o, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
		.section = hf_str_dup(hf_str(section != NULL ? section : "default"))};
	hf_auto(profile) p = {0};
	struct hf_err *e = f.path != NULL ? read_profile(&f, &p) : NULL;

	*out = NULL;
	if (e != NULL || (!s3_keys_are_whole(&p.keys) && p.process == NULL)) {
		free(f.path);
		free(f.section);
		return e;
	}
	f.source = (struct s3_source){
		.name = "the file of AWS_PROFILE", .get = profile_get, .free = file_free};
	struct file_source *s = hf_new(struct file_source);
	*s = f;
	*out = &s->source;
	return NULL;
}

/* ---- the file of MinIO's client ---- */

static void
read_host(struct hf_json *j, struct s3_keys *out)
{
	struct hf_str key;

	for (hf_json_object(j); hf_json_key(j, &key);) {
		if (hf_json_key_is(key, "accessKey"))
			s3_secret_set(&out->id, hf_json_str(j));
		else if (hf_json_key_is(key, "secretKey"))
			s3_secret_set(&out->secret, hf_json_str(j));
		else
			hf_json_skip(j);
	}
}

/* "hosts" until version 9 of the file, "aliases" since. */
static struct hf_err *
read_mc(struct hf_str text, const char *alias, struct s3_keys *out)
{
	hf_auto(s3_said) scratch = {0};
	struct hf_str key;
	struct hf_json j;

	HF_TRY(s3_said_init(&scratch));
	hf_json_init(&j, hf_str_bytes(text), &scratch.text);
	for (hf_json_object(&j); hf_json_key(&j, &key);) {
		if (!hf_json_key_is(key, "aliases") && !hf_json_key_is(key, "hosts")) {
			hf_json_skip(&j);
			continue;
		}
		for (hf_json_object(&j); hf_json_key(&j, &key);) {
			if (hf_str_is(key, alias))
				read_host(&j, out);
			else
				hf_json_skip(&j);
		}
	}
	return hf_json_end(&j);
}

static struct hf_err *
mc_get(struct s3_source *s, struct s3_keys *out, int64_t *end)
{
	const struct file_source *f = file_of(s);
	hf_auto(s3_said) text = {0};

	*end = S3_NO_END;
	HF_TRY(s3_said_read(f->path, &text));
	return hf_err_in(read_mc(s3_said_str(&text), f->section, out), "%s", f->path);
}

struct hf_err *
s3_mc_source(const struct hf_open *o, struct s3_source **out)
{
	const char *alias = hf_open_env(o, "MINIO_ALIAS");
	struct file_source *f = hf_new(struct file_source);
	hf_auto(s3_keys) keys = {0};
	int64_t end;

	*out = NULL;
	f->source = (struct s3_source){
		.name = "the file of MINIO_ALIAS", .get = mc_get, .free = file_free};
	f->path = path_of(o, "MINIO_SHARED_CREDENTIALS_FILE", ".mc/config.json");
	f->section = hf_str_dup(hf_str(alias != NULL ? alias : "s3"));
	struct hf_err *e = f->path != NULL ? mc_get(&f->source, &keys, &end) : NULL;
	if (e == NULL && s3_keys_are_whole(&keys))
		*out = &f->source;
	else
		file_free(&f->source);
	return hf_err_in(hf_err_ignore(e, HF_ENOTFOUND), "reading the keys for S3");
}
