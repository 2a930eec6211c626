/* SPDX-License-Identifier: BSD-2-Clause */
/* Why there is no answer to a request, and whether another try may help. */
#include "net/http_i.h"

struct failure {
	CURLcode rc;
	enum hf_code code;
	const char *text;
};

static const struct failure failures[] = {
	{CURLE_URL_MALFORMAT, HF_EFATAL, "this is no URL"},
	{CURLE_UNSUPPORTED_PROTOCOL, HF_EFATAL, "this is no URL of HTTP"},
	{CURLE_COULDNT_RESOLVE_HOST, HF_EIO, "the server's name is not found"},
	{CURLE_COULDNT_RESOLVE_PROXY, HF_EIO, "the proxy's name is not found"},
	{CURLE_COULDNT_CONNECT, HF_EIO, "no connection to the server"},
	{CURLE_PARTIAL_FILE, HF_EIO, "the answer ended too early"},
	{CURLE_GOT_NOTHING, HF_EIO, "the server ended the connection without an answer"},
	{CURLE_SEND_ERROR, HF_EIO, "the connection broke while sending"},
	{CURLE_RECV_ERROR, HF_EIO, "the connection broke before the end of the answer"},
	{CURLE_OPERATION_TIMEDOUT, HF_EIO, "no connection to the server in time"},
	{CURLE_PEER_FAILED_VERIFICATION, HF_EFATAL,
		"the server's certificate is not trusted (--cacert names more that are)"},
	{CURLE_SSL_CACERT_BADFILE, HF_EFATAL, "the CA certificates cannot be used"},
	{CURLE_SSL_CERTPROBLEM, HF_EFATAL, "the client certificate cannot be used"},
	{CURLE_SSL_CONNECT_ERROR, HF_EIO, "no TLS connection to the server"},
	{CURLE_OUT_OF_MEMORY, HF_EFATAL, "no memory"},
};

/*
 * An alert of TLS is the other side's decision, and who speaks no TLS will not learn it; but what was
 * damaged on the way, and a server with an error of its own, may do better the next time. OpenSSL
 * says "tlsv13 alert certificate required", GnuTLS "A TLS fatal alert has been received". Other texts
 * have names of hosts in them, which may be any words.
 */
static bool
is_final(CURLcode rc, const char *said)
{
	static const char *const finals[] = {"sslv3 alert ", "tlsv1 alert ", "tlsv13 alert ",
		"TLS fatal alert", "wrong version number"};

	if (rc != CURLE_SSL_CONNECT_ERROR && rc != CURLE_SEND_ERROR && rc != CURLE_RECV_ERROR)
		return false;
	if (strstr(said, " alert internal error") != NULL ||
		strstr(said, " alert bad record mac") != NULL)
		return false;
	for (size_t i = 0; i < sizeof finals / sizeof finals[0]; i++)
		if (strstr(said, finals[i]) != NULL)
			return true;
	return false;
}

struct hf_err *
call_ended(struct call *c)
{
	switch (c->why) {
	case FAILED:
		return hf_steal(c->error);
	case STOPPED:
		return hf_err(HF_ECANCELED, "interrupted");
	case STALLED:
		return hf_err(HF_EIO, "not one byte came or went for %.0f s", c->h->stall_s);
	case LATE:
		return hf_err(HF_EIO, "not done after %.0f s", c->r->deadline_s);
	default:
		return NULL;
	}
}

struct hf_err *
call_failed(struct call *c, CURLcode rc)
{
	struct failure f = {rc, HF_EIO, "the request failed"};
	const char *said = *c->said != '\0' ? c->said : curl_easy_strerror(rc);

	if (c->why != NOT_ENDED)
		return call_ended(c);
	for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++)
		if (failures[i].rc == rc)
			f = failures[i];
	if (is_final(rc, said))
		f.code = HF_EFATAL;
	return hf_err(f.code, "%s (%s)", f.text, said);
}
