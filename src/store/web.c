/* SPDX-License-Identifier: BSD-2-Clause */
/* What the backends that speak HTTP share. */
#include "store/web_i.h"

struct hf_http_options
web_options(const struct hf_open *o)
{
	const char *http_proxy = hf_open_env(o, "HTTP_PROXY");
	const char *https_proxy = hf_open_env(o, "HTTPS_PROXY");
	const char *no_proxy = hf_open_env(o, "NO_PROXY");

	return (struct hf_http_options){
		.user_agent = o->user_agent,
		.ca_files = o->cacerts,
		.n_ca_files = o->n_cacerts,
		.system_ca_file = hf_open_env(o, "SSL_CERT_FILE"),
		.system_ca_dirs = hf_open_env(o, "SSL_CERT_DIR"),
		.client_cert = o->tls_client_cert,
		.insecure_tls = o->insecure_tls,
		.http_proxy = http_proxy != NULL ? http_proxy : hf_open_env(o, "http_proxy"),
		.https_proxy =
			https_proxy != NULL ? https_proxy : hf_open_env(o, "https_proxy"),
		.no_proxy = no_proxy != NULL ? no_proxy : hf_open_env(o, "no_proxy"),
		.stall_s = o->stuck_s,
		.stop = o->stop,
		.upload = o->upload,
		.download = o->download,
	};
}

struct hf_err *
web_share(struct hf_http *http, struct hf_store *s, const struct hf_name *name, size_t size)
{
	if (name->kind == HF_LOCK || name->kind == HF_PACK)
		return NULL;
	HF_TRY(hf_http_share(http, size));
	return hf_store_pass(s, name, false, size);
}

struct hf_err *
web_too_short(uint64_t size)
{
	return hf_err(HF_ECORRUPT, "the file has only %ju bytes", (uintmax_t)size);
}

struct hf_err *
web_beyond(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	const struct hf_http_answer *a)
{
	uint64_t size = a->size;

	if (!a->has_size)
		HF_TRY(s->ops->stat(s, name, &size));
	if (off == size && (len == SIZE_MAX || len == 0))
		return NULL;
	if (off <= size && (len == SIZE_MAX || len <= size - off))
		return hf_err(HF_EIO, "%s: the server has %ju bytes and does not give them",
			a->what, (uintmax_t)size);
	return web_too_short(size);
}
