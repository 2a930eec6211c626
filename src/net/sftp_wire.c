/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/sftp_wire.h"

#include "base/endian.h"

/* Flags of attributes. */
enum {
	ATTR_SIZE = 1,
	ATTR_OWNER = 2,
	ATTR_MODE = 4,
	ATTR_TIMES = 8,
};
static const uint32_t attr_extended = UINT32_C(1) << 31;

/* The head of a request: length, type, number. */
enum { HEAD = 9 };

/* ---- reading; each takes something off the front of `in`, false when it is not there ---- */

static bool
take_u32(struct hf_bytes *in, uint32_t *out)
{
	if (in->len < 4)
		return false;
	*out = hf_get_be32(in->p);
	in->p += 4;
	in->len -= 4;
	return true;
}

static bool
take_u64(struct hf_bytes *in, uint64_t *out)
{
	uint32_t high, low;

	if (!take_u32(in, &high) || !take_u32(in, &low))
		return false;
	*out = (uint64_t)high << 32 | low;
	return true;
}

static bool
take_string(struct hf_bytes *in, struct hf_bytes *out)
{
	uint32_t len;

	if (!take_u32(in, &len) || len > in->len)
		return false;
	*out = (struct hf_bytes){in->p, len};
	in->p += len;
	in->len -= len;
	return true;
}

static bool
take_attrs(struct hf_bytes *in, struct hf_sftp_attrs *out)
{
	struct hf_sftp_attrs a = {0};
	struct hf_bytes skipped;
	uint32_t flags, number;

	if (!take_u32(in, &flags))
		return false;
	a.has_size = flags & ATTR_SIZE;
	a.has_mode = flags & ATTR_MODE;
	if (a.has_size && !take_u64(in, &a.size))
		return false;
	if (flags & ATTR_OWNER && !(take_u32(in, &number) && take_u32(in, &number)))
		return false;
	if (a.has_mode && !take_u32(in, &a.mode))
		return false;
	if (flags & ATTR_TIMES && !(take_u32(in, &number) && take_u32(in, &number)))
		return false;
	if (flags & attr_extended) {
		if (!take_u32(in, &number))
			return false;
		/* A number that is too large ends with the packet: each takes eight bytes. */
		for (uint32_t i = 0; i < number; i++)
			if (!take_string(in, &skipped) || !take_string(in, &skipped))
				return false;
	}
	*out = a;
	return true;
}

struct hf_err *
hf_sftp_frame(struct hf_bytes in, size_t *used, struct hf_bytes *packet)
{
	uint32_t len;

	*used = 0;
	if (!take_u32(&in, &len))
		return NULL;
	if (len == 0 || len > HF_SFTP_MAX_PACKET)
		return hf_err(HF_EFATAL, "a packet of %u bytes", len);
	if (in.len < len)
		return NULL;
	*packet = (struct hf_bytes){in.p, len};
	*used = 4 + (size_t)len;
	return NULL;
}

bool
hf_sftp_next_name(struct hf_bytes *names, struct hf_str *name, struct hf_sftp_attrs *attrs)
{
	struct hf_bytes text, line;

	if (!take_string(names, &text) || !take_string(names, &line) ||
		!take_attrs(names, attrs))
		return false;
	*name = hf_bytes_str(text);
	return true;
}

static bool
parse_names(struct hf_bytes *in, struct hf_sftp_reply *r)
{
	struct hf_sftp_attrs attrs;
	struct hf_str name;

	if (!take_u32(in, &r->n_names))
		return false;
	r->bytes.p = in->p;
	for (uint32_t i = 0; i < r->n_names; i++)
		if (!hf_sftp_next_name(in, &name, &attrs))
			return false;
	r->bytes.len = (size_t)(in->p - r->bytes.p);
	return true;
}

static bool
parse_status(struct hf_bytes *in, struct hf_sftp_reply *r)
{
	struct hf_bytes text;

	if (!take_u32(in, &r->status))
		return false;
	/* Old servers send the code alone. */
	if (take_string(in, &text))
		r->text = hf_bytes_str(text);
	return true;
}

