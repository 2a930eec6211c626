# SPDX-License-Identifier: BSD-2-Clause
"""Commands that make new snapshots out of old ones: on copies of one repository restic and holdfast
print the same and leave the same behind, down to the ids of trees.
"""

import itertools
import json
import os

import repos
import tap
import tree
from sides import Sides


def source(top):
    """A few folders with names that need care, some alike."""
    for folder in "a/b/c", "a/b/d", "copy/b/c", "empty", "z":
        (top / folder).mkdir(parents=True)
    for n, name in enumerate(("a/one.c", "a/two.h", "a/b/one.c", "a/b/c/deep", "a/b/d/x y", "copy/b/c/deep", "z/<&>",
                              "z/n\new\\", "z/\u00e4.txt", "top")):
        (top / name).write_text(f"{n}\n" * (n + 1))
    (top / os.fsdecode(b"z/\xff")).write_text("latin")
    (top / "link").symlink_to("a/one.c")
    os.link(top / "top", top / "z/hard")
    return top


def repository(tmp, version=2):
    """Two hosts, three snapshots; one has no summary, as of an old restic."""
    d, base = source(tmp / "data"), repos.quick(repos.memory(tmp) / "base", version)
    restic = repos.restic("restic-new")
    old = repos.restic("restic-0.14")
    restic(base, "backup", "-q", "--host", "h1", "--tag", "t1,t2", ".", cwd=d)
    (d / "a/new").write_text("new\n")
    restic(base, "backup", "-q", "--host", "h2", d)
    old(base, "backup", "-q", "--host", "h3", "--tag", "t2", "a", "z", cwd=d)
    return base


@tap.test
def tag(tmp):
    s = Sides(tmp, repository(tmp))
    for argv in (["--set", "a,b"], ["--set", "a, b", "--set", "c,,a"], ["--set", ""], ["--set", "", "--json"],
                 ["--set", ","], ["--add", "x"], ["--add", "x,x", "--add", "t1"], ["--remove", "t1"],
                 ["--remove", "t2", "--add", "new"], ["--add", "new", "--remove", "new"], ["--remove", "none"],
                 ["--add", "x", "--json"], ["--add", "x", "-v", "--host", "h1"], ["--add", "x", "-q"],
                 ["--tag", "t1", "--remove", "t1"], ["--path", "/nowhere", "--add", "x"], ["--add", "x", "latest"],
                 ["--add", "x", "--host", "h1", "latest"], ["--add", "x", "0000000"], ["--add", "x", "latest:a"],
                 ["--add", "x", "0000:a"], [], ["--set", "a", "--add", "b"], ["--json"]):
        s.same("tag", *argv)
    # The first id is kept over any number of changes.
    s.reset()
    ids = {x["id"] for x in s.programs[0].snapshots(s.repos[1])}
    for argv in ["--add", "one"], ["--add", "two"], ["--remove", "one"], ["--set", "three"]:
        s.same("tag", *argv, keeps=True)
    tap.eq({x["original"] for x in s.programs[0].snapshots(s.repos[1])}, ids)
    # What is said in JSON is true.
    before = {x["id"] for x in s.programs[0].snapshots(s.repos[1])}
    lines = [json.loads(x) for x in s.same("tag", "--add", "last", "--json", keeps=True).stdout.splitlines()]
    tap.eq({x["old_snapshot_id"] for x in lines[:-1]}, before)
    tap.eq({x["new_snapshot_id"] for x in lines[:-1]}, {x["id"] for x in s.programs[0].snapshots(s.repos[1])})
    s.programs[0](s.repos[1], "check")


tap.main()
