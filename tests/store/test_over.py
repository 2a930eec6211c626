# SPDX-License-Identifier: BSD-2-Clause
"""Leases and the local cache over every remote store, with real servers and restic beside us."""

import itertools
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import time

import locking
import repos
import rigs
import tap
import underlock
from locking import until

LOST = "the lock on the repository was lost"
ID = "ab" * 32  # of every repository of repos.quick()
# A refresh every 0.6 s, suspect after 1.2 s, fenced after 4.5 s.
FACTOR = rigs.SCALE
EVERY, STALE = 120 * FACTOR, 1800 * FACTOR


IS_FULL = os.environ.get("STORES") == "full"
_turn = itertools.count()


def each(*kinds, at_once=2):
    """One test, over all stores or over those; but for STORES=full over one, each time another."""
    kinds = list(kinds or rigs.ALL)
    if not IS_FULL:
        kinds = [kinds[next(_turn) % len(kinds)]]

    def wrap(fn):
        def run(tmp):
            rigs.each(tmp, fn, kinds, at_once)

        run.__name__ = fn.__name__
        return tap.test(run)

    return wrap


def tree(rig, name="tree", files=12, size=20_000, seed=1):
    """Folders within folders, so that there are several trees."""
    rng = random.Random(f"{name}{seed}")
    for i in range(files):
        folder = rig.tmp / name / f"d{i % 5}" / f"e{i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{i}-{seed}").write_bytes(rng.randbytes(size))
    return rig.tmp / name


def both_check(rig):
    for p in rig.ours, rig.restic:
        tap.contains(p("check", "--read-data").stdout, "no errors were found")
    tap.eq(rig.locks(), [], "locks in the end")


# ---- who excludes whom ----

def ours_holds(rig, *mode):
    """Under a lock until its standard input ends."""
    run = rig.ours.run("--log-format=logfmt", "with-lock", *mode, "--", "sh", "-c", "echo in; exec cat",
                       stdin=subprocess.PIPE)
    run.says("in\n")
    return run


def restic_holds(rig, is_shared):
    """restic is alone for as long as its check is stopped, once its lock is there."""
    before = set(rig.locks())
    args = ["backup", "--stdin"] if is_shared else ["check"]
    run = rig.restic.run(*args, stdin=subprocess.PIPE)
    until("restic's lock", lambda: set(rig.locks()) - before or run.p.poll() is not None)
    if is_shared:
        run.p.stdin.write(b"something")
    else:
        run.stop()
    return run


def is_refused(p, *args):
    r = p(*args, check=11)
    tap.contains(r.stderr, "already locked")


def beside(rig, holder, is_shared):
    """Somebody holds a lock: what may the others?"""
    with holder as run:
        for p in rig.ours, rig.restic:
            if is_shared:
                p("snapshots")
            else:
                is_refused(p, "snapshots")
            is_refused(p, "check")
        run.release()
        tap.eq(run.end(), 0, run.stderr())
    tap.eq(rig.locks(), [], "locks that are left")


@each()
def locks_exclude_as_they_should(rig):
    """Ours and restic's, in both directions."""
    beside(rig, ours_holds(rig, "--shared"), True)
    beside(rig, ours_holds(rig), False)
    beside(rig, restic_holds(rig, True), True)
    beside(rig, restic_holds(rig, False), False)


@each()
def who_waits_gets_it(rig):
    """And meanwhile the holder's lock is refreshed: other names, one after the other."""
    with ours_holds(rig) as run:
        (first,) = rig.locks()
        with rig.ours.run("--retry-lock", "2m", "check") as ours:
            ours.says("waiting up to")
            until("refreshed twice", lambda: run.stderr().count("lock.refresh.ok") >= 2)
            tap.ok(first not in rig.locks(), "the lock is another file now")
            is_refused(rig.restic, "snapshots")
            run.release()
            tap.eq(run.end(), 0, run.stderr())
            tap.eq(ours.end(), 0, ours.stderr())
    tap.eq(rig.locks(), [])


# ---- who is dead ----

