/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/idset.h"

#include "harness/test.h"

/* Ids that all begin alike, so that they want the same place, and ids that do not. */
static struct hf_id
id_of(unsigned n, bool is_crowded)
{
	struct hf_id id = {{0}};

	memcpy(id.b + (is_crowded ? 16 : 0), &n, sizeof n);
	id.b[31] = 1;
	return id;
}

TEST(holds_what_was_added)
{
	for (int crowded = 0; crowded < 2; crowded++) {
		hf_auto(hf_idset) s = {.max = 1 << 20};

		for (unsigned i = 0; i < 3000; i++) {
			struct hf_id id = id_of(i, crowded);

			CHECK(!hf_idset_has(&s, &id));
			CHECK(hf_idset_add(&s, &id));
			CHECK(hf_idset_add(&s, &id));
		}
		CHECK_EQ(s.len, 3000);
		for (unsigned i = 0; i < 6000; i++) {
			struct hf_id id = id_of(i, crowded);

			CHECK(hf_idset_has(&s, &id) == (i < 3000));
		}
	}
}

TEST(has_a_maximum_and_no_zero)
{
	hf_auto(hf_idset) s = {.max = 2};
	struct hf_id zero = {{0}}, id;

	CHECK(!hf_idset_has(&s, &zero));
	CHECK(!hf_idset_add(&s, &zero));
	for (unsigned i = 0; i < 4; i++) {
		id = id_of(i, false);
		CHECK(hf_idset_add(&s, &id) == (i < 2));
		CHECK(hf_idset_has(&s, &id) == (i < 2));
	}
	CHECK(!hf_idset_has(&s, &zero));
	hf_idset_clear(&s);
	CHECK(hf_idset_add(&s, &id));
}
