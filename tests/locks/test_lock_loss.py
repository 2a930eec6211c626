# SPDX-License-Identifier: BSD-2-Clause
"""A lock is taken away from the one who holds it, at every point of a backup and in every way.

restic's `unlock` removes locks of living processes when it is run by another user or in another
pid namespace, or is told to; whoever prunes then deletes what the backup has just stored, or relies
on. restic's own backup ends with success and a damaged repository. Ours must notice, store again
what is missing, and end with success and a snapshot that is whole; where that cannot be done (a pipe
cannot be read twice) it ends with exit code 13 and leaves no snapshot.

LOCKS=long has more combinations, and waits that are longer than restic's half hour.
"""

import functools
import os
import pathlib
import random
import shutil
import signal
import tempfile
import threading
import time

import locking
import repos
import tap

LOST = "the lock on the repository was lost"
AGAIN = "getting a new lock"
FENCE = 4.5  # seconds, at SCALE
STALE = 9
SCALE = locking.scale(0.005)
PLAIN = ["-o", "lock.plain-hostname=yes"]  # as restic's, which are easier to remove
SLOW = ["--pack-size", "4"]


class World:
    """A source; and a repository with garbage in it that the source would make use of."""

    def __init__(self):
        self.tmp = repos.memory(pathlib.Path(tempfile.gettempdir()))
        self.tmp.chmod(0o755)
        self.ours, self.theirs = repos.holdfast(), repos.restic("restic-new")
        self.source = self.tmp / "source"
        rng = random.Random(7)
        (self.source / "old").mkdir(parents=True)
        (self.source / "old/file").write_bytes(rng.randbytes(300_000))
        self.base = repos.quick(self.tmp / "base")
        self.ours(self.base, "backup", ".", "--host", "gone", cwd=self.source)
        (self.source / "kept").write_bytes(rng.randbytes(1000))
        self.ours(self.base, "backup", "kept", "--host", "stays", cwd=self.source)
        (gone,) = (s["id"] for s in self.theirs.json(self.base, "snapshots", "--host", "gone"))
        self.theirs(self.base, "forget", gone)
        self.kept = repos.files(self.base, "snapshots")
        for i in range(4):
            (self.source / f"new-{i}").write_bytes(rng.randbytes(2_500_000))
        self.wanted = self.read(self.source)
        self.n = 0

    @staticmethod
    def read(top):
        return {str(p.relative_to(top)): p.read_bytes() for p in top.rglob("*") if p.is_file()}

    def copy(self):
        self.n += 1
        repo = self.tmp / f"repo-{self.n}"
        shutil.copytree(self.base, repo)
        return repo

    def held(self, repo, plan, *options, args=("backup", "."), **kw):
        """A command that waits in the call to the store that the plan means, until release()."""
        kw.setdefault("cwd", self.source)
        return locking.Held(self.ours, repo, plan, *SLOW, *options, *args, gate=f"{repo}-gate", **kw)

    def is_whole(self, repo, run):
        """The backup says that it is there, and it is."""
        tap.eq(run.end(), 0, run.stderr())
        tap.eq(locking.locks(repo), [], "locks")
        new = repos.files(repo, "snapshots") - self.kept
        tap.eq(len(new), 1, f"new snapshots\n{run.stderr()}")
        tap.contains(run.stdout(), f"snapshot {new.copy().pop()[:8]} saved")
        self.is_counted(repo, new, self.wanted.values())
        self.theirs(repo, "check", "--read-data")
        out = self.tmp / f"{repo.name}-out"
        self.theirs(repo, "restore", new.pop(), "--target", out)
        found = self.read(out)
        top = os.path.commonpath([p for p in found if p.endswith("new-0")] or ["?"])
        cut = len(top) - len("new-0")
        tap.ok({p[cut:]: b for p, b in found.items()} == self.wanted, "what is restored differs")
        shutil.rmtree(out)

    def is_counted(self, repo, new, contents):
        """What the snapshot says of itself is true of all rounds together."""
        (s,) = (s["summary"] for s in self.ours.json(repo, "snapshots") if s["id"] in new)
        tap.eq((s["total_files_processed"], s["total_bytes_processed"]), (len(contents), sum(map(len, contents))), str(s))
        tap.eq(s["files_new"] + s["files_changed"] + s["files_unmodified"], len(contents), str(s))
        tap.ok(s["data_added"] >= max(map(len, contents)) and s["data_blobs"] > 0, str(s))

    def is_refused(self, repo, run):
        """The backup says that it has failed, and why; nothing is left of it."""
        tap.eq(run.end(), 13, run.stderr())
        tap.contains(run.stderr(), LOST)
        tap.eq(locking.locks(repo), [], "locks")
        tap.eq(repos.files(repo, "snapshots"), self.kept, "snapshots")
        self.theirs(repo, "check", "--read-data")


