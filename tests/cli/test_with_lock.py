# SPDX-License-Identifier: BSD-2-Clause
"""with-lock: a command under a lock, with real processes."""

import concurrent.futures
import contextlib
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time

import repos
import tap
from underlock import (QUICK, Place, children, ending, finish, hf, is_alive, keeper_of, pid_in, runs,
                       stands_still, stat, ticker, until)

# --- the exit code, and how the command is run


@tap.test
def all_exit_codes_are_passed_on(tmp):
    place = Place(tmp)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda n: place.run("with-lock", "--shared", "--", "sh", "-c", f"exit {n}",
                                                  check=None).returncode, range(256)))
    tap.eq(codes, list(range(256)))
    tap.eq(place.locks(), [])


@tap.test
def all_signals_are_passed_on(tmp):
    place = Place(tmp)
    harmless = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH, signal.SIGSTOP,
                signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
    for n in sorted(set(signal.valid_signals()) - harmless):
        r = place.run("with-lock", "--shared", "--", sys.executable, "-c",
                      f"import os, signal, resource; signal.signal({n}, signal.SIG_DFL) if {n} != 9 else 0;"
                      f"os.kill(os.getpid(), {n})", check=None)
        tap.eq(r.returncode, -n, f"signal {n}")
        tap.eq(r.stderr, "")
    tap.eq(place.locks(), [])


@tap.test
def what_cannot_be_run_is_told_as_by_env(tmp):
    place = Place(tmp)
    (tmp / "plain").write_text("x")
    tap.contains(place.run("with-lock", "--", tmp / "absent", check=127).stderr, "absent")
    tap.contains(place.run("with-lock", "--", "absent-program", check=127).stderr, "absent-program")
    tap.contains(place.run("with-lock", "--", tmp / "plain", check=126).stderr, "plain")
    place.run("with-lock", "--", tmp, check=126)
    tap.contains(place.run("with-lock", check=1).stderr, "no command")
    tap.contains(place.run("with-lock", "--no-lock", "--", "true", check=1).stderr, "--no-lock")
    tap.eq(place.locks(), [])


@tap.test
def our_own_failure_is_125(tmp):
    place = Place(tmp)
    for limit in range(4, 9):
        r = place.run("with-lock", "--", "sh", "-c", "exit 3", check=None,
                      preexec_fn=lambda n=limit: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)))
        tap.ok(r.returncode in (125, 1, 3), f"{limit}: {r.returncode}: {r.stderr}")
        if limit == 4:
            tap.eq(r.returncode, 125, r.stderr)
    tap.eq(place.locks(), [])


@tap.test
def without_the_lock_nothing_is_run(tmp):
    place = Place(tmp)
    with ending(place.start("with-lock", "--note", "my note", "--", *ticker(tmp / "t"))) as p:
        pid_in(tmp / "t")
        for mode in ([], ["--shared"]):
            r = place.run("with-lock", *mode, "--", "touch", tmp / "ran", check=11)
            tap.contains(r.stderr, "already locked exclusively")
            tap.contains(r.stderr, "my note")
        tap.ok(not (tmp / "ran").exists(), "the command was run")
        p.terminate()
        finish(p, -signal.SIGTERM)
    place.run("with-lock", "--", "touch", tmp / "ran")
    place.run("with-lock", "--", "true", check=12, env={"RESTIC_PASSWORD": "wrong"})
    hf(tmp / "none", "with-lock", "--", "true", check=10)
    tap.eq(place.locks(), [])


@tap.test
def shared_locks_go_together_and_are_waited_for(tmp):
    place = Place(tmp)
    with ending(place.start("with-lock", "--shared", "--", *ticker(tmp / "t"))) as p:
        pid_in(tmp / "t")
        place.run("with-lock", "--shared", "--", "true")
        place.run("with-lock", "--", "true", check=11)
        with ending(place.start("with-lock", "--lock-wait", "50s", "--", "touch", tmp / "ran")) as q:
            until("waiting", lambda: b"waiting up to" in q.stderr.readline())
            tap.ok(not (tmp / "ran").exists(), "the command was run")
            p.terminate()
            finish(q, 0)
        finish(p, -signal.SIGTERM)
    tap.ok((tmp / "ran").exists(), "the command was not run")
    tap.eq(place.locks(), [])


