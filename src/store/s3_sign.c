/* SPDX-License-Identifier: BSD-2-Clause */
/* The header of a signed request: what s3_talk.c and s3_sts.c have in common. */
#include "store/s3_i.h"

struct hf_err *
s3_lines_init(struct s3_lines *l)
{
	l->text = (struct hf_buf)HF_BUF_MAX(S3_HEADERS_MAX);
	return hf_buf_reserve(&l->text, S3_HEADERS_MAX);
}

void
s3_lines_clear(struct s3_lines *l)
{
	if (l->text.p != NULL)
		explicit_bzero(l->text.p, l->text.len);
	hf_buf_clear(&l->text);
}

static void
add_line(struct s3_lines *l, const char *name, const char *value)
{
	l->at[l->n++] = (const char *)l->text.p + l->text.len;
	hf_buf_addf(&l->text, "%s: ", name);
	hf_buf_add_str(&l->text, value);
	hf_buf_add_char(&l->text, '\0');
}

void
s3_lines_add(struct s3_lines *l, const char *name, const char *value)
{
	add_line(l, name, value);
	l->pairs[l->n_pairs++] = (struct hf_sigv4_pair){name, value};
}

void
s3_lines_host(struct s3_lines *l, const char *host)
{
	l->pairs[l->n_pairs++] = (struct hf_sigv4_pair){"host", host};
}

struct hf_err *
s3_lines_sign(struct s3_lines *l, struct hf_sigv4_request *r, const struct s3_keys *keys,
	const char *region, const char *service, int64_t now)
{
	const struct hf_sigv4_key key = {
		(const char *)keys->id.p, &keys->secret, region, service};
	struct hf_sigv4_date date = hf_sigv4_date(now);
	hf_auto(hf_buf) value = HF_BUF_MAX(S3_HEADERS_MAX);

	s3_lines_add(l, "x-amz-date", date.s);
	if (keys->token.len > 0)
		s3_lines_add(l, "x-amz-security-token", (const char *)keys->token.p);
	r->headers = l->pairs;
	r->n_headers = l->n_pairs;
	HF_TRY(hf_sigv4_sign(r, &key, &value));
	hf_buf_add_char(&value, '\0');
	HF_TRY(hf_buf_ok(&value));
	add_line(l, "Authorization", (const char *)value.p);
	l->n_pairs = 0; /* `date` dies */
	return hf_buf_ok(&l->text);
}
