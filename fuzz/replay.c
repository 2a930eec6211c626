/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stands in for libFuzzer in `make test`: gives every file of the corpus directory named on
 * the command line to the target, and an empty input first.  TAP on standard output, one test
 * per file; what kills the program is in the file named last on standard error.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fuzz.h"

/* Hands the target an exact allocation, so that ASan sees a read one byte too far. */
static int
replay(const char *path, size_t size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(size > 0 ? size : 1);
	int ok = f != NULL && data != NULL && fread(data, 1, size, f) == size;

	if (ok)
		LLVMFuzzerTestOneInput(data, size);
	free(data);
	if (f != NULL)
		fclose(f);
	return ok;
}

int
main(int argc, char **argv)
{
	struct dirent **names = NULL;
	int n = argc == 2 ? scandir(argv[1], &names, NULL, alphasort) : -1;
	int number = 1;

	if (argc != 2) {
		fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
		return 2;
	}
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	printf("ok 1 - empty\n");
	for (int i = 0; i < n; i++) {
		char path[4096];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", argv[1], names[i]->d_name);
		if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
			fprintf(stderr, "%s\n", path);
			printf("%s %d - %s\n",
				replay(path, (size_t)st.st_size) ? "ok" : "not ok", ++number,
				names[i]->d_name);
			fflush(stdout);
		}
		free(names[i]);
	}
	free(names);
	printf("1..%d\n", number);
	return 0;
}
