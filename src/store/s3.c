/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/s3.h"

#include <stdio.h>

#include "base/time.h"
#include "net/xml.h"
#include "store/s3_i.h"
#include "store/web_i.h"

enum {
	PART_MIB = 200, /* restic's */
	PART_MIN_MIB = 5,
	PART_MAX_MIB = 5000,
	PAGE_MAX = 64 << 20, /* bytes of one answer to a list: a thousand keys of a KiB each */
	KEY_MAX = 1024,      /* S3's limit */
};

struct s3 *
s3_of(struct hf_store *s)
{
	return hf_container_of(s, struct s3, store);
}

struct s3_key
s3_key_of(const struct s3 *s, const struct hf_name *name)
{
	struct s3_key key;

	if (asprintf(&key.s, "%s%s%s", s->place.prefix, *s->place.prefix != '\0' ? "/" : "",
		    hf_name_text(name).s) < 0)
		abort();
	return key;
}

/* ---- reading ---- */

/*
 * What an answer to a question about a file means. A file that is taken for gone is not missed: a lock
 * does not hold, an index is not read. So 404 must come from S3 itself; but of the config, which is
 * the first that is looked for, anybody may say that there is none: then there is no repository here.
 */
static struct hf_err *
file_error(const struct hf_name *name, const struct hf_http_answer *a)
{
	if (a->status == 404 && name->kind == HF_CONFIG)
		return hf_err(HF_ENOTFOUND, "%s: no such file (404)", a->what);
	return s3_error(a);
}

/* Of a file that HEAD, which has no words, did not find. */
static struct hf_err *
confirm_absence(struct s3 *s, const char *key, const struct s3_ask *head)
{
	hf_auto(hf_http_answer) a = {0};
	hf_auto(hf_buf) byte = HF_BUF_MAX(1);
	const struct s3_ask ask = {.method = "GET",
		.key = key,
		.is_lock = head->is_lock,
		.until = head->until,
		.is_range = true,
		.len = 1,
		.out = &byte};

	HF_TRY(s3_do(s, &ask, &a));
	if (a.status / 100 == 2 || a.status == 416)
		return hf_err(
			HF_EIO, "%s: the file is there, but HEAD does not find it", a.what);
	return s3_error(&a);
}

struct hf_err *
s3_head(struct s3 *s, const struct hf_name *name, struct hf_http_answer *a)
{
	hf_auto(s3_key) key = s3_key_of(s, name);
	const struct s3_ask ask = {.method = "HEAD",
		.key = key.s,
		.is_lock = name->kind == HF_LOCK,
		.until = s3_until(name->kind == HF_LOCK)};

	HF_TRY(s3_do(s, &ask, a));
	if (a->status == 404 && name->kind != HF_CONFIG)
		return confirm_absence(s, key.s, &ask);
	HF_TRY(file_error(name, a));
	if (!a->has_size)
		return hf_err(
			HF_EIO, "%s: the server does not say how large the file is", a->what);
	return NULL;
}

static struct hf_err *
s3_stat(struct hf_store *st, const struct hf_name *name, uint64_t *size)
{
	hf_auto(hf_http_answer) a = {0};

	HF_TRY(s3_head(s3_of(st), name, &a));
	*size = a.size;
	return NULL;
}

static struct hf_err *
s3_age(struct hf_store *st, const struct hf_name *name, double *seconds)
{
	hf_auto(hf_http_answer) a = {0};
	struct hf_time now, then;

	HF_TRY(s3_head(s3_of(st), name, &a));
	if (a.values[S3_DATE] != NULL && a.values[S3_MODIFIED] != NULL &&
		hf_time_parse_http(hf_str(a.values[S3_DATE]), &now) &&
		hf_time_parse_http(hf_str(a.values[S3_MODIFIED]), &then))
		*seconds = (double)(now.sec - then.sec);
	return NULL;
}

