# SPDX-License-Identifier: BSD-2-Clause
"""Who holds a lock, and does he live? Asked from elsewhere: other namespaces, users, copies.

A lock is removed at once when there is a proof that its holder is dead, and never otherwise; what
has no proof either way is watched first, for as long as its holder could have left it alone.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import time

import locking
import repos
import tap

locking.own_mounts()
holdfast = repos.holdfast()
# A restic is watched for 9.3 s then, or is 9 s old by two clocks; one of ours is watched for 5.4 s.
SCALE = 0.005
AGE_RESTIC, WATCH_OURS = 1800 * SCALE, 1080 * SCALE
QUICK = locking.scale(SCALE)


def prepare(tmp):
    mem = repos.memory(tmp)
    repo = repos.quick(mem / "repo")
    (tmp / "file").write_text("text")
    holdfast(repo, "backup", "file", cwd=tmp)
    for d in tmp, mem:
        d.chmod(0o755)
    return repo


def ours(repo, *args, prefix=(), check=0, env=None):
    return tap.run(*prefix, *holdfast.argv(repo, *args), env={"RESTIC_PASSWORD": repos.PASSWORD, **(env or {})},
                   check=check)


def on_ramfs(fn):
    """A test with a repository where the kernel keeps no marks, so that the process is looked for."""
    def test(tmp):
        with locking.ramfs(tmp) as ram:
            tmp.chmod(0o755)
            repo = repos.quick(ram / "repo")
            (tmp / "file").write_text("text")
            holdfast(repo, *QUICK, "backup", "file", cwd=tmp)
            fn(tmp, repo)

    test.__name__ = fn.__name__
    return tap.test(test)


def lives(repo, *options, prefix=()):
    """Nobody gets past this lock, or removes it."""
    r = ours(repo, *options, "check", prefix=prefix, check=11)
    tap.contains(r.stderr, ", alive")
    ours(repo, *options, "unlock", prefix=prefix)
    ours(repo, *options, "unlock", "--remove-all", prefix=prefix, check=11)
    tap.ok(locking.locks(repo), "its lock is gone")


def is_dead(repo, *options, prefix=(), proof):
    """Found out at once, or as soon as all of its threads have ended, which takes the kernel a moment."""
    def got_in():
        r = ours(repo, *options, "check", prefix=prefix, check=None)
        tap.ok(r.returncode in (0, 11), r.stderr)
        return r if r.returncode == 0 else None

    r = locking.until("somebody gets in", got_in, 20)
    tap.contains(r.stderr, f"dead ({proof})")
    tap.eq(locking.locks(repo), [])


def kill_all(run):
    """With all that it was started by."""
    os.killpg(run.pid, signal.SIGKILL)
    run.end()


def seen_from(tmp, repo, holder, looker, proof, *options):
    for hold in locking.shared, locking.exclusive:
        with hold(holdfast, repo, *options, prefix=holder) as run:
            lives(repo, *options, prefix=looker)
            tap.eq(run.p.poll(), None)
            tap.ok("lock.lost" not in run.stderr(), run.stderr())
            kill_all(run)
        is_dead(repo, *options, prefix=looker, proof=proof)


# ---- where the kernel keeps marks ----

@tap.test
def in_two_pid_namespaces(tmp):
    """Of the same host name."""
    repo = prepare(tmp)
    elsewhere = locking.in_pid_namespace()
    seen_from(tmp, repo, elsewhere, elsewhere, "kernel")
    seen_from(tmp, repo, elsewhere, [], "kernel")
    seen_from(tmp, repo, [], elsewhere, "kernel")


@tap.test
def in_two_time_namespaces(tmp):
    """The clock that a lease is counted by is 100,000 s ahead there."""
    repo = prepare(tmp)
    elsewhere = locking.in_time_namespace()
    seen_from(tmp, repo, elsewhere, [], "kernel")
    seen_from(tmp, repo, [], elsewhere, "kernel")


@tap.test
def of_two_users(tmp):
    repo = prepare(tmp)
    nobody = locking.as_nobody()
    locking.open_to_group(repo)
    seen_from(tmp, repo, [], nobody, "kernel")
    seen_from(tmp, repo, nobody, [], "kernel")


@tap.test
def a_copy_of_the_repository(tmp):
    """A lock that came along with a copy is nobody's, and the original keeps its own."""
    repo = prepare(tmp)
    with locking.shared(holdfast, repo) as run:
        (lock,) = locking.locks(repo)
        copy = pathlib.Path(f"{repo}-copy")
        subprocess.run(["cp", "-a", repo, copy], check=True)
        tap.eq(locking.locks(copy), [lock])
        is_dead(copy, proof="kernel")
        lives(repo)
        tap.eq(locking.locks(repo), [lock])
        run.release()
        tap.eq(run.end(), 0, run.stderr())
    tap.eq(locking.locks(repo), [])


