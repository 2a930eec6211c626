# SPDX-License-Identifier: BSD-2-Clause
"""diff: what restic prints, on the same repository, byte by byte."""

import repos
import tap
from differing import Made, change, fill, snapshots
from pair import Pair

RAW = {"errors": "surrogateescape"}


def repository(p, version=2):
    d = p.tmp / "data"
    fill(d)
    repos.quick(p.tmp / "repo", version)
    p.setup("backup", "-q", "data", "--time", "2023-01-02 03:04:05")
    change(d)
    p.setup("backup", "-q", "data", "--time", "2023-02-02 03:04:05")
    p.setup("backup", "-q", "data/b", "data/b2", "--time", "2023-03-02 03:04:05")
    return [s["id"] for s in snapshots(p)]


@tap.test
def what_restic_prints(tmp):
    p = Pair(repos.memory(tmp))
    a, b, c = repository(p)
    cases = [[a, b], [b, a], [a, a], [a, c], [c, b], [a[:8], b[:10]], [f"{a}:/data", f"{b}:data"], [f"{a}:data/a", f"{b}:/data/a/"],
             [f"{b}:data/b", f"{b}:data/b2"], [f"{a}:", b], [f"{a}:/", f"{b}:/"], [f"{a}:data/same", f"{b}:data/b/deep"]]
    for n, (x, y) in enumerate(cases):
        for more in ([], ["--metadata"], ["--json"], ["--json", "--metadata"], ["-q"], ["-q", "--json"])[:6 if n < 2 else 2]:
            p.same("diff", "--no-lock", *more, x, y, stderr=True, **RAW)


@tap.test
def a_repository_of_version_1(tmp):
    p = Pair(repos.memory(tmp))
    a, b, _ = repository(p, 1)
    p.same("diff", "--no-lock", a, b, **RAW)
    p.same("diff", "--no-lock", "--json", "--metadata", a, b, **RAW)


@tap.test
def errors(tmp):
    p = Pair(repos.memory(tmp))
    a, b, _ = repository(p)
    for argv in ([], [a], [a, b, a], [a, "zz"], ["ffffffff", b], [a, f"{b}:/nowhere"], [f"{a}:data/big", b], [a, f"{b}:data/a/one/x"]):
        r = p.same("diff", "--no-lock", *argv)
        tap.eq(r.returncode, 1)
        tap.ok(r.stderr.startswith("Fatal: "), r.stderr)
    tap.eq(p.same("diff", a, b, env={"RESTIC_REPOSITORY": str(tmp / "none")}).returncode, 10)
    tap.eq(p.same("diff", a, b, env={"RESTIC_PASSWORD": "wrong"}).returncode, 12)


@tap.test
def latest_is_for_holdfast_alone(tmp):
    p = Pair(repos.memory(tmp))
    a, _, c = repository(p)
    tap.eq(p.one(tap.holdfast(), "diff", a, "latest", **RAW).stdout, p.one(tap.holdfast(), "diff", a, c, **RAW).stdout)
    (tmp / "restic").symlink_to(tap.holdfast())
    for x, y in ((a, "latest"), ("latest:/data", a)):
        theirs, ours = (p.one(x2, "diff", x, y) for x2 in (p.restic, tmp / "restic"))
        tap.eq((ours.returncode, ours.stdout, ours.stderr), (theirs.returncode, theirs.stdout, theirs.stderr))


# ---- trees that no file system gives ----


def compare_made(tmp, change, expect):
    m = Made(tmp)
    other = m.second(change)
    for x, y in ((m.first["id"], other), (other, m.first["id"])):
        r = m.p.same("diff", "--no-lock", x, y, stderr=True, **RAW)
        m.p.same("diff", "--no-lock", "--metadata", "--json", x, y, stderr=True, **RAW)
    tap.contains(r.stdout, expect)


@tap.test
def content_that_changed_by_itself(tmp):
    def change(nodes):
        nodes["plain"]["content"] = nodes["linked"]["content"]
    compare_made(tmp, change, "\nM?   /plain\n")


@tap.test
def null_is_not_an_empty_list(tmp):
    def change(nodes):
        nodes["plain"]["content"] = None
        nodes["linked"]["content"] = []
        nodes["big"]["content"].append(nodes["big"]["content"].pop(0))
    compare_made(tmp, change, "\nM?   /plain\n")


@tap.test
def attributes(tmp):
    def change(nodes):
        nodes["plain"]["extended_attributes"] = [{"name": "user.a", "value": "MQ=="}]
        nodes["big"]["generic_attributes"] = {"linux.flags": 1}
        nodes["linked"].update(user="other", device_id=77)
        nodes["copy"]["mtime"] = "2023-01-01T00:00:00+05:00"
        nodes["100%s"]["mtime"] = nodes["100%s"]["mtime"]
        nodes["to-file"]["linktarget"] = "elsewhere"
    compare_made(tmp, change, "Files:           0 new")


@tap.test
def a_blob_that_no_index_lists(tmp):
    m = Made(tmp)
    other = m.second(lambda nodes: nodes["plain"].update(content=["12" * 32]))
    r, theirs = (m.p.one(z, "diff", m.first["id"], other, **RAW) for z in (tap.holdfast(), m.p.restic))
    tap.eq(r.stdout, theirs.stdout)
    tap.contains(theirs.stderr, "unable to find blob size for <data/12121212>")
    tap.contains(r.stderr, "unable to find blob size for <data/12121212>")
    tap.eq(r.returncode, 1)


@tap.test
def a_tree_that_is_gone(tmp):
    """What can be read is compared.  restic says that all is well in the end; we do not."""
    m = Made(tmp)
    other = m.second(lambda nodes: nodes["b"].update(subtree="34" * 32))
    for x, y in ((m.first["id"], other), (other, m.first["id"])):
        ours, theirs = (m.p.one(z, "diff", x, y, **RAW) for z in (tap.holdfast(), m.p.restic))
        tap.eq(ours.stdout, theirs.stdout)
        tap.contains(theirs.stderr, "error: ")
        tap.contains(ours.stderr, "3434343434")
        tap.eq((ours.returncode, theirs.returncode), (1, 0))
    other = m.second(lambda nodes: nodes["b"].update(subtree=None))
    tap.eq(m.p.one(tap.holdfast(), "diff", m.first["id"], other).returncode, 1)


tap.main()
