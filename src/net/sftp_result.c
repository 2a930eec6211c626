/* SPDX-License-Identifier: BSD-2-Clause */
/* Errors out of the answers of a server. */
#include "net/sftp.h"

#include <ctype.h>

/* What codes mean; the server's own words are added only when they say more. */
static const struct {
	uint32_t status;
	enum hf_code code;
	const char *text;
} meanings[] = {
	{HF_SFTP_EOF, HF_EIO, "unexpected end of file"},
	{HF_SFTP_NO_SUCH_FILE, HF_ENOTFOUND, "no such file"},
	{HF_SFTP_PERMISSION_DENIED, HF_EFATAL, "permission denied by the server"},
	{HF_SFTP_FAILURE, HF_EIO, "the server failed"},
	{HF_SFTP_NO_CONNECTION, HF_EIO, "the server has no connection"},
	{HF_SFTP_CONNECTION_LOST, HF_EIO, "the server has lost its connection"},
	{HF_SFTP_OP_UNSUPPORTED, HF_EFATAL, "not supported by the server"},
	{HF_SFTP_FILE_ALREADY_EXISTS, HF_EEXISTS, "it exists already"},
	{HF_SFTP_NO_SPACE, HF_EFATAL, "no space left on the server"},
	{HF_SFTP_QUOTA_EXCEEDED, HF_EFATAL, "quota exceeded on the server"},
};

/* The words of OpenSSH for these codes, which repeat them. */
static bool
says_more(struct hf_str words)
{
	static const char *const usual[] = {"", "Failure", "No such file", "Permission denied",
		"End of file", "Operation unsupported", "No connection", "Connection lost"};

	for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
		if (hf_str_is(words, usual[i]))
			return false;
	return true;
}

struct hf_err *
hf_sftp_result(const struct hf_sftp_call *call, enum hf_sftp_type type)
{
	struct hf_str words = hf_bytes_str(hf_buf_bytes(&call->bytes));
	char text[200];
	size_t n = 0;

	if (call->type == type && (type != HF_SFTP_STATUS || call->status == HF_SFTP_OK))
		return NULL;
	if (call->type != HF_SFTP_STATUS || call->status == HF_SFTP_OK)
		return hf_err(HF_EFATAL, "the server gave an answer of type %u, not %u",
			(unsigned)call->type, (unsigned)type);
	for (; n < words.len && n < sizeof text - 1; n++)
		text[n] = isprint((unsigned char)words.p[n]) ? words.p[n] : '?';
	text[n] = '\0';
	bool more = says_more(words);
	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
		if (meanings[i].status == call->status)
			return hf_err(meanings[i].code, "%s%s%s", meanings[i].text,
				more ? ": " : "", more ? text : "");
	return hf_err(HF_EIO, "the server failed with code %u%s%s", call->status,
		more ? ": " : "", more ? text : "");
}
