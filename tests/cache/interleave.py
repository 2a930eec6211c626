# SPDX-License-Identifier: BSD-2-Clause
"""Commands that stop at an exact system call while a test does something else, or whose N-th call fails.

	at = interleave.Point("unlinkat", path=f"*/{name}")
	with interleave.Stopped(program, repo, "snapshots", points=[at]) as one:
		one.reach()                      # every thread of it stands still, before the call
		...                              # whatever the other process does meanwhile
		r = one.finish()                 # goes on; r.code, r.out, r.err

	for n in range(1, 1 + len(interleave.calls(program, repo, "snapshots", below=cache))):
		r = interleave.failing(program, repo, "snapshots", below=cache, nth=n, errno="EIO")

stopat (stopat.c) does the work, for programs that know nothing of it.
"""

import os
import pathlib
import shutil
import tempfile
import types

import locking
import repos
import tap

STOPAT = os.environ.get("STOPAT", str(tap.TOP / "build/tests/cache/stopat"))

# A sanitizer cannot look for leaks in a program that is traced.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"


class Point:
    """The N-th call, by its names ("unlink,unlinkat"), that concerns a path: see stopat.c."""

    def __init__(self, calls, path=None, below=None, nth=1, at="entry"):
        self.options = ["--call", calls, "--nth", str(nth), "--at", at,
                        *(["--path", str(path)] if path else []), *(["--below", str(below)] if below else [])]


def cached(program, cache, *options):
    """The same program, which uses a cache, as repos.Program does not."""
    p = repos.Program(program.name, program.path)
    p.more = ["--cache-dir", str(cache), *options]
    return p


class Command:
    """Any command, for what else takes a program and its repository."""

    def argv(self, _, *args):
        return [str(a) for a in args]


class Stopped(locking.Run):
    """A command that stops at each of the points, in whatever order it comes to them."""

    def __init__(self, program, repo, *args, points, prefix=(), **kw):
        self._top = pathlib.Path(tempfile.mkdtemp(prefix="hf-stop-"))
        self._dirs = [self._top / str(n) for n in range(len(points))]
        self._top.chmod(0o755)
        for d in self._dirs:
            d.mkdir()
            d.chmod(0o777)  # the command may be another user's
        rules = [o for p, d in zip(points, self._dirs) for o in (*p.options, "--hold", str(d))]
        super().__init__(program, repo, *args, prefix=[*prefix, STOPAT, *rules, "--"], **kw)

    def has_reached(self, n=0):
        return (self._dirs[n] / "reached").exists()

    def reach(self, n=0):
        """Waits until it stands at the point. Returns the process's number, and the path."""
        def there():
            ended = self.p.poll() is not None  # looked at first: it may come there and be killed
            tap.ok(self.has_reached(n) or not ended,
                   f"ended with {self.p.returncode} before point {n}\n{self.stdout()}{self.stderr()}")
            return self.has_reached(n)

        locking.until(f"point {n}", there)
        pid, _, path = (self._dirs[n] / "reached").read_text().rstrip("\n").split(" ", 2)
        return int(pid), path

    def go(self, n=0):
        (self._dirs[n] / "go").touch()

    def finish(self):
        """Goes on at every point, to the end: exit code, stdout, stderr."""
        for n in range(len(self._dirs)):
            self.go(n)
        code = self.end()
        return types.SimpleNamespace(code=code, out=self.stdout(), err=self.stderr())

    def __exit__(self, *a):
        super().__exit__(*a)
        shutil.rmtree(self._top)


def _run(rules, program, repo, *args, prefix=(), **kw):
    with locking.Run(program, repo, *args, prefix=[*prefix, STOPAT, *rules, "--"], **kw) as run:
        code = run.end()
        return types.SimpleNamespace(code=code, out=run.stdout(), err=run.stderr())


def _which(below, only_interruptible):
    return ["--below", str(below), *(["--interruptible"] if only_interruptible else [])]


def calls(program, repo, *args, below, only_interruptible=False, **kw):
    """What a command asks of the files below a folder: lines "CALL PATH = RESULT", by their numbers."""
    with tempfile.NamedTemporaryFile("r", prefix="hf-calls-") as log:
        _run([*_which(below, only_interruptible), "--log", log.name], program, repo, *args, **kw)
        lines = [line.rstrip("\n").split(" ", 1) for line in log]
    return [text for _, text in sorted(lines, key=lambda x: int(x[0]))]


def failing(program, repo, *args, below, nth, errno, and_later=False, **kw):
    """Runs the command with the N-th of these calls failing, or all from that on.

    EINTR only happens to calls that can return it, and the N-th of those is meant.
    """
    which = _which(below, errno == "EINTR")
    return _run([*which, "--nth", f"{nth}{'+' if and_later else ''}", "--fail", errno], program, repo, *args, **kw)
