# SPDX-License-Identifier: BSD-2-Clause
"""The tool that stops a command at an exact system call, and lets the N-th call fail."""

import contextlib
import errno
import os
import pathlib
import signal
import sys

import interleave
import locking
import repos
import tap

from interleave import Point

COMMAND = interleave.Command()


def shell(script, points, cwd):
    return interleave.Stopped(COMMAND, None, "sh", "-c", script, points=points, cwd=cwd)


def python(script):
    return [sys.executable, "-I", "-S", "-c", "import os, sys\n" + script]


def state(tid, pid=None):
    return pathlib.Path(f"/proc/{pid or tid}/task/{tid}/stat").read_text().rsplit(")", 1)[1].split()[0]


@tap.test
def a_command_stops_before_a_call(tmp):
    (tmp / "file").touch()
    with shell("rm file; echo done", [Point("unlink,unlinkat", path=f"{tmp}/file")], tmp) as one:
        pid, path = one.reach()
        tap.eq(path, f"{tmp}/file")
        tap.eq(state(pid), "t")
        tap.ok((tmp / "file").exists(), "it is there still")
        tap.eq(one.stdout(), "")
        r = one.finish()
        tap.eq((r.code, r.out), (0, "done\n"))
        tap.ok(not (tmp / "file").exists(), "it is gone")


@tap.test
def a_command_stops_after_a_call(tmp):
    at = Point("mkdir,mkdirat", path=f"{tmp}/folder", at="exit")
    with shell("mkdir folder; touch folder/file", [at], tmp) as one:
        one.reach()
        tap.eq(os.listdir(tmp / "folder"), [])
        tap.eq(one.finish().code, 0)
        tap.eq(os.listdir(tmp / "folder"), ["file"])


@tap.test
def calls_are_counted_all_or_those_that_succeed(tmp):
    script = "mkdir a 2>/dev/null; mkdir b 2>/dev/null; mkdir c; mkdir d"
    for at, nth, there in (("entry", 3, "ab"), ("exit", 3, "abc"), ("success", 1, "abc"), ("success", 2, "abcd")):
        top = tmp / f"{at}-{nth}"
        (top / "a").mkdir(parents=True)
        (top / "b").mkdir()
        with shell(script, [Point("mkdir,mkdirat", below=top, nth=nth, at=at)], top) as one:
            one.reach()
            tap.eq("".join(sorted(os.listdir(top))), there, f"{at} {nth}")
            tap.eq(one.finish().code, 0)


@tap.test
def two_points_in_the_order_of_the_command(tmp):
    points = [Point("mkdir,mkdirat", path="*/second"), Point("mkdir,mkdirat", path="*/first")]
    with shell("mkdir first; mkdir second; exit 5", points, tmp) as one:
        one.reach(1)
        tap.ok(not one.has_reached(0), "not yet")
        one.go(1)
        one.reach(0)
        tap.eq(os.listdir(tmp), ["first"])
        tap.eq(one.finish().code, 5)


@tap.test
def whichever_way_a_file_is_named(tmp):
    top = tmp / "top"
    top.mkdir()
    script = """
from ctypes import CDLL
d = os.open("top", os.O_RDONLY)
os.chdir("/")
f = os.open("new", os.O_RDWR | os.O_CREAT, 0o600, dir_fd=d)
os.write(f, b"x")
os.unlink("new", dir_fd=d)
os.pwrite(f, b"y", 1)
os.stat("../top/./nothing/..", dir_fd=d) if os.path.exists("../top/nothing") else None
os.fstat(f)
t = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o600, dir_fd=d)
os.link(f"/proc/self/fd/{t}", "named", dst_dir_fd=d, follow_symlinks=True)
os.rename("named", "name", src_dir_fd=d, dst_dir_fd=d)
os.listdir(d)
os.utime(f)
os.statvfs(d)
CDLL(None).renameat2(d, b"name", d, b"again", 1)
os.close(f)
"""
    seen = interleave.calls(COMMAND, None, *python(script), below=top, cwd=tmp)
    for call in ("openat {}", "openat {}/new", "write {}/new", "unlinkat {}/new", "pwrite64 {}/new",
                 "linkat {}/named", "getdents64 {}", "utimensat {}/new", "fstatfs {}",
                 "renameat2 {}/name {}/again", "close {}/new"):
        # The names of what has none yet, as `#123`, are the kernel's.
        wanted = call.replace("{}", str(top))
        name, paths = wanted.split(" ", 1)
        found = [s for s in seen if s.startswith(name + " ") and s.split(" = ")[0].endswith(paths)]
        tap.ok(found and " = E" not in found[0], f"{wanted} is not in\n" + "\n".join(seen))


