# SPDX-License-Identifier: BSD-2-Clause
"""However a command is made to end, it takes its lock along: signals, and standard streams that go.

What restic does in the same place is printed, not asked for.
"""

import concurrent.futures
import contextlib
import copy
import fcntl
import os
import pty
import random
import shutil
import signal
import subprocess
import termios
import time

import locking
import repos
import tap

MOMENTS = 100 if locking.IS_LONG else 12
AT_ONCE = 8
# Every call to the store takes a moment, so that there is something to be interrupted.
SLOWLY = ["-o", "fault.plan=delay@1+:8"]

holdfast = repos.holdfast()


class Place:
    def __init__(self, tmp):
        self.tmp = repos.memory(tmp)
        self.source = self.tmp / "source"
        self.source.mkdir()
        for i in range(3000):
            (self.source / f"a-file-with-a-rather-long-name-{i}").touch()
        for i in range(10):
            (self.source / f"{i}").write_bytes(random.Random(i).randbytes(100_000))
        self.repo = repos.quick(self.tmp / "repo")
        holdfast(self.repo, "backup", "--with-atime", ".", cwd=self.source)

    def commands(self):
        return (["check"], ["backup", "--force", self.source], ["ls", "latest"],
                ["restore", "latest", "--target", self.tmp / "out", "--include", "/*/[0-9]"])

    def unlocked(self, what):
        tap.eq(locking.locks(self.repo), [], f"locks after {what}")


def read_a_line(p, program, *options, command):
    """`program ... | head -1`; returns the exit code."""
    run = program.start(p.repo, *options, *command)
    run.stdout.readline()
    run.stdout.close()
    run.stderr.read()
    return run.wait(locking.PATIENCE)


@tap.test
def the_reader_goes_away(tmp):
    p = Place(tmp)
    for command in p.commands():
        slow = SLOWLY if command[0] == "check" else []
        code = read_a_line(p, holdfast, *slow, command=command)
        p.unlocked(f"{command[0]} | head -1")
        if command[0] in ("check", "ls"):
            tap.eq(code, 141, command[0])
    holdfast(p.repo, "check")


@tap.test
def streams_are_closed(tmp):
    p = Place(tmp)
    for command in p.commands():
        for closed in "0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-", ">/dev/full":
            tap.run("sh", "-c", f'exec "$@" {closed}', "sh", *holdfast.argv(p.repo, *command),
                    env={"RESTIC_PASSWORD": repos.PASSWORD}, check=None)
            p.unlocked(f"{command[0]} {closed}")
    # Nothing to read from is an error of the backup, and no more.
    tap.run("sh", "-c", 'exec "$@" 0<&-', "sh", *holdfast.argv(p.repo, "backup", "--stdin"),
            env={"RESTIC_PASSWORD": repos.PASSWORD}, check=None)
    p.unlocked("backup --stdin 0<&-")


@tap.test
def the_pipe_is_closed(tmp):
    """The other side of a backup's pipe ends, at once or in the middle; its data is what was there."""
    p = Place(tmp)
    for data in b"", b"half":
        with locking.shared(holdfast, p.repo, data=data) as run:
            run.release()
            run.end()
        p.unlocked("backup --stdin")


def at_moments(p, codes, send, moments=MOMENTS, end=None):
    """Calls send(run) at many moments of every command, none of which takes longer than a second.

    Returns the exit codes; no lock is left, or end(repo) takes care of those that are.
    """
    def one(job):
        number, command = job
        repo = p.tmp / f"repo-{command[0]}-{number}"
        shutil.copytree(p.repo, repo)
        with locking.Run(holdfast, repo, *SLOWLY, *command) as run:
            time.sleep(0.3 * (number + random.random()) / moments)
            with contextlib.suppress(ProcessLookupError):
                send(run)
            code = run.end()
        tap.ok(code in codes, f"{command[0]}: exit code {code}\n{run.stderr()}")
        if end:
            end(repo)
        tap.eq(locking.locks(repo), [], f"locks after {command[0]}")
        shutil.rmtree(repo)
        return code

    jobs = [(n, command) for n in range(moments) for command in p.commands()]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, jobs))


