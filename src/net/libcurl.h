/* SPDX-License-Identifier: BSD-2-Clause */
/* libcurl, which is loaded when there is somebody to talk with (base/late.h). */
#ifndef HF_NET_LIBCURL_H
#define HF_NET_LIBCURL_H

#include <curl/curl.h>

#include "base/err.h"

/* Before any of libcurl's functions is called. HF_EFATAL: there is none, or an older one. */
struct hf_err *hf_libcurl_load(void) HF_MUST;

#endif
