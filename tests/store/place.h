/* SPDX-License-Identifier: BSD-2-Clause */
/* The store that the contract is held against when a test has started a server for it. */
#ifndef HF_TESTS_STORE_PLACE_H
#define HF_TESTS_STORE_PLACE_H

#include <stdio.h>

#include "harness/test.h"
#include "store/open.h"

static const char *
from_environment(void *arg, const char *name)
{
	(void)arg;
	return getenv(name);
}

/* Splits "key=value key=value", which it writes into; returns how many there are. */
static size_t
parse_options(char *text, struct hf_option *options, size_t max)
{
	char *word, *value;
	size_t n = 0;

	while ((word = strsep(&text, " ")) != NULL) {
		if ((value = strchr(word, '=')) == NULL)
			continue;
		*value++ = '\0';
		REQUIRE(n < max);
		options[n++] = (struct hf_option){word, value};
	}
	return n;
}

/*
 * A place that hf_store_open() knows, for a test that has started a server: CONTRACT_PLACE is its
 * name, in which a `%` stands for what makes it another one for every test, CONTRACT_OPTIONS its
 * options, "key=value key=value", CONTRACT_CACERT a file with root certificates.
 */
static struct hf_store *
open_place(void)
{
	const char *place = getenv("CONTRACT_PLACE"), *cacert = getenv("CONTRACT_CACERT");
	struct hf_option options[8];
	const char *given = getenv("CONTRACT_OPTIONS");
	hf_autofree char *url = NULL, *words = hf_str_dup(hf_str(given != NULL ? given : ""));
	struct hf_store *s = NULL;

	REQUIRE(place != NULL && strchr(place, '%') != NULL);
	REQUIRE(asprintf(&url, "%.*st%d%s", (int)(strchr(place, '%') - place), place, getpid(),
			strchr(place, '%') + 1) > 0);
	REQUIRE_OK(hf_store_open(url,
		&(struct hf_open){.options = options,
			.n_options = parse_options(words, options, 8),
			.env = from_environment,
			.cacerts = &cacert,
			.n_cacerts = cacert != NULL},
		&s));
	return s;
}

enum { TELLS_ABSENCE = false };

#define STORES(X, test) X(place, test)

#endif
