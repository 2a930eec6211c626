/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a server may send, as a stream of packets. Nothing that is accepted lies outside its packet,
 * and the names that a packet announces are all there.
 */
#include <assert.h>

#include "fuzz.h"

#include "net/sftp_wire.h"

static void
check_inside(struct hf_bytes packet, const void *p, size_t len)
{
	const uint8_t *from = p;

	assert(len == 0 ||
		(from >= packet.p && len <= packet.len && from + len <= packet.p + packet.len));
}

static void
check_extension(void *arg, struct hf_str name, struct hf_str data)
{
	const struct hf_bytes *packet = arg;

	check_inside(*packet, name.p, name.len);
	check_inside(*packet, data.p, data.len);
}

static void
check_names(struct hf_bytes packet, const struct hf_sftp_reply *r)
{
	struct hf_bytes names = r->bytes;
	struct hf_sftp_attrs attrs;
	struct hf_str name;
	uint32_t n = 0;

	for (; hf_sftp_next_name(&names, &name, &attrs); n++)
		check_inside(packet, name.p, name.len);
	assert(n == r->n_names && names.len == 0);
}

static void
check_answer(struct hf_bytes packet)
{
	struct hf_sftp_limits limits;
	struct hf_sftp_space space;
	struct hf_sftp_reply r;
	struct hf_err *e = hf_sftp_parse(packet, &r);

	hf_err_free(e);
	if (e != NULL)
		return;
	check_inside(packet, r.text.p, r.text.len);
	check_inside(packet, r.bytes.p, r.bytes.len);
	if (r.type == HF_SFTP_NAME)
		check_names(packet, &r);
	(void)hf_sftp_parse_limits(r.bytes, &limits);
	(void)hf_sftp_parse_space(r.bytes, &space);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_bytes in = {data, size}, packet;
	size_t used;

	for (;;) {
		struct hf_err *e = hf_sftp_frame(in, &used, &packet);

		hf_err_free(e);
		if (e != NULL || used == 0)
			return 0;
		check_inside(in, packet.p, packet.len);
		hf_err_free(hf_sftp_parse_version(packet, check_extension, &packet));
		check_answer(packet);
		in.p += used;
		in.len -= used;
	}
}