@functools.cache
def world():
    return World()


# ---- how locks go ----

def by_hand(w, repo):
    for name in locking.locks(repo):
        (repo / "locks" / name).unlink(missing_ok=True)


def by_force(w, repo):
    w.theirs(repo, "unlock", "--remove-all")


def by_unlock(prefix):
    """restic's plain unlock, run where it takes those who live for dead."""
    def unlock(w, repo):
        def gone():
            tap.run(*prefix, *w.theirs.argv(repo, "unlock"), env={"RESTIC_PASSWORD": repos.PASSWORD})
            return not locking.locks(repo)

        locking.until("unlock removes the lock", gone)

    return unlock


def nobody(w, repo):
    locking.open_to_group(repo, w.tmp)
    by_unlock(locking.as_nobody())(w, repo)


def container(w, repo):
    by_unlock(locking.in_pid_namespace())(w, repo)


def prune(w, repo, how, restic=None):
    """The lock goes, and with it all that nobody seems to need. A refresh may come in between."""
    restic = restic or w.theirs

    def pruned():
        how(w, repo)
        return restic(repo, "prune", "--max-unused", "0", check=None).returncode == 0

    locking.until("prune", pruned)


# ---- where the backup is ----

def at(plan, is_there):
    """The call in which the backup waits, and how to see from outside that it is about to come there."""
    return plan, is_there


def n_files(repo, kind):
    return len(repos.files(repo, kind))


WALKING = at("delay@2+:put:pack", lambda w, r: n_files(r, "data") > n_files(w.base, "data"))
INDEX = at("delay@1+:put:index", lambda w, r: n_files(r, "data") >= n_files(w.base, "data") + 3)
SNAPSHOT = at("delay@1:put:snapshot", lambda w, r: n_files(r, "index") > n_files(w.base, "index"))


def saved(w, r):
    return n_files(r, "snapshots") > n_files(w.base, "snapshots")


LOOKED = at("delay@2+:list:index", saved)  # between the look at the lock and the one at the index


def after_snapshot(w, *args):
    """The listing of locks that comes first after the snapshot: the backup's look back."""
    for n in range(1, 100):
        repo = w.copy()
        r = w.ours(repo, "-o", f"fault.plan=kill@{n}:list:lock", *SLOW, *(args or ("backup", ".")), cwd=w.source, check=None)
        found = saved(w, repo)
        shutil.rmtree(repo)
        if found:
            tap.eq(r.returncode, -signal.SIGKILL)
            return at(f"delay@{n}+:list:lock", saved)
    raise AssertionError("no look back")


def loses(w, where, take, *options):
    """The lock is lost there, and the backup is whole all the same."""
    plan, is_there = where
    repo = w.copy()
    with w.held(repo, plan, *options) as run:
        locking.until("the backup comes there", lambda: is_there(w, repo))
        time.sleep(0.1)
        take(w, repo)
        run.release()
        w.is_whole(repo, run)
    shutil.rmtree(repo)
    return run.stderr()


def told(text):
    tap.contains(text, LOST)
    tap.contains(text, AGAIN)


@tap.test
def wherever_it_is_lost(tmp):
    """By hand, by restic's unlock run elsewhere, by force; and what is then pruned."""
    w = world()
    old = repos.restic("restic-0.14")
    elsewhere = locking.in_pid_namespace()
    parts = {
        "deleted while walking": (WALKING, by_hand),
        "deleted before the snapshot": (SNAPSHOT, by_hand),
        "removed while walking": (WALKING, lambda w, r: prune(w, r, by_force)),
        "removed while walking, and noticed": (WALKING, lambda w, r: prune(w, r, by_force), *SCALE),
        "removed before the index": (INDEX, lambda w, r: prune(w, r, by_force)),
        "removed before the snapshot": (SNAPSHOT, lambda w, r: prune(w, r, by_force, old)),
        # Prune sees the snapshot then, and the backup is whole as it is; to know that it must look.
        "removed after the snapshot": (after_snapshot(w), lambda w, r: prune(w, r, by_force)),
        "unlocked in another pid namespace": (
            SNAPSHOT, lambda w, r: prune(w, r, lambda w, r: by_unlock(elsewhere)(w, r)), *PLAIN),
    }
    if os.geteuid() == 0:
        parts["unlocked by another user"] = (WALKING, lambda w, r: prune(w, r, nobody), *PLAIN)
    for text in locking.together([(name, loses, w, *part) for name, part in parts.items()], 4):
        told(text)


