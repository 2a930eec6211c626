/* SPDX-License-Identifier: BSD-2-Clause */
/* What the backends that speak HTTP share. */
#ifndef HF_STORE_WEB_I_H
#define HF_STORE_WEB_I_H

#include "net/http.h"
#include "store/backend.h"

/*
 * A change but for a pack is over after so long, and the time for its bytes at so many per second
 * (hf_store_within()), so that a lease knows what its gate lets pass.
 */
enum { WEB_CHANGE_S = 180, WEB_SLOWEST = 4 << 10 };

/*
 * The last steps before a file is sent that has a deadline: waits for its share of the limit, which
 * can take as long as it likes, and then asks the gate of `s`. Nothing for locks, which wait for
 * nobody, and packs, which the limit slows down as they go.
 */
struct hf_err *web_share(struct hf_http *http, struct hf_store *s, const struct hf_name *name,
	size_t size) HF_MUST;

/* The settings for HTTP that `o` contains, without user and password. */
struct hf_http_options web_options(const struct hf_open *o);

/* HF_ECORRUPT: a range was wanted that a file of `size` bytes does not have. */
struct hf_err *web_too_short(uint64_t size) HF_MUST;

/*
 * What an answer of status 416 to a get means. At the very end of a file, nothing is a range that
 * can be read: NULL. The size of the file is asked for if the answer does not say it.
 */
struct hf_err *web_beyond(struct hf_store *s, const struct hf_name *name, uint64_t off,
	size_t len, const struct hf_http_answer *a) HF_MUST;

#endif
