# SPDX-License-Identifier: BSD-2-Clause
"""Death at every step of getting, refreshing and giving back a lock, and answers that are lost.

Whatever is left behind by who was killed is in nobody's way: the next command that must be alone
gets in at once, without anybody's help, and leaves nothing.
"""

import concurrent.futures
import contextlib
import os
import random
import shutil
import signal
import subprocess
import time

import locking
import repos
import tap

RUNS = 400 if locking.IS_LONG else 24  # of strace
AT_ONCE = 8
HOLD = 0.6  # seconds, in which at SCALE there are two refreshes
SCALE = locking.scale(0.002)
# A sanitizer cannot look for leaks under strace.
STRACED = {"ASAN_OPTIONS": "detect_leaks=0"}

holdfast = repos.holdfast()


def is_killed(code):
    return code == -signal.SIGKILL


def hold_open(repo, *options, prefix=(), env=None):
    """A backup of a pipe that stays open for a while: exit code, and what it said."""
    with locking.Run(holdfast, repo, *SCALE, *options, "backup", "--stdin", stdin=subprocess.PIPE, prefix=prefix,
                     env=env) as run:
        with contextlib.suppress(BrokenPipeError):
            run.p.stdin.write(b"something")
            run.p.stdin.flush()
        end = time.monotonic() + HOLD
        while run.p.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        run.release()
        return run.end(), run.stderr()


def read_all(repo, *options, prefix=(), env=None):
    """A check, alone, that takes as long as the machine needs; it is refreshed all the time."""
    with locking.Run(holdfast, repo, *locking.scale(0.0003), *options, "check", "--read-data", prefix=prefix,
                     env=env) as run:
        return run.end(), run.stderr()


def nobody_minds(repo, what):
    """At most two locks are left, and they are gone as soon as somebody must be alone."""
    left = locking.locks(repo)
    tap.ok(len(left) <= 2, f"{what}: {len(left)} locks are left")
    begin = time.monotonic()
    holdfast(repo, "check", timeout=locking.PATIENCE)
    tap.ok(time.monotonic() - begin < 60, f"{what}: the next one had to wait")
    # What a put was about to write when it was killed is no lock, to nobody.
    tap.eq(locking.locks(repo), [], f"{what}: locks")
    return len(left)


class Template:
    def __init__(self, tmp, size):
        self.tmp = repos.memory(tmp)
        self.repo = repos.quick(self.tmp / "template")
        (self.tmp / "file").write_bytes(random.Random(5).randbytes(size))
        holdfast(self.repo, "backup", "file", cwd=self.tmp)

    def copy(self, name):
        repo = self.tmp / name
        shutil.copytree(self.repo, repo)
        return repo


def every_call(t, command):
    """Kills at the N-th call about locks, for every N there is; returns how many, and what was left."""
    left = []

    def kill(n):
        repo = t.copy(f"kill-{n}")
        code, err = command(repo, "-o", f"fault.plan=kill@{n}:lock")
        tap.ok(code in (0, -signal.SIGKILL), f"kill@{n}: exit code {code}\n{err}")
        left.append(nobody_minds(repo, f"kill@{n}"))
        shutil.rmtree(repo)
        return is_killed(code)

    n = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        # How often there is a refresh is a matter of time: the end is where several were not reached.
        while any(list(pool.map(kill, range(n + 1, n + 1 + AT_ONCE)))) and n < 400:
            n += AT_ONCE
    tap.ok(n >= 12, f"only {n} calls")
    tap.ok({1, 2} <= set(left), f"locks that were left: {left}")
    return n


@tap.test
def killed_with_a_shared_lock(tmp):
    every_call(Template(tmp, 1000), hold_open)


@tap.test
def killed_with_an_exclusive_lock(tmp):
    t = Template(tmp, 24 << 20)
    # Not to the end, which is as far as the machine is slow.
    for n in [*range(1, 16), 19, 23, 28]:
        repo = t.copy(f"kill-{n}")
        code, err = read_all(repo, "-o", f"fault.plan=kill@{n}:lock")
        tap.ok(code in (0, -signal.SIGKILL), f"kill@{n}: exit code {code}\n{err}")
        nobody_minds(repo, f"kill@{n}")
        shutil.rmtree(repo)


