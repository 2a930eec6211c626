# SPDX-License-Identifier: BSD-2-Clause
"""What the world does to a backup program: full disks, locked repositories, files that change.

Scripts go by the exit code, and people by the message: both are looked at, and what the
repository is like afterwards.
"""

import os
import random
import resource
import shutil
import signal
import subprocess
import threading
import time

import compare
import repos
import tap

MIB = 1 << 20
NOBODY = 65534


def tree_of(top, files, size, seed=1):
    rng = random.Random(seed)
    top.mkdir(exist_ok=True)
    for i in range(files):
        (top / f"file-{i}").write_bytes(rng.randbytes(size))
    return top


def restored_alike(repo, source, tmp):
    target = tmp / "restored"
    repos.holdfast()(repo, "restore", "latest", "--target", target)
    tap.eq(compare.trees(source, target, top=False), [])
    shutil.rmtree(target)


def as_nobody():
    """How to run a program as a user without rights: as ours, unless we are root."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


# ---- no room ----


@tap.test
def a_full_disk(tmp):
    """Ends with the system's reason, leaves a sound repository, and goes on when there is room."""
    ours = repos.holdfast()
    disk = tmp / "disk"
    disk.mkdir()
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10m", "none", disk], capture_output=True, text=True)
    if r.returncode != 0:
        tap.skip(f"nothing can be mounted here: {r.stderr.strip()}")
    try:
        repo = repos.quick(disk / "repo")
        first = tree_of(tmp / "first", 1, MIB)
        ours(repo, "backup", ".", cwd=first)
        source = tree_of(tmp / "source", 20, MIB)
        r = ours(repo, "--pack-size", "4", "backup", ".", cwd=source, check=1)
        tap.contains(r.stderr, "No space left on device")
        tap.ok(r.stderr.startswith("Fatal: "), r.stderr)
        tap.eq(repos.locks(repo), [])
        tap.ok(not any("-tmp-" in f for f in repos.files(repo, "data")), "half a pack is left")
        repos.restic("restic-new")(repo, "check", "--read-data", "--no-lock")
        restored_alike(repo, first, tmp)
        # Not one byte more: reading must still be possible.
        with open(disk / "filler", "wb") as f:
            try:
                while True:
                    os.write(f.fileno(), bytes(4096))
            except OSError:
                pass
        ours(repo, "snapshots", "--no-lock")
        r = ours(repo, "snapshots")
        tap.contains(r.stderr, "No space left on device")
        tap.contains(r.stderr, "reading without a lock")
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        ours(repo, "backup", ".", cwd=source)
        restored_alike(repo, source, tmp)
    finally:
        subprocess.run(["umount", disk], check=True)


@tap.test
def no_room_where_it_restores_to(tmp):
    ours = repos.holdfast()
    repo = repos.quick(tmp / "repo")
    ours(repo, "backup", ".", cwd=tree_of(tmp / "source", 8, MIB))
    disk = tmp / "disk"
    disk.mkdir()
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True, text=True)
    if r.returncode != 0:
        tap.skip(f"nothing can be mounted here: {r.stderr.strip()}")
    try:
        r = ours(repo, "restore", "latest", "--target", disk, check=1)
        tap.contains(r.stderr, "No space left on device")
        tap.eq(repos.locks(repo), [])
    finally:
        subprocess.run(["umount", disk], check=True)


@tap.test
def files_that_may_not_grow(tmp):
    """`ulimit -f`: the system sends SIGXFSZ, which is no reason to die."""
    ours = repos.holdfast()
    repo = repos.quick(tmp / "repo")
    source = tree_of(tmp / "source", 8, MIB)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, 2 * MIB))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)

    r = ours(repo, "backup", ".", cwd=source, check=1, preexec_fn=limit)
    tap.contains(r.stderr, "File too large")
    tap.eq(repos.locks(repo), [])
    ours(repo, "backup", ".", cwd=source)
    restored_alike(repo, source, tmp)