def dies(rig, *args, prefix=()):
    """Leaves the lock of a backup that was killed."""
    before = set(rig.locks())
    with rig.ours.run(*args, "--log-format=logfmt", "backup", "--stdin", stdin=subprocess.PIPE, prefix=prefix) as run:
        run.says("lock.acquire.held")
    left = set(rig.locks()) - before
    tap.ok(left, "a lock is left")
    return left


@each()
def the_lock_of_a_killed_process_goes(rig):
    """No store keeps marks of the kernel: here it is the process, elsewhere that nobody refreshes it."""
    left = dies(rig)
    r = rig.ours("check")
    tap.contains(r.stderr, "removed stale lock")
    tap.contains(r.stderr, "process")
    tap.ok(not left & set(rig.locks()))
    # Of a container nothing is known but what its lock looks like, for longer than it may.
    rig.ours.scale = 0.002
    left = dies(rig, prefix=locking.in_pid_namespace())
    is_refused(rig.ours, "check")
    tap.eq(set(rig.locks()), left, "nothing is proved yet")
    r = rig.ours("--retry-lock", "2m", "check")
    tap.contains(r.stderr, "removed stale lock")
    tap.contains(r.stderr, "watched")
    both_check(rig)


# ---- who has lost it ----

@contextlib.contextmanager
def held(rig, plan, *args):
    """A command whose calls to the store wait as `plan` says, until `release` is called."""
    gate = rig.tmp / "gate"
    gate.touch()
    with rig.ours.run("-o", f"fault.plan={plan}:600000", "-o", f"fault.while={gate}", "--log-format=logfmt",
                      *args) as run:
        try:
            yield run, lambda: gate.unlink(missing_ok=True)
        finally:
            gate.unlink(missing_ok=True)


def remove_locks(rig):
    """restic fails where a refresh has taken a lock away before it could."""
    until("removed", lambda: rig.restic("unlock", "--remove-all", check=None).returncode == 0)


def pruned(rig):
    """A refresh may come in between."""
    remove_locks(rig)
    gone = [s["id"] for s in rig.restic.json("snapshots", "--host", "gone", "--no-lock")]
    return rig.restic("forget", *gone, "--prune", "--max-unused", "0", check=None).returncode == 0 and not (
        rig.restic.json("snapshots", "--host", "gone", "--no-lock"))


@each()
def a_lost_lock_is_recovered_from_or_told(rig):
    rig.ours("backup", tree(rig, "old"), "--host", "gone")
    folder = tree(rig, files=10, size=1_000_000)
    shutil.copytree(rig.tmp / "old", folder / "old")
    old = rig.names("data")
    with held(rig, "delay@1:put:snapshot", "--pack-size", "4", "backup", folder) as (run, release):
        until("packs", lambda: len(rig.names("data") - old) >= 2 or run.p.poll() is not None)
        # What the backup relies on goes with its lock.
        until("removed and pruned", lambda: pruned(rig))
        release()
        tap.eq(run.end(), 0, run.stderr())
        tap.contains(run.stderr(), LOST)
        tap.contains(run.stderr(), "getting a new lock")
    both_check(rig)
    rig.restic("restore", "latest", "--target", rig.tmp / "out")
    tap.run("diff", "-r", folder, rig.tmp / "out" / str(folder)[1:])

    with held(rig, "delay@1+:get:index", "check") as (run, release):
        run.says("lock.acquire.held")
        remove_locks(rig)
        run.says("lock.lost")
        release()
        tap.eq(run.end(), 13, run.stderr())
        tap.contains(run.stderr(), LOST)
    tap.eq(rig.locks(), [])


# ---- a command under a lock, and the network ----

