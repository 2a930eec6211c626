/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/words.h"

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void
end_word(struct hf_buf *word, struct hf_strings *out)
{
	hf_buf_add_char(word, '\0');
	hf_strings_add(out, (const char *)word->p);
	hf_buf_reset(word);
}

struct hf_err *
hf_words_split(const char *command, struct hf_strings *out)
{
	hf_auto(hf_strings) words = {0};
	hf_auto(hf_buf) word = HF_BUF_MAX(1 << 20);
	bool in_word = false;
	char quote = 0;

	for (const char *s = command; *s != '\0'; s++) {
		bool escapes = *s == '\\' && s[1] != '\0' && quote != '\'';

		if (escapes && quote == '"' && strchr("\"\\$`", s[1]) == NULL)
			escapes = false;
		if (quote == 0 && is_blank(*s)) {
			if (in_word)
				end_word(&word, &words);
			in_word = false;
			continue;
		}
		in_word = true;
		if (escapes)
			hf_buf_add_char(&word, *++s);
		else if (quote != 0 && *s == quote)
			quote = 0;
		else if (quote == 0 && (*s == '"' || *s == '\''))
			quote = *s;
		else
			hf_buf_add_char(&word, *s);
	}
	if (quote != 0)
		return hf_err(HF_EINVAL, "%s-quoted string not terminated",
			quote == '"' ? "double" : "single");
	if (in_word)
		end_word(&word, &words);
	if (words.len == 0)
		return hf_err(HF_EINVAL, "command string is empty");
	*out = words;
	words = (struct hf_strings){0};
	return NULL;
}
