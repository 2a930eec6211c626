# SPDX-License-Identifier: BSD-2-Clause
"""The cache as a user meets it: its place and form, the command, and everything that can be wrong."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import locking
import repos
import tap

ID = "ab" * 32  # of every repository of repos.quick()
DAY = 24 * 3600


def program(cache, *options, name=None):
    p = repos.restic(name) if name else repos.holdfast()
    p.more = ["--cache-dir", str(cache), *map(str, options)]
    return p


def make_tree(tmp, n=30):
    tree = tmp / "tree"
    for i in range(n):
        d = tree / f"d{i % 7}" / f"e{i % 3}"
        d.mkdir(parents=True, exist_ok=True)
        (d / f"f{i}").write_bytes(hashlib.sha256(str(i).encode()).digest() * (50 + i))
    return tree


def backed_up(tmp, times=1):
    """A repository with snapshots that nobody has cached."""
    repo = repos.quick(tmp / "repo")
    tree = make_tree(tmp)
    for i in range(times):
        (tree / f"new{i}").write_text(str(i))
        repos.holdfast()(repo, "backup", tree)
    return repo, tree


def copies(cache, repo=ID):
    """What is in the cache of one repository: path below it -> bytes."""
    top = pathlib.Path(cache) / repo
    return {str(f.relative_to(top)): f.read_bytes() for f in top.rglob("*") if f.is_file()}


def check_copies(cache, repo=ID):
    """Every file is what its name says, and private."""
    found = copies(cache, repo)
    for path, data in found.items():
        if path != "version":
            tap.eq(hashlib.sha256(data).hexdigest(), path.split("/")[-1], path)
            mode = (pathlib.Path(cache) / repo / path).stat().st_mode & 0o777
            tap.eq(mode, 0o600, f"mode of {path}")
    for d in pathlib.Path(cache).rglob("*"):
        if d.is_dir() and not d.is_symlink():
            tap.eq(d.stat().st_mode & 0o777, 0o700, f"mode of {d}")
    return found


def as_restic(tmp):
    """Our program under restic's name."""
    link = tmp / "bin/restic"
    link.parent.mkdir(exist_ok=True)
    if not link.exists():
        link.symlink_to(tap.holdfast())
    return link


@tap.test
def same_files_as_restic_makes(tmp):
    repo, tree = backed_up(tmp, 3)
    found = []
    for name in (None, "restic-0.14", "restic-new"):
        cache = tmp / f"cache-{name}"
        p = program(cache, name=name)
        p(repo, "snapshots")
        p(repo, "ls", "latest")
        found.append(check_copies(cache))
        tap.eq((cache / "CACHEDIR.TAG").read_text(), "Signature: 8a477f597d28d172789f06886806bc55\n")
    tap.ok(any(f.startswith("data/") for f in found[0]), "packs of trees are cached")
    tap.eq(found[0], found[1], "like restic 0.14")
    tap.eq(found[0], found[2], "like the newest restic")


@tap.test
def one_cache_for_both_programs(tmp):
    repo, tree = backed_up(tmp, 2)
    ours, theirs = program(tmp / "cache"), program(tmp / "cache", name="restic-new")
    ours(repo, "backup", tree)
    theirs(repo, "backup", tree)
    before = check_copies(tmp / "cache")
    for p in ours, theirs, ours:
        tap.ok("4 snapshots" in p(repo, "snapshots").stdout)
        p(repo, "ls", "latest")
    tap.eq(check_copies(tmp / "cache").keys(), before.keys(), "nothing was fetched anew")
    # What one of them deletes, the other clears away.
    gone = theirs(repo, "forget", "--keep-last", "1", "--prune").stdout
    tap.ok("remove" in gone)
    ours(repo, "snapshots")
    kept = check_copies(tmp / "cache")
    tap.eq({p for p in kept if p.startswith("snapshots/")},
           {f"snapshots/{s[:2]}/{s}" for s in repos.files(repo, "snapshots")})
    ours(repo, "ls", "latest")
    kept = check_copies(tmp / "cache")
    tap.eq({p for p in kept if p.startswith("index/")},
           {f"index/{s[:2]}/{s}" for s in repos.files(repo, "index")})
    ours(repo, "check")


