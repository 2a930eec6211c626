/* SPDX-License-Identifier: BSD-2-Clause */
/* A snapshot's JSON. What was accepted is written, and read again it is written the same. */
#include "fuzz.h"

#include "repo/snapshot.h"

/* False: not a snapshot. */
static bool
rewrite(struct hf_bytes json, struct hf_buf *out)
{
	hf_autoptr(hf_snapshot) s = NULL;
	hf_autoptr(hf_err) e = hf_snapshot_parse(json, &s);
	struct hf_jout o = {.buf = out};

	if (e != NULL)
		return false;
	hf_jout_object(&o);
	hf_snapshot_fields(&o, s);
	hf_jout_object_end(&o);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hf_auto(hf_buf) once = HF_BUF_MAX(16 << 20);
	hf_auto(hf_buf) twice = HF_BUF_MAX(16 << 20);

	if (!rewrite((struct hf_bytes){data, size}, &once))
		return 0;
	if (!rewrite(hf_buf_bytes(&once), &twice))
		abort();
	if (once.len != twice.len || memcmp(once.p, twice.p, once.len) != 0)
		abort();
	return 0;
}
