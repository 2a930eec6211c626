# SPDX-License-Identifier: BSD-2-Clause
"""prune beside backups of both programs: nothing is lost that any snapshot needs.

LOCKS=long in the environment lets the last test run for minutes.
"""

import os
import random
import shutil
import threading
import time

import compare
import locking
import repos
import tap

SECONDS = 120 if os.environ.get("LOCKS") == "long" else 6
HOW = {**repos.FORMAT_CANNOT, "rsync": False}


class Scene:
    """Two snapshots of different data in one repository; the first one has been forgotten."""

    def __init__(self, tmp):
        self.tmp = repos.memory(tmp)
        self.ours, self.theirs = repos.holdfast(), repos.restic("restic-new")
        self.repo = repos.quick(self.tmp / "repo")
        self.old, self.new = self.tmp / "old", self.tmp / "new"
        rng = random.Random(5)
        for d in (self.old, self.new):
            d.mkdir()
            for i in range(6):
                (d / f"file-{i}").write_bytes(rng.randbytes(500_000))
        shutil.copy(self.old / "file-0", self.new / "shared")  # the one pack of data is partly used
        self.ours(self.repo, "backup", "-q", "--pack-size", "4", ".", cwd=self.old)
        self.ours(self.repo, "backup", "-q", "--pack-size", "4", ".", cwd=self.new)
        self.ours(self.repo, "forget", self.ours.snapshots(self.repo)[0]["id"])

    def restores(self, snapshot, source):
        target = self.tmp / f"target-{snapshot}"
        self.theirs(self.repo, "restore", snapshot, "--target", target, "--no-lock", "-q")
        tap.eq(compare.trees(source, target, top=False, **HOW), [])
        shutil.rmtree(target)

    def is_sound(self):
        for p in (self.ours, self.theirs):
            p(self.repo, "check", "--read-data")

    def held_prune(self, *args):
        """A prune that has written what it repacked, and waits before it writes the new index.

        release() lets it go on.
        """
        before = repos.files(self.repo, "index")
        run = locking.Held(self.ours, self.repo, "delay@2:put:index", "prune", "--max-unused", "0", "--pack-size", "4",
                           "-v", *args, gate=self.tmp / "gate")
        locking.until("an index file of the prune", lambda: repos.files(self.repo, "index") - before)
        return run


def comes_into_use(tmp, who):
    """A backup finds in the index what prune is about to delete, and relies on it."""
    s = Scene(tmp)
    packs = repos.files(s.repo, "data")
    with s.held_prune("--retry-lock", "1m") as p:
        program = getattr(s, who)
        summary = program.summary(s.repo, ".", "--host", "again", cwd=s.old)
        tap.eq(summary["data_blobs"], 0, "the backup has stored data that was there")
        tap.ok(packs <= repos.files(s.repo, "data"), "packs went before the exclusive lock was there")
        p.release()
        tap.eq(p.end(), 0, p.stderr())
    tap.contains(p.stdout(), "packs stay, as they came into use meanwhile")
    s.is_sound()
    s.restores(summary["snapshot_id"], s.old)
    s.restores(next(x["id"] for x in s.theirs.snapshots(s.repo) if x["id"] != summary["snapshot_id"]), s.new)
    # What stayed for that snapshot goes with it.
    s.ours(s.repo, "forget", summary["snapshot_id"], "--prune", "--max-unused", "0")
    s.is_sound()
    tap.contains(s.ours(s.repo, "prune", "-v", "-n").stdout, "unused size: 0.00% of total size")


@tap.test
def a_backup_of_restic_relies_on_what_goes(tmp):
    comes_into_use(tmp, "theirs")


@tap.test
def a_backup_of_ours_relies_on_what_goes(tmp):
    comes_into_use(tmp, "ours")


@tap.test
def a_backup_that_still_runs_keeps_all(tmp):
    """Nothing is deleted under its hands; when it has ended, the rest is quick."""
    s = Scene(tmp)
    packs = repos.files(s.repo, "data")
    for start in (lambda: locking.shared(s.theirs, s.repo), lambda: locking.shared(s.ours, s.repo)):
        with start() as held:
            r = s.ours(s.repo, "prune", "--max-unused", "0", "--pack-size", "4", check=11)
            tap.contains(r.stderr, "deleted nothing")
            tap.ok(packs <= repos.files(s.repo, "data"))
            held.release()
            tap.eq(held.end(), 0)
    r = s.ours(s.repo, "prune", "--max-unused", "0", "--pack-size", "4", "-v")
    tap.contains(r.stdout, "to repack:             0 blobs")
    tap.eq(repos.files(s.repo, "data") & packs, repos.files(s.repo, "data") & packs)
    s.is_sound()