@tap.test
def what_is_cached_is_not_fetched(tmp):
    repo, tree = backed_up(tmp, 2)
    p = program(tmp / "cache")
    want = p(repo, "ls", "latest").stdout
    p.more += ["-o", "fault.plan=fail@1+:get:index:snapshot:pack:fatal"]
    tap.eq(p(repo, "ls", "latest").stdout, want)
    tap.ok("2 snapshots" in p(repo, "snapshots").stdout)
    # Without it, the same plan makes the command fail.
    p.more[:2] = ["--no-cache"]
    p(repo, "ls", "latest", check=1)
    # A backup caches what it writes.
    q = program(tmp / "cache2")
    q(repo, "backup", "--force", tree)
    (tree / "more").write_text("more")
    q(repo, "backup", tree)
    q.more += ["-o", "fault.plan=fail@1+:get:pack:fatal"]
    q(repo, "ls", "latest")


@tap.test
def places(tmp):
    repo, _ = backed_up(tmp)
    p = repos.holdfast()
    p.more = []
    env = {"XDG_CACHE_HOME": "", "HOME": str(tmp / "home"), "HOLDFAST_CACHE_DIR": "",
           "RESTIC_CACHE_DIR": ""}
    (tmp / "home").mkdir()
    for change, place in (({}, "home/.cache/restic"),
                          ({"XDG_CACHE_HOME": str(tmp / "xdg")}, "xdg/restic"),
                          ({"RESTIC_CACHE_DIR": str(tmp / "r")}, "r"),
                          ({"RESTIC_CACHE_DIR": str(tmp / "not"),
                            "HOLDFAST_CACHE_DIR": str(tmp / "h")}, "h")):
        p(repo, "snapshots", env={**env, **change})
        tap.ok((tmp / place / ID / "version").read_text() == "1", place)
    tap.ok(not (tmp / "not").exists())
    r = p(repo, "snapshots", env={**env, "HOME": ""})
    tap.ok("neither $XDG_CACHE_HOME nor $HOME are defined" in r.stderr, r.stderr)
    tap.ok("1 snapshots" in r.stdout)
    p.more = ["--no-cache"]
    tap.eq(p(repo, "snapshots", env={**env, "HOME": ""}).stderr, "")


# ---- the command ----


def dated(path, days):
    t = time.time() - days * DAY - 10
    os.utime(path, (t, t))


def prepare(cache):
    """Caches of several ages."""
    for i, days in enumerate((0, 3, 29, 31, 400)):
        d = cache / (f"{i}" * 64)
        (d / "data/ab").mkdir(parents=True)
        (d / "data/ab" / ("ab" + "0" * 62)).write_bytes(b"x" * (1500 ** i % 70001))
        (d / "version").write_text("1")
        dated(d, days)
    (cache / "restic-check-cache-123").mkdir()
    dated(cache / "restic-check-cache-123", 40)
    for other in ("restic-check-cache-", "restic-check-cache-x", "5" * 63, "lost+found"):
        (cache / other).mkdir()
    os.chmod(cache, 0o700)


@tap.test
def command_like_restics(tmp):
    for name in "restic-0.14", "restic-new":
        peer = tap.peer(name)
        cache = tmp / name
        cache.mkdir()
        prepare(cache)
        # restic 0.14 counts folders as bytes, too.
        lists = [["cache"], ["cache", "--max-age", "10"]] if name == "restic-new" else []
        for argv in (*lists, ["cache", "--no-size"], ["cache", "--no-size", "--max-age", "2"],
                     ["cache", "--cleanup", "--max-age", "500"], ["cache", "--cleanup"],
                     ["cache", "--cleanup"], ["cache", "--cleanup", "--max-age", "0"], ["cache"]):
            spare = tmp / f"spare-{name}"
            shutil.copytree(cache, spare, copy_function=shutil.copy2)
            os.chmod(spare, 0o700)
            want = tap.run(peer, *argv, "--cache-dir", cache)
            rest = sorted(os.listdir(cache))
            shutil.rmtree(cache)
            spare.rename(cache)
            got = tap.run(as_restic(tmp), *argv, "--cache-dir", cache)
            tap.eq(got.stdout, want.stdout, " ".join(argv))
            tap.eq(got.stderr, want.stderr, " ".join(argv))
            tap.eq([x for x in sorted(os.listdir(cache)) if x != ".holdfast"], rest, str(argv))
        tap.eq(tap.run(as_restic(tmp), "cache", "--cache-dir", tmp / "none").stdout,
               tap.run(peer, "cache", "--cache-dir", tmp / "none").stdout)
        for argv in ["cache", "what"], ["cache", "--no-cache"]:
            want = tap.run(peer, *argv, check=1)
            got = tap.run(as_restic(tmp), *argv, check=1)
            if name == "restic-new":
                tap.eq(got.stderr, want.stderr)
        shutil.rmtree(tmp / "none", ignore_errors=True)


