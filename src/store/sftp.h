/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A repository on an SFTP server, reached through the user's own `ssh` (docs/adr/0014), laid out as
 * in a local folder (restic-format 1.1, 13.4):
 *
 *	sftp:user@host:path	sftp://user@host:port//path	sftp_place.h says how they are read
 *	sftp.command=WORDS	the program that speaks SFTP on its standard input and output
 *	sftp.args=WORDS		more arguments for ssh
 *	sftp.connections=N	calls at once, 5; with 1 there is only one session, else there are
 *				more of them for data (sftp_pool.h)
 *
 * A file is written under a temporary name, synced, and renamed; then its folder is synced. Both
 * need a server with fsync@openssh.com (OpenSSH since 6.5), the rename one with
 * posix-rename@openssh.com. What the server can do is what the store promises: with both of them
 * there is a file system of POSIX behind it, whose listings show what is there. Others, those in
 * front of an object store for instance, may lag.
 *
 * A connection that is lost makes the calls that used it fail with HF_EIO; the next call makes a new
 * one. Temporary files that could not be removed then are removed later, if possible.
 *
 * within_s, a minute or stuck_s, bounds what this side does: all requests of a change together. A
 * server that is cut off after it has received a rename, and before it carried it out, may do so
 * later; nobody on this side can know.
 */
#ifndef HF_STORE_SFTP_H
#define HF_STORE_SFTP_H

#include "store/backend.h"

extern const struct hf_backend hf_backend_sftp;

#endif
