# SPDX-License-Identifier: BSD-2-Clause
"""S3 against a server of our own (s3server.py), which goes wrong when it is told to."""

import repos
import s3rig
import s3server
import tap


@tap.test
def keeps_the_contract(tmp):
    for server, options in (({"page": 7}, ""),
                            ({"page": 7, "v1_only": True}, "s3.list-objects-v1=true"),
                            ({"token": "session/+=", "region": "eu-nowhere-1"}, "s3.part-size=5")):
        with s3server.Server(**server) as s:
            s.buckets["bucket"] = {}
            s3rig.contract(s.url("bucket/a prefix+%"), s.env, options)


@tap.test
def shares_a_repository_with_restic(tmp):
    with s3server.Server(page=5) as s:
        s3rig.interop(s.url("bucket/some/prefix"), tmp, s.env)


if __name__ == "__main__":
    tap.main()