PROBES = {
    "openat": 'os.open("file", os.O_RDONLY)',
    "unlinkat": 'os.unlink("file", dir_fd=d)',
    "renameat,renameat2": 'os.rename("file", "gone", src_dir_fd=d, dst_dir_fd=d)',
    "linkat": 'os.link("file", "link", src_dir_fd=d, dst_dir_fd=d)',
    "mkdirat": 'os.mkdir("folder", dir_fd=d)',
    "getdents64": "os.listdir(d)",
    "read": "os.read(f, 1)",
    "pread64": "os.pread(f, 1, 0)",
    "write": 'os.write(f, b"12345")',
    "pwrite64": 'os.pwrite(f, b"12345", 0)',
    "newfstatat,fstat,stat,statx": "os.fstat(f)",
    "ftruncate": "os.ftruncate(f, 0)",
    "utimensat": "os.utime(f, (1, 1))",
    "fsync": "os.fsync(f)",
    "fcntl": "fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)",
    "fstatfs": "os.statvfs(f)",
    "close": "os.close(f)",
    "mmap": "mmap.mmap(f, 1)",
}


@tap.test
def a_call_that_fails_is_not_made(tmp):
    def one(names, expression, name):
        top = tmp / names.split(",")[0]
        top.mkdir()
        (top / "file").write_text("file")
        script = f"""
import fcntl, mmap
d = os.open(".", os.O_RDONLY)
f = os.open("file", os.O_RDWR)
try:
    {expression}
except OSError as e:
    print(e.errno)
print("closed" if not os.path.exists(f"/proc/self/fd/{{f}}") else "open")
"""
        # The third open; the first of all others.
        nth = "3" if names == "openat" else "1"
        rule = ["--call", names, "--path", f"{top}*", "--nth", nth, "--fail", name]
        r = tap.run(interleave.STOPAT, *rule, "--", *python(script), cwd=top)
        tap.eq(r.stdout, f"{getattr(errno, name)}\n{'closed' if names == 'close' else 'open'}\n", names)
        tap.eq(sorted(os.listdir(top)), ["file"], names)
        st = (top / "file").stat()
        tap.eq((st.st_size, st.st_mtime == 1), (4, False), names)

    # But not ENOENT for getdents64, which the C library takes for the end of a folder that is gone.
    names = ["ENOENT", "EIO", "ENOSPC", "EACCES", "EROFS", "EMFILE"]
    locking.together([(c, one, c, e, names[n % len(names)]) for n, (c, e) in enumerate(PROBES.items())], at_once=2)


