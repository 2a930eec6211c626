/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store-put DIR SIZE: one pack of SIZE bytes into a repository in DIR, for tests that watch the
 * system calls. Prints the error, if any, and ends with 0, or with 1 plus the code of the error.
 */
#include <stdio.h>

#include "store/local.h"

static struct hf_err *
run(const char *path, size_t size)
{
	const struct hf_name name = {HF_PACK, {{0xab}}};
	hf_autoptr(hf_store) s = NULL;
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 30);

	HF_TRY(hf_store_local(path, 0, &s));
	HF_TRY(hf_buf_resize(&b, size));
	memset(b.p, 'x', size);
	return hf_store_put(s, &name, hf_buf_bytes(&b));
}

int
main(int argc, char **argv)
{
	if (argc != 3)
		return 100;
	struct hf_err *e = run(argv[1], strtoul(argv[2], NULL, 10));
	if (e == NULL)
		return 0;
	int code = 1 + (int)hf_err_code(e);
	puts(hf_err_text(e));
	hf_err_free(e);
	return code;
}
