# SPDX-License-Identifier: BSD-2-Clause
"""locks and unlock: what they show of locks of all kinds, and what they remove."""

import hashlib
import json
import os
import pathlib
import pty
import signal
import subprocess
import time

import repos
import tap

holdfast = repos.holdfast()


def plant(repo, **fields):
    """Writes a lock as restic would; returns its ID."""
    info = {"time": "2026-01-02T03:04:05.6Z", "exclusive": False, "hostname": "far.example",
            "username": "eve", "pid": 17, **fields}
    return plant_bytes(repo, repos.seal(json.dumps(info).encode(), iv=os.urandom(16)))


def plant_bytes(repo, data):
    name = hashlib.sha256(data).hexdigest()
    (pathlib.Path(repo) / "locks" / name).write_bytes(data)
    return name


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Backup:
    """A backup that holds its lock for as long as the test wants."""

    def __init__(self, repo, *more):
        self.repo = repo
        self.p = holdfast.start(repo, *more, "backup", "--stdin", stdin=subprocess.PIPE)
        while not any(len(n) == 64 for n in repos.locks(repo)):
            tap.eq(self.p.poll(), None, "the backup ended")
            time.sleep(0.01)

    def end(self):
        out, err = self.p.communicate(b"x", timeout=60)
        tap.eq(self.p.returncode, 0, err)

    def kill(self):
        self.p.kill()
        self.p.communicate()


def env(tmp):
    return {"XDG_STATE_HOME": str(tmp / "state"), "TZ": "UTC"}


@tap.test
def no_locks(tmp):
    repo = repos.quick(tmp / "repo")
    tap.eq(holdfast(repo, "locks").stdout, "no locks\n")
    tap.eq(holdfast.json(repo, "locks"), [])
    holdfast(repo, "locks", "--check")
    tap.eq(holdfast(repo, "unlock").stdout, "")
    tap.eq(repos.locks(repo), [])


@tap.test
def a_living_holder(tmp):
    repo = repos.quick(tmp / "repo")
    b = Backup(repo)
    (lock,) = holdfast.json(repo, "locks", env=env(tmp))
    tap.eq(lock["id"], repos.locks(repo)[0])
    tap.eq([lock[k] for k in ("kind", "exclusive", "role", "pid", "liveness", "proof", "waits")],
           ["holdfast", False, "backup", b.p.pid, "alive", "none", False])
    tap.ok(lock["hostname"].endswith(" [holdfast]"), lock["hostname"])
    table = holdfast(repo, "locks").stdout
    for word in (lock["id"][:8], " S ", "backup", f"pid {b.p.pid}", "alive", "1 locks"):
        tap.contains(table, word)
    tap.contains(holdfast(repo, "locks", "--check", check=11).stderr, "keep an exclusive lock away")
    out = holdfast(repo, "unlock").stdout
    tap.contains(out, f"kept lock {lock['id'][:8]}")
    tap.contains(holdfast(repo, "unlock", "--remove-all", check=11).stderr, "--force")
    tap.eq(len(repos.locks(repo)), 1)
    b.end()
    tap.eq(repos.locks(repo), [])


@tap.test
def forced_removal_is_noticed_by_the_holder(tmp):
    repo = repos.quick(tmp / "repo")
    b = Backup(repo)
    tap.eq(holdfast(repo, "unlock", "--remove-all", "--force").stdout, "successfully removed 1 locks\n")
    _, err = b.p.communicate(b"x", timeout=60)
    tap.eq(b.p.returncode, 0, err)
    tap.contains(err.decode(), "lock on the repository was lost")
    tap.contains(err.decode(), "getting a new lock")
    tap.eq(len(repos.files(repo, "snapshots")), 1)
    holdfast(repo, "check", "--read-data")


@tap.test
def a_killed_holder_is_in_nobodys_way(tmp):
    repo = repos.quick(tmp / "repo")
    b = Backup(repo)
    b.kill()
    (lock,) = holdfast.json(repo, "locks", env=env(tmp))
    tap.eq(lock["liveness"], "dead")
    tap.ok(lock["proof"] in ("kernel", "process"), lock["proof"])
    holdfast(repo, "locks", "--check")
    tap.eq(holdfast(repo, "unlock").stdout, "successfully removed 1 locks\n")
    tap.eq(repos.locks(repo), [])