static struct hf_err *
get_to(struct hf_store *st, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out, struct hf_sink *sink)
{
	struct s3 *s = s3_of(st);
	hf_auto(s3_key) key = s3_key_of(s, name);
	hf_auto(hf_http_answer) a = {0};
	const struct s3_ask ask = {
		.method = "GET",
		.key = key.s,
		.is_lock = name->kind == HF_LOCK,
		.is_range = off > 0 || len != SIZE_MAX,
		.off = off,
		.len = len,
		.out = out,
		.sink = sink,
	};

	if (len == 0) {
		uint64_t size;

		HF_TRY(s3_stat(st, name, &size));
		return off <= size ? NULL : web_too_short(size);
	}
	HF_TRY(s3_do(s, &ask, &a));
	return a.status == 416 ? web_beyond(st, name, off, len, &a) : file_error(name, &a);
}

static struct hf_err *
s3_get(struct hf_store *st, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	return get_to(st, name, off, len, out, NULL);
}

static struct hf_err *
s3_pour(struct hf_store *st, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_sink *sink)
{
	return get_to(st, name, off, len, NULL, sink);
}

/* A key that is not there is deleted with success, which is what it comes to. */
static struct hf_err *
s3_del(struct hf_store *st, const struct hf_name *name)
{
	struct s3 *s = s3_of(st);
	hf_auto(s3_key) key = s3_key_of(s, name);
	hf_auto(hf_http_answer) a = {0};
	const struct s3_ask ask = {
		.method = "DELETE",
		.key = key.s,
		.is_lock = name->kind == HF_LOCK,
		.is_bounded = true,
	};

	return s3_demand(s, &ask, &a);
}

/* ---- listing ---- */

struct listing {
	struct s3 *s;
	enum hf_kind kind;
	hf_store_list_fn *fn;
	void *arg;
	double until;        /* s3_ask's */
	char *prefix;        /* with the kind's folder and a slash */
	struct hf_buf token; /* where the next page begins, with a NUL; empty at first */
	bool is_more;
};

static void
listing_clear(struct listing *l)
{
	free(l->prefix);
	hf_buf_clear(&l->token);
}

/* The name that a key stands for. False: it is somebody else's object. */
static bool
parse_key(const struct listing *l, struct hf_str key, struct hf_name *name)
{
	size_t prefix = strlen(l->prefix);
	const char *slash;

	*name = (struct hf_name){.kind = l->kind};
	if (key.len < prefix || memcmp(key.p, l->prefix, prefix) != 0)
		return false;
	slash = memrchr(key.p, '/', key.len);
	if (!hf_id_parse((struct hf_str){slash + 1, (size_t)(key.p + key.len - slash - 1)},
		    &name->id))
		return false;
	/* In lower case, in its own folder, and nowhere deeper. */
	hf_auto(s3_key) own = s3_key_of(l->s, name);
	return hf_str_is(key, own.s);
}

static void
set_token(struct listing *l, struct hf_str text)
{
	hf_buf_reset(&l->token);
	hf_buf_add(&l->token, text.p, text.len);
	hf_buf_add_char(&l->token, '\0');
}

/* In version 1 without a delimiter a page does not say where the next begins: after its last key. */
static struct hf_err *
read_object(struct listing *l, struct hf_xml *x, struct hf_str *last)
{
	struct hf_str field, key = {"", 0};
	struct hf_name name;
	uint64_t size = 0;

	while (hf_xml_child(x, &field)) {
		if (hf_str_is(field, "Key"))
			key = hf_xml_text(x);
		else if (hf_str_is(field, "Size"))
			size = hf_xml_u64(x);
		else
			hf_xml_skip(x);
	}
	if (x->error != NULL)
		return NULL; /* the end of the page says what it was */
	*last = key;
	return parse_key(l, key, &name) ? l->fn(l->arg, &name, size) : NULL;
}

