# SPDX-License-Identifier: BSD-2-Clause
"""The N-th call to the store goes wrong, or is the last one, in tag, rewrite, repair snapshots and copy.

Whatever happens: both checks pass, of every snapshot there is either the old one or what it was to
become, or both, and the same command, once more, ends the work.

TORTURE=long in the environment tries every N, and more kinds of faults.
"""

import os
import random
import re
import shutil

import faults
import repos
import tap

IS_LONG = os.environ.get("TORTURE") == "long"
STEP = 1 if IS_LONG else 7
KINDS = {":put": [], ":del": ["fail@{}"], "": []}
if IS_LONG:
    KINDS = {"": ["fail@{}", "fail@{}+:fatal", "fail@{}:fatal", "fail@{}+", "lost@{}", "lost@{}+"],
             ":put": ["half@{}", "half@{}+", "lost@{}"], ":get": ["fail@{}", "short@{}", "flip@{}"],
             ":del": ["fail@{}", "lost@{}", "fail@{}+"], ":list": ["fail@{}"]}
FROM = {"RESTIC_FROM_PASSWORD": repos.PASSWORD}


class Torture:
    """A repository with two snapshots, in packs of 4 MiB."""

    def __init__(self, tmp):
        self.tmp = repos.memory(tmp)
        self.ours, self.theirs = repos.holdfast(), repos.restic("restic-new")
        self.base = repos.quick(self.tmp / "base")
        source, rng = self.tmp / "source", random.Random(6)
        for f in "a/b/one", "a/two", "c/three", "d/e/four":
            (source / f).parent.mkdir(parents=True, exist_ok=True)
            (source / f).write_bytes(rng.randbytes(1_300_000))
        for n in range(2):
            (source / f"a/new-{n}").write_bytes(rng.randbytes(100_000))
            self.ours(self.base, "backup", "-q", "--pack-size", "4", ".", cwd=source)
        self.trees = {s["id"]: s["tree"] for s in self.ours.snapshots(self.base)}

    def lose_a_pack(self):
        """With the index repaired, so that nothing is wrong but the snapshots."""
        blob = next(b for t, b in sorted(self.ours.blobs(self.base)) if t == "data")
        pack = self.theirs(self.base, "find", "--blob", blob, "--show-pack-id").stdout.split("belongs to pack ")[1].split()[0]
        (self.base / "data" / pack[:2] / pack).unlink()
        self.ours(self.base, "repair", "index")

    def list(self, repo):
        return self.ours.json(repo, "snapshots", "--no-lock")

    def expect(self, *command):
        """What the trees of the snapshots become when nothing goes wrong."""
        repo = self.tmp / "expected"
        shutil.copytree(self.base, repo)
        self.ours(repo, *command)
        return {s["original"]: s["tree"] for s in self.list(repo)}

    def is_sound(self, repo):
        self.theirs(repo, "check", "--read-data", "--no-lock")
        self.ours(repo, "check", "--read-data", "--no-lock")

    def covers(self, repo, new):
        """Every snapshot is there, old or new, and no other."""
        there = self.list(repo)
        old = {s["id"] for s in there}
        for id, tree in self.trees.items():
            tap.ok(id in old or any(s.get("original") == id and s["tree"] == new[id] for s in there), f"{id} is gone: {there}")
        for s in there:
            tap.ok(s["tree"] in (*self.trees.values(), *new.values()), f"a snapshot of something else: {s}")

    def edit(self, plan, new, is_done, *command, is_damaged=False):
        """True if the plan did not concern this run any more."""
        repo = self.tmp / f"{command[0]}-{plan}"
        shutil.copytree(self.base, repo)
        r = self.ours(repo, "-o", f"fault.plan={plan}", *command, check=None, timeout=120)
        done = faults.ended_well(r, plan)
        if not is_damaged:
            self.is_sound(repo)
        self.covers(repo, new)
        if done and not plan.startswith("kill"):
            tap.ok(all(map(is_done, self.list(repo))), "success, but it is not done")
        self.ours(repo, *command)
        self.covers(repo, new)
        tap.ok(all(map(is_done, self.list(repo))), "once more, and it is not done")
        tap.eq([n for n in repos.locks(repo) if "-tmp-" not in n], [], "locks")
        if IS_LONG or is_damaged:
            self.is_sound(repo)
        shutil.rmtree(repo)
        return done

    def copy(self, plan):
        """Faults of both: each store counts its own calls."""
        source, target = self.tmp / f"source-{plan}", repos.quick(self.tmp / f"copy-{plan}")
        shutil.copytree(self.base, source)
        r = self.ours(target, "-o", f"fault.plan={plan}", "--pack-size", "4", "copy", "--from-repo", source, env=FROM,
                      check=None, timeout=120)
        done = faults.ended_well(r, plan)
        self.is_sound(target)
        there = {s["original"]: s["tree"] for s in self.list(target)}
        tap.ok(there.items() <= self.trees.items(), there)
        if done:
            tap.eq(there, self.trees, "success, but not all of them")
        self.ours(target, "copy", "--from-repo", source, env=FROM)
        tap.eq({s["original"]: s["tree"] for s in self.list(target)}, self.trees)
        tap.eq(len(self.list(target)), len(self.trees), "copied once each")
        for kind in "data", "index", "snapshots":
            tap.eq(repos.files(source, kind), repos.files(self.base, kind), "the source")
        if IS_LONG:
            self.is_sound(target)
        shutil.rmtree(source)
        shutil.rmtree(target)
        return done


