/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Repositories in a bucket of Amazon S3, or of what behaves like it (Ceph, MinIO, Garage ...):
 *
 *	s3:host/bucket/prefix		TLS; also s3:https://host:port/..., s3://host/...
 *	s3:http://host:port/bucket	without TLS
 *
 * With http:// or https:// it is a URL, whose escapes (%20) are decoded; else they are themselves.
 * Keys of objects are `prefix`/ and then the names of restic-format 1.1. Whose keys are used says
 * s3_keys.h, s3_source_find(). Options, as restic's unless it says otherwise:
 *
 *	s3.connections=N		5
 *	s3.region=NAME			else AWS_DEFAULT_REGION, else what the host's name or the
 *					server's first answer says
 *	s3.bucket-lookup=auto|dns|path	s3_i.h, enum s3_lookup
 *	s3.list-objects-v1=BOOL		for servers without ListObjectsV2
 *	s3.storage-class=NAME		of all that is written; GLACIER and DEEP_ARCHIVE of packs of
 *					data alone
 *	s3.enable-restore=BOOL		what is in an archive is ordered back before it is read, if
 *					the feature flag s3-restore is on; for restore-days=N (7)
 *					in the tier restore-tier=Standard|Bulk|Expedited; it is
 *					waited for during restore-timeout=DURATION (24h), with a
 *					look every restore-pause=DURATION (1m; ours alone)
 *	s3.unsafe-anonymous-auth=BOOL	requests are not signed
 *	s3.instance-metadata=BOOL	without keys elsewhere, the service of the container or of
 *					the virtual machine is asked for some (ours alone: restic
 *					asks it anyway)
 *	s3.part-size=MIB		larger files go in parts of so much (ours alone; 200)
 *	s3.hash-uploads=BOOL		uploads are hashed again instead of taking the file's name
 *					for it (ours alone: for tests whose names are made up)
 *	s3.retries, s3.layout=default	taken and without effect: a wrapper tries calls again, see
 *					retry.limit in open.h
 *
 * A bucket that does not exist is made by hf_store_create(); before that nothing can be listed.
 * Opening asks the server nothing.
 */
#ifndef HF_STORE_S3_H
#define HF_STORE_S3_H

#include "store/backend.h"

extern const struct hf_backend hf_backend_s3;

#endif
