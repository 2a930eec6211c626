/* SPDX-License-Identifier: BSD-2-Clause */
/* What the command line and the environment say to stores. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>

#include "base/io.h"
#include "base/text.h"
#include "cli/place.h"
#include "store/backend.h"

char *
hf_option_split(char *s)
{
	char *equals = strchr(s, '=');
	struct hf_str key, value;

	if (equals == NULL)
		return s + strlen(s);
	key = hf_text_trim((struct hf_str){s, (size_t)(equals - s)});
	value = hf_text_trim(hf_str(equals + 1));
	memmove(s, key.p, key.len);
	s[key.len] = '\0';
	for (char *c = s; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	memmove(equals + 1, value.p, value.len);
	equals[1 + value.len] = '\0';
	return equals + 1;
}

static const char *
get_env(void *arg, const char *name)
{
	struct hf_cli *cli = arg;

	return hf_env_find(cli->env, name);
}

static void
say_line(void *arg, const char *line)
{
	struct hf_cli *cli = arg;

	hf_say_err(cli->out, "%s", line);
}

static void
say_thaw(void *arg, size_t n_packs)
{
	struct hf_cli *cli = arg;

	hf_say(cli->out, HF_SAY_NORMAL,
		"warming up %zu packs from cold storage, this may take a while...", n_packs);
}

/* ---- limits ---- */

/* The limit for all stores of this process; NULL: there is none. */
static struct hf_pace *
get_pace(struct hf_pace *pace, int64_t kib_per_s)
{
	if (kib_per_s <= 0)
		return NULL;
	if (pace->rate <= 0)
		hf_pace_init(pace, (double)kib_per_s * 1024);
	return pace;
}

/* ---- trace ---- */

/* One write each, so that lines of threads and of processes do not mix. */
static void
write_line(void *arg, const char *line)
{
	struct hf_cli *cli = arg;
	size_t len = strlen(line);
	hf_autofree char *copy = hf_str_dup((struct hf_str){line, len});

	copy[len] = '\n'; /* in place of the end */
	hf_err_free(hf_write_full(cli->trace_fd, copy, len + 1));
}

static struct hf_err *
open_file(struct hf_cli *cli, const char *path)
{
	if (cli->trace_fd > 0)
		return NULL;
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return hf_err_errno(errno, "option trace.file=%s", path);
	cli->trace_fd = fd;
	return NULL;
}

static struct hf_err *
set_trace(struct hf_cli *cli, struct hf_open *o)
{
	const char *path = hf_option_find(o, "trace.file");

	if (path == NULL)
		return NULL;
	o->trace_arg = cli;
	o->trace = say_line;
	if (strcmp(path, "-") == 0)
		return NULL;
	o->trace = write_line;
	return open_file(cli, path);
}

/* ---- all of it ---- */

/* Splits the options into `copies`, which owns them. */
static struct hf_err *
take_options(
	const struct hf_strings *given, struct hf_strings *copies, struct hf_option *options)
{
	for (size_t i = 0; i < given->len; i++) {
		hf_strings_add(copies, given->v[i]);
		options[i].value = hf_option_split(copies->v[i]);
		options[i].key = copies->v[i];
		if (*options[i].key == '\0')
			return hf_err(HF_EINVAL, "empty key is not a valid option");
		for (size_t k = 0; k < i; k++)
			if (strcmp(options[k].key, options[i].key) == 0 &&
				strcmp(options[k].value, options[i].value) != 0)
				return hf_err(HF_EINVAL, "key \"%s\" present more than once",
					options[i].key);
	}
	return NULL;
}

static const char *
or_null(const char *s)
{
	return s != NULL && *s != '\0' ? s : NULL;
}

struct hf_err *
hf_place_store(struct hf_cli *cli, const char *location, struct hf_store **out)
{
	const struct hf_global *g = &cli->global;
	hf_auto(hf_strings) copies = {0};
	hf_autofree struct hf_option *options = hf_alloc_(g->options.len + 1, sizeof *options);
	struct hf_open o = {
		.options = options,
		.n_options = g->options.len,
		.env = get_env,
		.env_arg = cli,
		.cacerts = (const char *const *)g->cacert.v,
		.n_cacerts = g->cacert.len,
		.tls_client_cert = or_null(g->tls_client_cert),
		.insecure_tls = g->insecure_tls,
		.user_agent = or_null(g->http_user_agent),
		.stuck_s = g->stuck_request_timeout_s,
		.upload = get_pace(&cli->upload, g->limit_upload),
		.download = get_pace(&cli->download, g->limit_download),
		.stop = &cli->stop,
		.say = say_line,
		.say_arg = cli,
		.say_thaw = say_thaw,
		.has_s3_restore = cli->has_s3_restore,
	};

	HF_TRY(take_options(&g->options, &copies, options));
	HF_TRY(set_trace(cli, &o));
	return hf_store_open(location, &o, out);
}