/* One page; afterwards is_more and token are those of the next. */
static struct hf_err *
read_page(struct listing *l, struct hf_bytes page)
{
	const char *token_name = l->s->lists_v1 ? "NextMarker" : "NextContinuationToken";
	hf_auto(hf_buf) scratch = HF_BUF_SPOOL(page.len), old = HF_BUF_MAX(l->token.len);
	struct hf_str field, last = {"", 0}, next = {"", 0};
	struct hf_xml x;

	hf_buf_add(&old, l->token.p, l->token.len);
	l->is_more = false;
	hf_xml_init(&x, page, &scratch);
	if (hf_xml_child(&x, &field) && !hf_str_is(field, "ListBucketResult"))
		return hf_err(HF_EIO, "the answer is not a list");
	while (hf_xml_child(&x, &field)) {
		if (hf_str_is(field, "Contents"))
			HF_TRY(read_object(l, &x, &last));
		else if (hf_str_is(field, "IsTruncated"))
			l->is_more = hf_str_is(hf_xml_text(&x), "true");
		else if (hf_str_is(field, token_name))
			next = hf_xml_text(&x);
		else
			hf_xml_skip(&x);
	}
	/* Not whole, or not a list at all: what a proxy in trouble sends may be right the next time. */
	hf_autoptr(hf_err) broken = hf_xml_end(&x);
	if (broken != NULL)
		return hf_err(HF_EIO, "%s", hf_err_text(broken));
	if (!l->is_more)
		return NULL;
	set_token(l, next.len == 0 && l->s->lists_v1 ? last : next);
	HF_TRY(hf_buf_ok(&l->token));
	/* A server that stays where it is would keep us for ever. */
	if (l->token.len <= 1 || hf_str_eq(hf_bytes_str(hf_buf_bytes(&l->token)),
					 hf_bytes_str(hf_buf_bytes(&old))))
		return hf_err(HF_ECORRUPT, "the list goes on, but not to anywhere");
	return NULL;
}

static void
add_param(struct s3_ask *ask, const char *name, const char *value)
{
	size_t i = 0;

	while (ask->params[i].name != NULL)
		i++;
	ask->params[i] = (struct hf_sigv4_pair){name, value};
}

static struct hf_err *
list_page(struct listing *l)
{
	hf_auto(hf_buf) page = HF_BUF_SPOOL(PAGE_MAX);
	hf_auto(hf_http_answer) a = {0};
	struct s3_ask ask = {.method = "GET",
		.is_lock = l->kind == HF_LOCK,
		.until = l->until,
		.out = &page};

	add_param(&ask, "prefix", l->prefix);
	/* Packs have folders, which are not to be listed one by one. */
	if (l->kind != HF_PACK)
		add_param(&ask, "delimiter", "/");
	if (!l->s->lists_v1)
		add_param(&ask, "list-type", "2");
	if (l->token.len > 0)
		add_param(&ask, l->s->lists_v1 ? "marker" : "continuation-token",
			(const char *)l->token.p);
	l->is_more = false;
	/* Never "no files": a bucket has an empty list, and who deletes by lists deletes everything. */
	HF_TRY(s3_do(l->s, &ask, &a));
	if (a.status == 404 && !s3_has_code(&a, "NoSuchBucket"))
		return hf_err_later(
			hf_err(HF_EIO, "%s: no list, which is not an empty one (404)", a.what),
			a.retry_after);
	HF_TRY(s3_error(&a));
	return read_page(l, hf_buf_bytes(&page));
}

static struct hf_err *
s3_list(struct hf_store *st, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	struct s3 *s = s3_of(st);
	hf_auto(listing) l = {.s = s,
		.kind = kind,
		.fn = fn,
		.arg = arg,
		.until = s3_until(kind == HF_LOCK),
		.token = HF_BUF_MAX(4 * KEY_MAX)};

	if (kind == HF_CONFIG)
		return hf_store_list_config(st, fn, arg);
	if (asprintf(&l.prefix, "%s%s%s/", s->place.prefix, *s->place.prefix != '\0' ? "/" : "",
		    hf_kind_folder(kind)) < 0)
		abort();
	do
		HF_TRY(list_page(&l));
	while (l.is_more);
	return NULL;
}