@tap.test
def a_copied_lock_is_dead(tmp):
    """The lock that came with a copy of a repository in use keeps nobody from the copy."""
    repo = repos.quick(tmp / "repo")
    b = Backup(repo)
    subprocess.run(["cp", "-a", repo, tmp / "copy"], check=True)
    (lock,) = holdfast.json(tmp / "copy", "locks", env=env(tmp))
    kernel_fs = subprocess.run(["stat", "-f", "-c", "%T", tmp], capture_output=True, text=True).stdout.strip()
    if kernel_fs in ("ext2/ext3", "xfs", "btrfs", "tmpfs"):
        tap.eq((lock["liveness"], lock["proof"]), ("dead", "kernel"))
        holdfast(tmp / "copy", "check")
    b.end()


@tap.test
def resticks_locks(tmp):
    repo = repos.quick(tmp / "repo")
    old = plant(repo)
    fresh = plant(repo, time=now(), exclusive=True, pid=1)
    found = {x["id"]: x for x in holdfast.json(repo, "locks", env=env(tmp))}
    tap.eq({x["kind"] for x in found.values()}, {"restic"})
    tap.eq(found[fresh]["liveness"], "unknown")
    # Old by our clock, but the store says that the file is new: no proof.
    tap.eq(found[old]["liveness"], "unknown")
    out = holdfast(repo, "unlock", env=env(tmp)).stdout
    tap.contains(out, "unchanged for")
    tap.eq(len(repos.locks(repo)), 2)
    past = time.time() - 3600
    os.utime(repo / "locks" / old, (past, past))
    tap.eq(holdfast(repo, "unlock", env=env(tmp)).stdout.splitlines()[-1], "successfully removed 1 locks")
    tap.eq(repos.locks(repo), [fresh])
    tap.contains(holdfast(repo, "unlock", "--id", fresh[:8], check=1, env=env(tmp)).stderr, "--force")
    holdfast(repo, "unlock", "--id", fresh[:8], "--force", env=env(tmp))
    tap.eq(repos.locks(repo), [])
    tap.contains(holdfast(repo, "unlock", "--id", "abcd", check=1).stderr, "abcd")


@tap.test
def watching(tmp):
    """A lock of which nobody knows is dead after it was seen unchanged for long, over several runs."""
    repo = repos.quick(tmp / "repo")
    plant(repo, time=now(), exclusive=True)  # of which two clocks are no proof
    scaled = ["-o", "lock.scale=0.001"]  # 31 minutes are 1.9 s
    tap.eq(holdfast(repo, *scaled, "unlock", env=env(tmp)).returncode, 0)
    tap.eq(len(repos.locks(repo)), 1)
    time.sleep(2.2)
    tap.eq(holdfast(repo, *scaled, "unlock", env={**env(tmp), "XDG_STATE_HOME": str(tmp / "other")}).returncode, 0)
    tap.eq(len(repos.locks(repo)), 1, "another memory knows nothing")
    tap.contains(holdfast(repo, *scaled, "unlock", env=env(tmp)).stdout, "removed 1 locks")
    tap.eq(repos.locks(repo), [])
    # The same by --wait, in one run.
    plant(repo, time=now())
    tap.contains(holdfast(repo, *scaled, "unlock", "--wait", env=env(tmp)).stdout, "removed 1 locks")
    # And by a command that waits for its turn.
    plant(repo, time=now(), exclusive=True)
    holdfast(repo, *scaled, "--retry-lock", "60s", "check", env=env(tmp))
    tap.eq(repos.locks(repo), [])


@tap.test
def trusting_host_names(tmp):
    repo = repos.quick(tmp / "repo")
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True).stdout
    host = os.uname().nodename
    plant(repo, hostname=host, pid=int(dead))
    holdfast(repo, "unlock", env=env(tmp))
    tap.eq(len(repos.locks(repo)), 1, "a name is no proof")
    first = os.stat("/proc/self/ns/pid").st_ino == 0xEFFFFFFC
    holdfast(repo, "-o", "lock.trust-hostname=yes", "unlock", env=env(tmp))
    tap.eq(len(repos.locks(repo)), 0 if first else 1)


@tap.test
def invalid_files(tmp):
    repo = repos.quick(tmp / "repo")
    plant_bytes(repo, b"garbage")  # shorter than any sealed file: restic 0.19.1 panics
    plant_bytes(repo, os.urandom(200))
    (repo / "locks" / ("ab" * 32)).write_bytes(b"")  # an interrupted upload
    (repo / "locks" / "README").write_text("not a lock")
    found = holdfast.json(repo, "locks", env=env(tmp))
    tap.eq(sorted(x["kind"] for x in found), ["invalid", "invalid"])
    tap.contains(holdfast(repo, "locks").stdout, "(invalid)")
    holdfast(repo, "unlock", env=env(tmp))
    tap.eq(len(repos.locks(repo)), 4)
    tap.contains(holdfast(repo, "unlock", "--remove-all", env=env(tmp)).stdout, "removed 2 locks")
    tap.ok((repo / "locks" / "README").exists(), "other files stay")


