/* SPDX-License-Identifier: BSD-2-Clause */
/* What sftp_file.c and sftp_folder.c make their requests with. */
#ifndef HF_NET_SFTP_FILE_I_H
#define HF_NET_SFTP_FILE_I_H

#include "base/time.h"
#include "net/sftp_file.h"

enum { MAX_REQUEST = 16 << 10 }; /* without data */

#define CALL __attribute__((cleanup(hf_sftp_call_clear))) struct hf_sftp_call

static inline void
add_path(struct hf_buf *b, const char *path)
{
	hf_sftp_add_string(b, hf_str_bytes(hf_str(path)));
}

static inline void
add_handle(struct hf_buf *b, const struct hf_sftp_handle *handle)
{
	hf_sftp_add_string(b, (struct hf_bytes){handle->b, handle->len});
}

/* How long the next step may take; 0: as long as it is not stuck. HF_EIO: no longer. */
HF_MUST static inline struct hf_err *
time_left(const struct hf_sftp_how *how, double *within_s)
{
	double left = how->until - hf_clock();

	*within_s = how->within_s;
	if (how->until > 0 && left <= 0)
		return hf_err(HF_EIO, "it has taken too long");
	if (how->until > 0 && (how->within_s <= 0 || left < how->within_s))
		*within_s = left;
	return NULL;
}

/* Sends a request with `more` behind it. Nothing is begun when the time is over. */
HF_MUST static inline struct hf_err *
send_more(struct hf_sftp *s, struct hf_sftp_call *call, struct hf_buf *b, struct hf_bytes more,
	const struct hf_sftp_how *how)
{
	struct hf_sftp_ask ask = {
		.is_urgent = how->is_urgent, .no_stop = how->no_stop, .more = more};

	HF_TRY(time_left(how, &ask.within_s));
	return hf_sftp_send(s, call, b, &ask);
}

HF_MUST static inline struct hf_err *
send(struct hf_sftp *s, struct hf_sftp_call *call, struct hf_buf *b,
	const struct hf_sftp_how *how)
{
	return send_more(s, call, b, (struct hf_bytes){NULL, 0}, how);
}

HF_MUST static inline struct hf_err *
wait_for(struct hf_sftp_call *call, const struct hf_sftp_how *how)
{
	double within;
	struct hf_err *late = time_left(how, &within);

	/* What is under way and late ends the session; it may have been answered, though. */
	hf_err_free(late);
	return hf_sftp_wait(call, late == NULL ? within : 0.001);
}

/* Waits for an answer of that type. */
HF_MUST static inline struct hf_err *
await(struct hf_sftp_call *call, enum hf_sftp_type type, const struct hf_sftp_how *how)
{
	HF_TRY(wait_for(call, how));
	return hf_sftp_result(call, type);
}

HF_MUST static inline struct hf_err *
take_handle(const struct hf_sftp_call *call, struct hf_sftp_handle *out)
{
	if (call->bytes.len > sizeof out->b) /* the parser has looked */
		return hf_err(HF_EFATAL, "a handle of %zu bytes", call->bytes.len);
	out->len = call->bytes.len;
	memcpy(out->b, call->bytes.p, out->len);
	return NULL;
}

static inline void
begin_path(struct hf_buf *b, enum hf_sftp_type type, const char *path)
{
	hf_sftp_begin(b, type);
	add_path(b, path);
}

static inline void
begin_handle(struct hf_buf *b, enum hf_sftp_type type, const struct hf_sftp_handle *handle)
{
	hf_sftp_begin(b, type);
	add_handle(b, handle);
}

#endif