@tap.test
def lost_when_all_has_been_looked_at(tmp):
    """The snapshot was validated: what happens to the lock now is no matter."""
    w = world()

    def take(w, repo):
        by_hand(w, repo)
        locking.until("the loss is noticed", lambda: "lock.lost" in run[0].stderr())

    run = []
    plan, is_there = LOOKED
    repo = w.copy()
    with w.held(repo, plan, *SCALE) as r:
        run.append(r)
        locking.until("the backup comes there", lambda: is_there(w, repo))
        # A refresh may be between its two files.
        take(w, repo)
        r.release()
        w.is_whole(repo, r)


@tap.test
def lost_three_times(tmp):
    w = world()
    repo = w.copy()
    seen = set()

    def new_lock():
        return set(locking.locks(repo)) - seen

    with locking.Run(w.ours, repo, *SLOW, "-o", "fault.plan=delay@1+:700:put:snapshot", "backup", ".",
                     cwd=w.source) as run:
        for n in range(3):
            seen |= locking.until(f"lock number {n + 1}", new_lock)
            time.sleep(0.1)
            by_hand(w, repo)
        w.is_whole(repo, run)
    tap.contains(run.stderr(), "(attempt 3)")


@tap.test
def lost_every_time(tmp):
    """It does not go on for ever, and says so."""
    w = world()
    repo = w.copy()
    with locking.Run(w.ours, repo, *SLOW, "-o", "fault.plan=delay@1+:300:put:snapshot", "backup", ".",
                     cwd=w.source) as run:
        def remove():
            while run.p.poll() is None:
                if names := locking.locks(repo):
                    time.sleep(0.1)
                    for n in names:
                        (repo / "locks" / n).unlink(missing_ok=True)
                time.sleep(0.01)

        t = threading.Thread(target=remove)
        t.start()
        try:
            w.is_refused(repo, run)
        finally:
            run.p.kill() if run.p.poll() is None else None
            t.join()
    tap.contains(run.stderr(), "(attempt 4)")


# ---- when nothing can be done twice ----

def pipe_ended(w, repo, run, data):
    """All of it is there, or nothing and it is said; returns the exit code."""
    if run.end() == 13:
        w.is_refused(repo, run)
        return 13
    tap.eq(run.p.returncode, 0, run.stderr())
    tap.eq(locking.locks(repo), [], "locks")
    w.theirs(repo, "check", "--read-data")
    tap.ok(w.theirs(repo, "dump", "latest", "stdin", text=False).stdout == data, "what is dumped differs")
    w.is_counted(repo, repos.files(repo, "snapshots") - w.kept, [data])
    return 0


def pipe_loses(w, take, *options):
    repo = w.copy()
    data = os.urandom(12 << 20)
    with locking.shared(w.ours, repo, *SLOW, *options, data=data) as run:
        take(w, repo, run)
        run.release()
        return pipe_ended(w, repo, run, data)


@tap.test
def a_pipe(tmp):
    """What came out of it may still be found in the packs that were made of it."""
    w = world()
    tap.eq(pipe_loses(w, lambda w, r, run: by_hand(w, r)), 0)
    pipe_loses(w, lambda w, r, run: prune(w, r, by_force))
    pipe_loses(w, lambda w, r, run: (by_hand(w, r), run.says("lock.lost")), *SCALE)
    pipe_loses(w, lambda w, r, run: prune(w, r, by_force), *SCALE)


def import_loses(w, archive, where, take, *options):
    """As with a pipe: when all of it has been read, what nobody vouches for is fetched from the packs."""
    plan, is_there = where
    repo = w.copy()
    with w.held(repo, plan, *options, args=("import-tar", "--host", "tar", archive)) as run:
        locking.until("the import comes there", lambda: is_there(w, repo))
        time.sleep(0.1)
        take(w, repo, run)
        run.release()
        if run.end() == 13:
            w.is_refused(repo, run)
        else:
            w.is_whole(repo, run)
    shutil.rmtree(repo)
    return run.p.returncode, run.stderr()