@tap.test
def who_waits_can_be_interrupted(tmp):
    place = Place(tmp)
    with ending(place.start("with-lock", "--", *ticker(tmp / "t"))) as p:
        pid_in(tmp / "t")
        for sig in (signal.SIGINT, signal.SIGTERM):
            with ending(place.start("with-lock", "--lock-wait", "50s", "--", "touch", tmp / "ran")) as q:
                until("waiting", lambda: b"waiting up to" in q.stderr.readline())
                q.send_signal(sig)
                finish(q, -sig)
        tap.ok(not (tmp / "ran").exists(), "the command was run")
        tap.eq(len(place.locks()), 1)
        p.terminate()
        finish(p, -signal.SIGTERM)


@tap.test
def standard_streams_are_the_commands(tmp):
    place = Place(tmp)
    data = os.urandom(1 << 20).hex()
    r = place.run("with-lock", "--", "sh", "-c", "cat; echo err >&2", input=data)
    tap.ok(r.stdout == data, "stdout differs from stdin")
    tap.eq(r.stderr, "err\n")
    v = place.run("with-lock", "-v", "--", "sh", "-c", "echo out")
    tap.eq(v.stdout, "out\n")
    tap.contains(v.stderr, "exit code 0")


SHOW = """
import json, os, signal
with open("/proc/self/status") as f:
    masks = dict(x.split(":\\t") for x in f.read().splitlines() if x.startswith("Sig"))
fds = {}
for n in os.listdir("/proc/self/fd"):
    try:
        fds[n] = os.readlink(f"/proc/self/fd/{n}")
    except FileNotFoundError:
        pass
print(json.dumps({"env": dict(os.environ), "fds": fds, "masks": masks, "pgid": os.getpgid(0),
                  "pid": os.getpid(), "locks": os.listdir(os.environ["REPO"] + "/locks")}))
"""


@tap.test
def the_command_sees_what_it_would_see_alone(tmp):
    place = Place(tmp)
    env = {"REPO": str(place.repo)}

    def see(*argv, **kw):
        return json.loads(tap.run(*argv, env={**place.env, **env, **kw.pop("env", {})}, **kw).stdout)

    def ignore_usr1():
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])

    alone = see(sys.executable, "-c", SHOW, preexec_fn=ignore_usr1)
    below = see(*hf.argv(place.repo, "with-lock", "--", sys.executable, "-c", SHOW), preexec_fn=ignore_usr1,
                env={"RESTIC_PASSWORD": repos.PASSWORD})
    tap.eq(below["masks"]["SigBlk"], alone["masks"]["SigBlk"])
    tap.eq(below["masks"]["SigIgn"], alone["masks"]["SigIgn"])
    tap.eq(below["masks"]["SigCgt"], alone["masks"]["SigCgt"])
    tap.eq(sorted(below["fds"]), sorted(alone["fds"]))
    tap.eq(below["pgid"], below["pid"])
    new = {k: v for k, v in below["env"].items() if alone["env"].get(k) != v}
    tap.eq(sorted(new), ["HOLDFAST_HOLDER", "HOLDFAST_LOCK_ID"])
    tap.eq([new["HOLDFAST_LOCK_ID"]], below["locks"])
    tap.ok(re.fullmatch("[0-9a-f]{32}", new["HOLDFAST_HOLDER"]), new)


