# SPDX-License-Identifier: BSD-2-Clause
"""Programs that hold a repository's lock while a test looks, for tests of locks.

	with locking.shared(holdfast, repo) as holder:     # a backup of a pipe that stays open
		...
	with locking.exclusive(restic, repo) as holder:    # a check that does not get on
		...
		holder.release()
		tap.eq(holder.end(), 0)

Nothing here sleeps for long and hopes: what is waited for is polled, until PATIENCE is over.
"""

import concurrent.futures
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import repos
import tap

# Seconds that anything may take that is going to happen; machines are slow and busy.
PATIENCE = 120 * int(os.environ.get("TEST_TIMEOUT_SCALE", "1"))
IS_LONG = os.environ.get("LOCKS") == "long" or os.environ.get("TORTURE") == "long"

# What the program learns about locks of others is of no use to the next test.
_state = tempfile.TemporaryDirectory(prefix="hf-state-")
os.environ["XDG_STATE_HOME"] = _state.name


def until(what, fn, seconds=None):
    """The first true value of fn()."""
    end = time.monotonic() + (seconds or PATIENCE)
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"in vain waited for: {what}")
        time.sleep(0.005)


def together(parts, at_once=8):
    """Runs functions at the same time, since most of them wait; `parts` are (name, function, arguments...).

    Returns what they returned; fails with all that failed.
    """
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        runs = [(name, pool.submit(fn, *args)) for name, fn, *args in parts]
    wrong = []
    for name, run in runs:
        e = run.exception()
        if isinstance(e, tap.Skip):
            raise e
        if e:
            wrong.append(f"{name}:\n" + "".join(traceback.format_exception(e)))
    tap.ok(not wrong, "\n".join(wrong))
    return [run.result() for _, run in runs]


def scale(factor):
    """Options that multiply all times of a lease: 0.01 makes the fence 9 s, and a refresh 1.2 s."""
    return ["-o", f"lock.scale={factor}"]


def locks(repo):
    """Names of all locks; none that is only about to be written."""
    return [n for n in repos.locks(repo) if "-tmp-" not in n]


def lock_bytes(repo):
    """Names and contents of all locks."""
    found = {}
    for name in locks(repo):
        with contextlib.suppress(FileNotFoundError):
            found[name] = (pathlib.Path(repo) / "locks" / name).read_bytes()
    return found


class Run:
    """A program that runs, and what it has said so far. Dies with the `with`."""

    def __init__(self, program, repo, *args, prefix=(), env=None, cwd=None, stdin=subprocess.DEVNULL, **kw):
        self.repo = repo
        self.out, self.err = [], []
        kw.setdefault("stdout", subprocess.PIPE)
        self.p = subprocess.Popen(
            [*prefix, *program.argv(repo, *args)], cwd=cwd, stdin=stdin, stderr=subprocess.PIPE,
            env={**os.environ, "RESTIC_PASSWORD": repos.PASSWORD, **({"PWD": str(cwd)} if cwd else {}), **(env or {})},
            start_new_session=True, **kw)
        self.pid = self.p.pid
        self._threads = [threading.Thread(target=self._read, args=a, daemon=True)
                         for a in ((self.p.stdout, self.out), (self.p.stderr, self.err)) if a[0]]
        for t in self._threads:
            t.start()

    @staticmethod
    def _read(stream, into):
        while data := os.read(stream.fileno(), 65536):
            into.append(data)
        stream.close()

    def stdout(self):
        return b"".join(self.out).decode(errors="replace")

    def stderr(self):
        return b"".join(self.err).decode(errors="replace")

    def says(self, word):
        """Waits until it has said this, and is still there."""
        def said():
            if word in self.stdout() + self.stderr():
                return True
            tap.ok(self.p.poll() is None, f"ended with {self.p.returncode} before it said {word!r}\n{self.stderr()}")
            return False

        until(word, said)

    def signal(self, number):
        self.p.send_signal(number)

    def tell(self, number):
        """Sends a signal, and waits until it has been taken."""
        status = pathlib.Path(f"/proc/{self.pid}/status")
        self.signal(number)
        until("the signal is taken", lambda: not re.search(r"^ShdPnd:\t0*[^0\n]", status.read_text(), re.M))
        time.sleep(0.1)  # until it has done what is to be done

    def stop(self):
        """Stops it as Ctrl-Z cannot, and sees to it that it has."""
        self.p.send_signal(signal.SIGSTOP)
        self.is_in_state("T")

    def is_in_state(self, letter):
        """Waits for a state of proc(5)."""
        stat = pathlib.Path(f"/proc/{self.pid}/stat")
        until(f"state {letter}", lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == letter)

    def cont(self):
        self.p.send_signal(signal.SIGCONT)

    def release(self):
        """Lets it come to its end; see shared() and exclusive()."""
        if self.p.stdin and not self.p.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self.p.stdin.close()
        self.cont()

    def end(self, timeout=None):
        """The exit code, when it has ended."""
        self.p.wait(timeout or PATIENCE)
        for t in self._threads:
            t.join(timeout or PATIENCE)
        return self.p.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # What it started may outlive it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.p.wait()
        for t in self._threads:
            t.join(10)
        if self.p.stdin and not self.p.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self.p.stdin.close()