@tap.test
def an_archive(tmp):
    w = world()
    archive = tmp / "source.tar"
    tap.run("tar", "-C", w.source, "-cf", archive, ".")
    hand = lambda w, r, run: by_hand(w, r)
    noticed = lambda w, r, run: (by_hand(w, r), run.says("lock.lost"))
    robbed = lambda w, r, run: prune(w, r, by_force)
    for where in INDEX, SNAPSHOT, after_snapshot(w, "import-tar", archive):
        code, text = import_loses(w, archive, where, hand)
        tap.eq(code, 0, text)
        told(text)
    codes = [import_loses(w, archive, *how)[0] for how in (
        (WALKING, noticed, *SCALE), (SNAPSHOT, noticed, *SCALE), (INDEX, robbed), (SNAPSHOT, robbed))]
    # It is not read again: what was not stored, or was deleted, cannot be had.
    tap.eq((codes[0], codes[1], codes[2]), (13, 0, 13))


def loses_as(w, code, plan, options, *args):
    """Another command, which has nothing to do again."""
    repo = w.copy()
    with w.held(repo, plan, *options, args=args) as run:
        run.says("lock.acquire.held")
        by_hand(w, repo)
        if options:
            run.says("lock.lost")
        run.release()
        tap.eq(run.end(), code, run.stderr())
        tap.contains(run.stderr(), LOST)
        tap.eq(locking.locks(repo), [])


@tap.test
def check(tmp):
    w = world()
    loses_as(w, 13, "delay@1+:get:index", SCALE, "check")
    # Before a refresh would have noticed.
    loses_as(w, 13, "delay@1+:get:index", [], "check")


@tap.test
def readers(tmp):
    w = world()
    (kept,) = w.kept
    for options in SCALE, []:
        loses_as(w, 13, "delay@1+:get:pack", options, "ls", kept)
        loses_as(w, 13, "delay@1+:get:pack", options, "restore", kept, "--target", w.tmp / "restored")
    tap.eq(w.read(w.tmp / "restored")["kept"], w.wanted["kept"])


# ---- commands that change snapshots ----

REWRITE = ["rewrite", "--exclude", "/new-*"]


def two_snapshots(w):
    """A repository with all of the source in a snapshot, and a part of it in the one of `base`."""
    repo = w.copy()
    w.ours(repo, *SLOW, "backup", ".", "--host", "all", cwd=w.source)
    return repo


def where_it_is_lost(w, repo, *args):
    """Points on the way of an editing command, and how to see that it is there."""
    n = {kind: n_files(repo, kind) for kind in ("data", "index", "snapshots")}
    more = lambda kind: lambda r: n_files(r, kind) > n[kind]
    yield "delay@1+:put:index", more("data")
    yield "delay@1+:put:snapshot", more("index")
    for k in range(1, 100):
        again = w.tmp / "again"
        shutil.copytree(repo, again)
        w.ours(again, "-o", f"fault.plan=kill@{k}:list:lock", *args, check=None)
        found = more("snapshots")(again)
        shutil.rmtree(again)
        if found:
            yield f"delay@{k}+:list:lock", more("snapshots")
            return
    raise AssertionError("no look back")


def edit_loses(w, repo, plan, is_there, take, args, code=0):
    """What the command says, and the snapshots that are new and those that are gone."""
    mine = w.tmp / f"{repo.name}-{time.monotonic_ns()}"
    shutil.copytree(repo, mine)
    with locking.Held(w.ours, mine, plan, *args, gate=f"{mine}-gate") as run:
        locking.until("it comes there", lambda: is_there(mine))
        time.sleep(0.1)
        take(w, mine)
        run.release()
        tap.eq(run.end(), code, run.stderr())
        tap.contains(run.stderr(), LOST)
    tap.eq(locking.locks(mine), [], "locks")
    w.theirs(mine, "check", "--read-data")
    before, after = repos.files(repo, "snapshots"), {s["id"]: s for s in w.ours.snapshots(mine)}
    new = [s for i, s in after.items() if i not in before]
    out = "".join(w.ours(mine, "ls", s["id"]).stdout for s in new)
    shutil.rmtree(mine)
    return new, before - set(after), out


