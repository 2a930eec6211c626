/* SPDX-License-Identifier: BSD-2-Clause */
/* Instead of libarchive.c where it is linked (meson's option `linked`): there is nothing to load. */
#include "engine/libarchive.h"

struct hf_err *
hf_libarchive_load(void)
{
	return NULL;
}