static bool
parse_body(struct hf_bytes *in, struct hf_sftp_reply *r)
{
	switch (r->type) {
	case HF_SFTP_STATUS:
		return parse_status(in, r);
	case HF_SFTP_HANDLE:
		return take_string(in, &r->bytes) && r->bytes.len <= HF_SFTP_MAX_HANDLE;
	case HF_SFTP_DATA:
		return take_string(in, &r->bytes);
	case HF_SFTP_NAME:
		return parse_names(in, r);
	case HF_SFTP_ATTRS:
		return take_attrs(in, &r->attrs);
	case HF_SFTP_EXTENDED_REPLY:
		r->bytes = *in;
		return true;
	default:
		return false;
	}
}

struct hf_err *
hf_sftp_parse(struct hf_bytes packet, struct hf_sftp_reply *out)
{
	struct hf_sftp_reply r = {0};
	struct hf_bytes in = packet;

	if (in.len < 5)
		return hf_err(HF_EFATAL, "a packet of %zu bytes", packet.len);
	r.type = in.p[0];
	in.p++;
	in.len--;
	(void)take_u32(&in, &r.id);
	if (!parse_body(&in, &r))
		return hf_err(HF_EFATAL,
			"a packet of type %u and %zu bytes that makes no sense",
			(unsigned)r.type, packet.len);
	*out = r;
	return NULL;
}

struct hf_err *
hf_sftp_parse_version(struct hf_bytes packet,
	void (*fn)(void *arg, struct hf_str name, struct hf_str data), void *arg)
{
	struct hf_bytes name, data, in = packet;
	uint32_t version;

	if (in.len < 5 || in.p[0] != HF_SFTP_VERSION)
		return hf_err(HF_EFATAL, "its first packet does not tell a version");
	in.p++;
	in.len--;
	(void)take_u32(&in, &version);
	if (version != 3)
		return hf_err(HF_EFATAL, "it speaks version %u of SFTP, not 3", version);
	while (in.len > 0) {
		if (!take_string(&in, &name) || !take_string(&in, &data))
			return hf_err(HF_EFATAL, "its list of extensions makes no sense");
		fn(arg, hf_bytes_str(name), hf_bytes_str(data));
	}
	return NULL;
}

bool
hf_sftp_parse_limits(struct hf_bytes rest, struct hf_sftp_limits *out)
{
	struct hf_sftp_limits l;

	if (!take_u64(&rest, &l.packet) || !take_u64(&rest, &l.read) ||
		!take_u64(&rest, &l.write) || !take_u64(&rest, &l.handles))
		return false;
	*out = l;
	return true;
}

bool
hf_sftp_parse_space(struct hf_bytes rest, struct hf_sftp_space *out)
{
	/* bsize frsize blocks bfree bavail files ffree favail ... */
	uint64_t v[8];

	for (size_t i = 0; i < 8; i++)
		if (!take_u64(&rest, &v[i]))
			return false;
	if (__builtin_mul_overflow(v[1], v[4], &out->bytes))
		out->bytes = UINT64_MAX;
	/* File systems that make room for files as they are needed say 0 of 0. */
	out->files = v[5] == 0 ? UINT64_MAX : v[7];
	return true;
}

/* ---- writing ---- */

void
hf_sftp_begin(struct hf_buf *b, enum hf_sftp_type type)
{
	uint8_t head[HEAD] = {[4] = (uint8_t)type};

	hf_buf_reset(b);
	hf_buf_add(b, head, sizeof head);
}

void
hf_sftp_add_u32(struct hf_buf *b, uint32_t v)
{
	uint8_t bytes[4];

	hf_put_be32(bytes, v);
	hf_buf_add(b, bytes, sizeof bytes);
}

void
hf_sftp_add_u64(struct hf_buf *b, uint64_t v)
{
	hf_sftp_add_u32(b, (uint32_t)(v >> 32));
	hf_sftp_add_u32(b, (uint32_t)v);
}

void
hf_sftp_add_string(struct hf_buf *b, struct hf_bytes s)
{
	hf_sftp_add_u32(b, (uint32_t)s.len);
	hf_buf_add(b, s.p, s.len);
}

void
hf_sftp_add_mode(struct hf_buf *b, uint32_t mode)
{
	hf_sftp_add_u32(b, ATTR_MODE);
	hf_sftp_add_u32(b, mode);
}

void
hf_sftp_finish(struct hf_buf *b, uint32_t id, size_t more)
{
	hf_put_be32(b->p, (uint32_t)(b->len - 4 + more));
	hf_put_be32(b->p + 5, id);
}