@tap.test
def few_descriptors(tmp):
    """Either it works or it says why not."""
    ours = repos.holdfast()
    source = tmp / "source"
    for i in range(30):
        (source / "/".join("abcdefgh") / str(i)).mkdir(parents=True)
        (source / "/".join("abcdefgh") / str(i) / "file").write_text(str(i))
    for limit in 8, 12, 16, 24, 64:
        repo = repos.quick(tmp / f"repo-{limit}")
        r = ours(repo, "backup", ".", cwd=source, check=None,
                 preexec_fn=lambda n=limit: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)))
        tap.ok(r.returncode in (0, 1, 3), f"{limit}: exit code {r.returncode}\n{r.stderr}")
        if r.returncode == 0:
            restored_alike(repo, source, tmp)
        else:
            tap.contains(r.stderr, "Too many open files")


@tap.test
def closed_descriptors(tmp):
    """What is said goes nowhere, and above all not into a file of the repository."""
    ours = repos.holdfast()
    source = tree_of(tmp / "source", 3, MIB)
    for n, which in enumerate([(0,), (1,), (2,), (1, 2), (0, 1, 2)]):
        repo = repos.quick(tmp / f"repo-{n}")
        shell = " ".join(f"{fd}{'<' if fd == 0 else '>'}&-" for fd in which)
        line = f'exec "$@" {shell}'
        env = {**os.environ, "RESTIC_PASSWORD": repos.PASSWORD}
        subprocess.run(["sh", "-c", line, "sh", *ours.argv(repo, "backup", "-vv", ".", "/nowhere")], cwd=source, env=env,
                       capture_output=True)
        repos.restic("restic-new")(repo, "check", "--read-data")
        tap.eq(repos.locks(repo), [])
        for f in source.iterdir():
            tap.eq(f.stat().st_size, MIB, f.name)
        restored_alike(repo, source, tmp)


# ---- no way in ----


@tap.test
def exit_codes_of_opening(tmp):
    ours = repos.holdfast()
    repo = repos.quick(tmp / "repo")
    (tmp / "file").write_text("x")
    wrong = {"RESTIC_PASSWORD": "wrong"}
    for command in (["snapshots"], ["backup", "file"], ["check"], ["restore", "latest", "--target", "t"], ["ls", "latest"]):
        r = ours(tmp / "nowhere", *command, cwd=tmp, check=10)
        tap.contains(r.stderr, str(tmp / "nowhere"))
        tap.ok(not (tmp / "nowhere").exists(), "it was created")
        r = ours(repo, *command, cwd=tmp, check=12, env=wrong)
        tap.contains(r.stderr, "password")
        r = ours(repo, *command, "--json", cwd=tmp, check=12, env=wrong)
        tap.contains(r.stderr.splitlines()[-1], '{"message_type":"exit_error","code":12,')
        if command != ["check"]:  # which has a summary in any case
            tap.eq(r.stdout, "")
    tap.eq(repos.locks(repo), [])


@tap.test
def places_that_are_neither_a_path_nor_of_a_known_kind(tmp):
    """A mistyped scheme makes no folder and shows no password; all of it as in restic."""
    ours, theirs = repos.holdfast(), repos.restic("restic-new")
    repos.quick(tmp / "repo")

    def both(place, *command, code):
        r, want = [p(place, *command, cwd=tmp, check=code, env={"RESTIC_FROM_PASSWORD": "x"})
                   for p in (ours, theirs)]
        tap.eq(sorted(p.name for p in tmp.iterdir()), ["repo"])
        return r, want

    for command in (["snapshots"], ["backup", "."], ["unlock"], ["cat", "config"], ["list", "packs"],
                    ["snapshots", "--json"]):
        r, want = both("https://me:SEKRIT@host:8000/r", *command, code=1)
        tap.eq((r.stdout, r.stderr), (want.stdout, want.stderr))
        tap.contains(r.stderr, "invalid backend")
    for place in ("sft:u@h:x", "a:b", "./a:b", "c:x", "Rest:http://h/", "s3", "sftp"):
        r, want = both(place, "snapshots", code=1)
        if place not in ("s3", "sftp"):
            tap.eq(r.stderr, want.stderr)
        both("repo", "copy", "--from-repo", place, code=1)
        both("nowhere", "init", "--copy-chunker-params", "--from-repo", place, code=1)
        r, want = both(place, "init", code=1)
        if place not in ("s3", "sftp"):
            tap.contains(want.stderr, r.stderr)
    for place in ("/nowhere/a:b", "../a:b", "C:\\x", "local:a:b"):
        both(place, "snapshots", code=10)


