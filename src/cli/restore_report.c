/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts and JSON fields are restic's: other programs read both. */
#include "cli/restore_report.h"

#include <inttypes.h>

#include "cli/format.h"
#include "cli/message.h"

enum { MAX_TEXT = 1 << 20 };

/* One reading of all counters. */
struct figures {
	uint64_t total_files, restored, skipped, deleted;
	uint64_t total_bytes, bytes, skipped_bytes;
};

static struct figures
read_figures(const struct hf_restore_progress *p)
{
	return (struct figures){
		.total_files = hf_count(&p->total_files),
		.restored = hf_count(&p->files_restored),
		.skipped = hf_count(&p->files_skipped),
		.deleted = hf_count(&p->files_deleted),
		.total_bytes = hf_count(&p->total_bytes),
		.bytes = hf_count(&p->bytes_restored),
		.skipped_bytes = hf_count(&p->bytes_skipped),
	};
}

static void
print_json(struct hf_restore_report *r, double seconds, bool is_summary)
{
	struct figures f = read_figures(r->figures);
	hf_auto(hf_buf) json = HF_BUF_MAX(MAX_TEXT);
	struct hf_jout o = {.buf = &json};

	hf_jout_object(&o);
	hf_jout_field_str(&o, "message_type", is_summary ? "summary" : "status");
	hf_msg_nonzero(&o, "seconds_elapsed", (uint64_t)seconds);
	if (!is_summary)
		hf_jout_field_double(&o, "percent_done",
			f.total_bytes > 0 ? (double)f.bytes / (double)f.total_bytes : 0);
	hf_msg_nonzero(&o, "total_files", f.total_files);
	hf_msg_nonzero(&o, "files_restored", f.restored);
	hf_msg_nonzero(&o, "files_skipped", f.skipped);
	hf_msg_nonzero(&o, "files_deleted", f.deleted);
	hf_msg_nonzero(&o, "total_bytes", f.total_bytes);
	hf_msg_nonzero(&o, "bytes_restored", f.bytes);
	hf_msg_nonzero(&o, "bytes_skipped", f.skipped_bytes);
	hf_jout_object_end(&o);
	hf_out_json(r->cli->out, &json);
}

static void
add_extras(struct hf_buf *text, const struct figures *f)
{
	if (f->skipped > 0)
		hf_buf_addf(text, ", skipped %" PRIu64 " files/dirs %s", f->skipped,
			hf_format_bytes(f->skipped_bytes).s);
	if (f->deleted > 0)
		hf_buf_addf(text, ", deleted %" PRIu64 " files/dirs", f->deleted);
}

static void
report(void *arg, double seconds)
{
	struct hf_restore_report *r = arg;
	struct figures f = read_figures(r->figures);
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_TEXT);

	if (r->cli->global.is_json) {
		print_json(r, seconds, false);
		return;
	}
	hf_buf_addf(&text,
		"[%s] %s  %" PRIu64 " files/dirs %s, total %" PRIu64 " files/dirs %s",
		hf_format_seconds((uint64_t)seconds).s,
		hf_format_percent(f.bytes, f.total_bytes).s, f.restored,
		hf_format_bytes(f.bytes).s, f.total_files, hf_format_bytes(f.total_bytes).s);
	add_extras(&text, &f);
	hf_progress_show(r->cli, hf_bytes_str(hf_buf_bytes(&text)));
}

static void
print_summary(struct hf_restore_report *r, double seconds)
{
	struct figures f = read_figures(r->figures);
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_TEXT);

	if (f.restored == f.total_files && f.bytes == f.total_bytes)
		hf_buf_addf(&text, "Summary: Restored %" PRIu64 " files/dirs (%s) in %s",
			f.total_files, hf_format_bytes(f.total_bytes).s,
			hf_format_seconds((uint64_t)seconds).s);
	else
		hf_buf_addf(&text,
			"Summary: Restored %" PRIu64 " / %" PRIu64
			" files/dirs (%s / %s) in %s",
			f.restored, f.total_files, hf_format_bytes(f.bytes).s,
			hf_format_bytes(f.total_bytes).s,
			hf_format_seconds((uint64_t)seconds).s);
	add_extras(&text, &f);
	hf_say(r->cli->out, HF_SAY_NORMAL, "%.*s", (int)text.len, (const char *)text.p);
}

void
hf_restore_report_start(struct hf_restore_report *r, const struct hf_restore_progress *figures)
{
	r->figures = figures;
	r->progress = hf_progress_start(r->cli, report, r);
}

void
hf_restore_report_stop(struct hf_restore_report *r, bool has_finished)
{
	double seconds = hf_progress_seconds(r->progress);

	hf_progress_stop(r->progress);
	r->progress = NULL;
	if (!has_finished)
		return;
	if (r->cli->global.is_json)
		print_json(r, seconds, true);
	else
		print_summary(r, seconds);
}

static void
on_error(void *arg, const char *path, const struct hf_err *e)
{
	struct hf_restore_report *r = arg;
	hf_autofree char *shown = NULL;

	if (!r->cli->global.is_json) {
		shown = hf_shown_name(hf_str(path));
		hf_say_err(r->cli->out, "ignoring error for %s: %s", shown, hf_err_text(e));
		return;
	}
	hf_msg_error(r->cli, "restore", path, e);
}

static void
on_warning(void *arg, const char *text)
{
	struct hf_restore_report *r = arg;

	hf_say_err(r->cli->out, "Warning: %s", text);
}

static void
on_item(void *arg, enum hf_restore_action action, const char *path, uint64_t size)
{
	static const char *const words[] = {
		[HF_RESTORE_DIR] = "restored",
		[HF_RESTORE_FILE] = "restored",
		[HF_RESTORE_UPDATED] = "updated",
		[HF_RESTORE_UNCHANGED] = "unchanged",
		[HF_RESTORE_OTHER] = "restored",
		[HF_RESTORE_DELETED] = "deleted",
	};
	struct hf_restore_report *r = arg;
	bool has_size = action == HF_RESTORE_FILE || action == HF_RESTORE_UPDATED ||
			action == HF_RESTORE_UNCHANGED;
	hf_auto(hf_buf) json = HF_BUF_MAX(MAX_TEXT);
	struct hf_jout o = {.buf = &json};
	hf_autofree char *shown = NULL;

	if (!r->cli->global.is_json) {
		shown = hf_shown_name(hf_str(path));
		hf_say(r->cli->out, HF_SAY_DEBUG, "%-9s %s%s%s", words[action], shown,
			has_size ? " with size " : "", has_size ? hf_format_bytes(size).s : "");
		return;
	}
	hf_jout_object(&o);
	hf_jout_field_str(&o, "message_type", "verbose_status");
	hf_jout_field_str(&o, "action", words[action]);
	hf_jout_field_str(&o, "item", path);
	hf_jout_field_u64(&o, "size", size);
	hf_jout_object_end(&o);
	hf_out_json(r->cli->out, &json);
}

struct hf_restore_events
hf_restore_report_events(struct hf_restore_report *r)
{
	return (struct hf_restore_events){
		.arg = r,
		.error = on_error,
		.warning = on_warning,
		.item = hf_out_level(r->cli->out) >= 3 ? on_item : NULL,
	};
}