@tap.test
def killed_while_waiting(tmp):
    """Who waits to be alone says so in a file, which dies with him too."""
    t = Template(tmp, 1000)
    repo = t.copy("waits")
    with locking.shared(holdfast, repo) as other:
        (theirs,) = locking.locks(repo)
        seen = 0

        def wait(n):
            code = holdfast(repo, *SCALE, "-o", f"fault.plan=kill@{n}:lock", "--retry-lock", "600ms", "check",
                            check=None).returncode
            tap.ok(code in (11, -signal.SIGKILL), f"kill@{n}: exit code {code}")
            return is_killed(code)

        for n in range(1, 120, 9):
            wait(n)
            left = set(locking.locks(repo)) - {theirs}
            tap.ok(len(left) <= 2, f"kill@{n}: {len(left)} locks are left")
            seen += len(left)
            holdfast(repo, "snapshots")
            tap.ok(theirs in locking.locks(repo), "the lock of somebody else")
        tap.ok(seen, "it was never killed while it showed that it waits")
        other.release()
        tap.eq(other.end(), 0, other.stderr())
    nobody_minds(repo, "in the end")


@tap.test
def answers_are_lost(tmp):
    """What was written without anybody being told is deleted all the same."""
    t = Template(tmp, 1000)

    def lose(plan):
        repo = t.copy(plan)
        code, err = hold_open(repo, "-o", f"fault.plan={plan}")
        tap.ok(code in (0, 1), f"{plan}: exit code {code}\n{err}")
        tap.eq(locking.locks(repo), [], f"{plan}: locks that are left")
        holdfast(repo, "check")
        shutil.rmtree(repo)

    plans = [f"lost@{n}:lock" for n in range(1, 21)]
    for n in 1, 2, 3:
        plans += [f"lost@{n}:lock:put", f"lost@{n}+:lock:put", f"lost@{n}:lock:del", f"fail@{n}:lock:del"]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lose, plans))


@tap.test
def killed_in_system_calls(tmp):
    """At moments that no store knows of: between the name of a file and its mode, and the like."""
    if not shutil.which("strace"):
        tap.skip("strace is absent")
    t = Template(tmp, 1000)
    rng = random.Random(11)
    calls = {"openat": 60, "renameat": 8, "unlinkat": 8, "fsync": 16, "fchmodat": 8, "fcntl": 20, "getdents64": 12}
    repo = t.copy("trace")
    probe = tap.run("strace", "-f", "-o", "/dev/null", "-e", "inject=fsync:signal=KILL:when=1",
                    *holdfast.argv(repo, "snapshots"), env={"RESTIC_PASSWORD": repos.PASSWORD, **STRACED}, check=None)
    if not is_killed(probe.returncode):
        tap.skip(f"strace cannot: {probe.returncode} {probe.stderr.strip()[-200:]}")
    killed = []

    def run(number):
        call = list(calls)[number % len(calls)]
        n = random.Random(rng_seed + number).randint(1, calls[call])
        repo = t.copy(f"strace-{number}")
        strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                  "-e", f"inject={call}:signal=KILL:when={n}"]
        code, err = hold_open(repo, prefix=strace, env=STRACED)
        tap.ok(code in (0, -signal.SIGKILL), f"{call}@{n}: exit code {code}\n{err}")
        nobody_minds(repo, f"{call}@{n}")
        shutil.rmtree(repo)
        killed.append(is_killed(code))

    rng_seed = rng.randrange(1 << 30) if not locking.IS_LONG else int(os.environ.get("SEED", time.time_ns()))
    print(f"# seed {rng_seed}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(run, range(RUNS)))
    tap.ok(sum(killed) >= RUNS // 4, f"{sum(killed)} of {RUNS} were killed")


tap.main()
