/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON: a pull reader over bytes in memory, and a writer that gives the bytes of Go's
 * encoding/json, because a tree blob is named by the hash of its JSON (restic-format 0.3).
 *
 * The reader allocates nothing and copies nothing: strings without escapes are slices of the
 * input. Its errors stick: after the first one every call fails quietly and every loop ends, so
 * that one hf_json_end() at the end of a document is enough. Nesting deeper than 250 is an error.
 * It accepts what Go's decoder accepts: field names are matched by hf_json_key_is() whatever their
 * case, unknown fields are skipped by the caller, numbers must fit the type asked for, and `null`
 * leaves a value at zero. Invalid UTF-8 in a string becomes U+FFFD.
 *
 *	hf_json_init(&j, bytes, &scratch);
 *	hf_json_object(&j);
 *	while (hf_json_key(&j, &key)) {
 *		if (hf_json_key_is(key, "uid"))
 *			node->uid = (uint32_t)hf_json_u64(&j, UINT32_MAX);
 *		else
 *			hf_json_skip(&j);
 *	}
 *	return hf_json_end(&j);
 *
 * A large text need not be in memory as a whole: hf_json_init_pieces().
 */
#ifndef HF_CODEC_JSON_H
#define HF_CODEC_JSON_H

#include "base/buf.h"
#include "base/id.h"
#include "base/time.h"

/*
 * Writes the next `room` bytes of a text, or less; 0: there are no more, or they cannot be had,
 * which whoever gave the function knows.
 */
typedef size_t hf_json_more_fn(void *arg, uint8_t *p, size_t room);

struct hf_json {
	const uint8_t *start, *p, *end;
	const uint8_t *low;    /* more is asked for beyond that; `end` if there is no more */
	size_t before;         /* bytes of the text that were in front of `start` */
	hf_json_more_fn *more; /* NULL: all is there */
	void *arg;
	uint8_t *room;          /* for pieces */
	struct hf_buf *scratch; /* borrowed; decoded strings are appended to it */
	const char *error;      /* static text of the first error, or NULL */
	size_t error_off;       /* where, in bytes from the start */
	unsigned depth;
	bool is_first;    /* nothing has been read in the innermost object or array */
	bool is_null;     /* the object or array that was entered last is a null */
	bool is_prepared; /* scratch has the size that it keeps */
};

/*
 * `in` and `scratch` outlive the reader. Strings that must be decoded go to `scratch`, all of them
 * together up to its maximum. So that it never moves under earlier slices, the first of them
 * reserves the whole: three times the rest of the input, or the maximum if that is less. A caller
 * who is done with the slices may hf_buf_reset() it between two values, and then a modest maximum
 * does for a document of any size. Nobody else may append to it while slices are in use.
 */
void hf_json_init(struct hf_json *j, struct hf_bytes in, struct hf_buf *scratch);

/*
 * The same for a text that comes in pieces, into HF_JSON_PIECES bytes of memory at `room`. Slices
 * are valid only until the next hf_json_key() or hf_json_item(), and hf_json_skip() may have none to
 * return. A name with its value (one that is neither object nor array) may be as long as
 * HF_JSON_PIECE; one that is longer can be read as a text that ends too early.
 */
enum { HF_JSON_PIECES = 128 << 10, HF_JSON_PIECE = 32 << 10 };
void hf_json_init_pieces(struct hf_json *j, uint8_t *room, hf_json_more_fn *more, void *arg,
	struct hf_buf *scratch);

enum hf_json_kind {
	HF_JSON_ERROR, /* also: nothing more */
	HF_JSON_NULL,
	HF_JSON_BOOL,
	HF_JSON_NUMBER,
	HF_JSON_STRING,
	HF_JSON_ARRAY,
	HF_JSON_OBJECT,
};

/* What the next value is, without consuming anything. */
enum hf_json_kind hf_json_peek(struct hf_json *j);

/* Consumes `null` and returns true, or returns false and consumes nothing. */
bool hf_json_null(struct hf_json *j);

/* Enters an object. `null` counts as an empty one (then hf_json_key() is false at once). */
void hf_json_object(struct hf_json *j);

/* The next field's name; its value must be read or skipped next. False: the object has ended. */
bool hf_json_key(struct hf_json *j, struct hf_str *key);

