# SPDX-License-Identifier: BSD-2-Clause
"""The lines of README's table of stores, pasted into a shell, with hosts and buckets of the test's own."""

import os
import re

import repos
import restd
import s3rig
import s3server
import sftpd
import tap

SECTION = re.search(r"^## Where repositories can be\n(.*?)^## ", (tap.TOP / "README.md").read_text(), re.M | re.S)[1]
LINES = re.findall(r"`([^`]*holdfast -r [^`]* init)`", SECTION)


def paste(tmp, part, changes, env=None):
    """Runs the one line that has `part`, after `changes`, each of which must find something."""
    found = [line for line in LINES if part in line]
    tap.eq(len(found), 1, f"lines with {part} in {LINES}")
    line = found[0]
    for old, new in changes.items():
        tap.contains(line, old)
        line = line.replace(old, str(new))
    tools = tmp / "bin"
    tools.mkdir(exist_ok=True)
    if not (tools / "holdfast").exists():
        (tools / "holdfast").symlink_to(repos.holdfast().path)
    env = {"RESTIC_PASSWORD": repos.PASSWORD, "PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(tmp), **(env or {})}
    tap.contains(tap.run("sh", "-c", line, env=env, cwd=tmp).stdout, "created")
    LEFT.discard(found[0])


LEFT = set(LINES)


@tap.test
def folder_and_sftp(tmp):
    paste(tmp, "-r /srv/backup", {"/srv/": f"{tmp}/"})
    (tmp / "bin/ssh").write_text(f"#!/bin/sh\nprintf '%s ' \"$@\" >'{tmp}/said'\ncd '{tmp}' && exec {sftpd.sftp_server()}\n")
    (tmp / "bin/ssh").chmod(0o755)
    (tmp / "home").mkdir()
    paste(tmp, "sftp:me@", {":backup": ":home/backup"})
    tap.eq((tmp / "said").read_text(), "host -l me -s sftp ")
    tap.ok((tmp / "home/backup/config").exists(), "below the home folder")
    paste(tmp, "sftp://", {"//srv/": f"/{tmp}/srv/"})
    tap.eq((tmp / "said").read_text(), "host -p 2222 -l me -s sftp ")
    tap.ok((tmp / "srv/backup/config").exists(), "an absolute path")


@tap.test
def rest(tmp):
    with restd.Server(tmp / "one") as server:
        paste(tmp, "rest:http://", {"host:8000": f"127.0.0.1:{server.port}"})
    tls = restd.Authority(tmp)
    with restd.Server(tmp / "two", tls=tls, user=("me", "secret")) as server:
        paste(tmp, "rest:https://", {"host:8000": f"localhost:{server.port}", "ca.pem": tls.ca})
    with restd.Server(tmp / "three", socket_path=tmp / "socket"):
        paste(tmp, "rest:http+unix://", {"/run/rest.sock": tmp / "socket"})


@tap.test
def s3(tmp):
    amazon = "s3.eu-west-1.amazonaws.com"
    with s3server.Server() as server:
        env = {k: v for k, v in server.env.items() if not k.startswith(("AWS_ACCESS", "AWS_SECRET"))}
        keys = {"=id": f"={server.access}", "=secret": f"='{server.secret}'"}
        paste(tmp, f"{amazon}/bucket/backup", {amazon: f"http://127.0.0.1:{server.port}", **keys}, env)
        paste(tmp, "s3:http://host:9000", {"host:9000": f"127.0.0.1:{server.port}", **keys}, env)
        with s3rig.Sts(server) as sts:
            paste(tmp, "role-bucket", {amazon: f"http://127.0.0.1:{server.port}", "arn:aws:iam::123456789012:role/backup":
                                       f"'{sts.ROLE}'", **keys}, {**env, "RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT": sts.url})
            server.access, server.secret, server.token = sts.access, sts.secret, None
        with s3rig.Metadata(server) as meta:
            paste(tmp, "instance-metadata", {amazon: f"http://127.0.0.1:{server.port}", "/bucket": "/another"},
                  {**env, "AWS_EC2_METADATA_SERVICE_ENDPOINT": meta.url})


@tap.test
def rclone(tmp):
    (tmp / "bin").mkdir()
    (tmp / "bin/rclone").symlink_to(tap.peer("rclone"))
    paste(tmp, "rclone:", {}, {"RCLONE_CONFIG_REMOTE_TYPE": "alias", "RCLONE_CONFIG_REMOTE_REMOTE": str(tmp / "far"),
                               "RCLONE_CONFIG": str(tmp / "rclone.conf")})
    tap.ok((tmp / "far/backup/config").exists(), "nothing there")


@tap.test
def there_are_no_other_lines(tmp):
    """After all of the tests above."""
    tap.ok(len(LINES) >= 10, f"hardly any lines: {LINES}")
    tap.eq(LEFT, set(), "lines that no test above pastes")


if __name__ == "__main__":
    tap.main()
