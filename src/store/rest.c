/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/rest.h"

#include <stdio.h>
#include <strings.h>

#include "base/time.h"
#include "codec/json.h"
#include "net/url.h"
#include "store/rest_i.h"
#include "store/web_i.h"

enum {
	SHORT_BODY = 128 << 10, /* fits into what a server reads before it hangs up on us */
};

#define LIST_MAX (UINT64_C(8) << 30) /* 100 bytes for each file */
#define V2       "application/vnd.x.restic.rest.v2"

static const char *const accept_v2[] = {"Accept: " V2};
static const char *const send_bytes[] = {
	"Accept: " V2, "Content-Type: application/octet-stream"};

struct rest {
	struct hf_store store;
	struct hf_http *http;
	char *base; /* with a slash at its end */
	void (*closed)(void *arg);
	void *arg;
};

static struct rest *
of(struct hf_store *s)
{
	return hf_container_of(s, struct rest, store);
}

/* The protocol has no folders for packs. */
static char *
url_of(const struct rest *r, const struct hf_name *name)
{
	char *url;
	int n;

	if (name->kind == HF_CONFIG)
		n = asprintf(&url, "%sconfig", r->base);
	else
		n = asprintf(&url, "%s%s/%s", r->base, hf_kind_folder(name->kind),
			hf_id_hex(&name->id).s);
	if (n < 0)
		abort();
	return url;
}

/* When a call about such files has to be over, on hf_clock(), with all its requests; 0: never. */
static double
end_of(enum hf_kind kind)
{
	return kind == HF_LOCK ? hf_clock() + HF_LOCK_CALL_S : 0;
}

static double
left_until(double end)
{
	double left = end - hf_clock();

	return end == 0 ? 0 : left > 0.001 ? left : 0.001;
}

/* A request about files of that kind; the caller fills in what is special. */
static struct hf_http_request
request(const char *method, const char *url, enum hf_kind kind, double end)
{
	return (struct hf_http_request){
		.method = method,
		.url = url,
		.headers = accept_v2,
		.n_headers = 1,
		.no_pace = kind == HF_LOCK,
		.deadline_s = left_until(end),
	};
}

/* Makes a request whose answer is to be 2xx. */
static struct hf_err *
demand(struct rest *r, const struct hf_http_request *q, struct hf_http_answer *a)
{
	HF_TRY(hf_http_do(r->http, q, a));
	return hf_http_error(a);
}

static struct hf_err *
rest_create(struct hf_store *s)
{
	struct rest *r = of(s);
	static const char *const type[] = {"Content-Type: binary/octet-stream"};
	hf_auto(hf_http_answer) a = {0};
	hf_autofree char *url = NULL;

	if (asprintf(&url, "%s?create=true", r->base) < 0)
		abort();
	return demand(r,
		&(struct hf_http_request){.method = "POST",
			.url = url,
			.headers = type,
			.n_headers = 1,
			.deadline_s = WEB_CHANGE_S},
		&a);
}

/* ---- reading ---- */

/* Makes a request for a file or a list. That it is not there is doubted (hf_store_doubts()). */
static struct hf_err *
ask(struct rest *r, enum hf_kind kind, struct hf_http_request *q, double end,
	struct hf_http_answer *a)
{
	static const struct hf_name config = {.kind = HF_CONFIG};
	hf_auto(hf_http_answer) there = {0};

	HF_TRY(hf_http_do(r->http, q, a));
	if (kind == HF_CONFIG && a->status / 100 == 2)
		hf_store_saw(&r->store, &config, true);
	if (a->status != 404 || !hf_store_doubts(&r->store, kind))
		return NULL;
	hf_autofree char *url = url_of(r, &config);
	struct hf_http_request look = request("HEAD", url, kind, end);
	HF_TRY(hf_http_do(r->http, &look, &there));
	if (there.status == 404)
		return hf_err(HF_EIO,
			"%s: not there (404), but neither is the config: the server has lost "
			"the repository, or a proxy the server",
			a->what);
	HF_TRY(hf_http_error(&there));
	q->deadline_s = left_until(end);
	return hf_http_do(r->http, q, a);
}

static struct hf_err *
stat_by(struct rest *r, const struct hf_name *name, double end, uint64_t *size)
{
	hf_auto(hf_http_answer) a = {0};
	hf_autofree char *url = url_of(r, name);
	struct hf_http_request q = request("HEAD", url, name->kind, end);

	HF_TRY(ask(r, name->kind, &q, end, &a));
	HF_TRY(hf_http_error(&a));
	if (!a.has_size)
		return hf_err(
			HF_EIO, "%s: the server does not say how large the file is", a.what);
	*size = a.size;
	return NULL;
}