@tap.test
def told_to_stop(tmp):
    p = Place(tmp)
    # Before there is anybody to take care of it, a signal ends a program as it ends any other.
    for number in signal.SIGINT, signal.SIGTERM:
        ended = at_moments(p, (0, 130, -number), lambda run: run.signal(number))
        tap.ok(130 in ended, f"exit codes {ended}")


@tap.test
def not_told_to_stop(tmp):
    """The signals of restic's `unlock`, and of readers that go, are none to end for."""
    p = Place(tmp)
    for number in signal.SIGHUP, signal.SIGPIPE:
        ended = at_moments(p, (0, -number), lambda run: run.signal(number), MOMENTS // 4)
        tap.ok(0 in ended, f"exit codes {ended}")


@tap.test
def told_twice(tmp):
    """The second time it goes at once, and may leave its lock, as after SIGKILL."""
    p = Place(tmp)

    def send(run):
        run.signal(signal.SIGTERM)
        time.sleep(random.random() * 0.02)
        run.signal(signal.SIGTERM)

    at_moments(p, (0, 130, -signal.SIGTERM), send, end=lambda repo: holdfast(repo, "check"))


@tap.test
def many_are_dead(tmp):
    """However many locks of the dead there are, who comes next removes them all."""
    p = Place(tmp)
    for _ in range(25):
        with locking.shared(holdfast, p.repo) as run:
            run.signal(signal.SIGKILL)
            run.end()
    tap.eq(len(locking.locks(p.repo)), 25)
    holdfast(p.repo, "check")
    p.unlocked("a check")


@tap.test
def told_to_stop_while_waiting(tmp):
    """Also when it shows already that it waits."""
    p = Place(tmp)
    with locking.shared(holdfast, p.repo) as other:
        theirs = locking.locks(p.repo)
        for number in signal.SIGINT, signal.SIGTERM:
            for wait, shows in ("1h", False), ("2s", True):
                with locking.Run(holdfast, p.repo, *locking.scale(0.05), "--retry-lock", wait, "check") as run:
                    run.says("waiting up to")
                    if shows:
                        locking.until("a file that says so", lambda: len(locking.locks(p.repo)) > 1)
                    run.signal(number)
                    begin = time.monotonic()
                    tap.eq(run.end(), 130, run.stderr())
                    tap.ok(time.monotonic() - begin < 20, "ended late")
                tap.eq(locking.locks(p.repo), theirs)
        other.release()
        tap.eq(other.end(), 0, other.stderr())
    p.unlocked("the end")


@tap.test
def the_terminal_is_hung_up(tmp):
    p = Place(tmp)
    for command in p.commands():
        ours, theirs = pty.openpty()

        def own_terminal(fd=theirs):
            os.setsid()
            fcntl.ioctl(fd, termios.TIOCSCTTY, 0)

        run = subprocess.Popen(holdfast.argv(p.repo, *SLOWLY, *command), stdin=theirs, stdout=theirs, stderr=theirs,
                               env={**os.environ, "RESTIC_PASSWORD": repos.PASSWORD}, preexec_fn=own_terminal)
        os.close(theirs)
        locking.until("a lock", lambda: locking.locks(p.repo) or run.poll() is not None)
        os.close(ours)
        run.wait(locking.PATIENCE)
        p.unlocked(command[0])


@tap.test
def what_restic_does(tmp):
    """For comparison: what is left in locks/, as seen; nothing is demanded."""
    p = Place(tmp)

    def reader_goes(name, command, repo):
        q = copy.copy(p)
        q.repo = repo
        code = read_a_line(q, repos.restic(name), command=command)
        return f"{name}: {command[0]} | head -1: exit code {code}, {len(locking.locks(repo))} locks left"

    def signalled(name, number, repo):
        with locking.shared(repos.restic(name), repo) as run:
            time.sleep(0.3)
            run.signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.end(1)
            return (f"{name}: backup --stdin, {number.name}: exit code {run.p.poll()}, "
                    f"{len(locking.locks(repo))} locks left")

    parts = []
    for name in "restic-0.14", "restic-new":
        for command in (["check"], ["ls", "latest"]):
            parts.append((name, reader_goes, name, command))
        for number in signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE:
            parts.append((name, signalled, name, number))
    for n, part in enumerate(parts):
        repo = p.tmp / f"repo-{n}"
        shutil.copytree(p.repo, repo)
        parts[n] = (*part, repo)
    for line in locking.together(parts):
        print(f"# {line}")


tap.main()