@tap.test
def waiting_for_all_to_go(tmp):
    repo = repos.quick(tmp / "repo")
    b = Backup(repo)
    holdfast(repo, "locks", "--wait-free", "300ms", check=11)
    p = holdfast.start(repo, "locks", "--wait-free", "60s", text=True)
    time.sleep(0.3)
    tap.eq(p.poll(), None)
    b.end()
    out, err = p.communicate(timeout=60)
    tap.eq(p.returncode, 0, err)
    tap.eq(out, "no locks\n")


@tap.test
def reading_needs_no_right_to_write(tmp):
    repo = repos.quick(tmp / "repo")
    b = Backup(repo)
    os.chmod(tmp, 0o755)
    subprocess.run(["chmod", "-R", "a+rX", repo], check=True)
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    r = subprocess.run([*as_nobody, holdfast.path, "-r", str(repo), "locks", "--json"], capture_output=True,
                       text=True, env={**os.environ, "RESTIC_PASSWORD": repos.PASSWORD, "HOME": "/nonexistent"})
    tap.eq(r.returncode, 0, r.stderr)
    (lock,) = json.loads(r.stdout)
    # Not being allowed to look at the process is no sign of its death.
    tap.eq(lock["liveness"], "alive")
    b.end()


@tap.test
def events_for_programs(tmp):
    repo = repos.quick(tmp / "repo")
    fast = ["-o", "lock.scale=0.002", "--log-format=json"]
    b = Backup(repo, *fast)
    time.sleep(1.2)
    out, err = b.p.communicate(b"x", timeout=60)
    tap.eq(b.p.returncode, 0, err)
    events = [json.loads(x) for x in err.decode().splitlines()]
    names = [e["event"] for e in events]
    tap.eq(names[:2], ["lock.acquire.start", "lock.acquire.held"])
    tap.eq(names[-1], "lock.released")
    tap.ok("lock.refresh.ok" in names, names)
    tap.eq(len({e["holder"] for e in events}), 1)
    tap.ok(all(e["fence_in_s"] > 0 for e in events if e["event"] == "lock.refresh.ok"), events)
    line = holdfast(repo, "snapshots", "--log-format=logfmt").stderr.splitlines()[0]
    tap.contains(line, "event=lock.acquire.start")


@tap.test
def a_signal_to_the_holder_is_never_sent(tmp):
    """restic asks by SIGHUP, which ends programs that do not expect it."""
    repo = repos.quick(tmp / "repo")
    sleeper = subprocess.Popen(["sleep", "60"])
    plant(repo, time=now(), hostname=os.uname().nodename, pid=sleeper.pid)
    holdfast(repo, "-o", "lock.trust-hostname=yes", "unlock", env=env(tmp))
    tap.eq(sleeper.poll(), None)
    sleeper.send_signal(signal.SIGKILL)
    sleeper.wait()


@tap.test
def break_lock_asks(tmp):
    repo = repos.quick(tmp / "repo")
    tap.eq(holdfast(repo, "break-lock").stdout, "")
    plant(repo, time=now())
    r = holdfast(repo, "break-lock", check=1, env=env(tmp))
    tap.contains(r.stderr, "far.example")
    tap.contains(r.stderr, "--yes")
    for answer, code, left in (("no", 1, 1), ("yes", 0, 0)):
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(holdfast.path, holdfast.argv(repo, "break-lock"), {**os.environ, **env(tmp), "RESTIC_PASSWORD": repos.PASSWORD})
        text = b""
        while b"Type yes: " not in text:
            text += os.read(fd, 1000)
        os.write(fd, answer.encode() + b"\n")
        try:
            while os.read(fd, 1000):
                pass
        except OSError:
            pass
        tap.eq(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), code, text)
        tap.eq(len(repos.locks(repo)), left)
    plant(repo, time=now())
    tap.eq(holdfast(repo, "break-lock", "--yes", env=env(tmp)).stdout, "successfully removed 1 locks\n")


@tap.test
def break_lock_spares_the_living(tmp):
    repo = repos.quick(tmp / "repo")
    b = Backup(repo)
    holdfast(repo, "break-lock", "--yes", check=11)
    tap.eq(len(repos.locks(repo)), 1)
    b.end()


tap.main()
