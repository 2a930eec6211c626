/* SPDX-License-Identifier: BSD-2-Clause */
/* libarchive, which is loaded when there is an archive to read (base/late.h). */
#ifndef HF_ENGINE_LIBARCHIVE_H
#define HF_ENGINE_LIBARCHIVE_H

#include <archive.h>
#include <archive_entry.h>

#include "base/err.h"

/* Before any of libarchive's functions is called. HF_EFATAL: there is none, or an older one. */
struct hf_err *hf_libarchive_load(void) HF_MUST;

#endif
