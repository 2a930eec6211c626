/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/open.h"

#include "store/fault.h"
#include "store/local.h"

enum { MAX_CONNECTIONS = 1000 };

/* The kinds of places that the format's other programs know. */
static const char *const others[] = {
	"sftp", "rest", "s3", "rclone", "b2", "gs", "azure", "swift"};
enum { N_OTHERS = sizeof others / sizeof others[0] };

/* What all options together say. */
struct settings {
	unsigned connections; /* 0: the backend's own number */
	bool is_faulty;
	struct hf_fault_plan plan;
	const char *fault_while; /* or NULL */
};

static struct hf_err *
parse_connections(const char *text, unsigned *out)
{
	unsigned n = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9' && n <= MAX_CONNECTIONS; p++)
		n = n * 10 + (unsigned)(*p - '0');
	if (*p != '\0' || n < 1 || n > MAX_CONNECTIONS)
		return hf_err(HF_EINVAL,
			"option local.connections=%s: not a number from 1 to %d", text,
			MAX_CONNECTIONS);
	*out = n;
	return NULL;
}

/* Scripts pass the options of all their repositories to every call. */
static bool
is_for_another(const char *key)
{
	for (size_t i = 0; i < N_OTHERS; i++) {
		size_t len = strlen(others[i]);

		if (strncmp(key, others[i], len) == 0 && key[len] == '.')
			return true;
	}
	return false;
}

static struct hf_err *
parse_option(const struct hf_option *o, struct settings *out)
{
	if (is_for_another(o->key) || strncmp(o->key, "lock.", 5) == 0)
		return NULL; /* who takes the lock looks at those of the lock */
	if (strcmp(o->key, "local.connections") == 0)
		return parse_connections(o->value, &out->connections);
	if (strcmp(o->key, "fault.plan") == 0) {
		out->is_faulty = true;
		return hf_err_in(hf_fault_parse(o->value, &out->plan), "option %s", o->key);
	}
	if (strcmp(o->key, "fault.while") == 0) {
		out->is_faulty = true;
		out->fault_while = o->value;
		return NULL;
	}
	return hf_err(HF_EINVAL, "option %s is not known", o->key);
}

static struct hf_err *
parse_options(const struct hf_option *options, size_t n, struct settings *out)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < i; j++)
			if (strcmp(options[i].key, options[j].key) == 0 &&
				strcmp(options[i].value, options[j].value) != 0)
				return hf_err(HF_EINVAL,
					"option %s is given twice with different values",
					options[i].key);
		HF_TRY(parse_option(&options[i], out));
	}
	return NULL;
}

/* Finds the path in a place that a user named. */
static struct hf_err *
parse_place(const char *url, const char **path)
{
	for (size_t i = 0; i < N_OTHERS; i++) {
		size_t len = strlen(others[i]);

		/* The rest is not shown: there can be a password in it. */
		if (strncmp(url, others[i], len) == 0 && url[len] == ':')
			return hf_err(HF_EINVAL,
				"%s: repositories cannot be reached by this version, which "
				"keeps "
				"them in local folders only (./%s:... is a folder of that "
				"name)",
				others[i], others[i]);
	}
	if (strncmp(url, "local:", 6) == 0)
		url += 6;
	if (*url == '\0')
		return hf_err(HF_EINVAL, "the name of the repository's folder is empty");
	*path = url;
	return NULL;
}

struct hf_err *
hf_store_open(const char *url, const struct hf_option *options, size_t n_options,
	struct hf_store **out)
{
	struct settings settings = {0};
	struct hf_store *s;
	const char *path;

	HF_TRY(parse_place(url, &path));
	HF_TRY(parse_options(options, n_options, &settings));
	/* Alone it means: every call. */
	if (settings.fault_while != NULL && settings.plan.kind == HF_FAULT_NONE)
		settings.plan = (struct hf_fault_plan){
			.kind = HF_FAULT_FAIL, .code = HF_EIO, .first = 1, .lasts = true};
	settings.plan.while_file = settings.fault_while;
	HF_TRY(hf_store_local(path, settings.connections, &s));
	*out = settings.is_faulty ? hf_store_fault(s, &settings.plan) : s;
	return NULL;
}
