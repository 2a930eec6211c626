/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts and JSON fields are restic's: other programs read both. */
#include "cli/backup_report.h"

#include <inttypes.h>
#include <pthread.h>

#include "base/time.h"
#include "cli/format.h"
#include "cli/lease_log.h"
#include "cli/message.h"

enum { MAX_CURRENT = 32, MAX_TEXT = 1 << 20 };

struct hf_backup_report {
	struct hf_cli *cli;
	const struct hf_backup_progress *figures;
	struct hf_backup_list *list; /* or NULL */
	struct hf_progress *progress;
	struct hf_rate rate; /* of the progress thread */
	atomic_bool has_errors;

	pthread_mutex_t lock;       /* guards what follows */
	char *current[MAX_CURRENT]; /* files being read, sorted; owned */
	size_t n_current;
};

struct hf_backup_report *
hf_backup_report_new(struct hf_cli *cli, const struct hf_backup_progress *figures,
	struct hf_backup_list *list)
{
	struct hf_backup_report *r = hf_new(struct hf_backup_report);

	r->cli = cli;
	r->figures = figures;
	r->list = list;
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

void
hf_backup_report_free(struct hf_backup_report *r)
{
	if (r == NULL)
		return;
	hf_backup_report_stop(r);
	for (size_t i = 0; i < r->n_current; i++)
		free(r->current[i]);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* One reading of all counters. */
struct figures {
	uint64_t total_files, total_bytes, files, bytes, errors, remaining_s;
	bool has_total;
};

static struct figures
read_figures(struct hf_backup_report *r, double seconds)
{
	const struct hf_backup_progress *p = r->figures;
	struct figures f = {
		.total_files = hf_count(&p->total_files),
		.total_bytes = hf_count(&p->total_bytes),
		.files = hf_count(&p->files_done),
		.bytes = hf_count(&p->bytes_done),
		.errors = hf_count(&p->errors),
	};
	double rate;

	f.has_total = f.total_files > 0 || hf_count(&p->total_dirs) > 0;
	hf_rate_add(&r->rate, seconds, f.bytes);
	rate = hf_rate_get(&r->rate, seconds);
	if (atomic_load(&p->is_scan_done) && rate > 1024 && f.total_bytes > f.bytes)
		f.remaining_s = (uint64_t)((double)(f.total_bytes - f.bytes) / rate);
	return f;
}

static void
report_text(struct hf_backup_report *r, double seconds, const struct figures *f)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_TEXT);

	hf_buf_addf(&text, "[%s] ", hf_format_seconds((uint64_t)seconds).s);
	if (!f->has_total) {
		hf_buf_addf(&text, "%" PRIu64 " files, %s, %" PRIu64 " errors", f->files,
			hf_format_bytes(f->bytes).s, f->errors);
	} else {
		if (f->remaining_s > 0)
			hf_buf_addf(
				&text, "%s  ", hf_format_percent(f->bytes, f->total_bytes).s);
		hf_buf_addf(&text,
			"%" PRIu64 " files %s, total %" PRIu64 " files %s, %" PRIu64 " errors",
			f->files, hf_format_bytes(f->bytes).s, f->total_files,
			hf_format_bytes(f->total_bytes).s, f->errors);
		if (f->remaining_s > 0)
			hf_buf_addf(&text, " ETA %s", hf_format_seconds(f->remaining_s).s);
	}
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->n_current; i++) {
		hf_buf_add_char(&text, '\n');
		hf_format_name(&text, hf_str(r->current[i]));
	}
	pthread_mutex_unlock(&r->lock);
	hf_progress_show(r->cli, hf_bytes_str(hf_buf_bytes(&text)));
}

static void
report_json(struct hf_backup_report *r, double seconds, const struct figures *f)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(MAX_TEXT);
	struct hf_jout o = {.buf = &json};

	hf_jout_object(&o);
	hf_jout_field_str(&o, "message_type", "status");
	hf_msg_nonzero(&o, "seconds_elapsed", (uint64_t)seconds);
	hf_msg_nonzero(&o, "seconds_remaining", f->remaining_s);
	hf_jout_field_double(&o, "percent_done",
		f->total_bytes > 0 ? (double)f->bytes / (double)f->total_bytes : 0);
	hf_msg_nonzero(&o, "total_files", f->total_files);
	hf_msg_nonzero(&o, "files_done", f->files);
	hf_msg_nonzero(&o, "total_bytes", f->total_bytes);
	hf_msg_nonzero(&o, "bytes_done", f->bytes);
	hf_msg_nonzero(&o, "error_count", f->errors);
	pthread_mutex_lock(&r->lock);
	if (r->n_current > 0) {
		hf_jout_key(&o, "current_files");
		hf_jout_array(&o);
		for (size_t i = 0; i < r->n_current; i++)
			hf_jout_str(&o, hf_str(r->current[i]));
		hf_jout_array_end(&o);
	}
	pthread_mutex_unlock(&r->lock);
	hf_jout_object_end(&o);
	hf_out_json(r->cli->out, &json);
}

