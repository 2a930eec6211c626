/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/late.h"

#include <dlfcn.h>
#include <string.h>

static struct hf_err *
missing(const struct hf_late *l)
{
	const char *why = dlerror();

	return hf_err(HF_EFATAL, "%s is needed for %s (%s): apt install %s", l->file,
		l->purpose, why != NULL ? why : "it cannot be loaded", l->package);
}

/*
 * Lazily, as if it were linked: its own functions are looked up when they are called. Its names
 * are nobody's but ours.
 */
static struct hf_err *
load(struct hf_late *l)
{
	void *library = dlopen(l->file, RTLD_LAZY | RTLD_LOCAL);

	if (library == NULL)
		return missing(l);
	for (size_t i = 0; i < l->n; i++) {
		void *at = dlsym(library, l->functions[i].name);

		if (at == NULL) {
			struct hf_err *e = missing(l);

			dlclose(library);
			return e;
		}
		memcpy(l->functions[i].at, &at, sizeof at);
	}
	l->is_loaded = true;
	return NULL;
}

struct hf_err *
hf_late_load(struct hf_late *l)
{
	pthread_mutex_lock(&l->lock);
	struct hf_err *e = l->is_loaded ? NULL : load(l);

	pthread_mutex_unlock(&l->lock);
	return e;
}