def freezes_and_goes_on(rig, break_it, mend_it):
    mark = rig.tmp / "ticks"
    with rig.ours.run("--log-format=logfmt", "with-lock", "--", *underlock.ticker(mark, "exit=7")) as run:
        child = underlock.pid_in(mark)
        until("refreshed", lambda: "lock.refresh.ok" in run.stderr())
        begin = time.time()
        break_it()
        until("stopped", lambda: (underlock.stat(child) or "?")[0] == "T")
        last = mark.stat().st_mtime
        underlock.stands_still(mark)
        # The newest lock was written before `begin`, but for one that was under way.
        tap.ok(last < begin + STALE - 2 * EVERY, f"it ran {last - begin} s without a lock")
        tap.ok(rig.locks(), "the lock is still there")
        mend_it()
        underlock.runs(mark)
        (rig.tmp / "ticks.end").touch()
        tap.eq(run.end(), 7, run.stderr())
        tap.contains(run.stderr(), "lock.recovered")
    tap.eq(rig.locks(), [])
    mark.unlink()
    (rig.tmp / "ticks.end").unlink()


@each(at_once=4)
def a_command_stands_still_while_nothing_is_answered(rig):
    freezes_and_goes_on(rig, rig.hold, rig.go_on)


@each(*rigs.WIRED, at_once=3)
def a_command_stands_still_while_the_server_is_gone(rig):
    freezes_and_goes_on(rig, rig.cut, rig.heal)


@each(*rigs.WIRED, at_once=3)
def a_command_ends_when_that_is_asked(rig):
    mark = rig.tmp / "ticks"
    with rig.ours.run("--log-format=logfmt", "with-lock", "--on-lost=term", "--grace", "300ms", "--",
                      *underlock.ticker(mark, "ignore=TERM")) as run:
        child = underlock.pid_in(mark)
        begin = time.time()
        rig.cut()
        until("ended", lambda: not underlock.is_alive(child))
        last = mark.stat().st_mtime
        tap.ok(last < begin + STALE - 2 * EVERY, f"it ran {last - begin} s without a lock")
        rig.heal()
        tap.eq(run.end(), 13, run.stderr())
    tap.eq(rig.locks(), [])


# ---- nothing hangs ----

@each(at_once=4)
def a_server_that_stops_is_given_up(rig):
    folder = tree(rig, files=10, size=2_000_000)
    with rig.ours.run("--stuck-request-timeout", "1s", "-o", "retry.limit=500ms", "-o", "retry.pause=20ms",
                      "--limit-upload", "4096", "--pack-size", "4", "backup", folder) as run:
        until("a pack", lambda: rig.names("data") or run.p.poll() is not None)
        rig.hold()
        code = run.end()
        rig.go_on()
        tap.ok(code in (1, 13), f"exit code {code}\n{run.stderr()}")
        tap.ok(run.stderr().strip(), "it says nothing")
    rig.ours("backup", folder)
    both_check(rig)


# ---- the cache ----

def copies(cache):
    """What is in the cache, below its folder of the repository; whole, and what its name says."""
    top = cache / ID
    found = {}
    for f in top.rglob("*"):
        if f.is_file() and f.name != "version":
            tap.eq(hashlib.sha256(f.read_bytes()).hexdigest(), f.name, str(f))
            found[f.relative_to(top).parts[0], f.name] = f
    return found


def traced(rig, p, *args, **kw):
    """What the store was asked for, below the cache: (call, folder, file) each."""
    log = rig.tmp / "trace"
    log.unlink(missing_ok=True)
    p("-o", f"trace.file={log}", *args, **kw)
    return calls(log)


def calls(log):
    found = [line.split()[1:3] for line in log.read_text().splitlines()]
    return [(call, *name.partition("/")[::2]) for call, name in found]


FETCHED = ("index", "snapshots", "data")


def asked_for(rig):
    """Files that the server was asked for, of those that are cached; None where that cannot be seen."""
    if rig.asked() is None:
        return None
    return [path for method, path in rig.asked()
            if method in ("GET", "HEAD") and any(f"/{kind}/" in path and len(path) > 64 for kind in FETCHED)]


