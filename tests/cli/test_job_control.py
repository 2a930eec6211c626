# SPDX-License-Identifier: BSD-2-Clause
"""with-lock below an interactive shell: the keys of a terminal, jobs, and whose the terminal is."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import repos
import tap
from underlock import PATIENCE, QUICK, Place, hf, is_alive, keeper_of, pid_in, runs, stands_still, stat, ticker, ticks, until

PROMPT = "READY# "


class Shell:
    """bash at a terminal."""

    def __init__(self, place):
        self.place = place
        self.said = ""
        env = {**os.environ, **place.env, "RESTIC_REPOSITORY": str(place.repo), "RESTIC_PASSWORD": repos.PASSWORD,
               "HF": tap.holdfast(), "PS1": PROMPT, "TERM": "dumb", "D": str(place.tmp), "HISTFILE": "/dev/null"}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 300, 0, 0))
        self.see(PROMPT)
        self.do("bind 'set enable-bracketed-paste off' 2>/dev/null")

    def send(self, text):
        os.write(self.fd, text.encode())

    def see(self, text):
        """Reads until `text` comes, and returns what stood before it."""
        end = time.monotonic() + PATIENCE
        while text not in self.said:
            if time.monotonic() > end:
                raise AssertionError(f"{text!r} does not come; there is {self.said!r}")
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.said += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"the shell is gone; {self.said!r}") from None
        before, self.said = self.said.split(text, 1)
        return before

    def do(self, line):
        """A whole command, up to the next prompt."""
        self.send(line + "\n")
        self.see("\r\n")
        return self.see(PROMPT)

    def status(self):
        return re.search(r"<([\d ]+)>", self.do('echo "<${PIPESTATUS[*]}>"'))[1]

    def foreground(self):
        return os.tcgetpgrp(self.fd)

    def close(self):
        with contextlib.suppress(ProcessLookupError, OSError):
            os.write(self.fd, b"\x03\nkill -9 $(jobs -p) 2>/dev/null; exit\n")
            time.sleep(0.05)
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.fd)
        os.waitpid(self.pid, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


TICKER = f"{sys.executable} -S {tap.TOP}/tests/harness/ticker.py $D/t exit=7"


def start(shell, line):
    """Starts a command that writes its pid into $D/t."""
    shell.send(line + "\n")
    shell.see("\r\n")
    return pid_in(shell.place.tmp / "t")


@tap.test
def the_command_has_the_terminal_and_gives_it_back(tmp):
    with Shell(Place(tmp)) as sh:
        own = sh.foreground()
        child = start(sh, f"$HF {' '.join(QUICK)} with-lock -- {TICKER}")
        until("foreground", lambda: sh.foreground() == child)
        (tmp / "t.end").write_text("")
        sh.see(PROMPT)
        tap.eq(sh.status(), "7")
        tap.eq(sh.foreground(), own)
        # A command that reads a line of it.
        sh.send("$HF with-lock -- sh -c 'read x; echo got:$x'\n")
        until("foreground", lambda: sh.foreground() != own)
        sh.send("hello\n")
        sh.see("got:hello")
        sh.see(PROMPT)
        tap.eq(sh.foreground(), own)
        tap.eq(sh.place.locks(), [])


@tap.test
def control_c_ends_the_command(tmp):
    with Shell(Place(tmp)) as sh:
        start(sh, f"$HF with-lock -- {TICKER}")
        runs(tmp / "t")
        sh.send("\x03")
        sh.see(PROMPT)
        tap.eq(sh.status(), "130")
        (tmp / "t").unlink()
        start(sh, f"$HF with-lock -- {TICKER} | cat")
        runs(tmp / "t")
        sh.send("\x03")
        sh.see(PROMPT)
        tap.eq(sh.status(), "130 130")
        # A shell script around it ends as well, as it would around the command alone.
        (tmp / "t").unlink()
        (tmp / "script").write_text(f"$HF with-lock -- {TICKER}\necho went on\n")
        start(sh, f"bash {tmp}/script")
        runs(tmp / "t")
        sh.send("\x03")
        tap.ok("went on" not in sh.see(PROMPT), "the script went on")
        tap.eq(sh.place.locks(), [])


@tap.test
def control_z_stops_the_job_and_the_lock_stays(tmp):
    with Shell(Place(tmp)) as sh:
        own = sh.foreground()
        child = start(sh, f"$HF {' '.join(QUICK)} with-lock -- {TICKER}")
        runs(tmp / "t")
        for way in ("fg", "bg", "fg"):
            sh.send("\x1a")
            sh.see("Stopped")
            sh.see(PROMPT)
            tap.eq(sh.foreground(), own)
            stands_still(tmp / "t")
            tap.eq(stat(child)[0], "T")
            seen = set(sh.place.locks())
            until("it is refreshed", lambda: sh.place.locks() and not set(sh.place.locks()) & seen)
            sh.send(f"{way}\n")
            runs(tmp / "t")
            if way == "bg":
                sh.do("true")
                tap.eq(sh.foreground(), own)
                sh.send("fg\n")
                sh.see("with-lock")
            until("foreground", lambda: sh.foreground() == child)
        (tmp / "t.end").write_text("")
        sh.see(PROMPT)
        tap.eq(sh.status(), "7")
        tap.eq(sh.foreground(), own)
        tap.eq(sh.place.locks(), [])


@tap.test
def a_pipeline_is_one_job(tmp):
    with Shell(Place(tmp)) as sh:
        own = sh.foreground()
        child = start(sh, f"$HF {' '.join(QUICK)} with-lock -- {TICKER} | (cat; echo $? >$D/cat)")
        runs(tmp / "t")
        for _ in range(2):
            sh.send("\x1a")
            sh.see("Stopped")
            sh.see(PROMPT)
            tap.eq(sh.foreground(), own)
            stands_still(tmp / "t")
            tap.eq(stat(child)[0], "T")
            sh.send("fg\n")
            runs(tmp / "t")
        (tmp / "t.end").write_text("")
        sh.see(PROMPT)
        tap.eq((tmp / "cat").read_text(), "0\n")
        tap.eq(sh.foreground(), own)
        tap.eq(sh.place.locks(), [])


@tap.test
def a_pager_behind_it_has_the_terminal(tmp):
    # It reads keys from the terminal; if the command took that away, it would be stopped.
    (tmp / "pager").write_text("import sys\ntty = open('/dev/tty')\nsys.stdin.read(5)\nprint('PAGE', flush=True)\n"
                               "print('KEY', tty.readline().strip(), flush=True)\nsys.stdin.read()\n")
    with Shell(Place(tmp)) as sh:
        sh.send(f"$HF with-lock -- sh -c 'echo hello; sleep 0.2; echo bye' | {sys.executable} {tmp}/pager\n")
        sh.see("PAGE")
        sh.send("q\n")
        sh.see("KEY q")
        sh.see(PROMPT)
        tap.eq(sh.status(), "0 0")


@tap.test
def in_a_pipeline_the_command_gets_the_terminal_when_it_reads_it(tmp):
    with Shell(Place(tmp)) as sh:
        own = sh.foreground()
        sh.send("$HF with-lock -- sh -c 'read x </dev/tty; echo got:$x' | cat\n")
        until("foreground", lambda: sh.foreground() != own)
        sh.send("hello\n")
        sh.see("got:hello")
        sh.see(PROMPT)
        tap.eq(sh.status(), "0 0")
        tap.eq(sh.foreground(), own)


@tap.test
def stty_tostop_does_not_stop_us(tmp):
    with Shell(Place(tmp)) as sh:
        sh.do("stty tostop")
        sh.send("$HF -v with-lock -- sh -c 'echo out; exit 3'\n")
        sh.see("out")
        sh.see("exit code 3")
        sh.see(PROMPT)
        tap.eq(sh.status(), "3")


@tap.test
def a_cut_behind_control_z_is_noticed_before_the_command_goes_on(tmp):
    place = Place(tmp)
    with Shell(place) as sh:
        start(sh, f"$HF {' '.join([*QUICK, *place.cuttable()])} with-lock --stop-timeout 10m -- {TICKER}")
        runs(tmp / "t")
        sh.send("\x1a")
        sh.see("Stopped")
        sh.see(PROMPT)
        place.cut()
        stands_still(tmp / "t")
        front = int(re.search(r"(\d+)", sh.do("jobs -p"))[1])
        keeper_of(front)
        time.sleep(4)  # beyond the fence: 2.7 s
        before = ticks(tmp / "t")
        sh.send("fg\n")
        sh.see("is stopped until")
        tap.eq(ticks(tmp / "t"), before, "it went on without a lock")
        stands_still(tmp / "t")
        place.heal()
        runs(tmp / "t")
        (tmp / "t.end").write_text("")
        sh.see(PROMPT)
        tap.eq(sh.status(), "7")


@tap.test
def the_keys_work_while_the_command_is_frozen(tmp):
    place = Place(tmp)
    with Shell(place) as sh:
        own = sh.foreground()
        start(sh, f"$HF {' '.join([*QUICK, *place.cuttable()])} with-lock --stop-timeout 10m --grace 200ms -- {TICKER}")
        runs(tmp / "t")
        place.cut()
        sh.see("is stopped until")
        until("the keys are ours", lambda: sh.foreground() != own)
        sh.send("\x1a")
        sh.see("Stopped")
        sh.see(PROMPT)
        tap.eq(sh.foreground(), own)
        sh.send("fg\n")
        sh.see("with-lock")
        stands_still(tmp / "t")
        sh.send("\x03")
        time.sleep(0.5)  # more than 10 seconds, scaled
        sh.send("\x03")
        sh.see(PROMPT)
        tap.eq(sh.status(), "13")  # it ended without a lock that was certain
        place.heal()
        # Once more: it goes on in the foreground when it is healed.
        (tmp / "t").unlink()
        child = start(sh, f"$HF {' '.join([*QUICK, *place.cuttable()])} with-lock --stop-timeout 10m -- {TICKER}")
        place.cut()
        sh.see("is stopped until")
        place.heal()
        runs(tmp / "t")
        until("foreground", lambda: sh.foreground() == child)
        (tmp / "t.end").write_text("")
        sh.see(PROMPT)
        tap.eq(sh.status(), "7")


@tap.test
def passwords_are_asked_for(tmp):
    with Shell(Place(tmp)) as sh:
        sh.do("unset RESTIC_PASSWORD")
        sh.send("$HF with-lock -- sh -c 'echo ran-it; read x; echo got:$x'\n")
        sh.see("enter password")
        sh.send("wrong\n")
        sh.see("Try again")
        sh.see("enter password")
        sh.send(repos.PASSWORD + "\n")
        sh.see("ran-it")
        sh.send("hello\n")
        sh.see("got:hello")
        sh.see(PROMPT)
        tap.eq(sh.status(), "0")
        # Nothing is typed for a repository that is not there.
        tap.ok("enter password" not in sh.do("$HF -r $D/none with-lock -- true"))
        tap.eq(sh.status(), "10")
        # Ctrl-C gives the terminal back with its echo.
        sh.send("$HF with-lock -- true\n")
        sh.see("enter password")
        sh.send("\x03")
        sh.see(PROMPT)
        tap.eq(sh.status(), "130")
        tap.contains(sh.do("stty -a"), " echo ")
        # Three times is enough.
        sh.send("$HF with-lock -- true\n")
        for _ in range(3):
            sh.see("enter password")
            sh.send("wrong\n")
        sh.see(PROMPT)
        tap.eq(sh.status(), "12")


@tap.test
def a_terminal_that_hangs_up_ends_the_command(tmp):
    place = Place(tmp)
    sh = Shell(place)
    child = start(sh, f"$HF with-lock -- {TICKER}")
    front = int(stat(child)[1])
    keeper = keeper_of(front)
    os.close(sh.fd)
    until("the command ends", lambda: not is_alive(child))
    until("the keeper ends", lambda: not is_alive(keeper))
    with contextlib.suppress(ProcessLookupError):
        os.kill(sh.pid, signal.SIGKILL)
    os.waitpid(sh.pid, 0)
    tap.eq(place.locks(), [])


@tap.test
def a_front_that_is_killed_leaves_the_shell_in_order(tmp):
    with Shell(Place(tmp)) as sh:
        own = sh.foreground()
        child = start(sh, f"$HF {' '.join(QUICK)} with-lock --grace 200ms -- {TICKER}")
        until("foreground", lambda: sh.foreground() == child)
        os.kill(int(stat(child)[1]), signal.SIGKILL)
        sh.see(PROMPT)
        tap.eq(sh.status(), "137")
        tap.eq(sh.foreground(), own)
        until("the command ends", lambda: not is_alive(child))
        until("no lock", lambda: not sh.place.locks())


@tap.test
def without_job_control_control_z_does_nothing(tmp):
    # In a session without a shell nobody could continue the command.
    place = Place(tmp)
    pid, fd = pty.fork()
    if pid == 0:
        env = {**os.environ, **place.env, "RESTIC_PASSWORD": repos.PASSWORD}
        argv = hf.argv(place.repo, "with-lock", "--", *ticker(tmp / "t", "exit=7"))
        os.execvpe(argv[0], argv, env)
    try:
        pid_in(tmp / "t")
        os.write(fd, b"\x1a")
        for _ in range(3):
            runs(tmp / "t")
        (tmp / "t.end").write_text("")
        tap.eq(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 7)
    finally:
        os.close(fd)


tap.main()
