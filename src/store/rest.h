/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A repository behind restic's REST protocol (restic-format 13.2):
 *	rest:http://host:8000/path/	rest:https://user:password@host/path/
 *	rest:http+unix:///path/to/socket:/path/
 * User and password that are not in the URL come from RESTIC_REST_USERNAME and
 * RESTIC_REST_PASSWORD, proxies from HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
 *
 * What the protocol's servers promise, as read and tried with rest-server 0.14: a file is synced
 * before the answer and complete or absent, a listing shows what is there. A file that exists is
 * not written again (403), but the test and the writing are two steps, so that nobody may rely on
 * it. To replace one, we delete it first. rclone, which speaks the protocol too, is known by the
 * name that it gives itself, and promises nothing: it depends on what is behind it.
 *
 * A change is over in time (hf_store_within()) as far as this side goes: what has not been sent by then
 * is dropped with the connection. A server that has all of it and sleeps before it acts, or rclone that
 * passes it on, may still act later.
 */
#ifndef HF_STORE_REST_H
#define HF_STORE_REST_H

#include "store/backend.h"

extern const struct hf_backend hf_backend_rest;

#endif
