/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading folders by descriptor. */
#ifndef HF_BASE_DIR_H
#define HF_BASE_DIR_H

#include <dirent.h>
#include <stddef.h>

#define hf_autodir __attribute__((cleanup(hf_auto_closedir_))) DIR

/* A stream over the open folder `fd`, which it takes, also on failure. NULL: errno says why. */
DIR *hf_dir_take(int fd);

/* The same for the folder at dirfd/name, with more flags of open() if need be (O_NOFOLLOW). */
DIR *hf_dir_open(int dirfd, const char *name, int flags);

/* The next entry but `.` and `..`; NULL at the end, with *en 0, or an errno value if it is none. */
const struct dirent *hf_dir_entry(DIR *dir, int *en);

/* Its name; NULL at the end, with *en 0, or an errno value if it is none. */
const char *hf_dir_next(DIR *dir, int *en);

static inline void
hf_auto_closedir_(DIR **dir)
{
	if (*dir != NULL)
		closedir(*dir);
}

#endif
