# SPDX-License-Identifier: BSD-2-Clause
"""The N-th call to the store goes wrong, or is the last one, in forget, prune and repair index.

Whatever happens: both checks pass, every snapshot that should be there restores to what it was, and
the same command, once more, ends the work.

TORTURE=long in the environment tries every N, and more kinds of faults.
"""

import hashlib
import os
import random
import shutil
import time

import faults
import repos
import tap

IS_LONG = os.environ.get("TORTURE") == "long"
STEP = 1 if IS_LONG else 4
# Each change that the command makes is a moment of its own; what is only read is less interesting.
KINDS = {":put": [], ":del": ["fail@{}"], "": []}
if IS_LONG:
    KINDS = {"": ["fail@{}", "fail@{}+:fatal", "fail@{}:fatal", "fail@{}+", "lost@{}", "lost@{}+"],
             ":put": ["half@{}", "half@{}+", "lost@{}"], ":get": ["fail@{}", "short@{}", "flip@{}"],
             ":del": ["fail@{}", "lost@{}", "fail@{}+"], ":list": ["fail@{}"]}


class Torture:
    """A repository of which a part is not needed any more, in packs of 4 MiB."""

    def __init__(self, tmp):
        self.tmp = repos.memory(tmp)
        self.ours, self.theirs = repos.holdfast(), repos.restic("restic-new")
        self.base = repos.quick(self.tmp / "base")
        source = self.tmp / "source"
        source.mkdir()
        rng = random.Random(6)
        for i in range(9):
            (source / f"f{i}").write_bytes(rng.randbytes(700_000))
        for k in range(3):
            for i in rng.sample(range(9), 3):
                (source / f"f{i}").write_bytes(rng.randbytes(700_000))
            self.ours(self.base, "backup", "-q", "--pack-size", "4", ".", cwd=source)
        self.snapshots = [s["id"] for s in self.ours.snapshots(self.base)]
        self.content = {s: self.dump(self.base, s) for s in self.snapshots}
        # A pack that nobody lists, and all files so old that it may go.
        (self.base / "data/ee" / ("ee" * 32)).write_bytes(b"x" * 1000)
        old = time.time() - 7200
        for f in self.base.rglob("*"):
            os.utime(f, (old, old))

    def dump(self, repo, snapshot):
        return hashlib.sha256(self.ours(repo, "dump", "--no-lock", snapshot, "/", text=False).stdout).hexdigest()

    def is_sound(self, repo, must, may=()):
        """Both checks pass, and these snapshots are what they were."""
        self.theirs(repo, "check", "--read-data", "--no-lock")
        self.ours(repo, "check", "--read-data", "--no-lock")
        there = repos.files(repo, "snapshots")
        tap.ok(set(must) <= there <= set(must) | set(may), f"snapshots {there}")
        for s in there if IS_LONG else list(there)[:1]:
            tap.eq(self.dump(repo, s), self.content[s], "the content of a snapshot")

    def run(self, plan, must, may, *command):
        """True if the plan did not concern this run any more."""
        repo = self.tmp / f"{command[0]}-{plan}"
        shutil.copytree(self.base, repo)
        r = self.ours(repo, "-o", f"fault.plan={plan}", "--pack-size", "4", *command, check=None, timeout=120)
        done = faults.ended_well(r, plan)
        self.is_sound(repo, must, may)
        r = self.ours(repo, "--pack-size", "4", *command, check=None)
        # Snapshots that were named may be gone by now.
        tap.eq(r.returncode, 0, f"once more:\n{r.stderr}")
        tap.eq([n for n in repos.locks(repo) if "-tmp-" not in n], [], "locks")
        if IS_LONG:
            self.is_sound(repo, must)
        self.finished(repo, command)
        shutil.rmtree(repo)
        return done

    def finished(self, repo, command):
        if command[0] != "prune" and "--prune" not in command:
            return
        # But for young packs that no index lists, everything is needed.
        listed = {i for i in self.ours(repo, "list", "packs").stdout.split()}
        plan = self.ours(repo, "prune", "-n", "-v").stdout
        tap.contains(plan, "unused size: 0.00% of total size")
        tap.ok("ee" * 32 not in listed, "a pack that nobody lists has stayed")


@tap.test
def forget(tmp):
    t = Torture(tmp)
    old, kept = t.snapshots[:2], t.snapshots[2:]
    faults.every_n(lambda plan: t.run(plan, kept, old, "forget", "--keep-last", "1"), KINDS, STEP)


@tap.test
def prune(tmp):
    t = Torture(tmp)
    t.ours(t.base, "forget", *t.snapshots[:2])
    kept = t.snapshots[2:]
    faults.every_n(lambda plan: t.run(plan, kept, [], "prune", "--max-unused", "0"), KINDS, STEP)


@tap.test
def repair_index(tmp):
    """Of an index that is sound: each moment of the way must be, too."""
    t = Torture(tmp)
    (t.base / "data/ee" / ("ee" * 32)).unlink()
    faults.every_n(lambda plan: t.run(plan, t.snapshots, [], "repair", "index", "--read-all-packs"), KINDS, STEP)


tap.main()
