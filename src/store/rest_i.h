/* SPDX-License-Identifier: BSD-2-Clause */
/* The REST protocol over an HTTP client, for the two backends that speak it. */
#ifndef HF_STORE_REST_I_H
#define HF_STORE_REST_I_H

#include "net/http.h"
#include "store/open.h"

struct rest_place {
	struct hf_http *http; /* taken over, also on failure */
	const char *base; /* URL of the repository, without user; a slash at its end is added */
	const char *url;  /* for messages */
	unsigned connections;
	unsigned promises; /* enum hf_promise */
	/* Called when the store has been freed, and its connections with it; or NULL. */
	void (*closed)(void *arg);
	void *arg;
};

struct hf_store *rest_new(const struct rest_place *place);

#endif