@tap.test
def another_prune_in_between(tmp):
    """Somebody else has rewritten the index before the exclusive lock came: nothing is deleted."""
    s = Scene(tmp)
    with s.held_prune() as p:
        # Locks do not stop who takes them away.
        s.theirs(s.repo, "unlock", "--remove-all")
        s.theirs(s.repo, "prune", "--max-unused", "0")
        p.release()
        code = p.end()
        tap.ok(code in (1, 13), f"{code}\n{p.stdout()}\n{p.stderr()}")
    s.is_sound()
    s.restores("latest", s.new)
    s.ours(s.repo, "prune", "--max-unused", "0")
    s.is_sound()


@tap.test
def the_lock_goes_at_the_worst_moment(tmp):
    """Old index files are being deleted, the lock is gone, and a backup relies on what they list."""
    s = Scene(tmp)
    packs = repos.files(s.repo, "data")
    with locking.Held(s.ours, s.repo, "delay@1+:del:index", "prune", "--max-unused", "0", gate=s.tmp / "gate") as p:
        locking.until("the exclusive lock", lambda: p.stderr().count("event=lock.acquire.held") == 2)
        time.sleep(1)  # it looks around, and begins to delete
        s.theirs(s.repo, "unlock", "--remove-all")
        summary = s.theirs.summary(s.repo, ".", cwd=s.old)
        tap.eq(summary["data_blobs"], 0, "the backup has stored data that was there")
        p.release()
        tap.eq(p.end(), 13, p.stderr())
    tap.contains(p.stderr(), "no pack was deleted; run prune again")
    tap.ok(packs <= repos.files(s.repo, "data"))
    s.is_sound()
    s.restores(summary["snapshot_id"], s.old)
    s.ours(s.repo, "prune", "--max-unused", "0")
    s.is_sound()
    s.restores(summary["snapshot_id"], s.old)


class Loop(threading.Thread):
    """One program after the other until the time is over."""

    def __init__(self, fn, end):
        super().__init__()
        self.fn, self.until, self.n, self.error = fn, end, 0, None
        self.start()

    def run(self):
        try:
            while time.time() < self.until:
                self.fn(self.n)
                self.n += 1
        except BaseException as e:
            self.error = e


@tap.test
def all_at_once(tmp):
    """Backups of both programs, forget and prune, over and over."""
    s = Scene(tmp)
    wait = ["--retry-lock", "5m"]
    files = {}
    for name in ("ours", "theirs"):
        d = s.tmp / f"live-{name}"
        d.mkdir()
        files[name] = d

    def backup(name):
        program, d, rng = getattr(s, name), files[name], random.Random(name)

        def fn(n):
            # A few contents come and go, so that what was garbage is needed again.
            for i in range(4):
                (d / f"f{i}").write_bytes(random.Random(rng.randrange(12)).randbytes(300_000))
            (d / "n").write_text(f"{n}")
            r = program(s.repo, "backup", "--host", name, "--pack-size", "4", ".", *wait, cwd=d, check=None)
            tap.eq(r.returncode, 0, r.stderr)
            time.sleep(0.1)
        return fn

    codes = []

    def prune(n):
        """Mostly without waiting, so that it is often cut short, and finds what it left."""
        forgot = s.ours(s.repo, "forget", "--keep-last", "2", "-g", "host", check=None)
        how = ["--max-unused", "0", "--pack-size", "4", *(wait if n % 8 == 7 else [])]
        pruned = s.ours(s.repo, "prune", *how, check=None)
        for r in (forgot, pruned):
            tap.ok(r.returncode in (0, 11), f"{r.returncode}: {r.stderr}")
        codes.append(pruned.returncode)

    end = time.time() + SECONDS
    loops = [Loop(fn, end) for fn in (backup("ours"), backup("theirs"), prune)]
    for loop in loops:
        loop.join()
    for loop in loops:
        if loop.error:
            raise loop.error
        tap.ok(loop.n > 0, "a loop has done nothing")
    tap.eq(repos.locks(s.repo), [])
    s.is_sound()
    s.ours(s.repo, "prune", "--max-unused", "0")
    s.is_sound()
    for snapshot in s.theirs.snapshots(s.repo):
        s.theirs(s.repo, "dump", "--no-lock", snapshot["id"], "/", text=False)
    print(f"# {[loop.n for loop in loops]} rounds, {codes.count(0)} prunes came to their end", flush=True)


tap.main()
