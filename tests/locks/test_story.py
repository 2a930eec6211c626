# SPDX-License-Identifier: BSD-2-Clause
"""A command that runs under a lock for longer than any lock lasts.

Where this began: a program took a lock for a script, nobody refreshed it, after half an hour others
took it for abandoned, and the script went on. Here real restics want to get in all the time and
never do; and when the lock cannot be refreshed, the command stands still before anybody can.

In `make test` times are scaled. STORY=real takes 35 minutes, and then restic's own half hour counts.
"""

import contextlib
import os
import sys
import threading
import time

import locking
import repos
import tap

locking.own_mounts()

IS_REAL = os.environ.get("STORY") == "real"
SCALE = 1 if IS_REAL else 0.01
OPTIONS = locking.scale(SCALE)
FENCE, STALE = 900 * SCALE, 1800 * SCALE
AS_LONG_AS = 35 * 60 if IS_REAL else STALE + 2
PAUSE = 15 if IS_REAL else 0.8

# Says every 50 ms that it is at work, until it is told to end.
COMMAND = """
import pathlib, sys, time
ticks, end = map(pathlib.Path, sys.argv[1:3])
with ticks.open("a", buffering=1) as f:
    while not end.exists():
        f.write(f"{time.monotonic_ns()}\\n")
        time.sleep(0.05)
"""

holdfast = repos.holdfast()


class Script(locking.Run):
    """The command and the lock over it."""

    def __init__(self, repo, tmp, *options, prefix=()):
        self.ticks, self.stop_file = tmp / "ticks", tmp / "end"
        super().__init__(holdfast, repo, *OPTIONS, "--log-format=logfmt", *options, "with-lock", "--", sys.executable,
                         "-c", COMMAND, self.ticks, self.stop_file, prefix=prefix)
        locking.until("the command works", lambda: self.last() > 0 or self.p.poll() is not None)
        tap.ok(self.p.poll() is None, self.stderr())

    def last(self):
        """When it last said something, as time.monotonic(); 0 before it has."""
        text = self.ticks.read_text() if self.ticks.exists() else ""
        for line in reversed(text.split("\n")[:-1]):
            return int(line) / 1e9
        return 0

    def finish(self):
        self.stop_file.touch()
        return self.end()

    def is_frozen(self):
        """Waits until it has said nothing for a while, and tells since when."""
        pause = 3
        locking.until("it stands still", lambda: time.monotonic() - self.last() > pause,
                      FENCE + locking.PATIENCE)
        return self.last()


class Clients:
    """Programs that want to do something with the repository, again and again."""

    def __init__(self):
        self.ends = threading.Event()
        self.threads, self.wrong, self.tries = [], [], {}

    def add(self, name, fn):
        def loop():
            while not self.ends.wait(PAUSE):
                try:
                    fn()
                    self.tries[name] = self.tries.get(name, 0) + 1
                except BaseException as e:
                    self.wrong.append(f"{name}: {e}")
                    return

        t = threading.Thread(target=loop, daemon=True)
        t.start()
        self.threads.append(t)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ends.set()
        for t in self.threads:
            t.join()


def refused(program, repo, *args, **kw):
    """The command must not get in."""
    r = program(repo, *args, check=None, **kw)
    want = 1 if program.name == "restic-0.14" else 11
    tap.eq(r.returncode, want, f"{program.name} {args}\n{r.stdout}{r.stderr}")
    tap.contains(r.stderr, "already locked exclusively by PID")


def prepare(tmp):
    mem = repos.memory(tmp)
    repo = repos.quick(mem / "repo")
    (tmp / "file").write_text("text")
    holdfast(repo, *OPTIONS, "backup", "file", cwd=tmp)
    return repo


