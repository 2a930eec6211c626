/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as the text of a time, and as a time. What is read, written and read again is the same
 * instant in the same zone; every time has a text that can be read.
 */
#include "fuzz.h"

#include "base/endian.h"
#include "base/time.h"

enum { DAY_S = 86400 };

static struct hf_time
again(const struct hf_time *t)
{
	uint8_t room[40];
	struct hf_buf b = {.p = room, .cap = sizeof room, .max = sizeof room};
	struct hf_time back;

	hf_time_add(&b, t);
	must(!b.is_full && b.len >= 20 && b.len <= 35, "a text of a strange length");
	must(hf_time_parse(hf_bytes_str(hf_buf_bytes(&b)), &back), "own text refused");
	return back;
}

static void
check_text(struct hf_str s)
{
	struct hf_time t;

	if (!hf_time_parse(s, &t))
		return;
	must(t.nsec < 1000000000, "nanoseconds");
	struct hf_time back = again(&t);
	/* The first and last days may be in another year when put into UTC, and are clamped. */
	bool is_clamped = t.sec < -62167219200 || t.sec > 253402300799;
	bool is_odd_zone = t.zone_s <= -DAY_S || t.zone_s >= DAY_S;

	if (is_odd_zone && is_clamped)
		return;
	must(hf_time_cmp(&t, &back) == 0, "another instant came back");
	must(back.zone_s == (is_odd_zone ? 0 : t.zone_s), "another zone came back");
}

static void
check_time(const uint8_t *p)
{
	struct hf_time t = {
		.sec = (int64_t)hf_get_le64(p),
		.nsec = hf_get_le32(p + 8) % 1000000000,
		.zone_s = (int32_t)hf_get_le32(p + 12),
	};

	again(&t);
	if (p[16] & 1)
		t.sec %= 253402300799 - DAY_S; /* no clamping */
	if (p[16] & 2)
		t.zone_s %= DAY_S;
	struct hf_time back = again(&t);
	if (t.sec >= -62167219200 + DAY_S && t.sec <= 253402300799 - DAY_S &&
		t.zone_s > -DAY_S && t.zone_s < DAY_S) {
		/* The text has the clock by the whole offset and only the minutes of it. */
		must(back.zone_s == t.zone_s / 60 * 60, "another zone was written");
		must(back.sec == t.sec + t.zone_s % 60 && back.nsec == t.nsec,
			"another instant was written");
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_text((struct hf_str){(const char *)data, size});
	if (size >= 17)
		check_time(data);
	return 0;
}
