/* SPDX-License-Identifier: BSD-2-Clause */
/* The name of a bucket and of the place in it, as users write it. */
#include <ctype.h>
#include <stdio.h>

#include "base/path.h"
#include "base/text.h"
#include "store/s3_i.h"

void
s3_place_clear(struct s3_place *p)
{
	free(p->host);
	free(p->bucket);
	free(p->prefix);
	*p = (struct s3_place){0};
}

static bool
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static bool
ends(struct hf_str text, const char *with)
{
	size_t len = strlen(with);

	return text.len >= len && memcmp(text.p + text.len - len, with, len) == 0;
}

/* Whether a host name or bucket has only what may stand in one, or in an address and its port. */
static bool
is_plain_text(struct hf_str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.p[i]) && strchr(".-_:[]", s.p[i]) == NULL)
			return false;
	return s.len > 0;
}

char *
s3_normal_host(struct hf_str host, bool is_plain)
{
	const char *usual = is_plain ? ":80" : ":443";
	char *copy;

	if (ends(host, usual))
		host.len -= strlen(usual);
	copy = hf_str_dup(host);
	for (char *p = copy; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	return copy;
}

struct hf_err *
s3_place_parse(const char *text, struct s3_place *out)
{
	static const char form[] = "the name of the repository is not of the form "
				   "s3:host/bucket/prefix or s3:http://host:port/bucket/prefix";
	hf_autofree char *clean = NULL, *rooted = NULL, *path = NULL;
	struct hf_str host, bucket;
	bool is_url = true;

	out->is_plain = begins(text, "http://");
	if (out->is_plain)
		text += strlen("http://");
	else if (begins(text, "https://"))
		text += strlen("https://");
	else
		is_url = false;
	if (!is_url && begins(text, "//"))
		text += strlen("//");
	host = (struct hf_str){text, strcspn(text, "/")};
	/* There is no place for a password, but somebody may try. */
	if (!is_plain_text(host))
		return hf_err(HF_EINVAL, "%s", form);
	text += host.len;
	text += *text == '/';
	/* restic drops a query, and would have its repository elsewhere. */
	if (is_url && strpbrk(text, "?#") != NULL)
		return hf_err(
			HF_EINVAL, "in a URL, ? and # are to be written as %%3F and %%23");
	path = is_url ? hf_text_unescape(hf_str(text)) : hf_str_dup(hf_str(text));
	if (path == NULL)
		return hf_err(HF_EINVAL, "in a URL, %% is to be written as %%25");
	text = path;
	bucket = (struct hf_str){text, strcspn(text, "/")};
	if (bucket.len == 0)
		return hf_err(HF_EINVAL, "%s: the bucket is missing", form);
	if (!is_plain_text(bucket) || bucket.p[0] == '.')
		return hf_err(HF_EINVAL, "a bucket cannot have this name: %.*s",
			(int)bucket.len, bucket.p);
	rooted = hf_path_join("/", text + bucket.len);
	clean = hf_path_clean(rooted);
	out->host = s3_normal_host(host, out->is_plain);
	out->bucket = hf_str_dup(bucket);
	out->prefix = hf_str_dup(hf_str(clean + 1));
	return NULL;
}

static bool
is_amazon(struct hf_str host)
{
	return ends(host, ".amazonaws.com") || ends(host, ".amazonaws.com.cn");
}

bool
s3_place_by_name(const struct s3_place *p, enum s3_lookup lookup)
{
	struct hf_str host = hf_str(p->host);

	if (lookup != S3_AUTO)
		return lookup == S3_DNS;
	/* A certificate for *.host does not cover a name with another dot in it. */
	if (!p->is_plain && strchr(p->bucket, '.') != NULL)
		return false;
	return is_amazon(host) || hf_str_is(host, "storage.googleapis.com") ||
	       ends(host, ".aliyuncs.com");
}

char *
s3_place_host(const struct s3_place *p, const char *region)
{
	char *host;

	/* A region that the server has named gets into the name of a host. */
	if (strcmp(p->host, "s3.amazonaws.com") != 0 || strcmp(region, "us-east-1") == 0 ||
		region[strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
		return hf_str_dup(hf_str(p->host));
	if (asprintf(&host, "s3.%s.amazonaws.com%s", region,
		    begins(region, "cn-") ? ".cn" : "") < 0)
		abort();
	return host;
}

char *
s3_place_region(const struct s3_place *p)
{
	const char *start = p->host, *end;

	if (!is_amazon(hf_str(p->host)) || (!begins(start, "s3.") && !begins(start, "s3-")))
		return NULL;
	start += 3;
	if (begins(start, "dualstack."))
		start += strlen("dualstack.");
	end = strstr(start, ".amazonaws.com");
	if (end == NULL || end == start)
		return NULL;
	return hf_str_dup((struct hf_str){start, (size_t)(end - start)});
}