@tap.test
def no_password_reaches_the_command(tmp):
    place = Place(tmp)
    (tmp / "pw").write_text(repos.PASSWORD)
    os.chmod(tmp / "pw", 0o600)
    env = {"REPO": str(place.repo), **place.env}
    read_end, write_end = os.pipe()
    os.write(write_end, repos.PASSWORD.encode())
    os.close(write_end)
    for argv, more, kw in [
        ([], {"RESTIC_PASSWORD": repos.PASSWORD}, {}),
        ([], {"HOLDFAST_PASSWORD": repos.PASSWORD}, {}),
        (["--password-file", tmp / "pw"], {}, {}),
        (["--password-command", f"cat {tmp / 'pw'}"], {}, {}),
        (["--password-fd", read_end], {}, {"pass_fds": [read_end]}),
    ]:
        r = tap.run(*hf.argv(place.repo, *argv, "with-lock", "--", sys.executable, "-c", SHOW),
                    env={**env, **more}, **kw)
        seen = json.loads(r.stdout)
        tap.ok(not any("PASSWORD" in k for k in seen["env"]), seen["env"])
        tap.ok(repos.PASSWORD not in r.stdout, r.stdout)
        tap.ok(set(seen["fds"]) <= {"0", "1", "2", "3"}, seen["fds"])
    os.close(read_end)


@tap.test
def the_lease_can_be_looked_at(tmp):
    place = Place(tmp)
    script = """
import fcntl, mmap, os, struct
fd = int(os.environ["HOLDFAST_LEASE_FD"])
assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
page = mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ)
version, flags, boot, wall, fence, suspect, seq = struct.unpack_from("=IIqqqqQ", page)
assert version % 2 == 0 and flags == 1, (version, flags)
assert fence == 900 * 10**9 and suspect == 240 * 10**9, (fence, suspect)
print(page[48:80].hex(), os.environ["HOLDFAST_LOCK_ID"])
try:
    os.write(fd, b"x")
except OSError:
    print("refused")
"""
    out = place.run("with-lock", "--lease-fd", "--", sys.executable, "-c", script).stdout.split()
    tap.eq(out[0], out[1])
    tap.eq(out[2], "refused")
    r = place.run("with-lock", "--", "sh", "-c", "echo x$HOLDFAST_LEASE_FD", env={"HOLDFAST_LEASE_FD": "7"})
    tap.eq(r.stdout, "x\n")


# --- signals


@tap.test
def signals_are_forwarded(tmp):
    place = Place(tmp)
    for name in ("TERM", "INT", "QUIT", "USR1", "USR2", "WINCH"):
        out = tmp / name
        script = f'trap "exit 42" {name}; echo $$ > "$0"; while :; do sleep 0.02; done'
        with ending(place.start("with-lock", "--", "sh", "-c", script, out)) as p:
            pid_in(out)
            p.send_signal(getattr(signal, f"SIG{name}"))
            finish(p, 42)
    tap.eq(place.locks(), [])


@tap.test
def who_asks_twice_means_it(tmp):
    place = Place(tmp)
    with ending(place.start(*QUICK, "with-lock", "--grace", "300ms", "--",
                            *ticker(tmp / "t", "ignore=TERM,INT"))) as p:
        pid = pid_in(tmp / "t")
        p.terminate()
        time.sleep(0.2)  # more than 10 seconds, scaled
        runs(tmp / "t")
        p.send_signal(signal.SIGINT)
        _, err = finish(p, -signal.SIGKILL)
        tap.contains(err, "terminated")
        tap.ok(not is_alive(pid), "it lives")
    tap.eq(place.locks(), [])


@tap.test
def sighup_is_taken_for_a_question(tmp):
    place = Place(tmp)
    with ending(place.start(*QUICK, "with-lock", "--", *ticker(tmp / "t"))) as p:
        pid_in(tmp / "t")
        keeper = keeper_of(p.pid)
        for pid in (p.pid, keeper):
            os.kill(pid, signal.SIGHUP)
        runs(tmp / "t")
        time.sleep(0.3)
        runs(tmp / "t")
        tap.ok(is_alive(p.pid) and is_alive(keeper), "one has died of it")
        # TERM to the process that the lock file names ends the command.
        os.kill(keeper, signal.SIGTERM)
        finish(p, -signal.SIGTERM)
    tap.eq(place.locks(), [])


