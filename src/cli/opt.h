/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Command-line options as tables. One table says for each option its names, what kind of value it
 * takes, where the value goes, which environment variable stands in for it, and the sentence that
 * explains it. Parsing, --help, the OPTIONS part of the manuals and the completions all read the
 * same table and therefore cannot disagree.
 *
 * The grammar is that of restic (pflag): `--name=value`, `--name value`, `-nvalue`, `-n value`,
 * `-n=value`, short flags in one word (`-qv`), options anywhere among the arguments, `--` ends
 * them. A flag takes a value only after `=` (`--json=false`). Names are never abbreviated.
 *
 * The value of an option is, in this order: what the command line says, what the environment
 * says, the default in the table, zero.
 */
#ifndef HF_CLI_OPT_H
#define HF_CLI_OPT_H

#include <stddef.h>

#include "base/buf.h"
#include "repo/snapshot.h" /* struct hf_strings */

enum hf_opt_kind {
	HF_OPT_IS_FLAG,
	HF_OPT_IS_COUNT,
	HF_OPT_IS_STRING,
	HF_OPT_IS_LIST,
	HF_OPT_IS_COMMA_LIST,
	HF_OPT_IS_INT,
	HF_OPT_IS_UINT,
	HF_OPT_IS_SIZE,
	HF_OPT_IS_SECONDS,
	HF_OPT_IS_WORD,
};

/* The offset of field `f` in struct T; refused by the compiler unless the field is a `ctype`. */
#define HF_OPT_TO_(T, f, ctype)                                                                \
	(offsetof(T, f) + 0 * sizeof(char[_Generic(((T *)0)->f, ctype : 1)]))

/* Kind and place of the value in one, for the initializer of a struct hf_opt. */
#define HF_OPT_FLAG(T, f)   .kind = HF_OPT_IS_FLAG, .off = HF_OPT_TO_(T, f, bool)
#define HF_OPT_COUNT(T, f)  .kind = HF_OPT_IS_COUNT, .off = HF_OPT_TO_(T, f, unsigned)
#define HF_OPT_STRING(T, f) .kind = HF_OPT_IS_STRING, .off = HF_OPT_TO_(T, f, char *)
/* Given several times, each time one more value. */
#define HF_OPT_LIST(T, f) .kind = HF_OPT_IS_LIST, .off = HF_OPT_TO_(T, f, struct hf_strings)
/* The same, and each value may itself be a list with commas. */
#define HF_OPT_COMMA_LIST(T, f)                                                                \
	.kind = HF_OPT_IS_COMMA_LIST, .off = HF_OPT_TO_(T, f, struct hf_strings)
#define HF_OPT_INT(T, f)  .kind = HF_OPT_IS_INT, .off = HF_OPT_TO_(T, f, int64_t)
#define HF_OPT_UINT(T, f) .kind = HF_OPT_IS_UINT, .off = HF_OPT_TO_(T, f, uint64_t)
/* Bytes: digits and at most one letter of bBkKmMgGtT, powers of 1024. */
#define HF_OPT_SIZE(T, f) .kind = HF_OPT_IS_SIZE, .off = HF_OPT_TO_(T, f, uint64_t)
/* Go's durations: "90s", "1h30m", "1.5h". */
#define HF_OPT_SECONDS(T, f) .kind = HF_OPT_IS_SECONDS, .off = HF_OPT_TO_(T, f, double)
/* One of .words; the value is its number, counted from 0. */
#define HF_OPT_WORD(T, f) .kind = HF_OPT_IS_WORD, .off = HF_OPT_TO_(T, f, unsigned)

struct hf_opt {
	const char *name; /* without dashes */
	char letter;      /* or 0 */
	enum hf_opt_kind kind;
	size_t off;
	const char *arg; /* what the help calls the value */
	const char *
		words; /* HF_OPT_IS_WORD: "auto|off|max"; "a=b" means that b is another name of a.
			* Of other kinds what completions offer. */
	const char *def;     /* the default as the user would write it, or NULL */
	const char *env;     /* X of RESTIC_X and HOLDFAST_X, or NULL */
	const char *help;    /* lower case, no full stop */
	const char *instead; /* deprecated: what to use; a note goes to stderr */
	bool is_hidden;      /* neither in --help nor in the manual */
	bool is_ours;        /* not one of restic's: see hides_ours */
};

/* A table, and where its values go. */
struct hf_opts {
	const struct hf_opt *v;
	size_t n;
	void *into;
	bool *given;     /* n of them: the option stood on the command line */
	bool hides_ours; /* options that restic does not have do not exist */
};

/* The arguments that are no options; pointers into argv. The array is owned. */
struct hf_args {
	const char **v;
	size_t len;
};

void hf_args_clear(struct hf_args *a);

/* Where the values of the environment come from; hf_env_get() in the program, `arg` its own. */
typedef const char *hf_opt_getenv_fn(const void *arg, const char *name);

/* Called once for every deprecated option that is used. */
typedef void hf_opt_note_fn(void *arg, const char *text);

/*
 * Gives every option its default. What `into` points to must be zeroed before.
 */
void hf_opt_defaults(const struct hf_opts *opts);

/*
 * Reads argv[0 … argc-1], which are arguments only, into the tables in `tables`. With `may_skip`,
 * options that stand in no table are passed over: that is how the command's name is found before
 * its table is known. HF_EINVAL: unknown option, missing or wrong value; the text names it.
 */
struct hf_err *hf_opt_parse(const struct hf_opts *tables, size_t n_tables, int argc,
	char *const *argv, bool may_skip, hf_opt_note_fn *note, void *note_arg,
	struct hf_args *args) HF_MUST;

/*
 * Fills what the command line left out from the environment. An empty variable is an absent one.
 * HF_EINVAL: the value makes no sense for the option; the text names the variable.
 */
struct hf_err *hf_opt_env(const struct hf_opts *tables, size_t n_tables, hf_opt_getenv_fn *get,
	const void *arg) HF_MUST;

/* False for flags and counts, whose value only follows a `=`. */
bool hf_opt_takes_value(const struct hf_opt *o);

/* False: neither help nor manual nor completions mention it. */
bool hf_opt_is_shown(const struct hf_opt *o);

/* Frees the strings and lists that the options own. */
void hf_opt_clear(const struct hf_opts *opts);

/* True when option `name` of the table stood on the command line. */
bool hf_opt_is_given(const struct hf_opts *opts, const char *name);

/* Appends the lines that --help prints for the table, aligned among themselves, `width` wide. */
void hf_opt_help(const struct hf_opts *opts, size_t width, struct hf_buf *out);

/* Appends the same in scdoc, for the OPTIONS part of a manual. */
void hf_opt_scdoc(const struct hf_opts *opts, struct hf_buf *out);

/* The readers of single values, for other places that take them. False: it is not one. */
bool hf_parse_size(const char *s, uint64_t *out);
bool hf_parse_uint(const char *s, uint64_t max, uint64_t *out);

#endif