/* ---- making a bucket ---- */

static struct hf_err *
make_bucket(struct s3 *s)
{
	hf_auto(hf_buf) body = HF_BUF_MAX(1000);
	hf_auto(hf_http_answer) a = {0};
	hf_autofree char *region = s3_region(s);
	struct s3_ask ask = {.method = "PUT", .is_bounded = true};

	/* The region of old must not be named. */
	if (strcmp(region, "us-east-1") != 0)
		hf_buf_addf(&body,
			"<CreateBucketConfiguration><LocationConstraint>%s</LocationConstraint>"
			"</CreateBucketConfiguration>",
			region);
	ask.body = hf_buf_bytes(&body);
	HF_TRY(s3_do(s, &ask, &a));
	if (s3_has_code(&a, "BucketAlreadyOwnedByYou"))
		return NULL;
	return hf_err_in(s3_error(&a), "making bucket %s", s->place.bucket);
}

static struct hf_err *
s3_create(struct hf_store *st)
{
	struct s3 *s = s3_of(st);
	hf_auto(hf_http_answer) a = {0};

	HF_TRY(s3_do(s, &(struct s3_ask){.method = "HEAD"}, &a));
	if (a.status == 404)
		return make_bucket(s);
	/* That there is one is all that a stranger may know. */
	return a.status == 403 ? NULL : s3_error(&a);
}

/* ---- opening ---- */

static void
s3_free(struct hf_store *st)
{
	struct s3 *s = s3_of(st);

	hf_http_free(s->http);
	s3_place_clear(&s->place);
	s3_lender_free(s->lender);
	pthread_mutex_destroy(&s->lock);
	free(s->region);
	free(s->storage_class);
	free(s->store.url);
	free(s);
}

static struct hf_err *
parse_lookup(const struct hf_open *o, enum s3_lookup *out)
{
	static const char *const names[] = {"auto", "dns", "path"};
	const char *value = hf_option_find(o, "s3.bucket-lookup");

	*out = S3_AUTO;
	if (value == NULL || *value == '\0')
		return NULL;
	for (unsigned i = 0; i < 3; i++)
		if (strcmp(value, names[i]) == 0) {
			*out = i;
			return NULL;
		}
	return hf_err(HF_EINVAL, "option s3.bucket-lookup=%s: not auto, dns or path", value);
}

static struct hf_err *
parse_class(const struct hf_open *o, char **out)
{
	const char *value = hf_option_find(o, "s3.storage-class");

	if (value == NULL || *value == '\0')
		return NULL;
	if (strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") !=
		strlen(value))
		return hf_err(HF_EINVAL, "option s3.storage-class=%s: not a name", value);
	*out = hf_str_dup(hf_str(value));
	return NULL;
}

static struct hf_err *
find_keys(struct s3 *s, const struct hf_open *o)
{
	struct s3_source *source;
	bool is_anonymous = false;

	HF_TRY(hf_option_bool(o, "s3.unsafe-anonymous-auth", &is_anonymous));
	if (is_anonymous)
		return NULL;
	HF_TRY(s3_source_find(o, &source));
	s->lender = s3_lender_new(source);
	return NULL;
}