@tap.test
def rewrite_goes_on(tmp):
    """It only adds, and does again what was not validated: no copy too many, and none that lacks a tree."""
    w = world()
    repo = two_snapshots(w)
    robbed = lambda w, r: prune(w, r, by_force)
    for plan, is_there in where_it_is_lost(w, repo, *REWRITE):
        for take in by_hand, robbed:
            new, gone, out = edit_loses(w, repo, plan, is_there, take, REWRITE)
            tap.eq([(s["hostname"], s["tags"]) for s in new], [("all", ["rewrite"])])
            tap.eq((new[0]["original"] in repos.files(repo, "snapshots"), gone), (True, set()))
            tap.ok("/new-0" not in out and "/kept" in out, out)
    # All of them get a new time; the second one is lost.
    plan, is_there = "delay@2:put:snapshot", lambda r: n_files(r, "snapshots") > n_files(repo, "snapshots")
    new, gone, _ = edit_loses(w, repo, plan, is_there, by_hand, ["rewrite", "--new-time", "2020-01-02 03:04:05"])
    tap.eq(sorted(s["hostname"] for s in new), ["all", "stays"])
    tap.eq(gone, set())


@tap.test
def a_snapshot_that_goes_meanwhile(tmp):
    """Who has the repository after us forgets what was about to be rewritten."""
    w = world()
    repo = two_snapshots(w)
    (all_,) = (s["id"] for s in w.ours.snapshots(repo) if s["hostname"] == "all")

    def take(w, mine):
        by_hand(w, mine)
        w.theirs(mine, "forget", "--prune", all_)

    new, gone, _ = edit_loses(w, repo, "delay@1:put:snapshot", lambda r: n_files(r, "index") > n_files(repo, "index"), take, REWRITE)
    tap.eq((new, gone), ([], {all_}))


@tap.test
def exclusive_locks_end_it(tmp):
    """Who deletes does not go on: all is as it was, and the same command can be given again."""
    w = world()
    repo = two_snapshots(w)
    damaged = w.tmp / f"{repo.name}-damaged"
    shutil.copytree(repo, damaged)
    for s in w.ours.snapshots(damaged):
        if s["hostname"] == "all":
            w.ours(damaged, "forget", s["id"])
    for pack in repos.files(damaged, "data") - repos.files(w.base, "data"):
        (damaged / "data" / pack[:2] / pack).unlink()
    w.ours(damaged, "repair", "index")
    for r, args in [(repo, ["tag", "--add", "x"]), (repo, [*REWRITE, "--forget"]), (repo, ["rewrite", "--forget", "--new-host", "x"]),
                    (damaged, ["recover"])]:
        points = [x for x in where_it_is_lost(w, r, *args) if "list:lock" in x[0]]
        new, gone, _ = edit_loses(w, r, *points[0], by_hand, args, 13)
        tap.eq((new, gone), ([], set()), args)


@tap.test
def copy_goes_on(tmp):
    w = world()
    repo = two_snapshots(w)
    target = repos.quick(w.tmp / "target")
    env = {"RESTIC_FROM_PASSWORD": repos.PASSWORD}
    ours = functools.partial(w.ours, env=env)
    args = ["copy", "--from-repo", repo]
    there = lambda r: len(repos.files(r, "snapshots")) == 2
    for k in range(1, 100):
        shutil.rmtree(target)
        repos.quick(target)
        ours(target, "-o", f"fault.plan=kill@{k}:list:lock", *args, check=None)
        if there(target):
            break
    shutil.rmtree(target)
    repos.quick(target)
    with locking.Held(w.ours, target, f"delay@{k}+:list:lock", *args, gate=f"{target}-gate", env=env) as run:
        locking.until("the copies are there", lambda: there(target))
        time.sleep(0.1)
        old = repos.files(target, "snapshots")
        prune(w, target, by_force)
        run.release()
        tap.eq(run.end(), 0, run.stderr())
    tap.contains(run.stderr(), "copying again under a new lock")
    new = repos.files(target, "snapshots")
    tap.eq((len(new), new & old), (2, set()))
    w.theirs(target, "check", "--read-data")


# ---- longer than the fence: these wait, all at the same time ----

