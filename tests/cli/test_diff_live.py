# SPDX-License-Identifier: BSD-2-Clause
"""diff --live: the files of now, compared with a snapshot.

What it prints must be what restic's diff prints of the snapshot and a backup by restic of the same files,
made right afterwards, and it must leave the repository as it was.
"""

import json
import os
import shutil

import locking
import repos
import tap
from differing import Made, change, fill, snapshots
from pair import Pair

RAW = {"errors": "surrogateescape"}
SELECT = [[], ["-e", "b*", "--iexclude", "/**/A/TWO"], ["--exclude-larger-than", "1M"], ["--exclude-if-present", "one"],
          ["--exclude-caches", "--one-file-system"], ["--exclude-file", "patterns"]]


class Live(Pair):
    """A repository with a snapshot of a folder `data`, which has changed since."""

    def __init__(self, *what, version=2):
        super().__init__(repos.apart())
        self.data = self.tmp / "data"
        fill(self.data)
        repos.quick(self.tmp / "repo", version)
        (self.tmp / "patterns").write_text("three\nlatin*\n")
        self.setup("backup", "-q", *(what or [self.data]))
        self.first = snapshots(self)[-1]["id"]

    def files(self):
        return sorted(p.relative_to(self.tmp) for p in (self.tmp / "repo").rglob("*"))

    def live(self, *argv, code=0, **kw):
        before = self.files()
        r = self.one(tap.holdfast(), "diff", "--live", *argv, **RAW, **kw)
        tap.eq(r.returncode, code, r.stderr)
        tap.eq(self.files(), before)
        return r

    def backup(self, *argv):
        self.setup("backup", "-q", "--parent", self.first, *argv)
        return snapshots(self)[-1]["id"]

    def theirs(self, *argv):
        return self.one(self.restic, "diff", "--no-lock", *argv, **RAW).stdout

    def forget(self, second):
        """The repository as it was before the backup, but for what is not used."""
        self.setup("forget", "-q", "--prune", second)


def body(text):
    """Without the line that names the snapshots."""
    head, rest = text.split("\n", 1)
    tap.ok(head.startswith("comparing snapshot "), head)
    return rest


FORMS = [["--metadata"], ["--json"], [], ["-q"], ["--json", "--metadata"]]


def same(p, what, options=(), folder=None, paths=None, forms=FORMS[:2]):
    """Ours of now, and restic's of a backup of now."""
    one = p.first + (f":{folder}" if folder else "")
    ours = [p.live(*f, *options, one, *(what if paths is None else paths)).stdout for f in forms]
    second = p.backup(*(o for o in options if o not in ("-f",)), *what)
    other = second + (f":{folder}" if folder else "")
    for form, got in zip(forms, ours):
        want = p.theirs(*form, one, other)
        if "-q" in form or "--json" in form:
            tap.eq(got.replace('"live"', json.dumps(other)), want, f"{form} {options}")
        else:
            tap.eq(body(got), body(want), f"{form} {options}")
    p.forget(second)
    return ours[0]


@tap.test
def what_a_backup_would_differ_in(tmp):
    p = Live()
    tap.eq(p.live("-q", "--metadata", p.first).stdout, p.theirs("-q", p.first, p.first))
    change(p.data)
    for n, options in enumerate(SELECT):
        text = same(p, [p.data], options, paths=[] if n % 2 == 0 else None, forms=FORMS if n == 0 else FORMS[:2])
        tap.contains(text, "/data/a/one\n")
    text = same(p, [p.data], ["-f"], paths=[])
    for how in ("M ", "- ", "+ ", "TU", "U "):
        tap.contains(text, f"\n{how}   /")


@tap.test
def of_relative_paths(tmp):
    p = Live("data/a", "data/b")
    change(p.data)
    same(p, ["data/a", "data/b"])
    same(p, ["data"])
    tap.contains(p.live(p.first, code=1).stderr, "under another name: say what is to be compared")


@tap.test
def a_folder(tmp):
    p = Live()
    change(p.data)
    same(p, [p.data], folder=f"{p.data}/a", paths=[])
    same(p, [p.data], folder=f"{p.data}/", paths=["data/../data/"])
    shutil.copytree(p.data / "b", p.tmp / "elsewhere")
    (p.tmp / "elsewhere/new").touch()
    tap.contains(p.live(f"{p.first}:{p.data}/b", "elsewhere").stdout, "+    /new\n\nFiles:           1 new,     0 removed,     0 changed")
    tap.contains(p.live(f"{p.first}:{p.data}/b", "elsewhere", "data", code=1).stderr, "with one folder")
    tap.contains(p.live(f"{p.first}:{p.data}/b", p.data / "a/one", code=1).stderr, "not a directory")
    tap.contains(p.live(f"{p.first}:{p.data}/nowhere", code=1).stderr, "not found")


