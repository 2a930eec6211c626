# SPDX-License-Identifier: BSD-2-Clause
"""What changes a repository (forget, prune, the repairs, tag, rewrite, copy) over remote stores: as on a disk.

Over rest-server and the S3 server of these tests; STORES=full takes sshd and rclone, too.
"""

import os
import random
import re
import shutil

import compare
import locking
import repos
import rigs
import tap

KINDS = rigs.ALL if os.environ.get("STORES") == "full" else (rigs.Rest, rigs.S3)
HOW = {**repos.FORMAT_CANNOT, "rsync": False}
SMALL = ("--pack-size", "4", "--max-unused", "0")


class Scene:
    """Three snapshots over one store: two of the same folder, one of restic's of another."""

    def __init__(self, rig):
        self.rig, self.ours, self.restic = rig, rig.ours, rig.restic
        self.folders = [rig.tmp / "one", rig.tmp / "two"]
        rng = random.Random(8)
        for f in self.folders:
            (f / "sub").mkdir(parents=True)
            for i in range(5):
                (f / "sub" / f"file-{i}").write_bytes(rng.randbytes(300_000))
        self.ours("backup", "-q", "--pack-size", "4", ".", cwd=self.folders[0])
        for i in range(4):
            (self.folders[0] / "sub" / f"file-{i}").write_bytes(rng.randbytes(300_000))
        self.ours("backup", "-q", "--pack-size", "4", ".", cwd=self.folders[0])
        self.restic("backup", "-q", ".", cwd=self.folders[1])
        self.ids = [s["id"] for s in self.list()]

    def list(self):
        return self.ours.json(self.rig.url, "snapshots", "--no-lock")

    def is_sound(self):
        for p in self.ours, self.restic:
            tap.contains(p("check", "--read-data").stdout, "no errors were found")
        tap.eq(self.rig.locks(), [], "locks in the end")
        tap.eq([n for k in ("data", "index", "snapshots") for n in self.rig.names(k) if len(n) != 64], [], "left over")

    def restores(self, id, source):
        target = self.rig.tmp / f"target-{id}"
        self.restic("restore", id, "--target", target, "--no-lock", "-q")
        tap.eq(compare.trees(source, target, top=False, **HOW), [])
        shutil.rmtree(target)


def over(fn):
    def run(tmp):
        rigs.each(tmp, lambda rig: fn(Scene(rig)), KINDS)

    run.__name__ = fn.__name__
    return tap.test(run)


@over
def forget_and_prune(s):
    packs = s.rig.names("data")
    s.ours("forget", s.ids[0], "--prune", *SMALL)
    tap.eq([x["id"] for x in s.list()], s.ids[1:])
    tap.ok(packs - s.rig.names("data"), "nothing was deleted")
    s.restores(s.ids[1], s.folders[0])
    s.restores(s.ids[2], s.folders[1])
    s.is_sound()
    dry = s.ours("prune", *SMALL, "--dry-run", "-v").stdout
    tap.ok(re.search(r"to delete: +0 blobs", dry), dry)


@over
def a_backup_while_prune_works(s):
    """It relies on blobs that prune was about to delete, and nothing is lost; nobody waits for long."""
    old = s.rig.tmp / "old"
    s.restic("restore", s.ids[0], "--target", old, "--no-lock", "-q")
    s.ours("forget", s.ids[0])
    before = s.rig.names("index")
    gate = s.rig.tmp / "gate"
    with locking.Held(s.ours, s.rig.url, "delay@2:put:index", "prune", *SMALL, gate=gate, env=s.rig.env) as prune:
        locking.until("an index file of the prune", lambda: s.rig.names("index") - before)
        s.restic("backup", "-q", ".", cwd=old)
        prune.release()
        tap.eq(prune.end(), 0, prune.stderr())
    s.restores("latest", old)
    s.is_sound()


@over
def repairs(s):
    """A lost pack and a lost index file, and a new index from nothing."""
    blob = next(b for t, b in sorted(s.ours.blobs(s.rig.url)) if t == "data")
    pack = s.restic("find", "--blob", blob, "--show-pack-id", "--no-lock").stdout.split("belongs to pack ")[1].split()[0]
    s.rig.remove("data", f"{pack[:2]}/{pack}")
    s.rig.remove("index", sorted(s.rig.names("index"))[0])
    r = s.ours("repair", "index")
    tap.contains(r.stderr, "adding pack file to index")
    s.ours("repair", "snapshots", "--forget")
    s.is_sound()
    blobs = s.ours.blobs(s.rig.url)
    s.ours("repair", "index", "--read-all-packs")
    tap.eq(s.ours.blobs(s.rig.url), blobs)
    s.is_sound()


@over
def tag_rewrite_and_copy(s):
    s.ours("tag", "--add", "new", s.ids[1])
    s.ours("rewrite", "--forget", "--exclude", "file-0")
    tap.eq(sorted(len(x.get("tags", [])) for x in s.list()), [0, 0, 1])
    tap.eq([n for n in s.ours("ls", "latest", "--no-lock").stdout.splitlines() if "file-0" in n], [])
    other = repos.quick(s.rig.top / "other")
    local = repos.holdfast()
    local(other, *s.rig.options, "copy", "--from-repo", s.rig.url, env={**s.rig.env, "RESTIC_FROM_PASSWORD": repos.PASSWORD})
    tap.eq(sorted(x["tree"] for x in local.snapshots(other)), sorted(x["tree"] for x in s.list()))
    s.is_sound()


tap.main()