def first_call_after_a_pack(w):
    """The number of the call, of all calls to the store, by which a backup has stored a pack."""
    for n in range(10, 1000):
        repo = w.copy()
        r = w.ours(repo, "-o", f"fault.plan=kill@{n}", *SLOW, "backup", ".", cwd=w.source, check=None)
        found = n_files(repo, "data") > n_files(w.base, "data")
        shutil.rmtree(repo)
        if found:
            return n if r.returncode != 0 else n - 1
    raise AssertionError("no packs")


def stalls(w, call, take):
    """Nothing that is asked of the store is answered until long after the fence."""
    # On a busy machine a refresh of the lock may come before the pack, and its calls count as well.
    for more in 0, 5, 10, 15:
        repo = w.copy()
        with w.held(repo, f"delay@{call + more}+", *SCALE) as run:
            try:
                locking.until("a pack", lambda: n_files(repo, "data") > n_files(w.base, "data"), 15)
            except AssertionError:
                continue
            time.sleep(FENCE + 1)
            take(w, repo)
            run.release()
            w.is_whole(repo, run)
        return run.stderr()
    raise AssertionError("the pack is never stored before the store stands still")


def stops(w, seconds, take):
    """The process is stopped, as a lid that is closed does it."""
    plan, is_there = SNAPSHOT
    repo = w.copy()
    with w.held(repo, plan, *SCALE) as run:
        locking.until("the backup comes there", lambda: is_there(w, repo))
        run.stop()
        time.sleep(seconds)
        take(w, repo)
        run.release()
        w.is_whole(repo, run)
    return run.stderr()


def is_cut(w, take, is_lost):
    """The store fails, and comes back; the backup of a pipe has nothing to do with it meanwhile."""
    repo = w.copy()
    cut = w.tmp / f"{repo.name}-cut"
    data = os.urandom(1 << 20)
    with locking.shared(w.ours, repo, "-o", f"fault.while={cut}", *SCALE, data=data) as run:
        # It reads, so that it has loaded all that it needs.
        cut.touch()
        run.says("lock.fenced")
        take(w, repo)
        cut.unlink()
        run.p.stdin.write(b"more")
        run.release()
        code = pipe_ended(w, repo, run, data + b"more")
    if not is_lost:
        tap.eq(code, 0, run.stderr())
    tap.eq("lock.lost" in run.stderr(), is_lost, run.stderr())
    return run.stderr()


def nothing(w, repo):
    tap.eq(len(locking.locks(repo)) >= 1, True, "the lock is there")


def steal(w, repo):
    prune(w, repo, by_force)


@tap.test
def cut_off_and_stopped(tmp):
    w = world()
    call = first_call_after_a_pack(w)
    texts = locking.together([
        ("stalls", stalls, w, call, nothing),
        ("stops", stops, w, FENCE + 1, nothing),
        ("stalls and is robbed", stalls, w, call, steal),
        ("stops and is robbed", stops, w, STALE + 2, steal),
        ("cut off", is_cut, w, nothing, False),
        ("cut off, and its lock is deleted", is_cut, w, by_hand, True),
        ("cut off and robbed", is_cut, w, steal, True),
    ])
    tap.eq([AGAIN in text for text in texts[:4]], [False, False, True, True], "\n".join(texts[:4]))


# ---- the long form ----

def all_ways_everywhere(tmp):
    w = world()
    for where in WALKING, INDEX, SNAPSHOT, after_snapshot(w), LOOKED:
        for how in by_hand, by_force, nobody, container:
            for options in [], SCALE:
                for name in "restic-0.14", "restic-new":
                    loses(w, where, lambda w, r: prune(w, r, how, repos.restic(name)), *PLAIN, *options)


def stopped_for_longer_than_half_an_hour(tmp):
    """restic's plain unlock takes a lock for stale then, on the same host and of a living process."""
    w = world()
    plan, is_there = SNAPSHOT
    repo = w.copy()
    with w.held(repo, plan) as run:
        locking.until("the backup comes there", lambda: is_there(w, repo))
        run.stop()
        time.sleep(31 * 60)
        w.theirs(repo, "unlock")
        tap.eq(locking.locks(repo), [], "restic's unlock removes it")
        w.theirs(repo, "prune")
        run.release()
        w.is_whole(repo, run)
    told(run.stderr())


if locking.IS_LONG:
    tap.test(all_ways_everywhere)
    tap.test(stopped_for_longer_than_half_an_hour)

tap.main()