def holder(program, repo, *args):
    """Starts a command that takes the lock, and stops it once it has it; again if it was faster than that."""
    def has_lock():
        return any(len(f) == 64 for f in repos.locks(repo))  # until it is complete, it has another name
    for _ in range(20):
        p = program.start(repo, *args)
        while not has_lock() and p.poll() is None:
            time.sleep(0.002)
        p.send_signal(signal.SIGSTOP)
        if has_lock():
            return p
        p.send_signal(signal.SIGCONT)
        p.communicate()
    raise AssertionError("it ended without a lock each time")


@tap.test
def locked_by_a_living_process(tmp):
    ours, theirs = repos.holdfast(), repos.restic("restic-new")
    repo = repos.quick(tmp / "repo")
    (tmp / "file").write_text("x")
    ours(repo, "backup", "file", cwd=tmp)
    for program in theirs, ours:
        # An exclusive lock keeps out everybody.
        p = holder(program, repo, "check")
        try:
            for command in ["backup", "file"], ["snapshots"], ["check"]:
                r = ours(repo, *command, cwd=tmp, check=11)
                tap.contains(r.stderr, "repository is already locked exclusively")
                tap.contains(r.stderr, f"PID {p.pid} ")
            theirs(repo, "snapshots", check=11)
            ours(repo, "snapshots", "--no-lock")
            ours(repo, "backup", "--dry-run", "file", cwd=tmp)
            # When told to wait, it does.
            waiting = ours.start(repo, "--retry-lock", "1m", "backup", "file", cwd=tmp)
            time.sleep(0.3)
            tap.eq(waiting.poll(), None)
            p.send_signal(signal.SIGCONT)
            tap.eq(p.wait(60), 0)
            waiting.communicate(timeout=60)
            tap.eq(waiting.returncode, 0)
        finally:
            p.kill()
            p.communicate()
        tap.eq(repos.locks(repo), [])


@tap.test
def beside_other_backups(tmp):
    """A shared lock keeps out only those who want to be alone."""
    ours, theirs = repos.holdfast(), repos.restic("restic-new")
    source = tree_of(tmp / "source", 4, MIB)
    for first, second in (ours, theirs), (theirs, ours), (ours, ours):
        repo = repos.quick(tmp / f"repo-{first.name}-{second.name}")
        p = holder(first, repo, "backup", source)
        try:
            second(repo, "backup", source)
            second(repo, "check", check=11)
        finally:
            p.send_signal(signal.SIGCONT)
            p.communicate(timeout=60)
        tap.eq(p.returncode, 0)
        tap.eq(len(theirs.snapshots(repo)), 2)
        theirs(repo, "check", "--read-data")


@tap.test
def nothing_may_be_written(tmp):
    """A repository on a disk that is read-only can be read; without a lock, as is said."""
    os.chmod(tmp, 0o755)
    ours = repos.Program("holdfast", shutil.copy(tap.holdfast(), tmp / "holdfast"))
    repo = repos.quick(tmp / "repo")
    (tmp / "file").write_text("x")
    ours(repo, "backup", "file", cwd=tmp)
    for f in [repo, *repo.rglob("*")]:
        os.chmod(f, 0o555 if f.is_dir() else 0o444)
    who = as_nobody()
    r = ours(repo, "snapshots", cwd=tmp, **who)
    tap.contains(r.stderr, "Permission denied")
    tap.contains(r.stderr, "reading without a lock")
    tap.contains(ours(repo, "check", check=1, cwd=tmp, **who).stderr, "Permission denied")
    ours(repo, "check", "--read-data", "--no-lock", cwd=tmp, **who)
    tap.contains(ours(repo, "ls", "latest", "--no-lock", cwd=tmp, **who).stdout, "/file")


# ---- files that cannot be read, or change meanwhile ----


