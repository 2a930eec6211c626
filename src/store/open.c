/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/open.h"

#include <stdio.h>

#include "store/backend.h"
#include "store/early.h"
#include "store/fault.h"
#include "store/limit.h"
#include "store/local.h"
#include "store/rclone.h"
#include "store/rest.h"
#include "store/retry.h"
#include "store/s3.h"
#include "store/sema.h"
#include "store/sftp.h"

enum { MAX_CONNECTIONS = 1000 };

#define STUCK_S 300.0 /* as in restic */

/* The kinds of places that can be reached; a path without a scheme is local. */
static const struct hf_backend *const backends[] = {
	&hf_backend_local,
	&hf_backend_rclone,
	&hf_backend_rest,
	&hf_backend_s3,
	&hf_backend_sftp,
};
enum { N_BACKENDS = sizeof backends / sizeof backends[0] };

/* The kinds of places that only other programs of the format know. */
static const char *const others[] = {"b2", "gs", "azure", "swift"};
enum { N_OTHERS = sizeof others / sizeof others[0] };

/* Whether `text` begins with the scheme and then `mark`. */
static bool
has_scheme(const char *text, const char *scheme, char mark)
{
	size_t len = strlen(scheme);

	return strncmp(text, scheme, len) == 0 && text[len] == mark;
}

/* ---- options ---- */

/* Those of what stands around every backend. */
static const struct hf_backend_option wrappers[] = {
	{"retry.limit",
		"how long a request that failed is repeated (default: 15m, for a folder of "
		"this "
		"machine 0)",
		.is_ours = true},
	{"retry.pause",
		"the pause before the first repetition, doubled each time (default: 1s)",
		.is_ours = true},
	{"trace.file", "write a line for every request to this file", .is_ours = true},
	{NULL},
};

/* For tests of the program itself. */
static const struct hf_backend_option hidden[] = {
	{"fault.plan", ""}, {"fault.while", ""}, {NULL}};

static bool
is_in(const struct hf_backend_option *options, const char *name)
{
	for (; options->name != NULL; options++)
		if (strcmp(options->name, name) == 0)
			return true;
	return false;
}

void
hf_store_options(hf_store_option_fn *fn, void *arg)
{
	for (size_t i = 0; i < N_BACKENDS; i++) {
		const struct hf_backend *b = backends[i];
		char key[64], text[96];

		snprintf(text, sizeof text,
			"set a limit for the number of concurrent %s (default: %u)",
			b->is_local ? "operations" : "connections", b->connections);
		snprintf(key, sizeof key, "%s.connections", b->scheme);
		fn(arg, key, text, false);
		for (const struct hf_backend_option *o = b->options; o->name != NULL; o++) {
			snprintf(key, sizeof key, "%s.%s", b->scheme, o->name);
			fn(arg, key, o->text, o->is_ours);
		}
	}
	for (const struct hf_backend_option *o = wrappers; o->name != NULL; o++)
		fn(arg, o->name, o->text, o->is_ours);
}

static struct hf_err *
check_option(const struct hf_backend *own, const char *key)
{
	if (has_scheme(key, "lock", '.')) /* looked at by who takes the lock */
		return NULL;
	if (has_scheme(key, own->scheme, '.')) {
		const char *name = key + strlen(own->scheme) + 1;

		if (strcmp(name, "connections") == 0 || is_in(own->options, name))
			return NULL;
		return hf_err(HF_EINVAL, "option %s is not known", key);
	}
	for (size_t i = 0; i < N_BACKENDS; i++)
		if (has_scheme(key, backends[i]->scheme, '.'))
			return NULL;
	for (size_t i = 0; i < N_OTHERS; i++)
		if (has_scheme(key, others[i], '.'))
			return NULL;
	if (is_in(wrappers, key) || is_in(hidden, key))
		return NULL;
	return hf_err(HF_EINVAL, "option %s is not known", key);
}

static struct hf_err *
check_options(const struct hf_backend *own, const struct hf_open *o)
{
	for (size_t i = 0; i < o->n_options; i++) {
		const struct hf_option *a = &o->options[i];

		for (size_t j = 0; j < i; j++)
			if (strcmp(a->key, o->options[j].key) == 0 &&
				strcmp(a->value, o->options[j].value) != 0)
				return hf_err(HF_EINVAL,
					"option %s is given twice with different values",
					a->key);
		HF_TRY(check_option(own, a->key));
	}
	return NULL;
}

/* ---- places ---- */

/* Whether `text` is a path whatever colons are in it, by restic's rules: also C:\\ and C:/. */
static bool
is_path(const char *text)
{
	static const char separators[] = "/\\";
	size_t dots = strncmp(text, "..", 2) == 0 ? 2 : 0;
	int drive = *text | 0x20;

	if (text[dots] != '\0' && strchr(separators, text[dots]) != NULL)
		return true;
	return drive >= 'a' && drive <= 'z' && text[1] == ':' && text[2] != '\0' &&
	       strchr(separators, text[2]) != NULL;
}

