/* SPDX-License-Identifier: BSD-2-Clause */
/* Instead of libcurl.c where it is linked (meson's option `linked`): there is nothing to load. */
#include "net/libcurl.h"

struct hf_err *
hf_libcurl_load(void)
{
	return NULL;
}