@tap.test
def rates_and_json(tmp):
    repo, _ = backed_up(tmp, 2)
    p = program(tmp / "cache")
    for _ in range(3):
        p(repo, "ls", "latest")
    run = lambda *a: tap.run(tap.holdfast(), "cache", "--cache-dir", tmp / "cache", *a)
    (entry,) = json.loads(run("--json").stdout)
    tap.eq(entry["repo_id"], ID)
    tap.eq((entry["old"], entry["in_use"]), (False, False))
    found = copies(tmp / "cache")
    tap.eq((entry["files"], entry["size"]), (len(found), sum(map(len, found.values()))))
    tap.ok(entry["misses"] > 0 and entry["hits"] >= 2 * entry["misses"], str(entry))
    head, _, row, *_ = run().stdout.splitlines()
    tap.ok(head.split()[-1] == "Hits" and row.endswith("%"), head + row)
    tap.ok("files" not in json.loads(run("--json", "--no-size").stdout)[0])
    tap.eq(json.loads(run("--json", "--cleanup", "--max-age", "9").stdout), [])
    tap.eq(json.loads(run("--json", "--cleanup", "--max-age", "0").stdout),
           [{"repo_id": ID, "action": "removed"}])
    tap.eq(json.loads(tap.run(tap.holdfast(), "cache", "--cache-dir", tmp / "none", "--json").stdout), [])


@tap.test
def cleanup_spares_what_is_in_use(tmp):
    repo, _ = backed_up(tmp)
    p = program(tmp / "cache")
    want = p(repo, "ls", "latest").stdout
    (tmp / "hold").write_text("")
    hold = p.start(repo, "ls", "latest", "-o", "fault.plan=delay@1+:60000:list:lock",
                   "-o", f"fault.while={tmp / 'hold'}")
    is_used = lambda: json.loads(tap.run(tap.holdfast(), "cache", "--json", "--cache-dir",
                                         tmp / "cache").stdout)[0]["in_use"]
    locking.until("the cache is in use", is_used)
    r = tap.run(tap.holdfast(), "cache", "--cache-dir", tmp / "cache", "--cleanup", "--max-age", "0")
    tap.ok(f"kept {ID[:10]}, which is in use" in r.stdout, r.stdout)
    tap.ok((tmp / "cache" / ID / "version").exists())
    (tmp / "hold").unlink()
    out, err = hold.communicate(timeout=60)
    tap.eq((hold.returncode, out.decode(), err.decode()), (0, want, ""))
    r = tap.run(tap.holdfast(), "cache", "--cache-dir", tmp / "cache", "--cleanup", "--max-age", "0")
    tap.eq(r.stdout, "remove 1 old cache directories\n")
    tap.ok(not (tmp / "cache" / ID).exists())


@tap.test
def cleanup_by_other_commands(tmp):
    repo, _ = backed_up(tmp)
    (tmp / "cache").mkdir(mode=0o700)
    prepare(tmp / "cache")
    p = program(tmp / "cache")
    p(repo, "snapshots")
    tap.ok((tmp / "cache" / ("4" * 64)).exists())
    p(repo, "snapshots", "--cleanup-cache")
    left = set(os.listdir(tmp / "cache"))
    tap.ok({"0" * 64, "1" * 64, "2" * 64, ID, "lost+found"} <= left, str(left))
    tap.ok(not {"3" * 64, "4" * 64, "restic-check-cache-123"} & left, str(left))


# ---- what can be wrong ----