@tap.test
def the_number_in_the_log_is_the_number_that_fails(tmp):
    top = tmp / "top"
    top.mkdir()
    script = """
for name in "abc":
    for what in (lambda: os.mkdir(name), lambda: os.stat(name), lambda: os.listdir(name), lambda: os.rmdir(name)):
        try:
            what()
        except OSError as e:
            print(e.errno, end=" ")
"""
    seen = interleave.calls(COMMAND, None, *python(script), below=top, cwd=top)
    tap.ok(len(seen) >= 18, f"{seen}")
    for n in range(1, 1 + len(seen)):
        log = tmp / "log"
        rules = ["--below", top, "--nth", n, "--fail", "EBADMSG", "--below", top, "--log", log]
        tap.run(interleave.STOPAT, *rules, "--", *python(script), cwd=top, check=None)
        lines = [x for x in log.read_text().splitlines() if x.endswith("EBADMSG")]
        tap.eq([x.split(" = ")[0] for x in lines], [f"{n} " + seen[n - 1].split(" = ")[0]])
        for d in "abc":
            with contextlib.suppress(FileNotFoundError):
                (top / d).rmdir()
    r = interleave.failing(COMMAND, None, *python("os.mkdir('a')"), below=top, nth=1, errno="EROFS", and_later=True,
                           cwd=top)
    tap.contains(r.err, "Read-only file system")


@tap.test
def an_interrupted_call_can_be_made_again(tmp):
    (tmp / "file").write_text("text")
    script = 'f = os.open("file", os.O_RDONLY); os.fstat(f); print(os.read(f, 10))'
    seen = interleave.calls(COMMAND, None, *python(script), below=tmp / "file", only_interruptible=True, cwd=tmp)
    tap.eq([s.split()[0] for s in seen], ["openat", "read"])
    for n in 1, 2:
        r = interleave.failing(COMMAND, None, *python(script), below=tmp / "file", nth=n, errno="EINTR", cwd=tmp)
        tap.eq((r.code, r.out), (0, "b'text'\n"), f"{n}")


@tap.test
def every_thread_stands_still(tmp):
    # One waits, one works without a call, the others work with calls.
    script = f"""
import threading
def calls():
    while not os.path.exists("end"): os.getppid()
def works():
    while not end: pass
end = False
ready = threading.Barrier(9)
def run(fn): ready.wait(); fn()
ts = [threading.Thread(target=run, args=[f]) for f in [works] + 6 * [calls]]
lock = threading.Lock(); lock.acquire()
ts.append(threading.Thread(target=run, args=[lock.acquire]))
for t in ts: t.start()
ready.wait()
os.mkdir("reached")
open("end", "w"); end = True; lock.release()
for t in ts: t.join()
sys.exit(9)
"""
    with interleave.Stopped(COMMAND, None, *python(script), points=[Point("mkdir", path="*/reached")], cwd=tmp) as one:
        pid, _ = one.reach()
        tids = os.listdir(f"/proc/{pid}/task")
        tap.eq(len(tids), 9)
        tap.eq({state(t, pid) for t in tids}, {"t"})
        tap.eq(one.finish().code, 9)


@tap.test
def children_are_followed_and_stopped_with_it(tmp):
    points = [Point("mkdir,mkdirat", path="*/of-child")]
    for start in ("subprocess.call(['mkdir', 'of-child'])", "os.fork() or os.mkdir('of-child')"):
        with interleave.Stopped(COMMAND, None, *python(f"import subprocess\n{start}\nos.mkdir('parent')"),
                                points=points, cwd=tmp) as one:
            pid, _ = one.reach()
            parent = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
            # The parent is told to stop, too, which it does when a processor is free for it.
            locking.until("both stand still", lambda: (state(pid), state(parent)) == ("t", "t"))
            one.finish()
        tap.ok((tmp / "of-child").exists() and (tmp / "parent").exists(), "both were made")
        (tmp / "of-child").rmdir()
        (tmp / "parent").rmdir()


@tap.test
def ends_as_the_command_does(tmp):
    for n in 0, 1, 3, 126, 255:
        tap.run(interleave.STOPAT, "--", "sh", "-c", f"exit {n}", check=n)
    for s in signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGUSR1:
        tap.run(interleave.STOPAT, "--", "sh", "-c", f"kill -{s.value} $$", check=-s.value)
    r = tap.run(interleave.STOPAT, "--", tmp / "nothing", check=127)
    tap.contains(r.stderr, "No such file")
    for wrong in (["--fail", "EFOO"], ["--call", "foo", "--fail", "EIO"], ["--nth", "0", "--fail", "EIO"],
                  ["--at", "exit", "--fail", "EIO"], ["--path", "x"], ["--below", "x", "--fail", "EIO"]):
        tap.run(interleave.STOPAT, *wrong, "--", "true", check=125)
    tap.run(interleave.STOPAT, check=125)