static struct hf_err *
rest_stat(struct hf_store *s, const struct hf_name *name, uint64_t *size)
{
	return stat_by(of(s), name, end_of(name->kind), size);
}

static struct hf_err *
get_by(struct rest *r, const struct hf_name *name, double end, uint64_t off, size_t len,
	struct hf_buf *out, struct hf_sink *sink)
{
	hf_auto(hf_http_answer) a = {0};
	hf_autofree char *url = url_of(r, name);
	struct hf_http_request q = request("GET", url, name->kind, end);

	/* Neither nothing nor what no file has can be asked for. */
	if (len == 0 || off > INT64_MAX || (len != SIZE_MAX && len > INT64_MAX - off)) {
		uint64_t size;

		HF_TRY(stat_by(r, name, end, &size));
		return len == 0 && off <= size ? NULL : web_too_short(size);
	}
	q.is_range = off > 0 || len != SIZE_MAX;
	q.off = off;
	q.len = len;
	q.out = out;
	q.sink = sink;
	HF_TRY(ask(r, name->kind, &q, end, &a));
	return a.status == 416 ? web_beyond(&r->store, name, off, len, &a) : hf_http_error(&a);
}

static struct hf_err *
rest_get(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	return get_by(of(s), name, end_of(name->kind), off, len, out, NULL);
}

static struct hf_err *
rest_pour(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_sink *sink)
{
	return get_by(of(s), name, end_of(name->kind), off, len, NULL, sink);
}

/* ---- writing ---- */

static struct hf_err *
del_by(struct rest *r, const struct hf_name *name, double end)
{
	hf_auto(hf_http_answer) a = {0};
	hf_autofree char *url = url_of(r, name);
	struct hf_http_request q = request("DELETE", url, name->kind, end);

	/* Who is interrupted gives his lock back. */
	q.no_stop = name->kind == HF_LOCK;
	if (name->kind != HF_LOCK)
		q.deadline_s = hf_store_within(&r->store, name, 0);
	hf_store_saw(&r->store, name, false);
	return demand(r, &q, &a);
}

static struct hf_err *
rest_del(struct hf_store *s, const struct hf_name *name)
{
	return del_by(of(s), name, end_of(name->kind));
}

static struct hf_err *
post(struct rest *r, const struct hf_name *name, double end, struct hf_bytes data,
	struct hf_http_answer *a)
{
	hf_autofree char *url = url_of(r, name);

	HF_TRY(web_share(r->http, &r->store, name, data.len));
	struct hf_http_request q = request("POST", url, name->kind, end);
	q.headers = send_bytes;
	q.n_headers = 2;
	q.body = data;
	/* A lock that may come later, when it has been deleted, would stay. */
	q.no_stop = name->kind == HF_LOCK;
	if (name->kind != HF_LOCK && name->kind != HF_PACK)
		q.deadline_s = hf_store_within(&r->store, name, data.len);
	HF_TRY(hf_http_do(r->http, &q, a));
	if (a->status / 100 == 2)
		hf_store_saw(&r->store, name, true);
	if (a->status == 400) /* what came was not what its name says, or not all of it */
		return hf_err(HF_EIO,
			"%s: the server did not get the file as it was sent (400)", a->what);
	return hf_http_error(a);
}

enum found { ABSENT, SAME, OTHER };

/*
 * What the server has under that name, byte for byte: whoever deletes a file because of this has
 * seen all of it. An error: nothing is known.
 */
static struct hf_err *
look(struct rest *r, const struct hf_name *name, double end, struct hf_bytes data,
	enum found *out)
{
	hf_auto(hf_buf) b = HF_BUF_SPOOL(LIST_MAX);
	uint64_t size;
	struct hf_err *e = stat_by(r, name, end, &size);

	*out = ABSENT;
	if (e != NULL && hf_err_code(e) == HF_ENOTFOUND)
		return hf_err_ignore(e, HF_ENOTFOUND);
	HF_TRY(e);
	HF_TRY(get_by(r, name, end, 0, SIZE_MAX, &b, NULL));
	if (b.len != size)
		return hf_err(
			HF_EIO, "%zu bytes came of a file of %ju", b.len, (uintmax_t)size);
	*out = hf_bytes_eq(hf_buf_bytes(&b), data) ? SAME : OTHER;
	return NULL;
}

