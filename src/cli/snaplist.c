/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/snaplist.h"

#include "cli/format.h"
#include "cli/table.h"

enum { MAX_CELL = 16 << 20 };

struct hf_err *
hf_group_parse(const char *text, unsigned *by)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = {{"", 0}, {"host", HF_BY_HOST}, {"hosts", HF_BY_HOST},
		{"path", HF_BY_PATHS}, {"paths", HF_BY_PATHS}, {"tag", HF_BY_TAGS},
		{"tags", HF_BY_TAGS}};
	unsigned bits = 0;

	for (;;) {
		struct hf_str part = {text, strcspn(text, ",")};
		size_t i = 0;

		while (i < sizeof words / sizeof words[0] && !hf_str_is(part, words[i].word))
			i++;
		if (i == sizeof words / sizeof words[0])
			return hf_err(HF_EINVAL, "unknown grouping option: \"%.*s\"",
				(int)part.len, part.p);
		bits |= words[i].bit;
		text += part.len;
		if (*text++ == '\0')
			break;
	}
	*by = bits;
	return NULL;
}

static int
compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int
compare_lists(const struct hf_strings *a, const struct hf_strings *b)
{
	for (size_t i = 0; i < a->len && i < b->len; i++) {
		int order = strcmp(a->v[i], b->v[i]);

		if (order != 0)
			return order;
	}
	return (a->len > b->len) - (a->len < b->len);
}

static const char *
host_of(const struct hf_snapshot *s)
{
	return s->hostname != NULL ? s->hostname : "";
}

static int
compare_keys(const struct hf_snapshot *a, const struct hf_snapshot *b, unsigned by)
{
	int order = 0;

	if ((by & HF_BY_HOST) != 0)
		order = strcmp(host_of(a), host_of(b));
	if (order == 0 && (by & HF_BY_PATHS) != 0)
		order = compare_lists(&a->paths, &b->paths);
	if (order == 0 && (by & HF_BY_TAGS) != 0)
		order = compare_lists(&a->tags, &b->tags);
	return order;
}

void
hf_groups_clear(struct hf_groups *g)
{
	for (size_t i = 0; i < g->len; i++)
		free(g->v[i].v);
	free(g->v);
	*g = (struct hf_groups){0};
}

static void
add_to_group(struct hf_groups *g, const struct hf_snapshot *s, size_t most)
{
	size_t i = 0;
	int order = 1;

	while (i < g->len && (order = compare_keys(g->v[i].v[0], s, g->by)) < 0)
		i++;
	if (i == g->len || order != 0) {
		memmove(&g->v[i + 1], &g->v[i], (g->len - i) * sizeof *g->v);
		g->v[i] = (struct hf_group_of){hf_alloc_(most, sizeof *g->v[i].v), 0};
		g->len++;
	}
	g->v[i].v[g->v[i].len++] = s;
}

void
hf_groups_make(const struct hf_snapshots *list, unsigned by, struct hf_groups *out)
{
	*out = (struct hf_groups){.by = by};
	out->v = hf_alloc_(list->len + 1, sizeof *out->v);
	for (size_t i = 0; i < list->len; i++) {
		struct hf_snapshot *s = list->v[i];

		if (s->paths.len > 1)
			qsort(s->paths.v, s->paths.len, sizeof *s->paths.v, compare_strings);
		if ((by & HF_BY_TAGS) != 0 && s->tags.len > 1)
			qsort(s->tags.v, s->tags.len, sizeof *s->tags.v, compare_strings);
		add_to_group(out, s, list->len);
	}
}

void
hf_strings_json(struct hf_jout *o, const struct hf_strings *l)
{
	if (l == NULL || l->len == 0) {
		hf_jout_null(o);
		return;
	}
	hf_jout_array(o);
	for (size_t i = 0; i < l->len; i++)
		hf_jout_str(o, hf_str(l->v[i]));
	hf_jout_array_end(o);
}

void
hf_group_key_json(struct hf_jout *o, const struct hf_group_of *g, unsigned by)
{
	const struct hf_snapshot *s = g->v[0];

	hf_jout_object(o);
	hf_jout_key(o, "hostname");
	hf_jout_str(o, hf_str((by & HF_BY_HOST) != 0 ? host_of(s) : ""));
	hf_jout_key(o, "paths");
	hf_strings_json(o, (by & HF_BY_PATHS) != 0 ? &s->paths : NULL);
	hf_jout_key(o, "tags");
	hf_strings_json(o, (by & HF_BY_TAGS) != 0 ? &s->tags : NULL);
	hf_jout_object_end(o);
}

void
hf_strings_join(struct hf_buf *out, const struct hf_strings *l, const char *separator)
{
	for (size_t i = 0; i < l->len; i++) {
		hf_buf_add_str(out, i > 0 ? separator : "");
		hf_buf_add_str(out, l->v[i]);
	}
}

void
hf_group_text(struct hf_buf *out, const struct hf_group_of *g, unsigned by)
{
	const struct hf_snapshot *s = g->v[0];
	size_t before = out->len;

	if ((by & HF_BY_HOST) != 0 && *host_of(s) != '\0')
		hf_buf_addf(out, "host [%s]", host_of(s));
	if ((by & HF_BY_TAGS) != 0 && s->tags.len > 0) {
		hf_buf_add_str(out, out->len > before ? ", tags [" : "tags [");
		hf_strings_join(out, &s->tags, ", ");
		hf_buf_add_char(out, ']');
	}
	if ((by & HF_BY_PATHS) != 0 && s->paths.len > 0) {
		hf_buf_add_str(out, out->len > before ? ", paths [" : "paths [");
		hf_strings_join(out, &s->paths, ", ");
		hf_buf_add_char(out, ']');
	}
}