@tap.test
def signals_reach_the_command(tmp):
    script = """
trap 'echo term; exit 4' TERM
mkdir ready
until test -e end; do sleep 0.02; done
"""
    with locking.Run(COMMAND, None, "sh", "-c", script, prefix=[interleave.STOPAT, "--"], cwd=tmp) as run:
        locking.until("ready", (tmp / "ready").exists)
        run.signal(signal.SIGTERM)
        tap.eq((run.end(), run.stdout()), (4, "term\n"))


@tap.test
def a_stopped_command_stays_stopped(tmp):
    script = "echo $$ >pid.new; mv pid.new pid; kill -STOP $$; mkdir after; exit 6"
    with locking.Run(COMMAND, None, "sh", "-c", script, prefix=[interleave.STOPAT, "--"], cwd=tmp) as run:
        locking.until("pid", (tmp / "pid").exists)
        pid = int((tmp / "pid").read_text())
        locking.until("stopped", lambda: state(pid) in "tT")
        tap.ok(not (tmp / "after").exists(), "it goes on")
        os.kill(pid, signal.SIGCONT)
        tap.eq(run.end(), 6)


@tap.test
def killed_while_it_is_held(tmp):
    point = [Point("mkdir,mkdirat", path="*/never")]
    with shell("mkdir never", point, tmp) as one:
        os.kill(one.reach()[0], signal.SIGKILL)
        # The shell goes on, when it may.
        one.end()
    with shell("exec mkdir never", point, tmp) as one:
        pid, _ = one.reach()
        os.kill(pid, signal.SIGKILL)
        tap.eq(one.end(), -signal.SIGKILL)
    with shell("mkdir never", point, tmp) as one:
        pid, _ = one.reach()
        one.p.kill()
        one.p.wait()
        locking.until("it is killed with stopat", lambda: not pathlib.Path(f"/proc/{pid}").exists()
                      or state(pid) in "ZX")
    tap.ok(not (tmp / "never").exists(), "nothing was made")


@tap.test
def a_command_that_does_not_come_there_says_so(tmp):
    with shell("echo something; exit 8", [Point("mkdir", path="*/x")], tmp) as one:
        try:
            one.reach()
        except AssertionError as e:
            tap.contains(str(e), "ended with 8")
        else:
            raise AssertionError("reached")


@tap.test
def programs_in_go_with_all_their_threads_and_signals(tmp):
    top = repos.memory(tmp)
    (top / "source").mkdir()
    for n in range(50):
        (top / f"source/{n}").write_bytes(os.urandom(30_000))
    for name in "restic-0.14", "restic-new":
        repo = repos.quick(top / f"repo-{name}")
        restic = interleave.cached(repos.restic(name), cache := top / f"cache-{name}")
        seen = interleave.calls(restic, repo, "backup", "source", below=cache, cwd=top)
        tap.ok(len([s for s in seen if s.startswith("rename")]) == 3, "an index, a snapshot, a pack")
        snapshot = repos.restic(name).snapshots(repo)[0]["id"]
        point = Point("read", path=f"{cache}/*/snapshots/*/{snapshot}")
        with interleave.Stopped(restic, repo, "snapshots", points=[point]) as one:
            pid, _ = one.reach()
            tap.eq({state(t, pid) for t in os.listdir(f"/proc/{pid}/task")}, {"t"})
            r = one.finish()
            tap.eq(r.code, 0)
            tap.contains(r.out, "1 snapshots")
        restic(repo, "check", "--read-data")


tap.main()
