# SPDX-License-Identifier: BSD-2-Clause
"""S3 as Ceph's gateway speaks it."""

import ceph
import repos
import s3rig
import tap


@tap.test
def contract_and_restic(tmp):
    if ceph.missing():
        tap.skip(f"{ceph.missing()} are absent (tools/deps ceph brings them)")
    with ceph.Gateway(repos.memory(tmp)) as c:
        s3rig.interop(c.url("bucket/some/prefix"), tmp, c.env)
        for options in "", "s3.part-size=5", "s3.list-objects-v1=true":
            s3rig.contract(c.url("bucket/a prefix+%"), c.env, options)


if __name__ == "__main__":
    tap.main()