/* What to return when a file was `refused`, and there is no telling what is in its place. */
static struct hf_err *
in_doubt(struct hf_err *refused, struct hf_err *why)
{
	hf_autoptr(hf_err) r = refused;
	hf_autoptr(hf_err) w = why;

	if (hf_err_code(w) == HF_ECANCELED)
		return hf_steal(w);
	if (hf_err_code(w) == HF_EFATAL) /* who may not look either will not be let in later */
		return hf_steal(r);
	return hf_err_later(
		hf_err(HF_EIO, "%s; looking what is there: %s", hf_err_text(r), hf_err_text(w)),
		hf_err_wait(w));
}

/*
 * A server refuses a name that is taken, most often by ourselves: the answer to an earlier attempt
 * was lost. It refuses before it has read the file, and hangs up on who still sends, so that the
 * reason for a broken connection may be the same. The gate lets one change out at a time.
 */
static struct hf_err *
rest_put(struct hf_store *s, const struct hf_name *name, struct hf_bytes data)
{
	struct rest *r = of(s);
	hf_auto(hf_http_answer) a = {0};
	double end = end_of(name->kind);
	enum found found;
	struct hf_err *e = post(r, name, end, data, &a);
	bool is_cut = e != NULL && hf_err_code(e) == HF_EIO && data.len > SHORT_BODY;

	if (e != NULL && name->kind == HF_CONFIG && a.status == 500) {
		hf_err_free(e); /* alone of all files, it needs its folder */
		HF_TRY(hf_store_pass(s, name, false, 0));
		HF_TRY(rest_create(s));
		e = post(r, name, end, data, &a);
	}
	if (e == NULL || (a.status != 403 && !is_cut))
		return e;
	struct hf_err *unknown = look(r, name, end, data, &found);
	if (unknown != NULL)
		return in_doubt(e, unknown);
	if (found == ABSENT)
		return e;
	hf_err_free(e);
	if (found == SAME)
		return NULL;
	if (name->is_new)
		return hf_err(HF_EEXISTS, "there is a file of that name");
	HF_TRY(hf_store_pass(s, name, true, 0));
	HF_TRY(hf_err_ignore(del_by(r, name, end), HF_ENOTFOUND));
	return post(r, name, end, data, &a);
}

/* ---- listing ---- */

struct listing {
	struct rest *r;
	enum hf_kind kind;
	double end;
	hf_store_list_fn *fn;
	void *arg;
	bool has_sizes; /* version 2 */
	struct hf_buf scratch;
};

static struct hf_err *
list_entry(struct listing *l, struct hf_json *j)
{
	struct hf_str text = {NULL, 0}, key;
	struct hf_name name;
	uint64_t size = 0;

	if (!l->has_sizes)
		text = hf_json_str(j);
	else
		for (hf_json_object(j); hf_json_key(j, &key);) {
			if (hf_json_key_is(key, "name"))
				text = hf_json_str(j);
			else if (hf_json_key_is(key, "size"))
				size = hf_json_u64(j, INT64_MAX);
			else
				hf_json_skip(j);
		}
	HF_TRY(hf_json_err(j));
	/* Other names are other people's, or a server's own for the time being. */
	if (!hf_name_of_file(l->kind, text, &name))
		return NULL;
	hf_buf_reset(&l->scratch);
	if (!l->has_sizes) {
		struct hf_err *e = stat_by(l->r, &name, l->end, &size);

		if (e != NULL && hf_err_code(e) == HF_ENOTFOUND)
			return hf_err_ignore(e, HF_ENOTFOUND); /* deleted meanwhile */
		HF_TRY(e);
	}
	return l->fn(l->arg, &name, size);
}

static struct hf_err *
read_list(struct listing *l, struct hf_bytes text)
{
	struct hf_json j;

	hf_json_init(&j, text, &l->scratch);
	hf_json_array(&j);
	while (hf_json_item(&j))
		HF_TRY(list_entry(l, &j));
	return hf_json_end(&j);
}

/* Learns from an answer who the server is. True: rclone. */
static bool
meet(struct rest *r, const char *server)
{
	if (server == NULL || strncasecmp(server, "rclone/", 7) != 0)
		return false;
	atomic_fetch_and(&r->store.promises, ~(unsigned)(HF_LISTS_AT_ONCE | HF_IS_DURABLE));
	return true;
}