@tap.test
def stopped_for_long(tmp):
    """It lives, for as long as it is there: not even what all others take for stale is removed."""
    repo = prepare(tmp)
    little = locking.scale(0.001)  # stale after 1.8 s
    with locking.shared(holdfast, repo, *little) as run:
        run.stop()
        end = time.monotonic() + 4
        while time.monotonic() < end:
            lives(repo, *little)
        run.release()
        tap.eq(run.end(), 0, run.stderr())


# ---- where it does not ----

@on_ramfs
def as_a_process(tmp, repo):
    nobody = locking.as_nobody()
    locking.open_to_group(repo)
    seen_from(tmp, repo, [], [], "process", *QUICK)
    seen_from(tmp, repo, [], nobody, "process", *QUICK)
    seen_from(tmp, repo, nobody, [], "process", *QUICK)


@on_ramfs
def as_a_process_that_nobody_has_buried(tmp, repo):
    """It has ended, but its parent has not asked for its exit code yet."""
    with locking.shared(holdfast, repo, *QUICK) as run:
        run.signal(signal.SIGKILL)
        os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOWAIT)
        run.is_in_state("Z")
        is_dead(repo, *QUICK, proof="process")


@on_ramfs
def as_a_process_in_another_time_namespace(tmp, repo):
    """Start times cannot be compared, so that only the absence of the process is a proof."""
    elsewhere = locking.in_time_namespace()
    seen_from(tmp, repo, elsewhere, [], "process", *QUICK)
    seen_from(tmp, repo, [], elsewhere, "process", *QUICK)


@on_ramfs
def as_a_process_that_is_hidden(tmp, repo):
    """Who may see his own processes only."""
    locking.as_nobody()
    locking.open_to_group(repo)
    script = """
        mount -o remount,hidepid=2 /proc || exit 77
        mkfifo pipe
        "$@" backup --stdin <pipe >/dev/null 2>&1 &
        exec 3>pipe
        until ls LOCKS | grep -q . && sleep 1; do sleep 0.1; done
        setpriv --reuid 65534 --regid 0 --clear-groups "$@" check
        echo "code $?"
        kill -9 $!
        wait
        setpriv --reuid 65534 --regid 0 --clear-groups "$@" check
        echo "code $?"
    """
    r = tap.run("unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script.replace("LOCKS", f"{repo}/locks"),
                "sh", *holdfast.argv(repo, *QUICK), env={"RESTIC_PASSWORD": repos.PASSWORD}, cwd=tmp, check=None)
    if r.returncode == 77:
        tap.skip("no hidepid here")
    codes = [x for x in r.stdout.splitlines() if x.startswith("code")]
    tap.eq(codes, ["code 11", "code 0"], r.stdout + r.stderr)
    tap.contains(r.stderr, ", alive")
    tap.contains(r.stderr, "dead (process)")


