# SPDX-License-Identifier: BSD-2-Clause
"""The N-th call to the store goes wrong, for every N, in backup, restore and check.

Whatever happens, the program ends in an orderly way and says what failed; the repository has lost
nothing and passes restic's check and our own; what is reported as saved can be restored; and the
next backup works without anybody's help.

TORTURE=long in the environment tries more kinds of faults in larger repositories.
"""

import concurrent.futures
import os
import random
import shutil

import compare
import faults
import repos
import tap
import tree

IS_LONG = os.environ.get("TORTURE") == "long"

# What goes wrong, by the calls that are counted. `+`: from the N-th call on, all go wrong.
KINDS = {"": ["fail@{}", "fail@{}+:fatal"], ":put": ["lost@{}", "half@{}"]}
if IS_LONG:
    KINDS = {"": ["fail@{}", "fail@{}+:fatal", "fail@{}:fatal", "fail@{}+", "lost@{}", "lost@{}+"],
             ":put": ["half@{}", "half@{}+"], ":get": ["fail@{}", "short@{}", "flip@{}"],
             ":del": ["fail@{}", "lost@{}"]}


class Torture:
    """A source, and a repository that has an earlier state of it."""

    def __init__(self, tmp):
        tmp = self.tmp = repos.memory(tmp)
        self.ours, self.theirs = repos.holdfast(), repos.restic("restic-new")
        self.source = tmp / "source"
        self.base = repos.quick(tmp / "base")
        rng = random.Random(1)
        tree.make(self.source, parts=["hardlinks", "specials"])
        self.ours(self.base, "backup", ".", cwd=self.source)
        self.before = self.theirs.root_tree(self.base)
        # Several packs for one backup: each file is one or more chunks, and a pack holds 4 MiB.
        for i in range(6 if IS_LONG else 3):
            (self.source / f"random-{i}").write_bytes(rng.randbytes(2_500_000))
        whole = tmp / "whole"
        shutil.copytree(self.base, whole)
        self.ours(whole, "backup", "--pack-size", "4", ".", cwd=self.source)
        self.after = self.theirs.root_tree(whole)
        tap.ok(len(repos.files(whole, "data")) > len(repos.files(self.base, "data")) + 2, "too few packs")
        self.whole = whole

    def copy(self, of, name):
        repo = self.tmp / name
        shutil.copytree(of, repo)
        return repo

    def is_sound(self, repo):
        """Both checks pass; what they print is no matter, but for damage."""
        self.theirs(repo, "check", "--read-data", "--no-lock")
        self.ours(repo, "check", "--read-data", "--no-lock")

    def backup(self, plan):
        """True if the plan did not concern this run any more."""
        repo = self.copy(self.base, f"backup-{plan}")
        r = self.ours(repo, "-o", f"fault.plan={plan}", "backup", "--pack-size", "4", ".", cwd=self.source,
                      check=None, timeout=120)
        done = faults.ended_well(r, plan)
        self.is_sound(repo)
        trees = [s["tree"] for s in self.theirs.json(repo, "snapshots", "--no-lock")]
        tap.ok(self.before in trees, "the earlier snapshot is gone")
        tap.ok(set(trees) <= {self.before, self.after}, "a snapshot of something else")
        if done:
            tap.ok(self.after in trees, "success, but no snapshot")
        self.ours(repo, "backup", ".", cwd=self.source)
        tap.eq(self.theirs.root_tree(repo), self.after)
        self.is_sound(repo)
        shutil.rmtree(repo)
        return done

    def restore(self, plan):
        target = self.tmp / f"restore-{plan}"
        target.mkdir()
        r = self.ours(self.whole, "-o", f"fault.plan={plan}", "restore", "latest", "--no-lock", "--target", target,
                      check=None, timeout=120)
        done = faults.ended_well(r, plan)
        if done:
            how = {**repos.FORMAT_CANNOT, "rsync": False}
            tap.eq(compare.trees(self.source, target, top=False, **how), [], "restored and reported as whole")
        tree.remove(target)
        return done

    def check(self, plan):
        r = self.ours(self.whole, "-o", f"fault.plan={plan}", "check", "--read-data", "--no-lock", check=None, timeout=120)
        return faults.ended_well(r, plan)


@tap.test
def backup(tmp):
    t = Torture(tmp)
    faults.every_n(t.backup, KINDS)


@tap.test
def restore(tmp):
    t = Torture(tmp)
    faults.every_n(t.restore, KINDS if IS_LONG else {"": ["fail@{}"], ":get": ["flip@{}", "short@{}"]})


@tap.test
def check(tmp):
    t = Torture(tmp)
    faults.every_n(t.check, KINDS if IS_LONG else {"": ["fail@{}"]})


@tap.test
def a_wrong_bit_is_found(tmp):
    """Never believed: `check` fails or reads again, and a backup does not build upon it."""
    t = Torture(tmp)

    def plan(p):
        r = t.ours(t.whole, "-o", f"fault.plan={p}", "check", "--read-data", "--no-lock", check=None)
        tap.ok(r.returncode in (0, 1), f"exit code {r.returncode}\n{r.stderr}")

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(plan, [f"flip@{n}:get" for n in range(1, 20)]))
    # For ever: from the config on nothing can be read.
    r = t.ours(t.whole, "-o", "fault.plan=flip@1+:get:pack", "check", "--read-data", "--no-lock", check=1)
    tap.contains(r.stderr.lower(), "pack")


tap.main()