@tap.test
def what_may_not_be_read(tmp):
    os.chmod(tmp, 0o755)
    ours = repos.Program("holdfast", shutil.copy(tap.holdfast(), tmp / "holdfast"))
    source = tree_of(tmp / "source", 3, 1000)
    (source / "closed").mkdir()
    (source / "closed/inside").write_text("x")
    (source / "open").mkdir()
    (source / "open/secret").write_text("x")
    (source / "open/fine").write_text("x")
    os.chmod(source / "closed", 0o000)
    os.chmod(source / "open/secret", 0o000)
    repo = repos.quick(tmp / "repo")
    who = as_nobody()
    for f in [repo, *repo.rglob("*")] if who else []:
        os.chown(f, NOBODY, NOBODY)
    r = ours(repo, "backup", ".", cwd=source, check=3, **who)
    for name in "closed", "open/secret":
        tap.contains(r.stderr, f"{source}/{name}: ")
    tap.eq(r.stderr.count("Permission denied"), 2)
    tap.contains(r.stderr, "Warning: at least one source file could not be read")
    listed = set(repos.restic("restic-new")(repo, "ls", "latest").stdout.splitlines()[1:]) - {""}
    tap.eq(listed, {"/file-0", "/file-1", "/file-2", "/open", "/open/fine"} | (listed & {"/closed"}))
    # And what restic makes of it is the same.
    theirs = repos.Program("restic", shutil.copy(tap.peer("restic-new"), tmp / "restic"))
    theirs(repo, "backup", "--force", ".", cwd=source, check=3, **who)
    tap.eq(len({s["tree"] for s in theirs.snapshots(repo)}), 1, "trees")
    # Readable again, it is all there.
    os.chmod(source / "closed", 0o755)
    os.chmod(source / "open/secret", 0o644)
    ours(repo, "backup", ".", cwd=source)
    restored_alike(repo, source, tmp)


@tap.test
def a_read_error(tmp):
    """The memory of a process at address 0 is a file that opens and cannot be read."""
    ours = repos.holdfast()
    repo = repos.quick(tmp / "repo")
    (tmp / "file").write_text("x")
    r = ours(repo, "backup", "/proc/self/mem", tmp / "file", check=3)
    tap.contains(r.stderr, "/proc/self/mem: ")
    tap.contains(r.stderr, "Input/output error")
    listed = ours(repo, "ls", "latest").stdout.splitlines()
    tap.ok(str(tmp / "file") in listed, listed)
    tap.ok("/proc/self/mem" not in listed, listed)
    repos.restic("restic-new")(repo, "check", "--read-data")


class Meanwhile:
    """Does something over and over in a thread while a backup runs."""

    def __init__(self, fn):
        self.fn = fn
        self.ends = False
        self.thread = threading.Thread(target=self.loop)

    def loop(self):
        n = 0
        while not self.ends:
            self.fn(n)
            n += 1

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.ends = True
        self.thread.join()


@tap.test
def a_file_that_changes_while_it_is_read(tmp):
    """It is saved as it was read, and named. A hole of 512 MiB takes long enough to read."""
    ours = repos.holdfast()
    source = tmp / "source"
    source.mkdir()
    repo = repos.quick(tmp / "repo")
    (source / "quiet").write_text("x")
    with open(source / "restless", "wb") as f:
        f.truncate(512 * MIB)

        def change(n):
            os.pwrite(f.fileno(), b"%d" % n, n % 512 * MIB)
            time.sleep(0.002)

        with Meanwhile(change):
            r = ours(repo, "backup", ".", cwd=source)
    tap.contains(r.stderr, f"{source}/restless: file changed while we backed it up")
    tap.ok("quiet" not in r.stderr, r.stderr)
    repos.restic("restic-new")(repo, "check", "--read-data")
    listed = ours(repo, "ls", "latest").stdout
    tap.contains(listed, "/quiet")
    tap.contains(listed, "/restless")
    # The next run does not believe that it knows the file.
    s = ours.summary(repo, ".", cwd=source)
    tap.eq(s["files_changed"], 1)
    restored_alike(repo, source, tmp)


