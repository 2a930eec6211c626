/* SPDX-License-Identifier: BSD-2-Clause */
/* Names come from the kernel and from the system's user database (files, LDAP, ...). */
#include "base/host.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "base/io.h"

char *
hf_host_name(void)
{
	char name[256] = "";

	if (gethostname(name, sizeof name - 1) != 0)
		name[0] = '\0';
	return hf_str_dup(hf_str(name));
}

char *
hf_user_name(uid_t uid)
{
	hf_auto(hf_buf) room = HF_BUF_MAX(1 << 20);
	hf_auto(hf_buf) digits = HF_BUF_MAX(32);
	struct passwd pw, *found = NULL;

	for (size_t n = 1024; n <= room.max; n *= 2) {
		hf_autoptr(hf_err) e = hf_buf_resize(&room, n);

		if (e != NULL || getpwuid_r(uid, &pw, (char *)room.p, n, &found) != ERANGE)
			break;
	}
	if (found != NULL && found->pw_name != NULL && found->pw_name[0] != '\0')
		return hf_str_dup(hf_str(found->pw_name));
	hf_buf_addf(&digits, "%lu", (unsigned long)uid);
	return hf_str_dup(hf_bytes_str(hf_buf_bytes(&digits)));
}

enum { ENTRY_MAX = 16384 }; /* bytes of one entry in the database */

bool
hf_user_id(const char *name, uint32_t *id)
{
	struct passwd pw, *found = NULL;
	char room[ENTRY_MAX];

	if (*name == '\0' || getpwnam_r(name, &pw, room, sizeof room, &found) != 0 ||
		found == NULL)
		return false;
	*id = found->pw_uid;
	return true;
}

bool
hf_group_id(const char *name, uint32_t *id)
{
	struct group gr, *found = NULL;
	char room[ENTRY_MAX];

	if (*name == '\0' || getgrnam_r(name, &gr, room, sizeof room, &found) != 0 ||
		found == NULL)
		return false;
	*id = found->gr_gid;
	return true;
}

unsigned
hf_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (unsigned)n : 1;
}