@tap.test
def what_is_not_there_any_more(tmp):
    p = Live()
    second = p.backup(p.data / "a", p.data / "b")
    shutil.rmtree(p.data / "a")
    tap.contains(p.live(second).stdout, f"\n-    {p.data}/a/\n")
    r = p.live(second, "data/b", "data/a", code=3)
    tap.contains(r.stderr, "data/a does not exist, skipping")
    shutil.rmtree(p.data)
    tap.contains(p.live(second, code=1).stderr, "nothing of what snapshot")


@tap.test
def a_repository_of_version_1(tmp):
    p = Live(version=1)
    change(p.data)
    same(p, [p.data], paths=[])


@tap.test
def a_large_folder(tmp):
    """Many trees and long files, read by several threads; nothing of it is known before."""
    p = Live()
    for i in range(300):
        (p.data / f"many{i}").mkdir()
        for j in range(5):
            (p.data / f"many{i}/{j}").write_text(f"{i} {j % 3}")
    (p.data / "long").write_bytes(os.urandom(30 << 20))
    same(p, [p.data], paths=[])


@tap.test
def content_is_read_only_when_it_must_be(tmp):
    """The snapshot says that a file has other content; but for that all is as it was."""
    def other(nodes):
        nodes["plain"]["content"] = nodes["linked"]["content"]

    m = Made(tmp)
    second = m.second(other)
    p = m.p
    live = lambda *more: p.one(tap.holdfast(), "diff", "--live", "-q", *more, second, ".", cwd=p.tmp / "data", **RAW)
    tap.contains(live().stdout, "     0 changed")
    r = p.one(tap.holdfast(), "diff", "--live", "--force", second, ".", cwd=p.tmp / "data", **RAW)
    tap.contains(r.stdout, "\nM?   /plain\n")
    os.utime(p.tmp / "data/plain", ns=(0, os.stat(p.tmp / "data/plain").st_mtime_ns))
    tap.contains(live().stdout, "     1 changed")  # the ctime is another
    tap.contains(live("--ignore-ctime").stdout, "     0 changed")
    tap.contains(live("--ignore-inode").stdout, "     0 changed")


@tap.test
def what_cannot_be_read(tmp):
    if os.getuid() != 0:
        tap.skip("who is not root cannot be somebody else")
    p = Live()
    os.chmod(p.data / "big", 0o600)
    os.chmod(p.data / "a", 0o700)
    for f in [p.tmp, *(p.tmp / "repo").rglob("*"), p.tmp / "repo"]:
        os.chmod(f, 0o755)
    for more in ([], ["--json"]):
        r = tap.run(*locking.as_nobody(), tap.holdfast(), "diff", "--live", "--no-cache", "--no-lock", "--force", *more, p.first,
                    env=p.env, check=None, **RAW)
        tap.eq(r.returncode, 3, r.stderr)
        tap.contains(r.stderr, "data/big")
        tap.contains(r.stderr, "data/a")
        tap.contains(r.stdout, f"{p.data}/big")


@tap.test
def wrong_words(tmp):
    p = Live()
    tap.contains(p.live(code=1).stderr, "specify a snapshot ID")
    tap.contains(p.live("ffffffff", code=1).stderr, "no matching ID found")
    tap.contains(p.live("-e", "[", p.first, code=1).stderr, "--exclude")
    for o in (["--force"], ["-e", "x"], ["--one-file-system"]):
        r = p.one(tap.holdfast(), "diff", *o, p.first, p.first)
        tap.eq(r.returncode, 1)
        tap.contains(r.stderr, "is for --live")


@tap.test
def restic_has_nothing_like_it(tmp):
    p = Live()
    (p.tmp / "restic").symlink_to(tap.holdfast())
    for o in ("--live", "--force", "-x"):
        theirs, ours = (p.one(x, "diff", o, p.first, p.first) for x in (p.restic, p.tmp / "restic"))
        tap.eq(ours.returncode, theirs.returncode)
        tap.contains(ours.stderr, theirs.stderr.splitlines()[0])
    tap.ok("--live" not in p.one(p.tmp / "restic", "diff", "--help").stdout)
    tap.contains(p.one(tap.holdfast(), "diff", "--help").stdout, "--live")


tap.main()
