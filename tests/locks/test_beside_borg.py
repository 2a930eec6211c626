# SPDX-License-Identifier: BSD-2-Clause
"""`with-lock` of Borg 1.4 and ours in the same situations.

What happens is written down in docs/with-lock-beside-borg.md, and the test fails when that is no
longer what happens. The document is made anew by

	tests/locks/test_beside_borg.py --write
"""

import concurrent.futures
import contextlib
import difflib
import functools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import locking
import repos
import tap

DOCUMENT = tap.TOP / "docs/with-lock-beside-borg.md"
SHORT = 0.3  # seconds in which a signal has arrived
SETTLED = 1  # seconds in which a program has begun to wait for its command; Borg loses signals before

HEAD = """\
# with-lock, beside Borg's

Both programs run a command while they hold the lock of a repository: `borg with-lock REPO COMMAND`
and `holdfast with-lock -- COMMAND`. This is what was seen when both were put into the same
situation, with {borg}. The table is made by `tests/locks/test_beside_borg.py --write`, and
`make test` fails when it is no longer true.

"The other" is a second `with-lock` of the same program on the same repository, which does not wait
for long.

| Situation | Borg 1.4 | holdfast |
|---|---|---|
"""

TAIL = """
What follows for who comes from Borg:

* Exit codes of the command arrive unchanged in both. A command that was ended by a signal is an
  error of Borg's own (2), while holdfast ends by the same signal, as a shell expects it of a
  program that runs another.
* Borg looks whether the process that took the lock lives. When that is killed, the command works
  on, and the next one gets in beside it. Here the lock is kept by a second process, which ends the
  command before it gives the lock back.
* `borg break-lock` is noticed when the command has ended, since there is nothing to give back then.
  Here the command is terminated as soon as the loss is seen, and the exit code is 13.
* SIGTERM ends Borg and, without a warning, its command. Here the command gets the signal, and has
  the last word.
* Borg 1.4's lock has no time limit, and needs none refreshed: a command that is stopped, or a host
  that sleeps, keeps it for ever. That is the simpler design, at the price of locks that stay when
  their host is gone for good. Ours go by themselves, after half an hour at most.
* The copy of a repository that is made under the lock has the lock in it. Borg takes it for its
  own, as long as the original's holder lives, and asks for `borg break-lock`; here it is in nobody's
  way.
"""


