/* SPDX-License-Identifier: BSD-2-Clause */
/* What stands in a lock file. What was read is written and read again, and must stay the same. */
#include <assert.h>

#include "fuzz.h"

#include "repo/lock_file.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hf_auto(hf_lock_info) first = {0}, second = {0};
	hf_auto(hf_buf) once = HF_BUF_MAX(1 << 20), twice = HF_BUF_MAX(1 << 20);
	hf_autoptr(hf_err) e = NULL;

	if (size > 1 << 16)
		return 0;
	e = hf_lock_parse((struct hf_bytes){data, size}, &first);
	if (e != NULL)
		return 0;
	hf_lock_write(&once, &first);
	e = hf_lock_parse(hf_buf_bytes(&once), &second);
	assert(e == NULL);
	hf_lock_write(&twice, &second);
	assert(once.len == twice.len && memcmp(once.p, twice.p, once.len) == 0);
	return 0;
}
