# SPDX-License-Identifier: BSD-2-Clause
"""What Borg has and restic does not: options that exist only under our own name."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import time

import repos
import tap

ours = repos.holdfast()


def as_restic(tmp):
    """Our program under restic's name."""
    link = tmp / "bin/restic"
    link.parent.mkdir(exist_ok=True)
    if not link.exists():
        link.symlink_to(tap.holdfast())
    return repos.Program("restic", str(link))


class Borg:
    """Borg beside us, with one repository; skips the test if it is absent."""

    def __init__(self, tmp):
        self.path = tap.peer("borg-1.4")
        self.repo = tmp / "borg-repo"
        self.env = {"BORG_BASE_DIR": str(tmp), "BORG_HOST_ID": "this-host", "LC_ALL": "C.UTF-8",
                    "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
        self("init", "-e", "none", self.repo)

    def __call__(self, *args, check=0, **kw):
        return tap.run(self.path, *args, env=self.env, check=check, **kw)


# ---- --show-rc


def last_line(r):
    return r.stderr.splitlines()[-1] if r.stderr else ""


@tap.test
def the_exit_code_in_words(tmp):
    repo = repos.quick(tmp / "repo")
    (tmp / "file").write_text("x")

    def expect(words, code, *args, where=repo, **kw):
        r = ours(where, *args, check=code, **kw)
        tap.eq(last_line(r), f"terminating with {words} status, rc {code}", str(args))
        tap.ok("terminating" not in r.stdout)
        tap.eq(r.stderr.count("terminating"), 1)

    expect("success", 0, "--show-rc", "snapshots")
    expect("success", 0, "backup", tmp / "file", "--show-rc", "--quiet", "--json")
    expect("warning", 3, "backup", tmp / "file", tmp / "absent", "--show-rc")
    expect("error", 1, "backup", tmp / "absent", "--show-rc")
    expect("error", 1, "backup", "--no-such-flag", "--show-rc")
    expect("error", 1, "backup", "--show-rc", "--read-concurrency", "x")
    expect("error", 1, "--show-rc", "no-such-command")
    expect("error", 10, "snapshots", "--show-rc", where=tmp / "none")
    expect("error", 12, "snapshots", "--show-rc", env={"RESTIC_PASSWORD": "wrong"})
    expect("success", 0, "with-lock", "--show-rc", "--", "true")
    expect("error", 7, "with-lock", "--show-rc", "--", "sh", "-c", "exit 7")
    r = ours(repo, "with-lock", "--show-rc", "--", "sh", "-c", "kill -KILL $$", check=-9)
    tap.eq(last_line(r), "terminating with signal status, rc 137")
    tap.ok("terminating" not in ours(repo, "snapshots").stderr)
    tap.ok("terminating" not in ours(repo, "snapshots", "--show-rc=false").stderr)


@tap.test
def the_exit_code_as_borg_says_it(tmp):
    borg = Borg(tmp)
    repo = repos.quick(tmp / "repo")
    (tmp / "file").write_text("x")
    # Codes of warnings differ; the words do not.
    for theirs, mine in ((("list", borg.repo), ("snapshots",)),
                         (("create", f"{borg.repo}::a", tmp / "file", tmp / "absent"),
                          ("backup", tmp / "file", tmp / "absent")),
                         (("with-lock", borg.repo, "sh", "-c", "exit 7"), ("with-lock", "--", "sh", "-c", "exit 7"))):
        a = borg("--show-rc", *theirs, check=None)
        b = ours(repo, "--show-rc", *mine, check=None)
        words = [re.fullmatch(r"(terminating with \w+ status, rc )\d+", last_line(r)).group(1) for r in (a, b)]
        tap.eq(words[0], words[1], str(mine))


@tap.test
def under_restics_name_there_is_none_of_it(tmp):
    repo = repos.quick(tmp / "repo")
    (tmp / "file").write_text("x")
    theirs = as_restic(tmp)
    for args in (["snapshots", "--show-rc"], ["snapshots", "--lock-wait", "1s"],
                 ["snapshots", "--log-format", "json"]):
        r = theirs(repo, *args, check=1)
        tap.contains(r.stderr, f"unknown flag: {args[1]}")
        tap.ok("terminating" not in r.stderr)
        tap.ok(args[1] not in theirs(repo, "help", args[0]).stdout)
        tap.contains(ours(repo, "help", args[0]).stdout, args[1])


tap.main()
