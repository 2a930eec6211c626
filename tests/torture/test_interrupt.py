# SPDX-License-Identifier: BSD-2-Clause
"""Backups that are told to stop, and backups that are killed, at random moments.

Asked to stop, the program ends with exit code 130, leaves no lock and no snapshot, and what it
uploaded is there for the next run. Killed, it leaves a lock, which is in nobody's way.
"""

import os
import random
import signal
import time

import repos
import tap

RUNS = 30 if os.environ.get("TORTURE") == "long" else 4
FILES, SIZE = 24, 1 << 20
# Packs take a moment to upload, so that a signal finds the program at work on a machine of any speed.
SLOWLY = ["-o", "fault.plan=delay@1+:200:put:pack", "--pack-size", "4"]


class Interrupted:
    def __init__(self, tmp):
        self.ours, self.theirs = repos.holdfast(), repos.restic("restic-new")
        self.source = tmp / "source"
        self.source.mkdir()
        rng = random.Random(2)
        for i in range(FILES):
            (self.source / f"file-{i}").write_bytes(rng.randbytes(SIZE))
        whole = repos.quick(tmp / "whole")
        self.ours(whole, "backup", ".", cwd=self.source)
        self.blobs = self.theirs.blobs(whole)
        self.tmp = tmp

    def backup_and(self, repo, number, packs, wait):
        """Starts a backup and sends it a signal `wait` seconds after that many packs are there."""
        p = self.ours.start(repo, *SLOWLY, "backup", ".", cwd=self.source, text=True)
        while (not repos.locks(repo) or len(repos.files(repo, "data")) < packs) and p.poll() is None:
            time.sleep(0.005)
        time.sleep(wait)
        p.send_signal(number)
        out, err = p.communicate(timeout=60)
        return p.returncode, out, err

    def next_run_is_whole(self, repo):
        """The next backup adds what is missing in the index and nothing that is there."""
        before = self.theirs.blobs(repo)
        s = self.ours.summary(repo, ".", cwd=self.source)
        tap.eq(s["data_blobs"] + s["tree_blobs"], len(self.blobs - before), "blobs stored by the next run")
        tap.eq(self.theirs.blobs(repo), self.blobs)
        self.theirs(repo, "check", "--read-data", "--no-lock")
        return before


def asked(tmp, number, seed):
    tmp = repos.memory(tmp)
    t = Interrupted(tmp)
    rng = random.Random(seed)
    reused = stopped = 0
    for n in range(RUNS):
        repo = repos.quick(tmp / f"repo-{n}")
        code, _, err = t.backup_and(repo, number, n % 4, rng.uniform(0, 0.2))
        tap.eq(repos.locks(repo), [], "locks")
        if code == 0:
            continue  # it was faster than the signal
        stopped += 1
        tap.eq(code, 130, err)
        tap.eq(repos.files(repo, "snapshots"), set(), "snapshots")
        t.theirs(repo, "check", "--read-data")
        # Every pack that was uploaded is known to the index.
        packs = set(t.theirs(repo, "list", "packs").stdout.split())
        indexed = t.theirs.blobs(repo)
        tap.eq(bool(packs), bool(indexed), "packs and their index")
        reused += bool(t.next_run_is_whole(repo))
    tap.ok(stopped and reused, f"{stopped} runs stopped, {reused} had saved something")


@tap.test
def sigint(tmp):
    asked(tmp, signal.SIGINT, 1)


@tap.test
def sigterm(tmp):
    asked(tmp, signal.SIGTERM, 2)


@tap.test
def sighup_does_not_stop_it(tmp):
    """restic's `unlock` sends it to see whether the owner of a lock is alive."""
    tmp = repos.memory(tmp)
    t = Interrupted(tmp)
    repo = repos.quick(tmp / "repo")
    code, _, err = t.backup_and(repo, signal.SIGHUP, 1, 0)
    tap.eq(code, 0, err)
    tap.eq(t.theirs.blobs(repo), t.blobs)


@tap.test
def sigkill(tmp):
    tmp = repos.memory(tmp)
    t = Interrupted(tmp)
    rng = random.Random(3)
    for n in range(RUNS):
        repo = repos.quick(tmp / f"repo-{n}")
        code, _, err = t.backup_and(repo, signal.SIGKILL, n % 4, rng.uniform(0, 0.2))
        if code != 0:
            tap.eq(code, -9, err)
            tap.eq(repos.files(repo, "snapshots"), set(), "snapshots")
        t.theirs(repo, "check", "--read-data", "--no-lock")
        # An exclusive wish, and the dead process' lock is from this host.
        t.ours(repo, "check")
        t.next_run_is_whole(repo)
        tap.eq(repos.locks(repo), [], "locks")


@tap.test
def the_second_signal_ends_at_once(tmp):
    """When the orderly end takes too long for somebody. The lock stays, as after SIGKILL."""
    tmp = repos.memory(tmp)
    t = Interrupted(tmp)
    repo = repos.quick(tmp / "repo")
    p = t.ours.start(repo, "-o", "fault.plan=delay@1+:20000:put:pack", "--pack-size", "4", "backup", ".", cwd=t.source)
    while not repos.locks(repo):
        time.sleep(0.005)
    time.sleep(0.5)
    p.send_signal(signal.SIGINT)
    time.sleep(0.3)
    tap.eq(p.poll(), None, "still ending")
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=10)
    tap.ok(p.returncode in (130, -signal.SIGINT), p.returncode)
    t.next_run_is_whole(repo)


tap.main()