static void
report(void *arg, double seconds)
{
	struct hf_backup_report *r = arg;
	struct figures f = read_figures(r, seconds);

	if (r->cli->global.is_json)
		report_json(r, seconds, &f);
	else
		report_text(r, seconds, &f);
}

void
hf_backup_report_start(struct hf_backup_report *r)
{
	r->progress = hf_progress_start(r->cli, report, r);
}

void
hf_backup_report_stop(struct hf_backup_report *r)
{
	hf_progress_stop(r->progress);
	r->progress = NULL;
}

bool
hf_backup_report_has_errors(const struct hf_backup_report *r)
{
	return atomic_load(&r->has_errors);
}

static void
on_file_start(void *arg, const char *path)
{
	struct hf_backup_report *r = arg;
	size_t i = 0;

	pthread_mutex_lock(&r->lock);
	if (r->n_current < MAX_CURRENT) {
		while (i < r->n_current && strcmp(r->current[i], path) < 0)
			i++;
		memmove(&r->current[i + 1], &r->current[i],
			(r->n_current - i) * sizeof r->current[0]);
		r->current[i] = hf_str_dup(hf_str(path));
		r->n_current++;
	}
	pthread_mutex_unlock(&r->lock);
}

static void
on_file_end(void *arg, const char *path)
{
	struct hf_backup_report *r = arg;

	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->n_current; i++) {
		if (strcmp(r->current[i], path) != 0)
			continue;
		free(r->current[i]);
		r->n_current--;
		memmove(&r->current[i], &r->current[i + 1],
			(r->n_current - i) * sizeof r->current[0]);
		break;
	}
	pthread_mutex_unlock(&r->lock);
}

static void
on_error(void *arg, const char *path, const char *during, const struct hf_err *e)
{
	struct hf_backup_report *r = arg;
	bool is_scan = strcmp(during, "scan") == 0;

	if (!is_scan)
		atomic_store(&r->has_errors, true);
	if (!is_scan)
		hf_backup_list_path(r->list, 'E', path);
	if (!r->cli->global.is_json) {
		if (!is_scan)
			hf_say_err(r->cli->out, "error: %s", hf_err_text(e));
		else if (hf_out_says(r->cli->out, HF_SAY_VERBOSE))
			hf_say_err(r->cli->out, "scan: %s", hf_err_text(e));
		return;
	}
	hf_msg_error(r->cli, during, path, e);
}

/* As text under --json, too: it is for people only. */
static void
on_warning(void *arg, const char *path, const struct hf_err *e)
{
	struct hf_backup_report *r = arg;

	(void)path;
	hf_say_err(r->cli->out, "%s", hf_err_text(e));
}

/* restic does not look for it, and so it is no error either. */
static void
on_changed(void *arg, const char *path)
{
	struct hf_backup_report *r = arg;
	hf_autofree char *shown = hf_shown_name(hf_str(path));

	hf_say_err(r->cli->out, "Warning: %s: file changed while we backed it up", shown);
}

static void
verbose_json(struct hf_backup_report *r, const char *action, const char *path,
	const struct hf_backup_item *item, uint64_t total_files)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(MAX_TEXT);
	struct hf_jout o = {.buf = &json};

	hf_jout_object(&o);
	hf_jout_field_str(&o, "message_type", "verbose_status");
	hf_jout_field_str(&o, "action", action);
	hf_jout_field_str(&o, "item", path);
	hf_jout_field_double(&o, "duration", item->duration_s);
	hf_jout_field_u64(&o, "data_size", item->data_size);
	hf_jout_field_u64(&o, "data_size_in_repo", item->data_size_in_repo);
	hf_jout_field_u64(&o, "metadata_size", item->meta_size);
	hf_jout_field_u64(&o, "metadata_size_in_repo", item->meta_size_in_repo);
	hf_jout_field_u64(&o, "total_files", total_files);
	hf_jout_object_end(&o);
	hf_out_json(r->cli->out, &json);
}

