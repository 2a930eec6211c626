# SPDX-License-Identifier: BSD-2-Clause
"""Commands under a lock, for tests: processes to look at, and a repository that can be cut off.

Times of leases are scaled so that the fence comes after seconds. What is waited for has a deadline
that only a broken program misses; a pause proves something only where something must stand still.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

import repos
import tap

hf = repos.holdfast()
PATIENCE = 60
# every 0.36 s, suspect after 0.72 s, fenced after 2.7 s
QUICK = ["-o", "lock.scale=0.003"]
STILL = 0.7


def until(what, fn, patience=PATIENCE):
    """Waits until fn() is true, and returns what it is."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        got = fn()
        if got:
            return got
        time.sleep(0.01)
    raise AssertionError(f"waited in vain: {what}")


def lines(path):
    try:
        return path.read_text().split()
    except FileNotFoundError:
        return []


def stat(pid):
    """Fields of /proc/PID/stat from the state on, or None."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_alive(pid):
    s = stat(pid)
    return s is not None and s[0] not in "ZX"


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        s = stat(name) if name.isdigit() else None
        if s and int(s[1]) == pid:
            found.append(int(name))
    return found


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
            return f.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def picture(pid):
    """What process `pid` and all below it are doing, a line each: for the message of a test that hangs."""
    found = [pid]
    for p in found:
        found += children(p)
    text = ""
    for p in found:
        with contextlib.suppress(OSError):
            status = dict(line.split(":\t", 1) for line in open(f"/proc/{p}/status", encoding="utf-8") if ":\t" in line)
            signals = " ".join(f"{k} {status[k].strip().lstrip('0') or '0'}" for k in ("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"))
            with open(f"/proc/{p}/wchan", encoding="utf-8") as f:
                text += f"{p} {name_of(p)}: {status['State'].strip()} in {f.read() or '?'}, {signals}\n"
    return text


def keeper_of(front):
    return until("keeper", lambda: next((p for p in children(front)
                                         if name_of(p) == "holdfast-keeper" and is_alive(p)), None))


class Place:
    """A repository, and a folder for what commands write."""

    def __init__(self, tmp):
        self.tmp = tmp
        self.repo = repos.quick(repos.memory(tmp) / "repo")
        self.env = {"XDG_STATE_HOME": str(tmp / "state")}
        self.cut_file = tmp / "cut"

    def locks(self):
        return repos.locks(self.repo)

    def start(self, *args, **kw):
        env = {**self.env, **kw.pop("env", {})}
        return hf.start(self.repo, *args, env=env, **kw)

    def run(self, *args, check=0, **kw):
        env = {**self.env, **kw.pop("env", {})}
        return hf(self.repo, *args, check=check, env=env, **kw)

    def cut(self):
        self.cut_file.write_text("")

    def heal(self):
        self.cut_file.unlink()

    def cuttable(self):
        return ["-o", f"fault.while={self.cut_file}"]


@contextlib.contextmanager
def ending(p):
    """Whatever happens, nothing of process `p` stays behind."""
    try:
        yield p
    finally:
        doomed = [p.pid]
        for pid in doomed:
            doomed += children(pid)
        if p.poll() is None:
            for pid in doomed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        p.wait()
        for f in (p.stdout, p.stderr, p.stdin):
            if f:
                f.close()


def finish(p, code, patience=PATIENCE):
    """Waits for the end; returns what stood on standard output and error."""
    try:
        out, err = p.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"the command does not end\n{picture(p.pid)}") from None
    out, err = (x.decode() if isinstance(x, bytes) else x or "" for x in (out, err))
    if p.returncode != code:
        raise AssertionError(f"exit code {p.returncode}, not {code}\n--- stdout\n{out}\n--- stderr\n{err}")
    return out, err


def ticker(path, *options):
    """Words of a command that writes into `path` until it is ended: see ticker.py."""
    return [sys.executable, "-S", str(tap.TOP / "tests/harness/ticker.py"), str(path), *options]


def ticks(path):
    return len(lines(path))


def pid_in(path):
    return int(until(f"pid in {path}", lambda: lines(path))[0])


def runs(path):
    before = ticks(path)
    until(f"{path} grows", lambda: ticks(path) > before + 1)


def stands_still(path):
    """It stops growing, and then does not grow any more."""
    def still():
        before = ticks(path)
        time.sleep(STILL)
        return ticks(path) == before

    until(f"{path} stands still", still)
    before = ticks(path)
    time.sleep(STILL)
    tap.eq(ticks(path), before, "a frozen command goes on")