@on_ramfs
def whose_number_another_has_got(tmp, repo):
    script = """
        mkfifo pipe
        "$@" backup --stdin <pipe >/dev/null 2>&1 &
        holder=$!
        exec 3>pipe
        until ls LOCKS | grep -q . && sleep 1; do sleep 0.1; done
        kill -9 $holder
        wait
        echo $((holder - 1)) >/proc/sys/kernel/ns_last_pid || exit 77
        sleep 1000 &
        [ $! = $holder ] || exit 77
        "$@" check
        echo "code $?"
        kill $!
    """
    r = tap.run("unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script.replace("LOCKS", f"{repo}/locks"),
                "sh", *holdfast.argv(repo, *QUICK), env={"RESTIC_PASSWORD": repos.PASSWORD}, cwd=tmp, check=None)
    if r.returncode == 77:
        tap.skip("no choice of process numbers here")
    tap.contains(r.stdout, "code 0")
    tap.contains(r.stderr, "dead (process)")


def is_watched(repo, at_least, env=None):
    """Nothing is known, and nothing done, before the time is over; then it is removed."""
    begin = time.monotonic()
    while True:
        r = ours(repo, *QUICK, "check", check=None, env=env)
        took = time.monotonic() - begin
        if r.returncode == 0:
            break
        tap.eq(r.returncode, 11, r.stderr)
        # Who is told of it after the time was over hears that it is dead now, though it was not when it was in the way.
        tap.ok("unknown, unchanged for" in r.stderr or (took >= at_least and "dead (" in r.stderr), r.stderr)
        tap.ok(took < locking.PATIENCE, "it is never removed")
        time.sleep(0.5)
    tap.ok(took >= at_least, f"removed after {took} s, not {at_least}")
    tap.contains(r.stderr, "removed stale lock")
    tap.ok("dead (watched)" in r.stderr or "dead (clocks)" in r.stderr, r.stderr)


def as_a_process_in_another_pid_namespace(ram):
    """Nobody can tell; a holder who goes on refreshing is left alone, one who does not is watched."""
    repo = repos.quick(ram / "repo")
    with locking.shared(holdfast, repo, *QUICK, prefix=locking.in_pid_namespace()) as run:
        end = time.monotonic() + 1.2 * WATCH_OURS
        while time.monotonic() < end:
            r = ours(repo, *QUICK, "check", check=11)
            tap.contains(r.stderr, "unknown, unchanged for")
            time.sleep(0.3)
        kill_all(run)
    is_watched(repo, WATCH_OURS - 1)  # it was seen already before the last kill


# ---- restic's ----

def restic_is_watched(tmp, name, hold, prefix):
    """A restic that may live, and does, keeps its lock for as long as it could be alive and well."""
    tmp.mkdir()
    repo = prepare(tmp)
    env = {"XDG_STATE_HOME": str(tmp / "state")}
    with hold(repos.restic(name), repo, prefix=prefix) as run:
        (lock,) = locking.locks(repo)
        # By the true times nothing happens to it.
        r = ours(repo, "check", check=11, env=env)
        tap.contains(r.stderr, "unknown, unchanged for")
        ours(repo, "unlock", env=env)
        tap.eq(locking.locks(repo), [lock])
        if not prefix:
            run.stop()
        is_watched(repo, AGE_RESTIC - 2, env)


@tap.test
def of_whom_nothing_is_known(tmp):
    """A restic that is stopped or elsewhere, and one of ours elsewhere where there are no marks."""
    elsewhere = locking.in_pid_namespace()
    jobs = [(name, hold, prefix) for name in ("restic-0.14", "restic-new")
            for hold, prefix in ((locking.shared, []), (locking.exclusive, []), (locking.shared, elsewhere))]
    parts = [(f"{name} {n}", restic_is_watched, tmp / str(n), name, hold, prefix)
             for n, (name, hold, prefix) in enumerate(jobs)]
    with contextlib.ExitStack() as stack:
        if "HF_TEST_MOUNTS" in os.environ:
            ram = stack.enter_context(locking.ramfs(tmp))
            parts.append(("ours", as_a_process_in_another_pid_namespace, ram))
        locking.together(parts)


tap.main()
