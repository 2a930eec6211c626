/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/fail.h"

#include <errno.h>

#include "store/backend.h"

int
hf_fail_code(enum hf_code code)
{
	switch (code) {
	case HF_ENOREPO:
		return HF_EXIT_NO_REPOSITORY;
	case HF_ELOCKED:
		return HF_EXIT_LOCKED;
	case HF_EAUTH:
		return HF_EXIT_PASSWORD;
	case HF_ELOST:
		return HF_EXIT_LOST;
	case HF_ECANCELED:
		return HF_EXIT_INTERRUPTED;
	default:
		return HF_EXIT_ERROR;
	}
}

/* What to do about it; "" when the text says it all. */
static const char *
advice(const struct hf_cli *cli, enum hf_code code)
{
	switch (code) {
	case HF_ENOREPO:
		return "Is there a repository at the following location?";
	case HF_EINVAL:
		return cli->command == NULL ? "run `holdfast help` for the list of commands"
					    : "";
	default:
		return "";
	}
}

static void
print(struct hf_cli *cli, int code, const struct hf_buf *message)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(1 << 20);
	struct hf_jout o = {.buf = &json};

	if (!cli->global.is_json) {
		hf_say_err(cli->out, "%.*s", (int)message->len, (const char *)message->p);
		return;
	}
	hf_jout_object(&o);
	hf_jout_key(&o, "message_type");
	hf_jout_str(&o, hf_str("exit_error"));
	hf_jout_key(&o, "code");
	hf_jout_i64(&o, code);
	hf_jout_key(&o, "message");
	hf_jout_str(&o, hf_bytes_str(hf_buf_bytes(message)));
	hf_jout_object_end(&o);
	hf_err_json(cli->out, &json);
}

int
hf_fail_report(struct hf_cli *cli, struct hf_err *e)
{
	hf_autoptr(hf_err) error = e;
	hf_auto(hf_buf) message = HF_BUF_MAX(64 << 10);
	const char *more;
	int code;

	if (hf_out_errno(cli->out) == EPIPE)
		return HF_EXIT_PIPE;
	if (hf_out_errno(cli->out) != 0 && (e == NULL || hf_err_code(e) == HF_ECANCELED)) {
		hf_err_free(hf_steal(error));
		error = hf_out_flush(cli->out);
	}
	if (error == NULL && cli->warning == NULL)
		return cli->exit_code;

	if (error == NULL) {
		code = HF_EXIT_PARTIAL;
		hf_buf_addf(&message, "Warning: %s", cli->warning);
		print(cli, code, &message);
		return code;
	}
	code = cli->exit_code != 0 ? cli->exit_code : hf_fail_code(hf_err_code(error));
	/* Programs look for restic's words, and this one has no prefix there. */
	hf_buf_addf(&message, "%s%s",
		hf_err_code(error) == HF_ELOCKED ? "" : "Fatal: ", hf_err_text(error));
	more = advice(cli, hf_err_code(error));
	if (*more != '\0')
		hf_buf_addf(&message, "\n%s", more);
	if (hf_err_code(error) == HF_ENOREPO && cli->global.repo != NULL) {
		hf_autofree char *shown = hf_place_shown(cli->global.repo);

		hf_buf_addf(&message, "\n%s", shown);
	}
	print(cli, code, &message);
	return code;
}