@each()
def what_is_cached_is_not_asked_for(rig):
    """By us, nor by restic with the same cache."""
    rig.ours("backup", tree(rig))
    cache = rig.tmp / "cache"
    p = rig.ours.cached(cache)
    for args in ("snapshots",), ("ls", "latest"), ("find", "f1*"):
        p(*args)
    warm = copies(cache)
    tap.eq({kind for kind, _ in warm}, set(FETCHED))
    before = asked_for(rig)
    for args in ("snapshots",), ("ls", "latest"), ("find", "f1*"):
        asked = traced(rig, p, *args)
        tap.ok(any(call == "list" for call, _, _ in asked), str(asked))
        tap.eq([c for c in asked if c[0] == "get" and c[1] in FETCHED], [], str(args))
    for args in ("snapshots",), ("ls", "latest"):
        rig.restic.cached(cache)(*args)
    tap.eq(asked_for(rig), before)
    tap.eq(copies(cache).keys(), warm.keys(), "what is cached")


@each()
def a_cache_shared_with_restic(rig):
    """All at the same time, on a repository that they write to; then with damage, and with less in it."""
    cache = rig.tmp / "cache"
    ours, theirs = rig.ours.cached(cache), rig.restic.cached(cache)
    trees = [tree(rig, f"tree{i}", files=6) for i in range(4)]
    ours("backup", trees[0])
    runs = [(p.name, p.start(*args)) for p, args in (
        (ours, ("backup", trees[0], trees[1])), (theirs, ("backup", trees[2])), (ours, ("backup", trees[3])),
        (ours, ("ls", "latest")), (theirs, ("ls", "latest")), (ours, ("restore", "latest", "--target", rig.tmp / "r")))]
    for name, p in runs:
        out, err = p.communicate(timeout=locking.PATIENCE)
        tap.eq(p.returncode, 0, f"{name} {p.args}\n{out.decode()}\n{err.decode()}")
        tap.ok(name != "holdfast" or b"cache" not in err, err.decode())
    both_check(rig)
    want = ours("ls", "latest").stdout
    tap.eq(theirs("ls", "latest").stdout.splitlines()[-10:], want.splitlines()[-10:])

    # All is damaged, in its first byte or in its length, and mended as far as it is looked at.
    damaged = list(copies(cache).values())
    for i, f in enumerate(damaged):
        data = f.read_bytes()
        f.write_bytes(bytes([data[0] ^ 1]) + data[1:] if i % 2 else data[:len(data) // 2])
    tap.eq(ours("ls", "latest").stdout, want)
    mended = {f.parent.parent.name for f in damaged if hashlib.sha256(f.read_bytes()).hexdigest() == f.name}
    tap.eq(mended, set(FETCHED))
    shutil.rmtree(cache / ID / "data")
    ours("ls", "latest")
    copies(cache)

    # What is gone is cleared away by whoever lists.
    rig.restic("forget", "--keep-last", "1", "--group-by", "", "--prune", "--max-unused", "0", "--repack-small")
    for f in copies(cache).values():
        os.utime(f, (0, 0))  # where listings may lag, what is new is kept for a while
    ours("ls", "latest")
    left = copies(cache)
    for kind in FETCHED:
        tap.ok({n for k, n in left if k == kind} <= rig.names(kind), f"{kind} that are gone")
    both_check(rig)


@each()
def check_fetches_each_tree_once(rig):
    """With a temporary cache, which goes in the end, however that comes."""
    for i in range(3):
        rig.ours("backup", tree(rig, seed=i), "--pack-size", "4")
    place = rig.tmp / "place"
    p = rig.ours.cached(place)
    gets = [name for call, kind, name in traced(rig, p, "check") if (call, kind) == ("get", "data")]
    tap.ok(gets, "packs are read")
    tap.eq(len(gets), len(set(gets)), f"a pack is fetched twice: {gets}")
    tap.eq(list(place.iterdir()), [], "what is left of the temporary cache")
    gate = rig.tmp / "gate"
    gate.touch()
    with p.run("-o", "fault.plan=delay@1+:600000:get:pack", "-o", f"fault.while={gate}", "check") as run:
        until("its folder", lambda: list(place.glob("restic-check-cache-*/*/index/*/*")) or run.p.poll() is not None)
        run.tell(signal.SIGINT)
        gate.unlink()
        tap.eq(run.end(), 130, run.stderr())
    tap.eq(list(place.iterdir()), [], "what is left after an interrupt")
    tap.eq(rig.locks(), [])


tap.main()
