/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the index costs: bench_index [MILLIONS]
 *
 * Nanoseconds of processor time per blob for adding, for finding in another order, in the order of
 * adding, what is not there, and by number; and the bytes of memory that each blob takes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/endian.h"
#include "repo/index.h"

enum { IN_PACK = 500, LENGTH = 4000, RAW = 9000 };

/* As good as a hash: the same for the same number. */
static struct hf_id
id_of(uint64_t n)
{
	struct hf_id id;

	for (size_t i = 0; i < HF_ID_LEN; i += 8) {
		uint64_t z = n += UINT64_C(0x9e3779b97f4a7c15);

		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		hf_put_le64(id.b + i, z ^ z >> 31);
	}
	return id;
}

static double
processor_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t
resident(void)
{
	hf_autofree char *line = NULL;
	size_t cap = 0, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f == NULL || getline(&line, &cap, f) < 0 || sscanf(line, "%*s %zu", &pages) != 1)
		pages = 0;
	if (f != NULL)
		fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void
add_all(struct hf_index *ix, uint64_t n)
{
	static struct hf_pack_entry e[IN_PACK];

	for (uint64_t i = 0; i < n; i += IN_PACK) {
		struct hf_id pack = id_of(UINT64_C(1) << 60 | i);

		for (uint32_t k = 0; k < IN_PACK; k++)
			e[k] = (struct hf_pack_entry){
				{id_of((i + k) << 8), HF_DATA}, k * LENGTH, LENGTH, RAW};
		hf_index_add_pack(ix, &pack, e, IN_PACK);
	}
}

/* Finds blob number `from`, `from + step` ... modulo `n`; returns how many there are. */
static uint64_t
find_all(struct hf_index *ix, uint64_t n, uint64_t step, uint64_t from)
{
	struct hf_location at;
	uint64_t found = 0;

	for (uint64_t i = 0; i < n; i++) {
		struct hf_blob blob = {id_of((i * step % n << 8) + from), HF_DATA};

		found += hf_index_find(ix, &blob, 0, &at);
	}
	return found;
}

static uint64_t
look_at_all(struct hf_index *ix, uint64_t n)
{
	struct hf_location at;
	struct hf_blob blob;
	uint64_t found = 0;

	for (uint64_t i = 0; i < n; i++)
		found += hf_index_entry(ix, i, &blob, &at);
	return found;
}

static void
tell(const char *what, double *since, uint64_t n, uint64_t found)
{
	double now = processor_time();

	printf("%-10s %5.0f ns  (%ju found)\n", what, (now - *since) / (double)n * 1e9,
		(uintmax_t)found);
	*since = processor_time();
}

int
main(int argc, char **argv)
{
	uint64_t n = (uint64_t)((argc > 1 ? strtod(argv[1], NULL) : 2) * 1e6);
	hf_autoptr(hf_index) ix = hf_index_new();
	size_t before = resident();
	double since = processor_time();

	n = n < IN_PACK ? IN_PACK : n / IN_PACK * IN_PACK;
	add_all(ix, n);
	tell("add", &since, n, n);
	printf("memory     %5.1f bytes per blob\n", (double)(resident() - before) / (double)n);
	tell("any order", &since, n, find_all(ix, n, UINT64_C(1000003), 0));
	tell("in order", &since, n, find_all(ix, n, 1, 0));
	tell("absent", &since, n, find_all(ix, n, 1, 1));
	tell("by number", &since, n, look_at_all(ix, n));
	return 0;
}
