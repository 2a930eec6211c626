/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saving a file. Its name is the hash that S3 wants to have of its bytes, and so the server checks
 * every upload against it. What is larger than one part goes in parts, which the server puts together
 * at the end, at once: until then there is no file.
 */
#include <stdio.h>

#include "base/time.h"
#include "codec/sha256.h"
#include "net/xml.h"
#include "store/s3_i.h"
#include "store/web_i.h"

enum { MAX_PARTS = 10000, PART_TEXT = 200 };

/* The first that is free of the headers of a request. */
static void
add_header(struct s3_ask *ask, const char *name, const char *value)
{
	size_t i = 0;

	while (ask->headers[i].name != NULL)
		i++;
	ask->headers[i] = (struct hf_sigv4_pair){name, value};
}

bool
s3_is_archive(const char *storage_class)
{
	return strcmp(storage_class, "GLACIER") == 0 ||
	       strcmp(storage_class, "DEEP_ARCHIVE") == 0;
}

/*
 * Classes whose files must be ordered back before they can be read are, as in restic, for packs of
 * data alone; all others are for everything.
 */
static bool
is_for_class(const struct s3 *s, const struct hf_name *name)
{
	return !s3_is_archive(s->storage_class) || (name->kind == HF_PACK && !name->is_meta);
}

static struct s3_ask
new_file(const struct s3 *s, const char *method, const char *key, const struct hf_name *name)
{
	struct s3_ask ask = {.method = method, .key = key};

	add_header(&ask, "content-type", "application/octet-stream");
	if (s->storage_class != NULL && is_for_class(s, name))
		add_header(&ask, "x-amz-storage-class", s->storage_class);
	return ask;
}

/* A hash that the server does not like: was it the way or the memory that changed the bytes? */
static struct hf_err *
explain(const struct hf_http_answer *a, const struct hf_name *name, struct hf_bytes data)
{
	struct hf_id hash;

	if (name->kind == HF_CONFIG || !s3_has_code(a, "XAmzContentSHA256Mismatch"))
		return s3_error(a);
	hash = hf_sha256(data);
	if (hf_id_eq(&hash, &name->id))
		return s3_error(a);
	return hf_err(HF_EFATAL, "the bytes are not those that the file is named after");
}

static struct hf_err *
judge(const struct hf_http_answer *a, const struct hf_name *name, struct hf_bytes data)
{
	return a->status / 100 == 2 ? NULL : explain(a, name, data);
}

/* The server has a file of that name, or somebody is about it. Ours, if we wrote it and were not told? */
static struct hf_err *
is_ours(struct s3 *s, const struct hf_name *name, struct hf_bytes data)
{
	hf_auto(hf_buf) there = HF_BUF_MAX(data.len + (1 << 20));
	struct hf_err *e = s->store.ops->get(&s->store, name, 0, SIZE_MAX, &there);

	if (e == NULL && hf_bytes_eq(hf_buf_bytes(&there), data))
		return NULL;
	if (e == NULL)
		return hf_err(HF_EEXISTS, "%s file already exists", hf_kind_text(name->kind));
	if (hf_err_code(e) == HF_ENOTFOUND) {
		hf_err_free(e);
		return hf_err(HF_EIO, "the server minds a file that is not there");
	}
	return e;
}

/*
 * Creates a file and replaces none. A server that does not know of such a thing says so; of one that
 * ignores it nothing can be learned without leaving a file behind.
 */
static struct hf_err *
put_new(struct s3 *s, struct s3_ask *ask, const struct hf_name *name, struct hf_bytes data)
{
	hf_auto(hf_http_answer) a = {0};
	struct s3_ask conditional = *ask;

	add_header(&conditional, "if-none-match", "*");
	HF_TRY(s3_do(s, &conditional, &a));
	/* Two at once: one of them may have it in the end. */
	if (s3_has_code(&a, "ConditionalRequestConflict"))
		HF_TRY(s3_do(s, &conditional, &a));
	if (a.status == 412 || s3_has_code(&a, "ConditionalRequestConflict"))
		return is_ours(s, name, data);
	struct hf_err *e = judge(&a, name, data);
	if (e == NULL || hf_err_code(e) != HF_EFATAL || (a.status != 400 && a.status != 501))
		return e;
	hf_err_free(e);
	HF_TRY(s3_do(s, ask, &a));
	return judge(&a, name, data);
}

static struct hf_err *
put_whole(struct s3 *s, const char *key, const struct hf_name *name, struct hf_bytes data)
{
	hf_auto(hf_http_answer) a = {0};
	struct s3_ask ask = new_file(s, "PUT", key, name);

	ask.body = data;
	ask.is_bounded = name->kind != HF_PACK;
	ask.is_lock = name->kind == HF_LOCK;
	if (name->kind != HF_CONFIG && !s->hashes_all)
		ask.hash = &name->id;
	HF_TRY(web_share(s->http, &s->store, name, data.len));
	if (ask.is_bounded && !ask.is_lock)
		ask.until = hf_clock() + hf_store_within(&s->store, name, data.len);
	if (name->is_new)
		return put_new(s, &ask, name, data);
	HF_TRY(s3_do(s, &ask, &a));
	return judge(&a, name, data);
}

/* ---- in parts ---- */