/* Enters an array. `null` counts as an empty one. */
void hf_json_array(struct hf_json *j);

/* True when another element follows, which must be read or skipped. False: the array has ended. */
bool hf_json_item(struct hf_json *j);

bool hf_json_key_folds_(struct hf_str key, const char *name);

/* Case-insensitive for ASCII letters, as Go matches field names. */
static inline bool
hf_json_key_is(struct hf_str key, const char *name)
{
	size_t n = strlen(name);

	return key.len == n && (memcmp(key.p, name, n) == 0 || hf_json_key_folds_(key, name));
}

/*
 * Values. `null` gives the zero value. A string slice is valid as long as input and scratch; a
 * number with a fraction or an exponent, with a minus sign where it must not be, or beyond `max`
 * is an error. Doubles are read and written by the C library in the C locale, which the program
 * never leaves for numbers.
 */
struct hf_str hf_json_str(struct hf_json *j);
uint64_t hf_json_u64(struct hf_json *j, uint64_t max);
int64_t hf_json_i64(struct hf_json *j);
double hf_json_double(struct hf_json *j);
bool hf_json_bool(struct hf_json *j);
struct hf_id hf_json_id(struct hf_json *j);     /* 64 hex digits; null or "" is an error */
struct hf_time hf_json_time(struct hf_json *j); /* null: HF_TIME_ZERO */

/* Standard base64 with padding, appended to `out`. */
void hf_json_base64(struct hf_json *j, struct hf_buf *out);

/* Skips one value of any kind and returns its text, if all of that is in memory. */
struct hf_bytes hf_json_skip(struct hf_json *j);

/* Marks the document as wrong at this place; `text` is static. The first error stays. */
void hf_json_fail(struct hf_json *j, const char *text);

/*
 * The end of the document: HF_ECORRUPT with text and offset if anything was wrong, or if
 * something other than white space follows the value.
 */
struct hf_err *hf_json_end(struct hf_json *j) HF_MUST;

/* As hf_json_end(), but whatever follows is left alone. */
struct hf_err *hf_json_err(const struct hf_json *j) HF_MUST;

/*
 * The writer: appends to a buffer, puts the commas. No white space. Whether all fitted is told by
 * hf_buf_ok() of the buffer.
 */
struct hf_jout {
	struct hf_buf *buf; /* borrowed */
	bool needs_comma;
};

void hf_jout_object(struct hf_jout *o);
void hf_jout_object_end(struct hf_jout *o);
void hf_jout_array(struct hf_jout *o);
void hf_jout_array_end(struct hf_jout *o);

/* A field name, plain ASCII without anything to escape; its value follows. */
void hf_jout_key(struct hf_jout *o, const char *name);

/* A field with its value, for the kinds that most fields are. */
void hf_jout_field_str(struct hf_jout *o, const char *name, const char *s);
void hf_jout_field_u64(struct hf_jout *o, const char *name, uint64_t v);
void hf_jout_field_double(struct hf_jout *o, const char *name, double v);

void hf_jout_str(struct hf_jout *o, struct hf_str s); /* escaped as Go does, <>& too */
void hf_jout_u64(struct hf_jout *o, uint64_t v);
void hf_jout_i64(struct hf_jout *o, int64_t v);
/* Go's form: the fewest digits, an exponent only below 1e-6 and from 1e21 on; NaN is null. */
void hf_jout_double(struct hf_jout *o, double v);
void hf_jout_bool(struct hf_jout *o, bool v);
void hf_jout_null(struct hf_jout *o);
void hf_jout_id(struct hf_jout *o, const struct hf_id *id);
void hf_jout_time(struct hf_jout *o, const struct hf_time *t);
void hf_jout_base64(struct hf_jout *o, struct hf_bytes b);
void hf_jout_raw(struct hf_jout *o, struct hf_bytes json); /* a value that is JSON already */

/*
 * Appends `json`, a valid compact or spaced document, to `out` with two blanks of indentation per
 * level, as Go's json.MarshalIndent(v, "", "  ") would.
 */
struct hf_err *hf_json_indent(struct hf_bytes json, struct hf_buf *out) HF_MUST;

#endif