def nobody_gets_in(tmp):
    repo = prepare(tmp)
    restics = [repos.restic(n) for n in ("restic-0.14", "restic-new")]
    elsewhere = locking.in_pid_namespace()
    seen = set()

    def look():
        names = locking.locks(repo)
        tap.ok(names, "for a moment there was no lock")
        seen.update(names)

    def unlock(restic, prefix):
        tap.run(*prefix, *restic.argv(repo, "unlock"), env={"RESTIC_PASSWORD": repos.PASSWORD})
        tap.ok(locking.locks(repo), f"{restic.name} unlock removed the lock")

    with Script(repo, tmp) as script, Clients() as clients:
        clients.add("look", look)
        clients.add("holdfast check", lambda: refused(holdfast, repo, *OPTIONS, "check"))
        for r in restics:
            clients.add(f"{r.name} backup", lambda r=r: refused(r, repo, "backup", "file", cwd=tmp))
            clients.add(f"{r.name} prune", lambda r=r: refused(r, repo, "prune"))
            clients.add(f"{r.name} unlock", lambda r=r: unlock(r, []))
        clients.add("unlock elsewhere", lambda: unlock(restics[-1], elsewhere))
        end = time.monotonic() + AS_LONG_AS
        while time.monotonic() < end and not clients.wrong and script.p.poll() is None:
            time.sleep(0.1)
        clients.__exit__()
        tap.eq(clients.wrong, [])
        tap.eq(len(clients.tries), 9, clients.tries)
        tap.ok(len(seen) >= 4, f"refreshed only {len(seen) - 1} times")
        tap.eq(script.finish(), 0, script.stderr())
    gaps = [int(x) / 1e9 for x in script.ticks.read_text().split()]
    tap.ok(gaps[-1] - gaps[0] >= AS_LONG_AS - 1, "the command did not run all the time")
    tap.eq(locking.locks(repo), [])
    restics[-1](repo, "check", "--read-data")


def cut_off(tmp, is_stolen):
    """The keeper of the lock cannot reach the repository any more."""
    repo = prepare(tmp)
    restic = repos.restic("restic-new")
    cut = tmp / "cut"
    with Script(repo, tmp, "-o", f"fault.while={cut}") as script:
        begin = time.monotonic()
        cut.touch()
        # From here on every restic is still refused, by the file that is there.
        refused(restic, repo, "prune")
        frozen = script.is_frozen()
        tap.ok(frozen - begin < STALE, f"it worked on for {frozen - begin:.1f} s")
        if not is_stolen:
            cut.unlink()
            locking.until("it goes on", lambda: script.last() > frozen + 1)
            tap.eq(script.finish(), 0, script.stderr())
            tap.eq(locking.locks(repo), [])
            return
        if IS_REAL:
            # What restic takes for stale: half an hour after the last refresh that worked.
            time.sleep(max(0.0, begin + 32 * 60 - time.monotonic()))
            restic(repo, "unlock")
        else:
            restic(repo, "unlock", "--remove-all")
        tap.eq(locking.locks(repo), [])
        restic(repo, "prune")
        restic(repo, "backup", "file", cwd=tmp)
        tap.eq(script.last(), frozen, "it worked while others did")
        cut.unlink()
        tap.eq(script.end(), 13, script.stderr())
        tap.eq(script.last(), frozen, "it worked after others had been there")
        tap.eq(locking.locks(repo), [])


def held_up_by_one_of_us_elsewhere(tmp, ram):
    """Who watches the lock from another container gets in when its time is over, and not before.

    The kernel tells nobody there whether its holder lives: the file system keeps no marks.
    """
    repo = repos.quick(ram / "repo")
    (tmp / "file").write_text("text")
    holdfast(repo, *OPTIONS, "backup", "file", cwd=tmp)
    cut = tmp / "cut"
    with Script(repo, tmp, "-o", f"fault.while={cut}", prefix=locking.in_pid_namespace()) as script:
        cut.touch()
        r = holdfast(repo, *OPTIONS, "--retry-lock", "2h", "check", timeout=2 * STALE + locking.PATIENCE)
        got_in = time.monotonic()
        tap.contains(r.stderr, "dead (watched)")
        tap.ok(script.last() < got_in - 0.1, "it worked when another was in already")
        frozen = script.is_frozen()
        tap.ok(frozen < got_in, "it worked when another was in already")
        cut.unlink()
        tap.eq(script.end(), 13, script.stderr())
        tap.eq(script.last(), frozen)


@tap.test
def nobody_gets_in_before_the_command_stands_still(tmp):
    for name in "long", "healed", "robbed", "watched":
        (tmp / name).mkdir()
    parts = [("runs for long", nobody_gets_in, tmp / "long"),
             ("is cut off", cut_off, tmp / "healed", False),
             ("is cut off and robbed", cut_off, tmp / "robbed", True)]
    with contextlib.ExitStack() as stack:
        if "HF_TEST_MOUNTS" in os.environ:
            ram = stack.enter_context(locking.ramfs(tmp))
            parts.append(("is watched", held_up_by_one_of_us_elsewhere, tmp / "watched", ram))
        locking.together(parts)


tap.main()
