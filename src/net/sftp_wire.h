/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets of SFTP version 3 (draft-ietf-secsh-filexfer-02, and PROTOCOL in the source of OpenSSH
 * for the extensions): what a client sends, and a reader of what a server answers. No I/O.
 *
 * A packet is a length of four bytes, a type, for all but INIT and VERSION the number of the
 * request, and what belongs to the type. Integers are big-endian, strings have a length of four
 * bytes before them. Nothing a server says is believed: every length is checked against what is
 * there before it is used.
 */
#ifndef HF_NET_SFTP_WIRE_H
#define HF_NET_SFTP_WIRE_H

#include "base/buf.h"

enum hf_sftp_type {
	HF_SFTP_INIT = 1,
	HF_SFTP_VERSION = 2,
	HF_SFTP_OPEN = 3,
	HF_SFTP_CLOSE = 4,
	HF_SFTP_READ = 5,
	HF_SFTP_WRITE = 6,
	HF_SFTP_FSTAT = 8,
	HF_SFTP_SETSTAT = 9,
	HF_SFTP_OPENDIR = 11,
	HF_SFTP_READDIR = 12,
	HF_SFTP_REMOVE = 13,
	HF_SFTP_MKDIR = 14,
	HF_SFTP_STAT = 17,
	HF_SFTP_RENAME = 18,
	HF_SFTP_STATUS = 101,
	HF_SFTP_HANDLE = 102,
	HF_SFTP_DATA = 103,
	HF_SFTP_NAME = 104,
	HF_SFTP_ATTRS = 105,
	HF_SFTP_EXTENDED = 200,
	HF_SFTP_EXTENDED_REPLY = 201,
};

/* Status codes; those above 8 are not of version 3, but servers send them all the same. */
enum {
	HF_SFTP_OK = 0,
	HF_SFTP_EOF = 1,
	HF_SFTP_NO_SUCH_FILE = 2,
	HF_SFTP_PERMISSION_DENIED = 3,
	HF_SFTP_FAILURE = 4,
	HF_SFTP_NO_CONNECTION = 6,
	HF_SFTP_CONNECTION_LOST = 7,
	HF_SFTP_OP_UNSUPPORTED = 8,
	HF_SFTP_FILE_ALREADY_EXISTS = 11,
	HF_SFTP_NO_SPACE = 14,
	HF_SFTP_QUOTA_EXCEEDED = 15,
};

/* Flags of OPEN. */
enum {
	HF_SFTP_FOR_READ = 1,
	HF_SFTP_FOR_WRITE = 2,
	HF_SFTP_CREATE = 8,
	HF_SFTP_EXCLUSIVE = 32,
};

enum {
	HF_SFTP_MAX_PACKET =
		512 << 10,        /* the longest that is accepted; OpenSSH's are half of it */
	HF_SFTP_MAX_HANDLE = 256, /* by the draft */
};

/* What is known of a file; what the server did not say is 0. */
struct hf_sftp_attrs {
	bool has_size, has_mode;
	uint64_t size;
	uint32_t mode; /* type and permissions, as st_mode */
};

/* One answer. Slices point into the packet. */
struct hf_sftp_reply {
	enum hf_sftp_type type;
	uint32_t id;
	uint32_t status;       /* STATUS */
	struct hf_str text;    /* STATUS: the server's words */
	struct hf_bytes bytes; /* HANDLE, DATA; EXTENDED_REPLY, NAME: the rest of the packet */
	uint32_t n_names;      /* NAME */
	struct hf_sftp_attrs attrs; /* ATTRS */
};

/*
 * Finds the first packet in what has been received so far. *used is the number of bytes that it
 * takes, 0 while it is not whole yet; *packet is what follows its length.
 * HF_EFATAL: it can be none, because its length is 0 or above HF_SFTP_MAX_PACKET.
 */
struct hf_err *hf_sftp_frame(struct hf_bytes in, size_t *used, struct hf_bytes *packet) HF_MUST;

/*
 * Reads an answer; the names of a NAME are all looked at, so that hf_sftp_next_name() cannot fail
 * afterwards. HF_EFATAL: it is none.
 */
struct hf_err *hf_sftp_parse(struct hf_bytes packet, struct hf_sftp_reply *out) HF_MUST;

/* Takes one entry off the front of the names of a NAME; false when none is left. */
bool hf_sftp_next_name(
	struct hf_bytes *names, struct hf_str *name, struct hf_sftp_attrs *attrs);

/*
 * Reads the answer to INIT, and calls fn(arg, name, data) for every extension that the server
 * offers. HF_EFATAL: it is none, or the server does not speak version 3.
 */
struct hf_err *hf_sftp_parse_version(struct hf_bytes packet,
	void (*fn)(void *arg, struct hf_str name, struct hf_str data), void *arg) HF_MUST;

/* What a server of limits@openssh.com says; 0: no limit. */
struct hf_sftp_limits {
	uint64_t packet, read, write, handles;
};
bool hf_sftp_parse_limits(struct hf_bytes rest, struct hf_sftp_limits *out);

/* Free space by statvfs@openssh.com, in bytes and in files. */
struct hf_sftp_space {
	uint64_t bytes, files;
};
bool hf_sftp_parse_space(struct hf_bytes rest, struct hf_sftp_space *out);

/* ---- requests ---- */

/*
 * A request in the making. hf_sftp_begin() leaves room for the length and the number, which
 * hf_sftp_finish() fills in; `more` bytes of data, for WRITE, follow the packet on the wire.
 */
void hf_sftp_begin(struct hf_buf *b, enum hf_sftp_type type);
void hf_sftp_add_u32(struct hf_buf *b, uint32_t v);
void hf_sftp_add_u64(struct hf_buf *b, uint64_t v);
void hf_sftp_add_string(struct hf_buf *b, struct hf_bytes s);
void hf_sftp_add_mode(struct hf_buf *b, uint32_t mode); /* attributes: only permissions */
void hf_sftp_finish(struct hf_buf *b, uint32_t id, size_t more);

#endif
