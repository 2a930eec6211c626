/* SPDX-License-Identifier: BSD-2-Clause */
/* A URL of HTTP as users write it, taken apart: what is sent, and what must stay secret. */
#ifndef HF_NET_URL_H
#define HF_NET_URL_H

#include "base/secret.h"

struct hf_url {
	char *clean; /* as it was, without user and password, and with blanks and the like as %XX */
	bool has_user;
	struct hf_secret user, password; /* percent-decoded */
};

void hf_url_clear(struct hf_url *u);

/*
 * What stands before the last `@` of the host's part is user and password, whatever it is but a slash,
 * `?` or `#`. HF_EINVAL: not a URL that begins with http:// or https:// and names a host. Texts quote
 * nothing.
 */
struct hf_err *hf_url_parse(const char *text, struct hf_url *out) HF_MUST;

#endif
