/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects in an archive (the classes GLACIER and DEEP_ARCHIVE) cannot be read until S3 has made a
 * copy of them, which it does on demand within minutes to days, and keeps for some days.
 */
#include "base/time.h"
#include "store/s3_i.h"

enum { MAX_BODY = 1000 };

enum warmth {
	COLD,
	ON_ITS_WAY,
	LUKEWARM, /* can be read, but not for as long as a copy is meant to stay */
	WARM,
};

/* "2012-12-21" of `expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"`. False: it does not say so. */
static bool
read_expiry(const char *header, struct hf_time *out)
{
	static const char name[] = "expiry-date=\"";
	const char *start = strstr(header, name);

	if (start == NULL)
		return false;
	start += strlen(name);
	return hf_time_parse_http((struct hf_str){start, strcspn(start, "\"")}, out);
}

static enum warmth
warmth_of(const struct s3 *s, const struct hf_http_answer *a)
{
	const char *storage_class = a->values[S3_CLASS], *restore = a->values[S3_RESTORE];
	struct hf_time expiry;

	if (storage_class == NULL || !s3_is_archive(storage_class))
		return WARM;
	if (restore == NULL)
		return COLD;
	if (strstr(restore, "ongoing-request=\"true\"") != NULL)
		return ON_ITS_WAY;
	if (!read_expiry(restore, &expiry))
		return COLD;
	int64_t left = expiry.sec - hf_time_now().sec - atomic_load(&s->clock_off);
	return left > s->thaw_days * INT64_C(86400) ? WARM : LUKEWARM;
}

/* Of a copy that is there, its time begins anew. */
static struct hf_err *
order(struct s3 *s, const char *key, struct hf_http_answer *a)
{
	hf_auto(hf_buf) body = HF_BUF_MAX(MAX_BODY);
	struct s3_ask ask = {.method = "POST", .key = key, .params = {{"restore", ""}}};

	hf_buf_addf(&body,
		"<RestoreRequest xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
		"<Days>%u</Days><GlacierJobParameters><Tier>%s</Tier></GlacierJobParameters>"
		"</RestoreRequest>",
		s->thaw_days, s->thaw_tier);
	ask.body = hf_buf_bytes(&body);
	HF_TRY(hf_buf_ok(&body));
	return s3_do(s, &ask, a);
}

struct hf_err *
s3_warm(struct hf_store *st, const struct hf_name *name, bool *is_warm)
{
	struct s3 *s = s3_of(st);
	hf_auto(s3_key) key = s3_key_of(s, name);
	hf_auto(hf_http_answer) a = {0};

	HF_TRY(s3_head(s, name, &a));
	enum warmth before = warmth_of(s, &a);
	*is_warm = before == WARM || before == LUKEWARM;
	if (before == WARM || before == ON_ITS_WAY)
		return NULL;
	HF_TRY(order(s, key.s, &a));
	if (s3_has_code(&a, "RestoreAlreadyInProgress"))
		return NULL;
	/* It is in no archive any more. */
	if (s3_has_code(&a, "InvalidObjectState")) {
		*is_warm = true;
		return NULL;
	}
	/* What can be read now is not worth a failure. */
	struct hf_err *e = s3_error(&a);
	if (e != NULL && before == LUKEWARM) {
		hf_err_free(e);
		return NULL;
	}
	return e;
}

/* ---- options ---- */

static struct hf_err *
parse_tier(const struct hf_open *o, const char **out)
{
	static const char *const tiers[] = {"Standard", "Bulk", "Expedited"};
	const char *value = hf_option_find(o, "s3.restore-tier");

	*out = tiers[0];
	if (value == NULL || *value == '\0')
		return NULL;
	for (unsigned i = 0; i < sizeof tiers / sizeof tiers[0]; i++)
		if (strcmp(value, tiers[i]) == 0) {
			*out = tiers[i];
			return NULL;
		}
	return hf_err(
		HF_EINVAL, "option s3.restore-tier=%s: not Standard, Bulk or Expedited", value);
}

struct hf_err *
s3_warm_options(struct s3 *s, const struct hf_open *o)
{
	struct hf_thaw *t = &s->store.thaw;

	*t = (struct hf_thaw){
		.wait_s = 24 * 3600, .pause_s = 60, .say = o->say_thaw, .say_arg = o->say_arg};
	s->thaw_days = 7;
	HF_TRY(hf_option_bool(o, "s3.enable-restore", &t->orders));
	HF_TRY(hf_option_uint(o, "s3.restore-days", 1, 10000, &s->thaw_days));
	HF_TRY(hf_option_seconds(o, "s3.restore-timeout", &t->wait_s));
	HF_TRY(hf_option_seconds(o, "s3.restore-pause", &t->pause_s));
	HF_TRY(parse_tier(o, &s->thaw_tier));
	if (t->orders && !o->has_s3_restore)
		return hf_err(HF_EINVAL, "feature flag `s3-restore` is required to use "
					 "`-o s3.enable-restore=true`");
	return NULL;
}