class Held(Run):
    """One of ours whose calls to the store do not come back as long as there is `self.gate`."""

    def __init__(self, program, repo, plan, *args, gate, **kw):
        self.gate = pathlib.Path(gate)
        self.gate.touch()
        super().__init__(program, repo, "-o", f"fault.plan={plan}:600000", "-o", f"fault.while={gate}",
                         "--log-format=logfmt", *args, **kw)

    def release(self):
        self.gate.unlink(missing_ok=True)
        super().release()

    def __exit__(self, *a):
        self.gate.unlink(missing_ok=True)
        super().__exit__(*a)


def _is_ours(program):
    return program.name == "holdfast"


def shared(program, repo, *options, data=b"something", **kw):
    """Holds a shared lock: a backup of a pipe with `data` in it that release() closes."""
    before = set(locks(repo))
    more = ["--log-format=logfmt"] if _is_ours(program) else []
    run = Run(program, repo, *more, *options, "backup", "--stdin", stdin=subprocess.PIPE, **kw)
    try:
        run.p.stdin.write(data)
        run.p.stdin.flush()
        _wait_for_lock(program, repo, run, before)
    except BaseException:
        run.__exit__()
        raise
    return run


def exclusive(program, repo, *options, gate=None, **kw):
    """Holds an exclusive lock: a check that gets on when release() is called.

    Ours waits for a file to go; restic is stopped in the 200 ms in which it looks whether anybody else came.
    """
    before = set(locks(repo))
    if _is_ours(program):
        gate = gate or f"{repo}-gate-{time.monotonic_ns()}"
        run = Held(program, repo, "delay@1+:get:index", *options, "check", gate=gate, **kw)
    else:
        run = Run(program, repo, *options, "check", **kw)
    try:
        _wait_for_lock(program, repo, run, before)
        if not _is_ours(program):
            run.stop()
    except BaseException:
        run.__exit__()
        raise
    return run


def _wait_for_lock(program, repo, run, before):
    if _is_ours(program):
        run.says("lock.acquire.held")
    until("a lock", lambda: set(locks(repo)) - before or run.p.poll() is not None)
    tap.ok(run.p.poll() is None, f"ended with {run.p.poll()}:\n{run.stderr()}")


# ---- where the kernel keeps no marks ----

def own_mounts():
    """Starts the test anew where mounts are seen by nobody else, and end with it."""
    prefix = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() == 0 and "HF_TEST_MOUNTS" not in os.environ and works(*prefix, "true"):
        os.environ["HF_TEST_MOUNTS"] = "1"
        os.execvp(prefix[0], [*prefix, sys.executable, *sys.argv])


@contextlib.contextmanager
def ramfs(tmp):
    """A folder on a file system that is not among those where marks are relied on."""
    if "HF_TEST_MOUNTS" not in os.environ:
        tap.skip("needs root and mount namespaces")
    ram = pathlib.Path(tmp) / "ram"
    ram.mkdir()
    if subprocess.run(["mount", "-t", "ramfs", "ramfs", ram], capture_output=True).returncode != 0:
        tap.skip("no ramfs here")
    try:
        yield ram
    finally:
        subprocess.run(["umount", "-l", ram], check=True)


# ---- elsewhere: prefixes of a command ----

def needs_root():
    if os.geteuid() != 0:
        tap.skip("needs root")


def works(*argv):
    return shutil.which(argv[0]) and subprocess.run(argv, capture_output=True).returncode == 0


def in_pid_namespace():
    """The command is not the namespace's first process, since number 1 is there in every namespace."""
    prefix = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.geteuid() != 0:
        prefix[1:1] = ["--user", "--map-root-user"]
    if not works(*prefix, "true"):
        tap.skip("no pid namespaces here")
    return [*prefix, "sh", "-c", '"$@"; exit $?', "sh"]


def in_time_namespace():
    prefix = ["unshare", "--time", "--boottime", "100000", "--fork", "--kill-child"]
    needs_root()
    if not works(*prefix, "true"):
        tap.skip("no time namespaces here")
    return prefix


def as_nobody():
    """Another user, in the group of root, as which restic and holdfast let it read a repository of open()."""
    needs_root()
    return ["setpriv", "--reuid", "65534", "--regid", "0", "--clear-groups"]


def open_to_group(repo, *above):
    """Lets the group use the repository: both programs go by the mode of `config`."""
    repo = pathlib.Path(repo)
    for d, _, names in os.walk(repo):
        os.chmod(d, 0o2770)
        for n in names:
            os.chmod(os.path.join(d, n), 0o440)
    for d in above:
        os.chmod(d, 0o755)