@tap.test
def restic_respects_it(tmp):
    restic = repos.restic("restic-new")
    place = Place(tmp)
    (tmp / "file").write_text("x")
    # Even if the lock looks like one of restic's, whose `unlock` sends SIGHUP to see who lives.
    for plain in ([], ["-o", "lock.plain-hostname=yes"]):
        t = tmp / f"t{len(plain)}"
        with ending(place.start(*plain, "with-lock", "--", *ticker(t))) as p:
            pid_in(t)
            restic(place.repo, "unlock")
            runs(t)
            tap.eq(len(place.locks()), 1)
            restic(place.repo, "backup", tmp / "file", check=11)
            p.terminate()
            finish(p, -signal.SIGTERM)
    # A shared one goes together with its own.
    words = restic.argv(place.repo, "backup", "-q", tmp / "file")
    place.run("with-lock", "--shared", "--", "env", f"RESTIC_PASSWORD={repos.PASSWORD}", *words)
    place.run("with-lock", "--", "env", f"RESTIC_PASSWORD={repos.PASSWORD}", *words, check=11)
    restic(place.repo, "check")
    tap.eq(place.locks(), [])


# --- the death of one or the other


@tap.test
def when_the_front_is_killed_the_command_goes_before_the_lock(tmp):
    place = Place(tmp)
    stray = shlex.join(ticker(tmp / "d", "ignore=TERM", "as=daemon"))
    script = f"{stray} & exec " + shlex.join(ticker(tmp / "t", "ignore=TERM"))
    with ending(place.start(*QUICK, "with-lock", "--grace", "1500ms", "--", "sh", "-c", script)) as p:
        child, stray = pid_in(tmp / "t"), pid_in(tmp / "d")
        keeper = keeper_of(p.pid)
        p.kill()
        p.wait()
        while is_alive(child) or is_alive(stray):
            tap.ok(place.locks(), "the lock was given back too early")
            time.sleep(0.01)
        until("keeper ends", lambda: not is_alive(keeper))
    tap.eq(place.locks(), [])


@tap.test
def when_the_front_is_killed_while_it_waits_nothing_stays(tmp):
    place = Place(tmp)
    with ending(place.start("with-lock", "--", *ticker(tmp / "t"))) as p:
        pid_in(tmp / "t")
        with ending(place.start("with-lock", "--lock-wait", "50s", "--", "touch", tmp / "ran")) as q:
            until("waiting", lambda: b"waiting up to" in q.stderr.readline())
            keeper = keeper_of(q.pid)
            q.kill()
            q.wait()
            until("keeper ends", lambda: not is_alive(keeper))
        tap.eq(len(place.locks()), 1)
        p.terminate()
        finish(p, -signal.SIGTERM)
    tap.ok(not (tmp / "ran").exists(), "the command was run")


@tap.test
def when_nobody_reads_the_messages_the_code_is_right(tmp):
    place = Place(tmp)
    read_end, write_end = os.pipe()
    p = place.start("with-lock", "-v", "--", "sh", "-c", f"rm {place.repo}/locks/*", stderr=write_end)
    os.close(write_end)
    os.close(read_end)
    with ending(p):
        finish(p, 13)


@tap.test
def when_the_keeper_is_killed_another_takes_over(tmp):
    place = Place(tmp)
    with ending(place.start(*QUICK, "with-lock", "--", *ticker(tmp / "t"))) as p:
        child = pid_in(tmp / "t")
        keeper = keeper_of(p.pid)
        holder = json.loads(place.run("cat", "lock", place.locks()[0], check=None).stdout or "{}")
        os.kill(keeper, signal.SIGKILL)
        until("it dies", lambda: not is_alive(keeper))
        new = keeper_of(p.pid)
        tap.ok(new != keeper)
        runs(tmp / "t")
        seen = set(place.locks())
        until("refresh", lambda: set(place.locks()) and not set(place.locks()) & seen)
        runs(tmp / "t")
        if holder:
            lock = until("lock", lambda: place.locks())[0]
            now = json.loads(place.run("cat", "lock", lock, check=None).stdout or "{}")
            if now:
                tap.eq(now["holdfast"]["holder"], holder["holdfast"]["holder"])
        # The second is not replaced: the command ends.
        os.kill(new, signal.SIGKILL)
        _, err = finish(p, 13)
        tap.contains(err, "lost")
        tap.ok(not is_alive(child), "it lives")