@tap.test
def damage_is_mended_and_said_once(tmp):
    repo, tree = backed_up(tmp, 2)
    p = program(tmp / "cache")
    want = p(repo, "ls", "latest").stdout
    before = check_copies(tmp / "cache")

    def flip(data): return data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1:]
    for damage in (flip, lambda d: b"", lambda d: d[:-1], lambda d: d[:10], lambda d: d + b"x",
                   lambda d: bytes(len(d))):
        for path, data in before.items():
            if path != "version":
                (tmp / "cache" / ID / path).write_bytes(damage(data))
        r = p(repo, "ls", "latest")
        tap.eq(r.stdout, want)
        lines = r.stderr.splitlines()
        tap.eq(len(lines), len(set(lines)), r.stderr)
        tap.ok(all("damaged and is fetched again" in x for x in lines), r.stderr)
        p(repo, "snapshots")
        r = p(repo, "ls", "latest")
        tap.eq((r.stdout, r.stderr), (want, ""))
        after = copies(tmp / "cache")
        # Of packs, what is not read is not looked at.
        tap.eq({k for k, v in after.items() if before.get(k) != v and not k.startswith("data/")}, set())
    # Restore and backup, which read trees by other ways.
    for path, data in before.items():
        (tmp / "cache" / ID / path).write_bytes(flip(data) if path != "version" else b"")
    p(repo, "restore", "latest", "--target", tmp / "out")
    tap.eq(subprocess.run(["diff", "-r", tree, f"{tmp}/out{tree}"]).returncode, 0)
    tap.eq((tmp / "cache" / ID / "version").read_text(), "1")
    repos.restic("restic-new")(repo, "check", "--read-data")


@tap.test
def folders_that_are_refused(tmp):
    repo, tree = backed_up(tmp)
    file = tmp / "file"
    file.write_text("")
    shared = tmp / "shared"
    shared.mkdir()
    os.chmod(shared, 0o777)
    newer = tmp / "newer"
    (newer / ID).mkdir(parents=True)
    os.chmod(newer, 0o700)
    (newer / ID / "version").write_text("2")
    cases = [(file / "cache", "Not a directory"), (shared, "can be written by others"),
             (newer, "format 2")]
    if os.geteuid() == 0:
        foreign = tmp / "foreign"
        foreign.mkdir()
        os.chown(foreign, 12345, 12345)
        cases.append((foreign, "belongs to 12345"))
    for cache, words in cases:
        p = program(cache)
        for argv in (["snapshots"], ["backup", tree], ["restore", "latest", "--target", tmp / "out"]):
            r = p(repo, *argv)
            tap.ok(words in r.stderr and "going on without a cache" in r.stderr, r.stderr)
            tap.eq(len(r.stderr.splitlines()), 2, r.stderr)
        if cache in (shared, tmp / "foreign"):
            r = tap.run(tap.holdfast(), "cache", "--cache-dir", cache, check=1)
            tap.ok(words in r.stderr, r.stderr)
            tap.eq(os.listdir(cache), [])
    tap.eq((newer / ID / "version").read_text(), "2")


@contextlib.contextmanager
def small_disk(tmp, size):
    if "HF_TEST_MOUNTS" not in os.environ:
        tap.skip("needs root and mount namespaces")
    disk = tmp / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@tap.test