@tap.test
def files_that_come_and_go(tmp):
    """A folder in which everything moves: no crash, no loss of what stays, a sound repository."""
    ours, theirs = repos.holdfast(), repos.restic("restic-new")
    source = tmp / "source"
    source.mkdir()
    for i in range(300):
        (source / f"stays-{i}").write_text(str(i))

    def stir(n):
        d = source / f"dir-{n % 7}"
        d.mkdir(exist_ok=True)
        for i in range(20):
            (d / f"f{i}").write_bytes(os.urandom(200))
        os.rename(d, source / f"moved-{n % 3}-{n}")
        shutil.rmtree(source / f"moved-{n % 3}-{n}")
        p = source / f"kind-{n % 5}"
        if p.is_dir():
            p.rmdir()
            p.symlink_to("nowhere")
        elif p.is_symlink():
            p.unlink()
            os.mkfifo(p)
        elif p.exists():
            p.unlink()
            p.mkdir()
        else:
            p.write_text("x")

    repo = repos.quick(tmp / "repo")
    with Meanwhile(stir):
        for _ in range(6):
            r = ours(repo, "backup", ".", cwd=source, check=None)
            tap.ok(r.returncode in (0, 3), f"exit code {r.returncode}\n{r.stderr}")
            names = set(ours(repo, "ls", "latest").stdout.splitlines())
            tap.ok({f"/stays-{i}" for i in range(300)} <= names, "files are missing that never moved")
    theirs(repo, "check", "--read-data")
    ours(repo, "backup", ".", cwd=source)
    restored_alike(repo, source, tmp)


@tap.test
def without_a_home(tmp):
    """No HOME, no cache folder, no TMPDIR that could be written to: no reason not to back up."""
    ours = repos.holdfast()
    repo = repos.quick(tmp / "repo")
    source = tree_of(tmp / "source", 3, MIB)
    blocked = tmp / "blocked"
    blocked.write_text("a file, not a folder")
    env = {"HOME": str(blocked), "XDG_CACHE_HOME": str(blocked), "XDG_CONFIG_HOME": str(blocked), "PATH": "/nowhere"}
    ours(repo, "backup", ".", cwd=source, env=env)
    ours(repo, "check", "--read-data", env=env)
    bare = {"RESTIC_PASSWORD": repos.PASSWORD, "LC_ALL": "xx_YY.UTF-8"}
    r = subprocess.run(ours.argv(repo, "backup", "."), cwd=source, env=bare, capture_output=True, text=True)
    tap.eq(r.returncode, 0, r.stderr)
    restored_alike(repo, source, tmp)


def is_linked():
    """Whether the program was built to be linked to what it loads otherwise."""
    return "libcurl" in subprocess.run(["ldd", tap.holdfast()], capture_output=True, text=True).stdout


@tap.test
def without_libcurl_and_libarchive(tmp):
    """They are loaded only when they are needed; then it is said what to install."""
    if is_linked():
        tap.skip("this build is linked to them")
    ours = repos.holdfast()
    repo = repos.quick(tmp / "repo")
    source = tree_of(tmp / "source", 3, MIB)
    broken = tmp / "broken"
    broken.mkdir()
    (broken / "libcurl.so.4").write_text("no library")
    (broken / "libarchive.so.13").write_text("no library")
    env = {"LD_LIBRARY_PATH": str(broken)}
    ours(repo, "backup", ".", cwd=source, env=env)
    ours(repo, "check", "--read-data", env=env)
    ours(repo, "export-tar", "latest", tmp / "x.tar", env=env)
    restored_alike(repo, source, tmp)

    for words in [("rest:http://127.0.0.1:1/",), ("s3:http://127.0.0.1:1/bucket",)]:
        r = ours(words[0], "snapshots", env={**env, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}, check=None)
        tap.eq(r.returncode, 1, r.stderr)
        tap.ok("libcurl.so.4 is needed for repositories over HTTP" in r.stderr, r.stderr)
        tap.ok("apt install libcurl4" in r.stderr, r.stderr)
    r = ours(repo, "import-tar", tmp / "x.tar", env=env, check=None)
    tap.eq(r.returncode, 1, r.stderr)
    tap.ok("libarchive.so.13 is needed for reading archives" in r.stderr, r.stderr)
    tap.ok("apt install libarchive13" in r.stderr, r.stderr)
    tap.eq(len(ours.snapshots(repo)), 1)
    ours(repo, "import-tar", tmp / "x.tar")
    tap.eq(len(ours.snapshots(repo)), 2)


tap.main()