static struct hf_err *
parse_options(struct s3 *s, const struct hf_open *o)
{
	const char *region = hf_option_find(o, "s3.region");
	const char *layout = hf_option_find(o, "s3.layout");
	unsigned part = PART_MIB, retries = 0;
	enum s3_lookup lookup;

	HF_TRY(parse_lookup(o, &lookup));
	s->by_name = s3_place_by_name(&s->place, lookup);
	HF_TRY(parse_class(o, &s->storage_class));
	HF_TRY(hf_option_bool(o, "s3.list-objects-v1", &s->lists_v1));
	HF_TRY(hf_option_bool(o, "s3.hash-uploads", &s->hashes_all));
	HF_TRY(hf_option_uint(o, "s3.part-size", PART_MIN_MIB, PART_MAX_MIB, &part));
	HF_TRY(hf_option_uint(o, "s3.retries", 0, 1000, &retries));
	s->part = (size_t)part << 20;
	HF_TRY(s3_warm_options(s, o));
	if (layout != NULL && *layout != '\0' && strcmp(layout, "default") != 0)
		return hf_err(HF_EINVAL,
			"option s3.layout=%s: only the layout \"default\" is known", layout);
	if (region == NULL || *region == '\0')
		region = hf_open_env(o, "AWS_DEFAULT_REGION");
	s->region = region != NULL ? hf_str_dup(hf_str(region)) : s3_place_region(&s->place);
	if (s->region == NULL)
		s->region = hf_str_dup(hf_str("us-east-1"));
	return NULL;
}

static struct hf_err *
s3_open(const char *place, const struct hf_open *o, unsigned connections, struct hf_store **out)
{
	static const struct hf_store_ops ops = {
		.create = s3_create,
		.put = s3_put,
		.get = s3_get,
		.pour = s3_pour,
		.stat = s3_stat,
		.list = s3_list,
		.del = s3_del,
		.free = s3_free,
		.age = s3_age,
		.warm = s3_warm,
	};
	struct hf_http_options http = web_options(o);
	struct s3 *s = hf_new(struct s3);
	hf_autoptr(hf_store) st = &s->store;

	*st = (struct hf_store){.ops = &ops,
		.connections = connections,
		.pours = true,
		.within_s = WEB_CHANGE_S,
		.slowest = WEB_SLOWEST};
	atomic_init(&st->promises, HF_REPLACES_ATOMICALLY | HF_LISTS_AT_ONCE | HF_IS_DURABLE);
	pthread_mutex_init(&s->lock, NULL);
	s->say = o->say;
	s->say_arg = o->say_arg;
	HF_TRY(s3_place_parse(place, &s->place));
	if (asprintf(&st->url, "s3:%s", place) < 0)
		abort();
	HF_TRY(parse_options(s, o));
	HF_TRY(find_keys(s, o));
	HF_TRY(hf_http_new(&http, &s->http));
	*out = hf_steal(st);
	return NULL;
}

static const struct hf_backend_option options[] = {
	{"bucket-lookup", "bucket lookup style: 'auto', 'dns', or 'path'"},
	{"enable-restore",
		"restore objects from GLACIER or DEEP_ARCHIVE storage classes (default: false, "
		"requires \"s3-restore\" feature flag)"},
	{"hash-uploads",
		"hash what is written once more, instead of taking its name for the hash "
		"(default: "
		"false)",
		.is_ours = true},
	{"instance-metadata", "ask the service of containers and virtual machines for keys",
		.is_ours = true},
	{"layout", "use this backend layout (default: auto-detect) (deprecated)"},
	{"list-objects-v1", "use deprecated V1 api for ListObjects calls"},
	{"part-size", "write files larger than so many MiB in parts (default: 200)",
		.is_ours = true},
	{"region", "set region"},
	{"restore-days", "lifetime in days of restored object (default: 7)"},
	{"restore-pause", "look so often whether what was ordered is there (default: 1m)",
		.is_ours = true},
	{"restore-tier", "Retrieval tier at which the restore will be processed. (Standard, "
			 "Bulk or Expedited) (default: Standard)"},
	{"restore-timeout", "maximum time to wait for objects transition (default: 24h)"},
	{"retries", "set the number of retries attempted\naccepted, without effect: see "
		    "retry.limit"},
	{"storage-class", "set S3 storage class (STANDARD, STANDARD_IA, ONEZONE_IA, "
			  "INTELLIGENT_TIERING or REDUCED_REDUNDANCY)"},
	{"unsafe-anonymous-auth", "use anonymous authentication"},
	{NULL},
};

const struct hf_backend hf_backend_s3 = {
	.scheme = "s3",
	.options = options,
	.connections = 5,
	.paces = true,
	.open = s3_open,
};