@tap.test
def when_both_are_killed_the_kernel_tells_the_command(tmp):
    place = Place(tmp)
    with ending(place.start(*QUICK, "with-lock", "--", *ticker(tmp / "t"))) as p:
        child = pid_in(tmp / "t")
        keeper = keeper_of(p.pid)
        os.kill(keeper, signal.SIGSTOP)
        os.kill(p.pid, signal.SIGKILL)
        os.kill(keeper, signal.SIGKILL)
        until("the command ends", lambda: not is_alive(child))


# --- the loss of the lock


def remove_locks(place, p):
    """By hand, until the loss is noticed: each refresh brings a new one."""
    def gone():
        for name in place.locks():
            with contextlib.suppress(FileNotFoundError):
                (place.repo / "locks" / name).unlink()
        return p.poll() is not None

    return gone


@tap.test
def a_lock_that_is_removed_ends_the_command(tmp):
    place = Place(tmp)
    for what in ("stop", "term"):
        t = tmp / what
        with ending(place.start(*QUICK, "with-lock", "--on-lost", what, "--", *ticker(t))) as p:
            child = pid_in(t)
            until("loss", remove_locks(place, p))
            _, err = finish(p, 13)
            tap.contains(err, "the lock is lost")
            tap.contains(err, "missing")
            tap.ok(not is_alive(child), "it lives")
        tap.eq(place.locks(), [])


@tap.test
def a_loss_is_ignored_until_the_end(tmp):
    place = Place(tmp)
    with ending(place.start(*QUICK, "with-lock", "--on-lost", "ignore", "--", *ticker(tmp / "t"))) as p:
        child = pid_in(tmp / "t")
        for name in place.locks():
            (place.repo / "locks" / name).unlink(missing_ok=True)
        until("told", lambda: b"--on-lost=ignore" in p.stderr.readline())
        tap.ok(is_alive(child), "it was ended")
        (tmp / "t.end").write_text("")
        finish(p, 13)


@tap.test
def a_loss_in_the_last_moment_is_noticed(tmp):
    place = Place(tmp)
    script = f'rm {place.repo}/locks/*; exit 0'
    _, err = finish(place.start("with-lock", "--", "sh", "-c", script), 13)
    tap.contains(err, "lost")
    tap.eq(place.locks(), [])


@tap.test
def who_ignores_term_is_killed(tmp):
    place = Place(tmp)
    with ending(place.start(*QUICK, "with-lock", "--grace", "200ms", "--",
                            *ticker(tmp / "t", "ignore=TERM"))) as p:
        child = pid_in(tmp / "t")
        until("loss", remove_locks(place, p))
        _, err = finish(p, 13)
        tap.contains(err, "killed")
        tap.ok(not is_alive(child), "it lives")


def family(path):
    """A command with a process in its group, one in a session of its own, and a daemon; and the
    files into which all four write. It ends with exit code 7."""
    kinds = ("group", "session", "daemon")
    files = [path] + [path.with_name(f"{path.name}.{k}") for k in kinds]
    parts = [shlex.join(ticker(f, f"as={k}")) + " &\n" for f, k in zip(files[1:], kinds)]
    return ["sh", "-c", "".join(parts) + "exec " + shlex.join(ticker(path, "exit=7"))], files


def end_family(files):
    for f in files:
        f.with_name(f.name + ".end").write_text("")


