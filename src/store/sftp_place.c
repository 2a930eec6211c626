/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/sftp_place.h"

#include "base/path.h"
#include "base/text.h"
#include "base/words.h"

void
hf_sftp_place_clear(struct hf_sftp_place *p)
{
	free(p->user);
	free(p->port);
	free(p->host);
	free(p->path);
	*p = (struct hf_sftp_place){.user = NULL};
}

static struct hf_str
from_to(const char *from, const char *to)
{
	return (struct hf_str){from, (size_t)(to - from)};
}

/* [user@]host:path */
static struct hf_err *
parse_short(const char *text, struct hf_sftp_place *out, char **path)
{
	const char *colon = strchr(text, ':'), *at;

	if (colon == NULL)
		return hf_err(HF_EINVAL, "the place has no host or no path: it is to be "
					 "sftp:user@host:path or sftp://user@host:port//path");
	at = memrchr(text, '@', (size_t)(colon - text));
	out->user = hf_str_dup(at != NULL ? from_to(text, at) : hf_str(""));
	out->host = hf_str_dup(from_to(at != NULL ? at + 1 : text, colon));
	out->port = hf_str_dup(hf_str(""));
	*path = hf_str_dup(hf_str(colon + 1));
	return NULL;
}

/* host[:port], the host in brackets if it has colons. */
static bool
parse_host(struct hf_str s, struct hf_sftp_place *out)
{
	const char *end = s.p + s.len, *close = memchr(s.p, ']', s.len), *port;

	if (s.len > 0 && *s.p == '[') {
		if (close == NULL)
			return false;
		out->host = hf_text_unescape(from_to(s.p + 1, close));
		port = close + 1;
	} else {
		port = memchr(s.p, ':', s.len);
		if (port == NULL)
			port = end;
		out->host = hf_text_unescape(from_to(s.p, port));
	}
	if (port < end && *port != ':')
		return false;
	out->port = hf_str_dup(port < end ? from_to(port + 1, end) : hf_str(""));
	return strspn(out->port, "0123456789") == strlen(out->port);
}

/* [user[:password]@]host[:port]/path, without the two slashes. A password is for ssh to ask. */
static struct hf_err *
parse_url(const char *text, struct hf_sftp_place *out, char **path)
{
	size_t len = strcspn(text, "/");
	const char *slash = text + len, *at = memrchr(text, '@', len);

	if (*slash == '\0')
		return hf_err(HF_EINVAL, "the place has no folder: it is to be "
					 "sftp://user@host:port//path");
	if (at != NULL) {
		const char *colon = memchr(text, ':', (size_t)(at - text));

		out->user = hf_text_unescape(from_to(text, colon != NULL ? colon : at));
	} else {
		out->user = hf_str_dup(hf_str(""));
	}
	*path = hf_text_unescape(hf_str(slash + 1));
	if (!parse_host(from_to(at != NULL ? at + 1 : text, slash), out) || *path == NULL ||
		out->user == NULL || out->host == NULL)
		return hf_err(HF_EINVAL, "the place is not of the form "
					 "sftp://user@host:port//path");
	return NULL;
}

static struct hf_err *
parse(const char *text, struct hf_sftp_place *out)
{
	hf_autofree char *path = NULL;

	if (strncmp(text, "//", 2) == 0)
		HF_TRY(parse_url(text + 2, out, &path));
	else
		HF_TRY(parse_short(text, out, &path));
	out->path = hf_path_clean(path);
	if (*out->path == '~')
		return hf_err(HF_EINVAL,
			"the path begins with ~, which servers do not "
			"understand: a relative path is below the home folder");
	if (*out->host == '-' || *out->user == '-')
		return hf_err(HF_EINVAL, "neither a host nor a user may begin with -");
	return NULL;
}

struct hf_err *
hf_sftp_place_parse(const char *text, struct hf_sftp_place *out)
{
	struct hf_sftp_place p = {.user = NULL};
	struct hf_err *e = parse(text, &p);

	if (e != NULL)
		hf_sftp_place_clear(&p);
	else
		*out = p;
	return e;
}

struct hf_err *
hf_sftp_place_command(const struct hf_sftp_place *p, const char *command, const char *args,
	struct hf_strings *out)
{
	hf_auto(hf_strings) more = {0};

	if (command != NULL && args != NULL)
		return hf_err(HF_EINVAL,
			"options sftp.command and sftp.args exclude each other: "
			"put the arguments into the command");
	if (command != NULL)
		return hf_err_in(hf_words_split(command, out), "option sftp.command");
	if (*p->host == '\0')
		return hf_err(HF_EINVAL, "the place has no host");
	if (args != NULL)
		HF_TRY(hf_err_in(hf_words_split(args, &more), "option sftp.args"));
	hf_strings_add(out, "ssh");
	hf_strings_add(out, p->host);
	if (*p->port != '\0') {
		hf_strings_add(out, "-p");
		hf_strings_add(out, p->port);
	}
	if (*p->user != '\0') {
		hf_strings_add(out, "-l");
		hf_strings_add(out, p->user);
	}
	for (size_t i = 0; i < more.len; i++)
		hf_strings_add(out, more.v[i]);
	hf_strings_add(out, "-s");
	hf_strings_add(out, "sftp");
	return NULL;
}
