/* SPDX-License-Identifier: BSD-2-Clause */
/* stats: how many files and bytes there are in snapshots, or in the repository for them. */
#include <inttypes.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/message.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "cli/sizes.h"
#include "engine/stats.h"

struct stats_options {
	struct hf_filter_opts filter;
	char *mode;
};

#define T struct stats_options
static const struct hf_opt options[] = {
	{"mode", 0, HF_OPT_STRING(T, mode), .arg = "mode", .def = "restore-size",
		.words = "restore-size|files-by-contents|blobs-per-file|raw-data",
		.help = "what to count: restore-size, files-by-contents, blobs-per-file or "
			"raw-data"},
	HF_OPT_FILTERS(T, filter, 'H'),
};
#undef T

static const struct {
	const char *name;
	enum hf_stats_mode mode;
} modes[] = {
	{"restore-size", HF_STATS_RESTORE_SIZE},
	{"files-by-contents", HF_STATS_FILES},
	{"blobs-per-file", HF_STATS_BLOBS_PER_FILE},
	{"raw-data", HF_STATS_RAW_DATA},
};

struct stats {
	struct hf_cli *cli;
	const char *mode;
	size_t n_snapshots; /* to be counted */
	struct hf_stats_progress progress;
};

/* The ratios that restic computes; 0 where there is none. */
struct ratios {
	double ratio, progress, saving;
};

static struct ratios
ratios_of(const struct hf_stats_result *r)
{
	struct ratios x = {0};

	if (r->packed_bytes > 0)
		x.ratio = (double)r->packed_raw_bytes / (double)r->packed_bytes;
	if (r->raw_bytes > 0) {
		x.progress = (double)r->packed_raw_bytes / (double)r->raw_bytes * 100;
		x.saving = (1 - (double)r->bytes / (double)r->raw_bytes) * 100;
	}
	return x;
}

static void
add_ratio(struct hf_jout *o, const char *key, double v)
{
	if (v != 0)
		hf_jout_field_double(o, key, v);
}

static void
print_json(struct hf_cli *cli, const struct hf_stats_result *r)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(4096);
	struct hf_jout o = {.buf = &json};
	struct ratios x = ratios_of(r);

	hf_jout_object(&o);
	hf_jout_field_u64(&o, "total_size", r->bytes);
	hf_msg_nonzero(&o, "total_uncompressed_size", r->raw_bytes);
	add_ratio(&o, "compression_ratio", x.ratio);
	add_ratio(&o, "compression_progress", x.progress);
	add_ratio(&o, "compression_space_saving", x.saving);
	hf_msg_nonzero(&o, "total_file_count", r->files);
	hf_msg_nonzero(&o, "total_blob_count", r->blobs);
	hf_jout_field_u64(&o, "snapshots_count", r->snapshots);
	hf_jout_object_end(&o);
	hf_out_json(cli->out, &json);
}

static void
print_text(struct stats *s, const struct hf_stats_result *r)
{
	struct hf_out *out = s->cli->out;
	struct ratios x = ratios_of(r);

	hf_say(out, HF_SAY_DATA, "Stats in %s mode:", s->mode);
	hf_say(out, HF_SAY_DATA, "     Snapshots processed:  %" PRIu64, r->snapshots);
	if (r->blobs > 0)
		hf_say(out, HF_SAY_DATA, "        Total Blob Count:  %" PRIu64, r->blobs);
	if (r->files > 0)
		hf_say(out, HF_SAY_DATA, "        Total File Count:  %" PRIu64, r->files);
	if (r->raw_bytes > 0)
		hf_say(out, HF_SAY_DATA, " Total Uncompressed Size:  %-5s",
			hf_format_bytes(r->raw_bytes).s);
	hf_say(out, HF_SAY_DATA, "              Total Size:  %-5s",
		hf_format_bytes(r->bytes).s);
	if (x.progress > 0)
		hf_say(out, HF_SAY_DATA, "    Compression Progress:  %.2f%%", x.progress);
	if (x.ratio > 0)
		hf_say(out, HF_SAY_DATA, "       Compression Ratio:  %.2fx", x.ratio);
	if (x.saving > 0)
		hf_say(out, HF_SAY_DATA, "Compression Space Saving:  %.2f%%", x.saving);
}

