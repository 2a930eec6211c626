/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/each.h"

#include "base/group.h"

struct each {
	const struct hf_each *how;
	atomic_size_t next;
	struct hf_stop failed; /* a sibling has */
};

static struct hf_err *
work(void *arg)
{
	struct each *e = arg;
	size_t i;

	while ((i = atomic_fetch_add(&e->next, 1)) < e->how->n) {
		HF_TRY(hf_stop_check(e->how->stop));
		HF_TRY(hf_stop_check(&e->failed));
		HF_TRY(e->how->one(e->how->arg, i));
	}
	return NULL;
}

static void
fail(void *arg)
{
	struct each *e = arg;

	hf_stop_set(&e->failed);
}

struct hf_err *
hf_each(const struct hf_each *how)
{
	struct each e = {.how = how};
	hf_autoptr(hf_group) g = NULL;

	if (how->n <= 1 || how->threads <= 1)
		return work(&e);
	g = hf_group_new(fail, &e);
	for (size_t i = 0; i < how->threads && i < how->n; i++) {
		struct hf_err *err = hf_group_go(g, how->name, work, &e);

		if (err != NULL) {
			fail(&e);
			return err;
		}
	}
	return hf_group_wait(g);
}
