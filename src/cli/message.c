/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/message.h"

#include "cli/out.h"

enum { MAX_TEXT = 1 << 20 };

void
hf_msg_nonzero(struct hf_jout *o, const char *key, uint64_t v)
{
	if (v != 0)
		hf_jout_field_u64(o, key, v);
}

void
hf_msg_error(struct hf_cli *cli, const char *during, const char *item, const struct hf_err *e)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(MAX_TEXT);
	struct hf_jout o = {.buf = &json};

	hf_jout_object(&o);
	hf_jout_field_str(&o, "message_type", "error");
	hf_jout_key(&o, "error");
	hf_jout_object(&o);
	hf_jout_field_str(&o, "message", hf_err_text(e));
	hf_jout_object_end(&o);
	hf_jout_field_str(&o, "during", during);
	hf_jout_field_str(&o, "item", item);
	hf_jout_object_end(&o);
	hf_err_json(cli->out, &json);
}