/*
 * What is neither a path nor begins with a scheme that anybody knows: a scheme that is mistyped, and
 * not a folder that nobody meant. It is not shown, since there can be a password in it.
 */
static struct hf_err *
check_path(const char *url)
{
	if (is_path(url) || strchr(url, ':') == NULL)
		return NULL;
	return hf_err(HF_EINVAL,
		"parsing repository location failed: invalid backend\n"
		"If the repository is in a local directory, you need to add a `local:` prefix");
}

static struct hf_err *
find_backend(const char *url, const struct hf_backend **backend, const char **place)
{
	*backend = &hf_backend_local;
	*place = url;
	for (size_t i = 0; i < N_BACKENDS; i++) {
		if (has_scheme(url, backends[i]->scheme, ':')) {
			*backend = backends[i];
			*place = url + strlen(backends[i]->scheme) + 1;
			return NULL;
		}
		if (strcmp(url, backends[i]->scheme) == 0)
			return hf_err(HF_EINVAL,
				"parsing repository location failed: "
				"invalid format, does not start with \"%s:\"",
				url);
	}
	for (size_t i = 0; i < N_OTHERS; i++)
		/* The rest is not shown: there can be a password in it. */
		if (has_scheme(url, others[i], ':'))
			return hf_err(HF_EINVAL,
				"%s: repositories cannot be reached by this version "
				"(local:%s:... is a folder of that name)",
				others[i], others[i]);
	return check_path(url);
}

static struct hf_err *
open_place(const struct hf_backend *backend, const char *place, const struct hf_open *o,
	struct hf_store **out)
{
	hf_autofree char *key = NULL;
	unsigned connections = backend->connections;

	if (asprintf(&key, "%s.connections", backend->scheme) < 0)
		abort();
	HF_TRY(hf_option_uint(o, key, 1, MAX_CONNECTIONS, &connections));
	return backend->open(place, o, connections, out);
}

/* ---- wrappers ---- */

/* Calls that go wrong on purpose, if options say so. */
static struct hf_err *
add_faults(const struct hf_open *o, struct hf_store **s)
{
	const char *plan_text = hf_option_find(o, "fault.plan");
	struct hf_fault_plan plan = {0};

	plan.while_file = hf_option_find(o, "fault.while");
	if (plan_text == NULL && plan.while_file == NULL)
		return NULL;
	/* `while` alone means: every call. */
	if (plan_text == NULL) {
		plan.kind = HF_FAULT_FAIL;
		plan.first = 1;
		plan.lasts = true;
	} else {
		struct hf_fault_plan parsed;

		HF_TRY(hf_err_in(hf_fault_parse(plan_text, &parsed), "option fault.plan"));
		parsed.while_file = plan.while_file;
		plan = parsed;
	}
	*s = hf_store_fault(*s, &plan);
	return NULL;
}

static struct hf_err *
add_retry(const struct hf_backend *backend, const struct hf_open *o, struct hf_store **s)
{
	struct hf_retry retry = {.stop = o->stop, .say = o->say, .say_arg = o->say_arg};

	retry.limit_s = backend->is_local ? 0 : HF_RETRY_LIMIT_S;
	HF_TRY(hf_option_seconds(o, "retry.limit", &retry.limit_s));
	HF_TRY(hf_option_seconds(o, "retry.pause", &retry.pause_s));
	if (retry.limit_s > 0)
		*s = hf_store_retry(*s, &retry);
	return NULL;
}

/*
 * The whole stack, from the inside out, and why so:
 *	faults	are where real ones are, so that all else has to cope with them
 *	limit	belongs to the transfer; most backends do it themselves
 *	trace	shows each try and what the limit costs, but not the wait for a slot
 *	sema	counts what is really under way; a folder of this machine needs none
 *	early	has answers before they are asked for; inside, so that each failure counts once
 *	retry	is outermost, because who waits to try again must not hold a slot
 */
static struct hf_err *
wrap(const struct hf_backend *backend, const struct hf_open *o, struct hf_store **s)
{
	HF_TRY(add_faults(o, s));
	if (!backend->paces && (o->upload != NULL || o->download != NULL))
		*s = hf_store_limit(*s, o->upload, o->download, o->stop);
	if (o->trace != NULL)
		*s = hf_store_trace(*s, o->trace, o->trace_arg);
	if (!backend->is_local)
		*s = hf_store_wrap_early(hf_store_sema(*s));
	return add_retry(backend, o, s);
}

struct hf_err *
hf_store_open(const char *url, const struct hf_open *o, struct hf_store **out)
{
	const struct hf_backend *backend;
	hf_autoptr(hf_store) s = NULL;
	struct hf_open filled = *o;
	const char *place;

	if (filled.stuck_s <= 0)
		filled.stuck_s = STUCK_S;
	HF_TRY(find_backend(url, &backend, &place));
	HF_TRY(check_options(backend, o));
	HF_TRY(open_place(backend, place, &filled, &s));
	HF_TRY(wrap(backend, o, &s));
	*out = hf_steal(s);
	return NULL;
}
