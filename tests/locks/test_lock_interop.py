# SPDX-License-Identifier: BSD-2-Clause
"""Our locks and restic's, of both versions, against each other.

Who holds a lock, what the other one then may do and what it says, and that a lock of ours is left
alone by restic's `unlock` for as long as it is fresh, whoever runs that and wherever.
"""

import json

import locking
import repos
import tap

RESTICS = ["restic-0.14", "restic-new"]


def prepare(tmp):
    """A repository with one snapshot in it."""
    mem = repos.memory(tmp)
    repo = repos.quick(mem / "repo")
    (tmp / "file").write_text("text")
    repos.holdfast()(repo, "backup", "file", cwd=tmp)
    return repo, mem


def refused(restic):
    """restic had no code of its own for this before 0.17."""
    return 1 if restic.name == "restic-0.14" else 11


def each(*names):
    """One test per version of restic."""
    def wrap(fn):
        for name in names:
            def one(tmp, name=name):
                fn(tmp, repos.restic(name))

            one.__name__ = f"{fn.__name__}_{name.replace('-', '_').replace('.', '')}"
            tap.test(one)
        return fn

    return wrap


@tap.test
def files_on_standard_output_stay_what_they_are(tmp):
    ours = repos.holdfast()
    repo, _ = prepare(tmp)
    (tmp / "file").write_text("content\n")
    ours(repo, "backup", "file", cwd=tmp)
    blob = sorted(b for kind, b in ours.blobs(repo) if kind == "data")[0]
    want = {args: ours(repo, *args).stdout for args in
            (("dump", "latest", "/file"), ("cat", "blob", blob), ("cat", "snapshot", "latest"))}
    tap.eq(want["dump", "latest", "/file"], "content\n")
    for args, text in want.items():
        with locking.exclusive(ours, repo) as held:
            run = locking.Run(ours, repo, "--retry-lock", "5m", *args)
            locking.until("waiting", lambda: "waiting up to 5m0s for the lock" in run.stderr())
            held.release()
            held.end()
            tap.eq((run.end(), run.stdout()), (0, text), " ".join(args))


def restic_beside(tmp, restic, hold, may_share):
    """All that restic can do while we hold a lock."""
    repo, _ = prepare(tmp)
    with hold(repos.holdfast(), repo) as ours:
        lock = locking.lock_bytes(repo)
        tap.eq(len(lock), 1)
        waiting = None
        if restic.name != "restic-0.14":
            waiting = locking.Run(restic, repo, "--retry-lock", "5m", "prune")
            waiting.says("waiting up to 5m0s for the lock")

        for args, is_shared in ((["backup", "file"], True), (["snapshots"], True), (["prune"], False),
                                (["check"], False), (["forget", "--keep-last", "5"], False)):
            may = is_shared and may_share
            r = restic(repo, *args, cwd=tmp, check=0 if may else refused(restic))
            if not may:
                exclusively = "" if may_share else "exclusively "
                tap.contains(r.stderr, f"already locked {exclusively}by PID {ours.pid} on ")
                tap.contains(r.stderr, " [holdfast] by ")
            tap.eq(locking.lock_bytes(repo), lock, f"our lock after {args}")

        # With what we add to it, restic reads our lock as its own.
        name = next(iter(lock))
        tap.eq(restic(repo, "list", "locks", "--no-lock").stdout.split(), [name])
        info = json.loads(restic(repo, "cat", "lock", name, "--no-lock").stdout)
        tap.eq((info["pid"], info.get("exclusive", False)), (ours.pid, not may_share))
        tap.ok(info["hostname"].endswith(" [holdfast]"), info["hostname"])

        restic(repo, "unlock")
        tap.eq(locking.lock_bytes(repo), lock, "our lock after unlock")
        tap.eq(ours.p.poll(), None, "still there")
        ours.release()
        tap.eq(ours.end(), 0, ours.stderr())
        if waiting:
            with waiting:
                tap.eq(waiting.end(), 0, waiting.stderr())
    tap.eq(locking.locks(repo), [])

    with hold(repos.holdfast(), repo) as ours:
        restic(repo, "unlock", "--remove-all")
        tap.eq(locking.locks(repo), [])
    restic(repo, "check")


@each(*RESTICS)
def our_shared_lock(tmp, restic):
    restic_beside(tmp, restic, locking.shared, True)


@each(*RESTICS)
def our_exclusive_lock(tmp, restic):
    restic_beside(tmp, restic, locking.exclusive, False)


def we_beside(tmp, restic, hold, may_share):
    """All that we can do while restic holds a lock."""
    repo, _ = prepare(tmp)
    ours = repos.holdfast()
    with hold(restic, repo) as theirs:
        lock = locking.lock_bytes(repo)
        tap.eq(len(lock), 1)
        waiting = locking.Run(ours, repo, "--retry-lock", "5m", "check")
        waiting.says("waiting up to 5m0s for the lock")
        for args, is_shared in ((["backup", "file"], True), (["snapshots"], True), (["ls", "latest"], True),
                                (["restore", "latest", "--target", tmp / "out"], True), (["check"], False)):
            may = is_shared and may_share
            r = ours(repo, *args, cwd=tmp, check=0 if may else 11)
            if not may:
                exclusively = "" if may_share else "exclusively "
                tap.contains(r.stderr, "unable to create lock in backend: repository is already locked "
                             f"{exclusively}by PID {theirs.pid} on ")
                tap.contains(r.stderr, "lock was created at ")
                tap.contains(r.stderr, "unlock")
            left = {n: b for n, b in locking.lock_bytes(repo).items() if n in lock}
            tap.eq(left, lock, f"restic's lock after {args}")
        tap.ok(waiting.p.poll() is None, "does not wait for its turn")
        theirs.release()
        tap.eq(theirs.end(), 0, theirs.stderr())
        with waiting:
            tap.eq(waiting.end(), 0, waiting.stderr())
    tap.eq(locking.locks(repo), [])


@each(*RESTICS)
def shared_lock_of(tmp, restic):
    we_beside(tmp, restic, locking.shared, True)


@each(*RESTICS)
def exclusive_lock_of(tmp, restic):
    we_beside(tmp, restic, locking.exclusive, False)


def unlock_from(tmp, restic, prefix):
    """restic's `unlock` neither removes our lock nor harms the one who holds it."""
    repo, mem = prepare(tmp)
    locking.open_to_group(repo, mem, tmp)
    for hold in locking.shared, locking.exclusive:
        with hold(repos.holdfast(), repo) as ours:
            lock = locking.lock_bytes(repo)
            tap.run(*prefix, *restic.argv(repo, "unlock"), env={"RESTIC_PASSWORD": repos.PASSWORD})
            tap.eq(locking.lock_bytes(repo), lock, "our lock")
            ours.release()
            tap.eq(ours.end(), 0, ours.stderr())
        tap.eq(locking.locks(repo), [])


@each(*RESTICS)
def unlock_by_another_user(tmp, restic):
    unlock_from(tmp, restic, locking.as_nobody())


@each(*RESTICS)
def unlock_in_another_pid_namespace(tmp, restic):
    unlock_from(tmp, restic, locking.in_pid_namespace())


tap.main()