/* How far it is: the snapshot at hand counts as done in the end only. */
static void
add_progress(struct stats *s, struct hf_buf *out, double seconds, bool is_final)
{
	const struct hf_stats_progress *p = &s->progress;
	uint64_t met = hf_count(&p->snapshots), done = met - (met > 0 && !is_final);
	uint64_t files = hf_count(&p->files), blobs = hf_count(&p->blobs);

	hf_buf_addf(out, "[%s] %s  %" PRIu64 " / %zu snapshots",
		hf_format_seconds((uint64_t)seconds).s,
		hf_format_percent(done, s->n_snapshots).s, met, s->n_snapshots);
	if (files > 0)
		hf_buf_addf(out, ", %" PRIu64 " files", files);
	if (blobs > 0)
		hf_buf_addf(out, ", %" PRIu64 " blobs", blobs);
	hf_buf_addf(out, ", %s", hf_format_bytes(hf_count(&p->bytes)).s);
}

static void
report(void *arg, double seconds)
{
	struct stats *s = arg;
	hf_auto(hf_buf) text = HF_BUF_MAX(1024);

	add_progress(s, &text, seconds, false);
	hf_progress_show(s->cli, hf_bytes_str(hf_buf_bytes(&text)));
}

static struct hf_err *
count(struct stats *s, struct hf_stats *counted, const struct hf_snapshots *list,
	struct hf_stats_result *result)
{
	for (size_t i = 0; i < list->len; i++)
		HF_TRY(hf_err_in(hf_stats_add(counted, list->v[i], &s->cli->stop),
			"error walking snapshot"));
	return hf_stats_end(counted, result);
}

/* As restic, a last line is printed also when it was ended by an error, or is to be quiet. */
static struct hf_err *
count_and_tell(struct stats *s, struct hf_stats *counted, const struct hf_snapshots *list,
	struct hf_stats_result *result)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(1024);
	struct hf_progress *shown;
	struct hf_err *e;

	s->n_snapshots = list->len;
	if (s->cli->global.is_json)
		return count(s, counted, list, result);
	shown = hf_progress_start(s->cli, report, s);
	e = count(s, counted, list, result);
	add_progress(s, &text, hf_progress_seconds(shown), true);
	hf_progress_stop(shown);
	hf_say(s->cli->out, HF_SAY_DATA, "%.*s", (int)text.len, (const char *)text.p);
	return e;
}

static struct hf_err *
find_mode(const char *name, enum hf_stats_mode *out)
{
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		if (strcmp(modes[i].name, name) == 0) {
			*out = modes[i].mode;
			return NULL;
		}
	}
	return hf_err(HF_EINVAL,
		"unknown counting mode: %s (use the -h flag to get a list of supported modes)",
		name);
}

static struct hf_err *
count_all(struct hf_session *session, const struct stats_options *o, enum hf_stats_mode mode,
	const struct hf_snapshots *list)
{
	struct hf_cli *cli = session->cli;
	struct stats s = {.cli = cli, .mode = o->mode};
	hf_autoptr(hf_stats) counted = NULL;
	struct hf_stats_result result = {0};

	if (!cli->global.is_json)
		hf_say(cli->out, HF_SAY_DATA, "scanning...");
	counted = hf_stats_new(session->repo, session->index, mode, &s.progress);
	HF_TRY(count_and_tell(&s, counted, list, &result));
	if (cli->global.is_json)
		print_json(cli, &result);
	else
		print_text(&s, &result);
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct stats_options *o = opts;
	hf_auto(hf_session) session = {0};
	hf_auto(hf_snapshots) list = {0};
	/* There is no word of it in the help, as in restic's. */
	bool is_debug = strcmp(o->mode, "debug") == 0;
	enum hf_stats_mode mode = HF_STATS_RAW_DATA;

	if (!is_debug)
		HF_TRY(find_mode(o->mode, &mode));
	cli->early = is_debug ? HF_EARLY_INDEX : HF_EARLY_SNAPSHOTS | HF_EARLY_INDEX;
	HF_TRY(hf_session_open(cli, HF_SESSION_SHARED, true, &session));
	if (!is_debug)
		HF_TRY(hf_session_snapshots(&session, &o->filter, args, &list));
	HF_TRY(hf_session_load_index(&session));
	return is_debug ? hf_sizes_say(&session) : count_all(&session, o, mode, &list);
}

const struct hf_command hf_cmd_stats = {
	.name = "stats",
	.usage = "[flags] [snapshotID ...]",
	.summary = "Count files and bytes",
	.text = "Counts what is in all snapshots, in those that the filters let through, or "
		"in\n"
		"those named, in one of four modes:\n"
		"\n"
		"  restore-size       the size of the files if they were restored\n"
		"  files-by-contents  the size of files, of equal ones once\n"
		"  blobs-per-file     the size of the different parts of each file\n"
		"  raw-data           the size of the data in the repository",
	HF_COMMAND_OPTS(options, struct stats_options),
	.run = run,
};