struct upload {
	struct s3 *s;
	const char *key;
	bool is_bounded; /* at its end, which is when the file comes to be */
	char *id;
	struct hf_buf list; /* the parts, as the last request names them */
};

static struct hf_err *
begin(struct upload *u, const struct hf_name *name)
{
	hf_auto(hf_buf) body = HF_BUF_MAX(HF_HTTP_SAYS), scratch = HF_BUF_MAX(HF_HTTP_SAYS);
	hf_auto(hf_http_answer) a = {0};
	struct s3_ask ask = new_file(u->s, "POST", u->key, name);
	struct hf_str field;
	struct hf_xml x;

	ask.params[0] = (struct hf_sigv4_pair){"uploads", ""};
	ask.out = &body;
	HF_TRY(s3_demand(u->s, &ask, &a));
	hf_xml_init(&x, hf_buf_bytes(&body), &scratch);
	(void)hf_xml_child(&x, &field); /* InitiateMultipartUploadResult */
	while (hf_xml_child(&x, &field)) {
		if (u->id == NULL && hf_str_is(field, "UploadId"))
			u->id = hf_str_dup(hf_xml_text(&x));
		else
			hf_xml_skip(&x);
	}
	hf_autoptr(hf_err) broken = hf_xml_end(&x);
	if (broken != NULL || u->id == NULL)
		return hf_err(HF_EIO, "%s: an answer that does not name the upload", a.what);
	return NULL;
}

static struct hf_err *
put_part(struct upload *u, unsigned number, struct hf_bytes part)
{
	hf_auto(hf_http_answer) a = {0};
	char text[16];
	struct s3_ask ask = {
		.method = "PUT",
		.key = u->key,
		.body = part,
		.params = {{"partNumber", text}, {"uploadId", u->id}},
	};

	snprintf(text, sizeof text, "%u", number);
	HF_TRY(s3_demand(u->s, &ask, &a));
	const char *etag = a.values[S3_ETAG];
	if (etag == NULL || strpbrk(etag, "<>&") != NULL || strlen(etag) > 100)
		return hf_err(HF_EIO, "%s: an answer without an ETag", a.what);
	hf_buf_addf(&u->list, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", number,
		etag);
	return hf_buf_ok(&u->list);
}

/* Servers answer 200 before they know how it ends, and say in the body how it did. */
static struct hf_err *
complete(struct upload *u)
{
	hf_auto(hf_buf) body = HF_BUF_MAX(HF_HTTP_SAYS), xml = HF_BUF_MAX(u->list.max + 100);
	hf_auto(hf_http_answer) a = {0};
	struct s3_ask ask = {
		.method = "POST",
		.key = u->key,
		.is_bounded = u->is_bounded,
		.params = {{"uploadId", u->id}},
		.out = &body,
	};

	hf_buf_add_str(&xml, "<CompleteMultipartUpload>");
	hf_buf_add(&xml, u->list.p, u->list.len);
	hf_buf_add_str(&xml, "</CompleteMultipartUpload>");
	HF_TRY(hf_buf_ok(&xml));
	ask.body = hf_buf_bytes(&xml);
	HF_TRY(s3_demand(u->s, &ask, &a));
	return s3_error_in(&a, hf_buf_bytes(&body));
}

static struct hf_err *
put_parts(struct upload *u, const struct hf_name *name, struct hf_bytes data)
{
	size_t part = u->s->part, size = data.len;

	HF_TRY(begin(u, name));
	while (data.len / part >= MAX_PARTS)
		part *= 2;
	for (unsigned n = 1; data.len > 0; n++) {
		size_t len = data.len < part ? data.len : part;

		HF_TRY(put_part(u, n, (struct hf_bytes){data.p, len}));
		data.p += len;
		data.len -= len;
	}
	/* The parts may have taken long. */
	HF_TRY(hf_store_pass(&u->s->store, name, false, size));
	return complete(u);
}

/* What is not put together is paid for until somebody deletes it. */
static void
drop(struct upload *u)
{
	hf_auto(hf_http_answer) a = {0};
	const struct s3_ask ask = {
		.method = "DELETE", .key = u->key, .params = {{"uploadId", u->id}}};

	if (u->id != NULL)
		hf_err_free(s3_do(u->s, &ask, &a));
}

struct hf_err *
s3_put(struct hf_store *st, const struct hf_name *name, struct hf_bytes data)
{
	struct s3 *s = s3_of(st);
	hf_auto(s3_key) key = s3_key_of(s, name);
	struct hf_err *e;

	if (data.len <= s->part) {
		e = put_whole(s, key.s, name, data);
	} else {
		struct upload u = {.s = s,
			.key = key.s,
			.is_bounded = name->kind != HF_PACK,
			.list = HF_BUF_MAX(PART_TEXT * (size_t)MAX_PARTS)};

		e = put_parts(&u, name, data);
		if (e != NULL)
			drop(&u);
		free(u.id);
		hf_buf_clear(&u.list);
	}
	/* What was not found is the bucket, and then nothing helps. */
	if (e != NULL && hf_err_code(e) == HF_ENOTFOUND) {
		struct hf_err *fatal = hf_err(HF_EFATAL, "%s", hf_err_text(e));

		hf_err_free(e);
		return fatal;
	}
	return e;
}