def disk_that_is_full(tmp):
    repo, tree = backed_up(tmp, 3)
    random = b"".join(hashlib.sha256(bytes([i % 256, i // 256])).digest() for i in range(3000))
    for i in range(400):
        name = "long" * 40 + hashlib.sha256(str(i).encode()).hexdigest()[:60]
        (tree / name).write_bytes(random[i:i + 40])
    commands = (["backup", tree], ["backup", "--force", tree], ["snapshots"], ["ls", "latest"],
                ["restore", "latest", "--target", tmp / "out"])
    with small_disk(tmp, "600k") as disk:
        p = program(disk / "cache", "--cache-min-free", "1")
        for fill in 0, 300, 700:
            try:
                (disk / "filler").write_bytes(bytes(fill << 10))
            except OSError:
                pass
            for argv in commands:
                lines = p(repo, *argv).stderr.splitlines()
                tap.ok(len(lines) <= 1 and all("going on without adding to it" in x for x in lines),
                       f"{argv}\n{lines}")
            tap.eq(subprocess.run(["diff", "-r", tree, f"{tmp}/out{tree}"]).returncode, 0)
            shutil.rmtree(tmp / "out")
            check_copies(disk / "cache")
        # No room at all, and nothing that could go.
        for f in (disk / "cache" / ID).rglob("*"):
            if f.is_file() and f.name != "version":
                f.unlink()
        with open(disk / "filler2", "wb", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(bytes(4096))
        r = p(repo, "backup", "--force", tree)
        tap.eq(len(r.stderr.splitlines()), 1, r.stderr)
        tap.ok("No space left on device; going on without adding to it" in r.stderr, r.stderr)
        shutil.rmtree(disk / "cache")
        r = p(repo, "backup", "--force", tree)
        tap.ok(len(r.stderr.splitlines()) <= 2, r.stderr)
    repos.restic("restic-new")(repo, "check", "--read-data")


@tap.test
def disk_that_is_read_only(tmp):
    repo, tree = backed_up(tmp, 2)
    remount = lambda disk, how: subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)
    with small_disk(tmp, "5m") as disk:
        p = program(disk)
        p(repo, "ls", "latest")
        remount(disk, "ro")
        # What is there is used.
        q = program(disk, "-o", "fault.plan=fail@1+:get:index:snapshot:pack:fatal")
        r = q(repo, "ls", "latest")
        tap.eq(r.stderr, "")
        (tree / "new").write_text("new")
        r = p(repo, "backup", tree)
        tap.eq(len(r.stderr.splitlines()), 1, r.stderr)
        tap.ok("Read-only file system; going on without adding to it" in r.stderr, r.stderr)
        p(repo, "restore", "latest", "--target", tmp / "out")
        tap.eq(subprocess.run(["diff", "-r", tree, f"{tmp}/out{tree}"]).returncode, 0)
        # Nothing at all there yet.
        remount(disk, "rw")
        shutil.rmtree(disk / ID)
        remount(disk, "ro")
        r = p(repo, "snapshots")
        tap.ok("going on without a cache" in r.stderr, r.stderr)


@tap.test
def limit_is_kept(tmp):
    repo = repos.quick(tmp / "repo")
    tree = tmp / "tree"
    tree.mkdir()
    p = program(tmp / "cache", "--cache-limit", "300k")
    size = lambda: sum(4096 * -(-len(v) // 4096) for v in copies(tmp / "cache").values())
    for i in range(8):
        for k in range(300):
            (tree / f"{i}-{k}-{'n' * 100}-{hashlib.sha256(bytes([i, k % 256])).hexdigest()}").write_text(f"{i}{k}")
        p(repo, "backup", tree)
        tap.ok(size() <= 310 << 10, f"{size()} bytes after {i}")
    p.more += ["--no-lock"]
    for _ in range(2):
        p(repo, "ls", "latest")
        tap.ok(size() <= 310 << 10, str(size()))
    # restic knows no limit; what it adds goes with our next command.
    restic = program(tmp / "cache", name="restic-new")
    for s in restic(repo, "snapshots", "--json").stdout and json.loads(
            restic(repo, "snapshots", "--json").stdout):
        restic(repo, "ls", s["short_id"])
    tap.ok(size() > 310 << 10, "restic made it large")
    p(repo, "snapshots")
    tap.ok(size() <= 310 << 10, str(size()))
    check_copies(tmp / "cache")


@tap.test
def backup_leaves_its_cache_out(tmp):
    tree = make_tree(tmp)
    repo = repos.quick(tmp / "repo")
    (tree / "caches").mkdir()
    p = program(tree / "caches/mine")
    p(repo, "backup", tree)
    p(repo, "backup", tree)
    names = p(repo, "ls", "latest").stdout
    tap.ok(f"{tree}/caches\n" in names and "mine" not in names, names)
    p = program("../tree/caches/mine")
    (tmp / "here").mkdir()
    p(repo, "backup", tree, cwd=tmp / "here")
    tap.ok("mine" not in p(repo, "ls", "latest", cwd=tmp / "here").stdout)


@tap.test
def check_does_not_trust_it(tmp):
    repo, _ = backed_up(tmp, 2)
    p = program(tmp / "cache")
    p(repo, "ls", "latest")
    for f in (repo / "index").iterdir():
        os.chmod(f, 0o600)
        f.write_bytes(f.read_bytes()[:-1] + b"x")
    p(repo, "ls", "latest")
    tap.ok(p(repo, "check", check=1).returncode == 1)
    tap.eq([x for x in os.listdir(tmp / "cache") if "check" in x], [])


@tap.test
def killed_it_leaves_nothing(tmp):
    repo, tree = backed_up(tmp)
    p = program(tmp / "cache")
    for delay in range(12):
        (tree / f"more{delay}").write_text(str(delay))
        run = p.start(repo, "backup", tree)
        time.sleep(0.004 * delay)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        check_copies(tmp / "cache") if (tmp / "cache").exists() else None
    program(tmp / "cache")(repo, "unlock")
    p(repo, "backup", tree)
    p(repo, "check", "--with-cache")
    check_copies(tmp / "cache")


locking.own_mounts()
tap.main()