/* Whether it says what becomes of every file and folder. */
static bool
is_verbose(const struct hf_backup_report *r)
{
	return hf_out_level(r->cli->out) >= (r->cli->global.is_json ? 2 : 3);
}

static void
tell_item(struct hf_backup_report *r, const char *path, const struct hf_backup_item *item,
	bool is_dir)
{
	static const char *const actions[] = {
		[HF_BACKUP_NEW] = "new",
		[HF_BACKUP_UNCHANGED] = "unchanged",
		[HF_BACKUP_MODIFIED] = "modified",
	};
	static const struct hf_backup_item nothing = {0};
	const char *action = actions[item->action];
	hf_auto(hf_buf) name = HF_BUF_MAX(MAX_TEXT), text = HF_BUF_MAX(MAX_TEXT);

	hf_buf_add_str(&name, path);
	if (is_dir && name.len > 0 && name.p[name.len - 1] != '/')
		hf_buf_add_char(&name, '/');
	hf_buf_add_char(&name, '\0');
	if (r->cli->global.is_json) {
		verbose_json(r, action, (const char *)name.p,
			item->action == HF_BACKUP_UNCHANGED ? &nothing : item, 0);
		return;
	}
	hf_buf_addf(&text, "%-9s ", action);
	hf_format_name(&text, hf_str((const char *)name.p));
	if (item->action != HF_BACKUP_UNCHANGED) {
		hf_buf_addf(&text, ", saved in %.3fs (%s added, %s stored", item->duration_s,
			hf_format_bytes(item->data_size).s,
			hf_format_bytes(item->data_size_in_repo).s);
		if (is_dir)
			hf_buf_addf(&text, ", %s metadata",
				hf_format_bytes(item->meta_size_in_repo).s);
		hf_buf_add_char(&text, ')');
	}
	hf_say(r->cli->out, HF_SAY_DEBUG, "%.*s", (int)text.len, (const char *)text.p);
}

static void
on_item(void *arg, const char *path, const struct hf_backup_item *item)
{
	struct hf_backup_report *r = arg;
	bool is_dir = item->type == HF_NODE_DIR;

	hf_backup_list_item(r->list, path, item);
	if (is_verbose(r) && (is_dir || item->type == HF_NODE_FILE))
		tell_item(r, path, item, is_dir);
}

static void
on_excluded(void *arg, const char *path)
{
	struct hf_backup_report *r = arg;
	hf_autofree char *shown = NULL;

	hf_backup_list_path(r->list, 'x', path);
	if (!hf_out_says(r->cli->out, HF_SAY_DEBUG))
		return;
	shown = hf_shown_name(hf_str(path));
	hf_say(r->cli->out, HF_SAY_DEBUG, "excluded  %s", shown);
}

static void
on_scan_done(void *arg, double duration_s)
{
	struct hf_backup_report *r = arg;
	uint64_t files = hf_count(&r->figures->total_files),
		 bytes = hf_count(&r->figures->total_bytes);
	struct hf_backup_item item = {.duration_s = duration_s, .data_size = bytes};

	if (r->cli->global.is_json && hf_out_level(r->cli->out) >= 2)
		verbose_json(r, "scan_finished", "", &item, files);
	hf_say(r->cli->out, HF_SAY_VERBOSE, "scan finished in %.3fs: %" PRIu64 " files, %s",
		duration_s, files, hf_format_bytes(bytes).s);
}

static void
on_recovers(void *arg, unsigned round, const struct hf_err *why)
{
	struct hf_backup_report *r = arg;
	struct hf_log_more more = {.reason = hf_err_text(why), .round = round};

	hf_lease_log_more(r->cli, "lock.revalidate", &more);
	hf_say_err(r->cli->out,
		"Warning: %s\nWarning: getting a new lock, and saving again what may be "
		"missing (attempt %u)",
		hf_err_text(why), round);
}

struct hf_backup_events
hf_backup_report_events(struct hf_backup_report *r)
{
	return (struct hf_backup_events){
		.arg = r,
		.error = on_error,
		.warning = on_warning,
		.changed = r->cli->is_restic ? NULL : on_changed,
		.file_start = on_file_start,
		.file_end = on_file_end,
		.item = on_item,
		.excluded = on_excluded,
		.scan_done = on_scan_done,
		.recovers = on_recovers,
		.wants_items = r->list != NULL || is_verbose(r),
	};
}

