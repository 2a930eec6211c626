/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

DIR *
hf_dir_take(int fd)
{
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	int en = errno;

	if (dir == NULL && fd >= 0)
		close(fd);
	errno = en;
	return dir;
}

DIR *
hf_dir_open(int dirfd, const char *name, int flags)
{
	return hf_dir_take(TEMP_FAILURE_RETRY(
		openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags)));
}

const struct dirent *
hf_dir_entry(DIR *dir, int *en)
{
	const struct dirent *d;

	do {
		errno = 0;
		d = readdir(dir);
		*en = errno;
	} while (d != NULL && (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0));
	return d;
}

const char *
hf_dir_next(DIR *dir, int *en)
{
	const struct dirent *d = hf_dir_entry(dir, en);

	return d != NULL ? d->d_name : NULL;
}