class Program:
    """What both have in common; `top` is a folder of its own for each situation."""

    def __init__(self, top):
        self.top = top
        top.mkdir(parents=True)
        self.repo = top / "repo"
        self.make()

    def argv(self, *command, repo=None):
        raise NotImplementedError

    def start(self, *command, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(self.argv(*command), env=self.env, cwd=self.top, start_new_session=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)

    def run(self, *command):
        p = self.start(*command)
        out, err = p.communicate(timeout=locking.PATIENCE)
        return p.returncode, out, err

    def shell(self, script):
        return self.start("sh", "-c", script)

    def other(self, repo=None, prefix=()):
        """Whether another one gets in: words for the table."""
        r = subprocess.run([*prefix, *self.argv("true", repo=repo)], env=self.env, cwd=self.top, capture_output=True,
                           stdin=subprocess.DEVNULL, text=True, timeout=locking.PATIENCE)
        return "the other gets in" if r.returncode == 0 else f"the other is refused, exit code {r.returncode}"

    def has(self, name):
        return (self.top / name).exists()

    def until(self, name):
        locking.until(name, lambda: self.has(name))


@functools.cache
def borg_template(path):
    top = repos.memory(pathlib.Path(tempfile.gettempdir()))
    tap.run(path, "init", "-e", "none", top / "repo", env={"BORG_BASE_DIR": str(top)})
    return top / "repo"


class Borg(Program):
    def make(self):
        self.path = tap.peer("borg-1.4")
        self.env = {**os.environ, "BORG_BASE_DIR": str(self.top), "BORG_HOST_ID": "this-host", "LC_ALL": "C.UTF-8",
                    "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
                    "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}
        shutil.copytree(borg_template(self.path), self.repo)

    def argv(self, *command, repo=None):
        return [self.path, "--lock-wait", "1", "with-lock", str(repo or self.repo), *command]

    def break_lock(self):
        tap.run(self.path, "break-lock", self.repo, env=self.env)

    def version(self):
        return tap.run(self.path, "--version").stdout.split()[-1]

    def is_locked(self):
        return (self.repo / "lock.exclusive").exists()


class Ours(Program):
    def make(self):
        self.program = repos.holdfast()
        self.env = {**os.environ, "RESTIC_PASSWORD": repos.PASSWORD, "XDG_STATE_HOME": str(self.top / "state")}
        repos.quick(self.repo)

    def argv(self, *command, repo=None):
        return self.program.argv(repo or self.repo, *locking.scale(0.02), "with-lock", "--", *command)

    def break_lock(self):
        self.program(self.repo, "unlock", "--remove-all", "--force")

    def is_locked(self):
        return bool(locking.locks(self.repo))


# ---- words ----

def ending(code):
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def end(p, timeout=None):
    return ending(p.wait(timeout or locking.PATIENCE))


def lives(pid):
    """Not even as a zombie."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextlib.contextmanager
def cleaned(p):
    try:
        yield p
    finally:
        for pid in p.pid, *getattr(p, "more", []):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        p.stdout.close()
        p.stderr.close()
        p.wait()


class Situation:
    """A command under the lock that says its number and works on until it is ended."""

    script = """
        trap 'touch asked; exit 3' TERM
        echo $$ >pid.new; mv pid.new pid
        until test -e end; do sleep 0.05; touch works; done
    """

    def __init__(self, program, script=None):
        self.program = program
        self.p = program.shell(script or self.script)
        self.p.more = []
        program.until("pid")
        self.child = int((program.top / "pid").read_text())
        self.p.more.append(self.child)
        time.sleep(SETTLED)

    def works(self):
        """Whether the command works on, as seen by what it does."""
        mark = self.program.top / "works"
        mark.unlink(missing_ok=True)
        with contextlib.suppress(AssertionError):
            locking.until("works", mark.exists, 1.5)
            return True
        return False


SITUATIONS = []


def situation(text):
    def add(fn):
        SITUATIONS.append((text, fn))
        return fn

    return add


@situation("The command ends with 0, 7, 255")
def exit_codes(program):
    return "exit codes " + ", ".join(str(program.run("sh", "-c", f"exit {n}")[0]) for n in (0, 7, 255))


@situation("The command is not there; is not executable")
def no_command(program):
    (program.top / "text").write_text("text")
    codes = [program.run(c)[0] for c in ("./nothing", "./text")]
    return f"exit codes {codes[0]}, {codes[1]}"


@situation("The command is ended by SIGTERM; by SIGSEGV")
def ended_by_signal(program):
    return "; ".join(ending(program.run("sh", "-c", f"kill -{s} $$")[0]) for s in ("TERM", "SEGV"))


@situation("Another one comes meanwhile")
def another(program):
    s = Situation(program)
    with cleaned(s.p):
        return program.other()


@situation("SIGTERM to the program")
def told_to_end(program):
    s = Situation(program)
    with cleaned(s.p):
        s.p.send_signal(signal.SIGTERM)
        code = end(s.p)
        locking.until("the command ends", lambda: not lives(s.child), 20)
        how = "gets SIGTERM and can clean up" if program.has("asked") else "is killed without warning"
        return f"the command {how}; {code}; {'locked still' if program.is_locked() else 'unlocked'}"


@situation("SIGKILL to the program")
def killed(program):
    s = Situation(program)
    with cleaned(s.p):
        s.p.kill()
        s.p.wait()
        time.sleep(SHORT)
        other = program.other()
        if s.works():
            return f"the command works on; {other}"
        how = "gets SIGTERM" if program.has("asked") else "is killed"
        locking.until("the lock is given back", lambda: not program.is_locked())
        return f"the command {how}, then the lock is given back; {program.other()}"


@situation("The command leaves a process in the background")
def grandchild(program):
    script = "echo $$ >pid.new; mv pid.new pid; (until test -e end; do sleep 0.05; done; touch ended) >/dev/null 2>&1 &"
    s = Situation(program, script)
    with cleaned(s.p):
        try:
            time.sleep(1)
            ended = s.p.poll() is not None
            return ("the lock is kept for as long as it works" if not ended else "the lock is given back") + \
                f"; {program.other()}"
        finally:
            (program.top / "end").touch()
            program.until("ended")


@situation("The lock is removed by force")
def lock_removed(program):
    s = Situation(program)
    with cleaned(s.p):
        program.break_lock()
        if program.other() != "the other gets in":
            return "the lock cannot be removed"
        until = time.monotonic() + 10
        while lives(s.child) and time.monotonic() < until:
            time.sleep(0.05)
        if not lives(s.child):
            return f"the command gets SIGTERM; {end(s.p)}"
        works = "the command works on" if s.works() else "the command stands still"
        (program.top / "end").touch()
        return f"{works}, the other beside it; {end(s.p)} in the end"


@situation("The program is stopped (SIGSTOP)")
def stopped(program):
    s = Situation(program)
    with cleaned(s.p):
        s.p.send_signal(signal.SIGSTOP)
        time.sleep(SHORT)
        text = ("the command works on" if s.works() else "the command is stopped too") + f"; {program.other()}"
        s.p.send_signal(signal.SIGCONT)
        return text


@situation("The other comes from another pid namespace of a host of the same name")
def other_namespace(program):
    prefix = locking.in_pid_namespace()
    s = Situation(program)
    with cleaned(s.p):
        return program.other(prefix=prefix)


@situation("The repository is copied by the command (`cp -a`)")
def copied(program):
    script = "cp -a repo copy && echo $$ >pid.new && mv pid.new pid; until test -e end; do sleep 0.05; done"
    s = Situation(program, script)
    with cleaned(s.p):
        copy = program.other(repo=program.top / "copy")
        (program.top / "end").touch()
        s.p.wait(locking.PATIENCE)
        return "the copy: " + copy.replace("the other", "who uses it")


@situation("Standard input of the command")
def standard_input(program):
    p = program.start("cat", stdin=subprocess.PIPE)
    out, _ = p.communicate("text", timeout=locking.PATIENCE)
    return "that of the program" if out == "text" else "empty"


def observe(tmp):
    """The table, and Borg's version."""
    borg_template(tap.peer("borg-1.4"))
    jobs = []
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for n, (_, fn) in enumerate(SITUATIONS):
            jobs.append([pool.submit(lambda fn=fn, make=make, n=n: fn(make(tmp / f"{make.__name__}-{n}")))
                         for make in (Borg, Ours)])
        rows = [[text, *(j.result() for j in pair)] for (text, _), pair in zip(SITUATIONS, jobs)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return table, Borg(tmp / "version").version()


@tap.test
def the_document_tells_what_happens(tmp):
    table, _ = observe(repos.memory(tmp))
    want = HEAD.format(borg="Borg X") + table + TAIL
    text = re.sub(r"with Borg \d+(\.\d+)*", "with Borg X", DOCUMENT.read_text())
    differs = "\n".join(difflib.unified_diff(text.splitlines(), want.splitlines(), "written", "seen", lineterm="", n=0))
    tap.ok(not differs, differs)


if "--write" in sys.argv:
    found, version = observe(repos.memory(pathlib.Path(tempfile.gettempdir())))
    DOCUMENT.write_text(HEAD.format(borg=f"Borg {version}") + found + TAIL)
    print(f"{DOCUMENT} was written")
else:
    tap.main()