static double
seconds_between(const struct hf_time *a, const struct hf_time *b)
{
	return (double)(b->sec - a->sec) + ((double)b->nsec - (double)a->nsec) / 1e9;
}

static void
finish_json(struct hf_backup_report *r, const struct hf_backup_result *result, bool is_dry_run)
{
	const struct hf_summary *s = &result->summary;
	hf_auto(hf_buf) json = HF_BUF_MAX(MAX_TEXT);
	struct hf_jout o = {.buf = &json};

	hf_jout_object(&o);
	hf_jout_field_str(&o, "message_type", "summary");
	hf_jout_field_u64(&o, "files_new", s->files_new);
	hf_jout_field_u64(&o, "files_changed", s->files_changed);
	hf_jout_field_u64(&o, "files_unmodified", s->files_unmodified);
	hf_jout_field_u64(&o, "dirs_new", s->dirs_new);
	hf_jout_field_u64(&o, "dirs_changed", s->dirs_changed);
	hf_jout_field_u64(&o, "dirs_unmodified", s->dirs_unmodified);
	hf_jout_field_u64(&o, "data_blobs", s->data_blobs);
	hf_jout_field_u64(&o, "tree_blobs", s->tree_blobs);
	hf_jout_field_u64(&o, "data_added", s->data_added);
	hf_jout_field_u64(&o, "data_added_packed", s->data_added_packed);
	hf_jout_field_u64(&o, "total_files_processed", s->total_files_processed);
	hf_jout_field_u64(&o, "total_bytes_processed", s->total_bytes_processed);
	hf_jout_field_double(
		&o, "total_duration", seconds_between(&s->backup_start, &s->backup_end));
	hf_jout_key(&o, "backup_start");
	hf_jout_time(&o, &s->backup_start);
	hf_jout_key(&o, "backup_end");
	hf_jout_time(&o, &s->backup_end);
	if (!hf_id_is_zero(&result->snapshot)) {
		hf_jout_key(&o, "snapshot_id");
		hf_jout_id(&o, &result->snapshot);
	}
	if (is_dry_run) {
		hf_jout_key(&o, "dry_run");
		hf_jout_bool(&o, true);
	}
	hf_jout_object_end(&o);
	hf_out_json(r->cli->out, &json);
}

static void
finish_text(struct hf_backup_report *r, const struct hf_backup_result *result, bool is_dry_run)
{
	const struct hf_summary *s = &result->summary;
	struct hf_out *out = r->cli->out;

	hf_say(out, HF_SAY_NORMAL,
		"\nFiles:       %5" PRIu64 " new, %5" PRIu64 " changed, %5" PRIu64
		" unmodified",
		s->files_new, s->files_changed, s->files_unmodified);
	hf_say(out, HF_SAY_NORMAL,
		"Dirs:        %5" PRIu64 " new, %5" PRIu64 " changed, %5" PRIu64 " unmodified",
		s->dirs_new, s->dirs_changed, s->dirs_unmodified);
	hf_say(out, HF_SAY_VERBOSE, "Data Blobs:  %5" PRIu64 " new", s->data_blobs);
	hf_say(out, HF_SAY_VERBOSE, "Tree Blobs:  %5" PRIu64 " new", s->tree_blobs);
	hf_say(out, HF_SAY_NORMAL, "%s to the repository: %-5s (%-5s stored)\n",
		is_dry_run ? "Would add" : "Added", hf_format_bytes(s->data_added).s,
		hf_format_bytes(s->data_added_packed).s);
	hf_say(out, HF_SAY_NORMAL, "\nprocessed %" PRIu64 " files, %s in %s",
		s->total_files_processed, hf_format_bytes(s->total_bytes_processed).s,
		hf_format_seconds((uint64_t)seconds_between(&s->backup_start, &s->backup_end))
			.s);
	if (is_dry_run)
		return;
	if (hf_id_is_zero(&result->snapshot))
		hf_say(out, HF_SAY_NORMAL, "skipped creating snapshot");
	else
		hf_say(out, HF_SAY_NORMAL, "snapshot %.8s saved",
			hf_id_hex(&result->snapshot).s);
}

void
hf_backup_report_finish(
	struct hf_backup_report *r, const struct hf_backup_result *result, bool is_dry_run)
{
	if (r->cli->global.is_json)
		finish_json(r, result, is_dry_run);
	else
		finish_text(r, result, is_dry_run);
}