@tap.test
def tag(tmp):
    t = Torture(tmp)
    faults.every_n(lambda plan: t.edit(plan, t.trees, lambda s: "new" in s.get("tags", []), "tag", "--add", "new"), KINDS, STEP)


@tap.test
def rewrite(tmp):
    t = Torture(tmp)
    new = t.expect("rewrite", "--forget", "--exclude", "b")
    faults.every_n(lambda plan: t.edit(plan, new, lambda s: s["tree"] in new.values(), "rewrite", "--forget", "--exclude", "b"),
                   KINDS, STEP)


@tap.test
def repair_snapshots(tmp):
    t = Torture(tmp)
    t.lose_a_pack()
    new = t.expect("repair", "snapshots", "--forget")
    faults.every_n(lambda plan: t.edit(plan, new, lambda s: s["tree"] in new.values(), "repair", "snapshots", "--forget",
                                       is_damaged=True), KINDS, STEP)


@tap.test
def what_arrives_damaged_replaces_nothing(tmp):
    """A store that keeps a wrong bit: the new snapshot is read back before the old one goes."""
    t = Torture(tmp)
    t.lose_a_pack()
    new = t.expect("repair", "snapshots", "--forget")
    for plan in "flip@1:put:snapshot", "flip@1:put:pack":
        repo = t.tmp / "lying"
        shutil.copytree(t.base, repo)
        r = t.ours(repo, "-o", f"fault.plan={plan}", "repair", "snapshots", "--forget", check=1)
        tap.ok("does not pass the check" in r.stderr and "the old one stays" in r.stderr, r.stderr)
        t.covers(repo, new)
        tap.ok(t.trees.keys() <= {p.name for p in (repo / "snapshots").iterdir()}, "an old one is gone")
        for bad in set(re.findall(r"pack ([0-9a-f]{64})", r.stderr)):
            t.ours(repo, "repair", "packs", bad, cwd=t.tmp)
        for s in set(repos.files(repo, "snapshots")) - t.trees.keys():
            (repo / "snapshots" / s).unlink()
        t.ours(repo, "repair", "snapshots", "--forget")
        t.covers(repo, new)
        t.is_sound(repo)
        shutil.rmtree(repo)


@tap.test
def a_bit_on_its_way_costs_nothing(tmp):
    """What is read wrong once is not lost: no folder is taken out of a snapshot for it."""
    t = Torture(tmp)
    for kind in "flip@{}:get:pack", "short@{}:get:pack":
        for n in range(1, 20 if IS_LONG else 4):
            r = t.ours(t.base, "-o", f"fault.plan={kind.format(n)}", "repair", "snapshots", "--forget", check=None)
            tap.ok(r.returncode in (0, 1), r.stderr)
            tap.eq({s["id"]: s["tree"] for s in t.list(t.base)}, t.trees, f"{kind.format(n)}: {r.stdout}")


@tap.test
def copy(tmp):
    t = Torture(tmp)
    faults.every_n(t.copy, KINDS, STEP)


tap.main()
