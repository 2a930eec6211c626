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

HF_MUST static inline struct hf_err *
send(struct hf_sftp *s, struct hf_sftp_call *call, struct hf_buf *b,
	const struct hf_sftp_how *how)
{
	return hf_sftp_send(s, call, b, &(struct hf_sftp_ask){.is_urgent = how->is_urgent});
}

HF_MUST static inline struct hf_err *
wait_for(struct hf_sftp_call *call, const struct hf_sftp_how *how)
{
	double left = how->until - hf_clock(), within = how->within_s;

	if (how->until > 0 && (within <= 0 || left < within))
		within = left > 0.001 ? left : 0.001;
	return hf_sftp_wait(call, within);
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