void
hf_group_header(struct hf_out *out, const struct hf_group_of *g, unsigned by)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_CELL);

	hf_group_text(&text, g, by);
	if (text.len > 0)
		hf_say(out, HF_SAY_DATA, "snapshots for (%.*s):", (int)text.len,
			(const char *)text.p);
}

void
hf_snapshot_json(struct hf_jout *o, const struct hf_snapshot *s)
{
	struct hf_hex hex = hf_id_hex(&s->id);

	hf_jout_object(o);
	hf_snapshot_fields(o, s);
	hf_jout_key(o, "id");
	hf_jout_str(o, hf_str(hex.s));
	hf_jout_key(o, "short_id");
	hf_jout_str(o, (struct hf_str){hex.s, 8});
	hf_jout_object_end(o);
}

static void
add_joined_cell(struct hf_table *t, const struct hf_strings *l, const char *separator)
{
	hf_auto(hf_buf) cell = HF_BUF_MAX(MAX_CELL);

	hf_strings_join(&cell, l, separator);
	hf_buf_add_char(&cell, '\0');
	hf_table_add(t, cell.is_full ? "" : (const char *)cell.p);
}

static void
add_row(struct hf_table *t, const struct hf_snapshot *s, const char *reasons, bool is_compact,
	bool has_size)
{
	struct hf_hex hex = hf_id_hex(&s->id);

	hex.s[8] = '\0';
	hf_table_add(t, hex.s);
	hf_table_add(t, hf_format_time(&s->time).s);
	hf_table_add(t, host_of(s));
	add_joined_cell(t, &s->tags, is_compact ? "\n" : ",");
	if (reasons != NULL && !is_compact)
		hf_table_add(t, reasons);
	if (!is_compact)
		add_joined_cell(t, &s->paths, "\n");
	if (has_size)
		hf_table_add(t, s->has_summary
					? hf_format_bytes(s->summary.total_bytes_processed).s
					: "");
}

void
hf_snapshots_print(struct hf_out *out, const struct hf_snapshot *const *v, size_t n,
	const char *const *reasons, bool is_compact)
{
	const char *headers[7] = {"ID", "Time", is_compact ? "Host" : "Host      ",
		is_compact ? "Tags  " : "Tags      "};
	size_t columns = 4;
	bool has_size = false, has_many_paths = false;
	hf_autoptr(hf_table) table = NULL;

	for (size_t i = 0; i < n; i++) {
		has_size = has_size || v[i]->has_summary;
		has_many_paths = has_many_paths || v[i]->paths.len > 1;
	}
	if (reasons != NULL && !is_compact)
		headers[columns++] = "Reasons";
	if (!is_compact)
		headers[columns++] = "Paths";
	if (has_size)
		headers[columns++] = "Size";
	table = hf_table_new(headers, columns);
	for (size_t i = 0; i < n; i++)
		add_row(table, v[i], reasons != NULL ? reasons[i] : NULL, is_compact, has_size);
	hf_table_print(table, has_many_paths && !is_compact, out);
	hf_say(out, HF_SAY_DATA, "Timestamps shown in %s\n%zu snapshots", hf_format_zone(), n);
}

/* As Go prints an instant: clock with fraction, offset, name of the zone or offset again. */
void
hf_go_time(struct hf_buf *out, const struct hf_time *t)
{
	int zone = t->zone_s < 0 ? -t->zone_s : t->zone_s;
	time_t shown = (time_t)(t->sec + t->zone_s), sec = (time_t)t->sec;
	struct tm tm, local;

	if (gmtime_r(&shown, &tm) == NULL)
		return;
	hf_buf_addf(out, "%04lld-%02d-%02d %02d:%02d:%02d", (long long)tm.tm_year + 1900,
		tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (t->nsec != 0) {
		hf_buf_addf(out, ".%09u", t->nsec);
		while (out->p[out->len - 1] == '0')
			out->len--;
	}
	hf_buf_addf(
		out, " %c%02d%02d ", t->zone_s < 0 ? '-' : '+', zone / 3600, zone / 60 % 60);
	if (localtime_r(&sec, &local) != NULL && local.tm_gmtoff == t->zone_s)
		hf_buf_add_str(out, local.tm_zone);
	else if (t->zone_s == 0)
		hf_buf_add_str(out, "UTC");
	else
		hf_buf_addf(out, "%c%02d%02d", t->zone_s < 0 ? '-' : '+', zone / 3600,
			zone / 60 % 60);
}

void
hf_snapshot_sentence(struct hf_buf *out, const struct hf_snapshot *s)
{
	hf_buf_addf(out, "snapshot %.8s of [", hf_id_hex(&s->id).s);
	hf_strings_join(out, &s->paths, " ");
	hf_buf_add_str(out, "] at ");
	hf_go_time(out, &s->time);
	hf_buf_addf(out, " by %s@%s", s->username != NULL ? s->username : "", host_of(s));
}

void
hf_snapshot_say(struct hf_out *out, enum hf_say level, const struct hf_snapshot *s)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 20);

	hf_snapshot_sentence(&text, s);
	hf_say(out, level, "\n%.*s", (int)text.len, (const char *)text.p);
}