@tap.test
def a_cut_stops_all_processes_until_it_is_healed(tmp):
    place = Place(tmp)
    argv, files = family(tmp / "f")
    with ending(place.start(*QUICK, *place.cuttable(), "with-lock", "--stop-timeout", "10m", "--", *argv)) as p:
        pids = [pid_in(f) for f in files]
        for f in files:
            runs(f)
        place.cut()
        for f in files:
            stands_still(f)
        for pid in pids:
            tap.eq((stat(pid) or "?")[0], "T", f"state of {pid}")
        # Somebody continues it: it is stopped again.
        os.killpg(pids[0], signal.SIGCONT)
        for f in files:
            stands_still(f)
        tap.ok(place.locks(), "the lock is gone")
        place.heal()
        for f in files:
            runs(f)
        end_family(files)
        _, err = finish(p, 7)
        tap.contains(err, "is stopped until")
        tap.contains(err, "goes on")
    tap.eq(place.locks(), [])


@tap.test
def a_cut_that_lasts_too_long_ends_all_processes(tmp):
    place = Place(tmp)
    argv, files = family(tmp / "f")
    with ending(place.start(*QUICK, *place.cuttable(), "with-lock", "--stop-timeout", "1s", "--grace", "300ms",
                            "--", *argv)) as p:
        pids = [pid_in(f) for f in files]
        place.cut()
        until("all end", lambda: not any(is_alive(pid) for pid in pids))
        place.heal()
        finish(p, 13)


@tap.test
def a_cut_terminates_at_once_if_that_is_asked(tmp):
    place = Place(tmp)
    with ending(place.start(*QUICK, *place.cuttable(), "with-lock", "--on-lost=term", "--grace", "300ms", "--",
                            *ticker(tmp / "t", "ignore=TERM"))) as p:
        child = pid_in(tmp / "t")
        place.cut()
        until("it ends", lambda: not is_alive(child))
        place.heal()
        _, err = finish(p, 13)
        tap.contains(err, "terminated")
        tap.contains(err, "killed")


@tap.test
def a_cut_that_is_ignored_and_healed_does_no_harm(tmp):
    place = Place(tmp)
    with ending(place.start(*QUICK, *place.cuttable(), "with-lock", "--on-lost=ignore", "--",
                            *ticker(tmp / "t", "exit=4"))) as p:
        pid_in(tmp / "t")
        place.cut()
        until("told", lambda: b"--on-lost=ignore" in p.stderr.readline())
        place.heal()
        until("recovered", lambda: b"nothing was lost" in p.stderr.readline())
        (tmp / "t.end").write_text("")
        finish(p, 4)


@tap.test
def a_keeper_that_hangs_in_its_io_is_noticed(tmp):
    place = Place(tmp)
    with ending(place.start(*QUICK, *place.cuttable(), "-o", "fault.plan=delay@1+:600000:list:put:get", "with-lock",
                            "--stop-timeout", "10m", "--", *ticker(tmp / "t"))) as p:
        pid_in(tmp / "t")
        place.cut()
        stands_still(tmp / "t")
        place.heal()
        runs(tmp / "t")
        p.terminate()
        finish(p, -signal.SIGTERM)


@tap.test
def a_keeper_that_is_stopped_is_noticed(tmp):
    place = Place(tmp)
    with ending(place.start(*QUICK, "with-lock", "--stop-timeout", "10m", "--", *ticker(tmp / "t"))) as p:
        pid_in(tmp / "t")
        keeper = keeper_of(p.pid)
        os.kill(keeper, signal.SIGSTOP)
        stands_still(tmp / "t")
        os.kill(keeper, signal.SIGCONT)
        runs(tmp / "t")
        p.terminate()
        finish(p, -signal.SIGTERM)