static struct hf_err *
rest_list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	static const char *const want[] = {"Content-Type", "Server"};
	struct rest *r = of(s);
	struct listing l = {.r = r, .kind = kind, .end = end_of(kind), .fn = fn, .arg = arg};
	hf_auto(hf_http_answer) a = {0};
	hf_auto(hf_buf) text = HF_BUF_SPOOL(LIST_MAX);
	hf_autofree char *url = NULL;

	if (kind == HF_CONFIG)
		return hf_store_list_config(s, fn, arg);
	if (asprintf(&url, "%s%s/", r->base, hf_kind_folder(kind)) < 0)
		abort();
	struct hf_http_request q = request("GET", url, kind, l.end);
	q.out = &text;
	q.want = want;
	q.n_want = 2;
	HF_TRY(ask(r, kind, &q, l.end, &a));
	/* A server without the folder has no files; rclone says so when it has not found out. */
	if (!meet(r, a.values[1]) && a.status == 404)
		return NULL;
	HF_TRY(hf_http_error(&a));
	l.has_sizes = a.values[0] != NULL && strcmp(a.values[0], V2) == 0;
	l.scratch.max = 64 << 10;
	struct hf_err *e = read_list(&l, hf_buf_bytes(&text));
	hf_buf_clear(&l.scratch);
	return e;
}

/* ---- opening ---- */

static void
rest_free(struct hf_store *s)
{
	struct rest *r = of(s);

	hf_http_free(r->http);
	if (r->closed != NULL)
		r->closed(r->arg);
	free(r->store.url);
	free(r->base);
	free(r);
}

struct hf_store *
rest_new(const struct rest_place *place)
{
	static const struct hf_store_ops ops = {
		.create = rest_create,
		.put = rest_put,
		.get = rest_get,
		.pour = rest_pour,
		.stat = rest_stat,
		.list = rest_list,
		.del = rest_del,
		.free = rest_free,
	};
	struct rest *r = hf_new(struct rest);
	size_t len = strlen(place->base);
	const char *slash = len > 0 && place->base[len - 1] == '/' ? "" : "/";

	r->store = (struct hf_store){.ops = &ops,
		.url = hf_str_dup(hf_str(place->url)),
		.connections = place->connections,
		.within_s = WEB_CHANGE_S,
		.slowest = WEB_SLOWEST};
	atomic_init(&r->store.promises, place->promises);
	r->http = place->http;
	r->store.pours = hf_http_pours(r->http);
	r->closed = place->closed;
	r->arg = place->arg;
	if (asprintf(&r->base, "%s%s", place->base, slash) < 0)
		abort();
	return &r->store;
}

/* "http+unix:///path/to/socket:/path" is a socket, and a path on a host that needs no name. */
static struct hf_err *
split_unix(const char *place, char **socket, char **url)
{
	static const char prefix[] = "http+unix://";
	const char *path, *colon;

	if (strncmp(place, prefix, sizeof prefix - 1) != 0) {
		*url = hf_str_dup(hf_str(place));
		return NULL;
	}
	path = place + sizeof prefix - 1;
	colon = strchr(path, ':');
	if (*path != '/' || colon == NULL)
		return hf_err(HF_EINVAL, "the name of the repository is not of the form "
					 "rest:http+unix:///path/to/socket:/path/in/it");
	*socket = hf_str_dup((struct hf_str){path, (size_t)(colon - path)});
	if (asprintf(url, "http://localhost%s%s", colon[1] == '/' ? "" : "/", colon + 1) < 0)
		abort();
	return NULL;
}

static struct hf_err *
rest_open(
	const char *place, const struct hf_open *o, unsigned connections, struct hf_store **out)
{
	struct hf_http_options http = web_options(o);
	hf_autofree char *socket = NULL, *text = NULL, *url = NULL, *shown = NULL;
	hf_auto(hf_url) parts = {0};
	struct hf_http *client;

	HF_TRY(split_unix(place, &socket, &text));
	HF_TRY(hf_err_in(
		hf_url_parse(text, &parts), "the name of the repository, after rest:"));
	http.unix_socket = socket;
	if (parts.has_user) {
		http.user = hf_bytes_str((struct hf_bytes){parts.user.p, parts.user.len});
		http.password =
			hf_bytes_str((struct hf_bytes){parts.password.p, parts.password.len});
	} else {
		const char *user = hf_open_env(o, "RESTIC_REST_USERNAME");
		const char *password = hf_open_env(o, "RESTIC_REST_PASSWORD");

		http.user = hf_str(user != NULL ? user : "");
		http.password = hf_str(password != NULL ? password : "");
	}
	HF_TRY(hf_http_new(&http, &client));
	if (asprintf(&url, "rest:%s", place) < 0)
		abort();
	shown = hf_place_shown(url);
	*out = rest_new(&(struct rest_place){.http = client,
		.base = parts.clean,
		.url = shown,
		.connections = connections,
		.promises = HF_LISTS_AT_ONCE | HF_IS_DURABLE});
	return NULL;
}

const struct hf_backend hf_backend_rest = {
	.scheme = "rest",
	.options = (const struct hf_backend_option[]){{NULL}},
	.connections = 5,
	.paces = true,
	.open = rest_open,
};