@tap.test
def a_front_that_is_stopped_is_stood_in_for(tmp):
    place = Place(tmp)
    argv, files = family(tmp / "f")
    with ending(place.start(*QUICK, *place.cuttable(), "with-lock", "--stop-timeout", "10m", "--", *argv)) as p:
        for f in files:
            pid_in(f)
        os.kill(p.pid, signal.SIGSTOP)
        for f in files:
            runs(f)
        seen = set(place.locks())
        until("it is refreshed", lambda: place.locks() and not set(place.locks()) & seen)
        place.cut()
        for f in files:
            stands_still(f)
        place.heal()
        for f in files:
            runs(f)
        # Once more, and this time the front comes back before the store does.
        place.cut()
        for f in files:
            stands_still(f)
        os.kill(p.pid, signal.SIGCONT)
        stands_still(files[0])
        place.heal()
        for f in files:
            runs(f)
        end_family(files)
        finish(p, 7)
    tap.eq(place.locks(), [])


# --- what a command leaves behind


def leaves(path, *options):
    """A command that ends with 5 and leaves a daemon that ends when `path`.end appears."""
    daemon = shlex.join(ticker(path, "as=daemon", *options))
    return ["sh", "-c", f"{daemon}; while [ ! -s {path} ]; do sleep 0.02; done; exit 5"]


@tap.test
def descendants_are_waited_for(tmp):
    place = Place(tmp)
    with ending(place.start(*QUICK, "with-lock", "--", *leaves(tmp / "t"), stdout=subprocess.DEVNULL)) as p:
        stray = pid_in(tmp / "t")
        line = until("told", p.stderr.readline).decode()
        tap.contains(line, str(stray))
        seen = set(place.locks())
        until("it is refreshed", lambda: place.locks() and not set(place.locks()) & seen)
        tap.ok(is_alive(stray) and p.poll() is None, "not waited for")
        (tmp / "t.end").write_text("")
        finish(p, 5)
        tap.ok(not is_alive(stray), "it lives")
    tap.eq(place.locks(), [])


@tap.test
def descendants_are_warned_of(tmp):
    place = Place(tmp)
    with ending(place.start(*QUICK, "with-lock", "--descendants=warn", "--", *leaves(tmp / "t"),
                            stdout=subprocess.DEVNULL, stderr=open(tmp / "err", "wb"))) as p:
        stray = pid_in(tmp / "t")
        finish(p, 5)
        tap.ok(is_alive(stray), "it was ended")
        tap.contains((tmp / "err").read_text(), str(stray))
        tap.eq(place.locks(), [])
        (tmp / "t.end").write_text("")
        until("it ends", lambda: not is_alive(stray))


@tap.test
def descendants_are_killed(tmp):
    place = Place(tmp)
    with ending(place.start(*QUICK, "with-lock", "--descendants=kill", "--grace", "200ms", "--",
                            *leaves(tmp / "t", "ignore=TERM"), stdout=subprocess.DEVNULL)) as p:
        stray = pid_in(tmp / "t")
        while is_alive(stray):
            tap.ok(place.locks(), "the lock was given back too early")
            time.sleep(0.005)
        _, err = finish(p, 5)
        tap.contains(err, str(stray))
    tap.eq(place.locks(), [])


@tap.test
def orphans_are_reaped(tmp):
    place = Place(tmp)
    script = 'for i in 1 2 3 4 5; do sh -c "sh -c \\"exit 0\\" & exit 0"; done; echo $$ > "$0"; ' \
             'while [ ! -e "$0.end" ]; do sleep 0.02; done'
    with ending(place.start(*QUICK, "with-lock", "--", "sh", "-c", script, tmp / "t")) as p:
        pid_in(tmp / "t")
        until("no zombies", lambda: not [c for c in children(p.pid) if (stat(c) or "?")[0] == "Z"])
        (tmp / "t.end").write_text("")
        finish(p, 0)


@tap.test
def nothing_is_refreshed_after_the_end(tmp):
    place = Place(tmp)
    for _ in range(5):
        place.run(*QUICK, "with-lock", "--", "sleep", "0.3")
        tap.eq(place.locks(), [])
    time.sleep(1)
    tap.eq(place.locks(), [])


tap.main()
