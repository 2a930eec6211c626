# SPDX-License-Identifier: BSD-2-Clause
"""Two programs, one repository: what restic prints is what holdfast prints.

Both are given the same commands on the same repository; texts and JSON must agree byte by byte,
apart from what a program says about itself, about durations, and in an order that is random.
"""

import io
import json
import os
import re
import shutil
import tarfile

import repos
import tap
from pair import Pair


def tree(tmp):
    d = tmp / "data"
    (d / "sub/deeper").mkdir(parents=True)
    (d / "empty").mkdir()
    (d / "a.txt").write_text("hello\n")
    (d / "sub/b.bin").write_bytes(bytes(range(256)) * 50)
    (d / "sub/deeper/ü & <x>").write_text("u")
    (d / "new\nline\x07").write_text("n")
    os.symlink("a.txt", d / "link")
    os.mkfifo(d / "pipe")
    os.link(d / "a.txt", d / "hard")
    os.chmod(d / "sub/b.bin", 0o4750)
    for n, f in enumerate(sorted(d.rglob("*"))):
        if not f.is_symlink():
            os.utime(f, ns=(1_600_000_000_123_456_789 + n * 10**9,) * 2)
    return d


def repository(p, has_odd_names=True):
    d = tree(p.tmp)
    if not has_odd_names:
        (d / "new\nline\x07").unlink()
    repos.quick(p.tmp / "repo")  # most of the time would go into the key
    p.setup("backup", "-q", "data", "--tag", "one", "--host", "h1", "--time",
            "2023-01-02 03:04:05")
    (d / "a.txt").write_text("changed\n")
    p.setup("backup", "-q", d, d / "sub", "--tag", "one,two", "--host", "h2", "--exclude", "x*")
    p.setup("backup", "-q", "--stdin", "--stdin-filename", "dump.sql", input="select 1;\n")
    return d


@tap.test
def listings(tmp):
    p = Pair(tmp)
    d = repository(p)
    for line in """snapshots
snapshots -c
snapshots --json
snapshots latest
snapshots --latest 1
snapshots --latest 1 --json
snapshots --host h1
snapshots --host h1 --host h2 --json
snapshots --tag one
snapshots --tag one,two
snapshots --tag two --tag none
snapshots --tag= --json
snapshots --path /nowhere
snapshots --path /nowhere --json
snapshots -q
ls latest
ls latest --host h1
ls -l latest --host h1
ls -l --human-readable latest --tag two
ls --json latest --tag two
ls latest --tag two --sort size
ls latest --tag two --sort time --reverse
ls latest --tag two --sort extension
ls latest --host h1 /data
ls latest --host h1 /data/sub --recursive
ls latest:/data --host h1
ls latest:/data/nothing --host h1
ls latest:/data/a.txt --host h1
ls --json latest --host h1 /data/sub
ls --ncdu latest --host h1
ls --ncdu latest --host h1 /data
ls latest data
ls nonsense
ls
find a.txt
find -l *.txt --json
find --oldest never x
find --pack 00
find
list snapshots
list keys
list index
list locks
list nothing
cat config
cat masterkey
cat nothing
cat tree
check
check --json
check --read-data
check --read-data-subset 1/3 --json
check --read-data-subset 4/3
check --read-data-subset x
version --nope
key-that-is-no-command""".splitlines():
        # restic lists ids as the folder gives them.
        p.same(*line.split(), order=not line.startswith("list "),
               clean=lambda s: re.sub(r"using temporary cache in .*\n", "", s))
    for g in ("host", "paths", "tags", "host,paths"):
        # restic's groups come in any order.
        p.same("snapshots", "-g", g, order=False)
        a = json.loads(p.one(p.restic, "snapshots", "-g", g, "--json").stdout)
        b = json.loads(p.one(tap.holdfast(), "snapshots", "-g", g, "--json").stdout)
        tap.eq(sorted(map(json.dumps, b)), sorted(map(json.dumps, a)))
    p.same("list", "blobs", order=False)
    p.same("list", "packs", order=False)
    p.same("snapshots", "--path", d)


@tap.test
def objects(tmp):
    p = Pair(tmp)
    repository(p)

    def ids(kind):
        return p.one(p.restic, "list", kind).stdout.split()

    for kind, plural in [("snapshot", "snapshots"), ("index", "index"), ("key", "keys")]:
        for i in ids(plural):
            p.same("cat", kind, i)
    for i in ids("packs"):
        a, b = (tap.run(x, "cat", "pack", i, env=p.env, text=False, check=None)
                for x in (p.restic, tap.holdfast()))
        tap.eq(b.stdout, a.stdout)
    for line in p.one(p.restic, "list", "blobs").stdout.splitlines():
        i = line.split()[1]
        a, b = (tap.run(x, "cat", "blob", i, env=p.env, text=False)
                for x in (p.restic, tap.holdfast()))
        tap.eq(b.stdout, a.stdout)
    for i in ids("snapshots"):
        p.same("cat", "tree", i)
        p.same("cat", "tree", f"{i}:/data")
        p.same("cat", "snapshot", i[:9])
    p.same("cat", "blob", "00" * 32)
    p.same("cat", "blob", "00")
    p.same("cat", "snapshot", "ffffffff")


def quiet_durations(s):
    s = re.sub(r"\[\d+:\d\d\]", "[T]", s)
    s = re.sub(r"in \d+:\d\d", "in T", s)
    s = re.sub(r"took [0-9.msµ]+", "took T", s)
    s = re.sub(r'"(duration|total_duration)":[0-9.e-]+', r'"\1":T', s)
    s = re.sub(r'"seconds_elapsed":\d+,', "", s)
    s = re.sub(r"in \d\.\d{3}s", "in T", s)
    return s


@tap.test
def backups(tmp):
    p = Pair(tmp)
    tree(tmp)

    def clean(s):
        s = quiet_durations(s)
        s = re.sub(r"snapshot [0-9a-f]{8}", "snapshot ID", s)
        s = re.sub(r'"snapshot_id":"[0-9a-f]+"', '"snapshot_id":ID', s)
        s = re.sub(r'"backup_(start|end)":"[^"]+"', r'"backup_\1":T', s)
        # Sizes of compressed data differ by a few bytes: program names, levels.
        s = re.sub(r"\([0-9.]+ \w+ *stored\)", "(N stored)", s)
        s = re.sub(r"added, [0-9.]+ \w+ stored", "added, N stored", s)
        s = re.sub(r"stored, [0-9.]+ \w+ metadata", "stored, N metadata", s)
        s = re.sub(r'_(packed|in_repo)":\d+', r'_\1":N', s)
        # The last read of access times is not ours to decide.
        # The times of standard input have more or fewer digits.
        s = re.sub(r"repository: \d{3} B ", "repository: N B ", s)
        # That something was excluded is said by holdfast alone.
        return "".join(x + "\n" for x in s.splitlines()
                       if '"status"' not in x and not x.startswith("excluded  "))

    (tmp / "list").write_text("# comment\n  data/*.txt \n\nnothing*\ndata/sub\n")
    (tmp / "verbatim").write_text("data/new\n")
    (tmp / "raw").write_bytes(b"data/new\nline\x07\0data/sub\0")
    (tmp / "patterns").write_text("# no\n*.txt\n$PATTERN\n\n!a.txt\n")
    stdin = {"input": "some data\n"}
    cases = [
        (["data"], {}),
        (["data"], {}),
        (["data", "-v"], {}),
        (["data", "-vv"], {}),
        (["data", "--json"], {}),
        (["data", "--json", "-vv"], {}),
        (["data", "-n"], {}),
        (["data", "--force", "--json"], {}),
        (["data", "absent"], {}),
        (["absent"], {}),
        (["absent", "--json"], {}),
        ([], {}),
        (["data", "-e", "*.txt", "-vv"], {}),
        (["data", "--iexclude", "A.*", "--exclude", "!x"], {}),
        (["data", "--exclude-file", "patterns"], {"env": {"PATTERN": "b.bin"}}),
        (["data", "--exclude-file", "absent"], {}),
        (["data", "-e", "[a"], {}),
        (["data", "--exclude-larger-than", "1k"], {}),
        (["data", "--exclude-if-present", "b.bin"], {}),
        (["--files-from", "list"], {}),
        (["--files-from-verbatim", "verbatim"], {}),
        (["--files-from-raw", "raw"], {}),
        (["--files-from-raw", "list"], {}),
        (["--stdin"], stdin),
        (["--stdin", "--stdin-filename", "x.y"], stdin),
        (["--stdin", "data"], stdin),
        (["--stdin", "--files-from", "list"], stdin),
        (["--stdin-from-command", "--", "echo", "x"], {}),
        (["data", "--skip-if-unchanged", "--parent", "absent"], {}),
        (["data", "--time", "2020-02-30 99:00:00"], {}),
        (["data", "--tag", "a,b", "-g", "tags", "--json"], {}),
        (["data", "--tag", "a", "-g", "moon"], {}),
        (["data/sub", "data/sub/deeper", "."], {}),
    ]
    for who in "rh":
        repos.quick(tmp / who)
    for argv, kw in cases:
        a = p.one(p.restic, "-r", tmp / "r", "backup", *argv, **kw)
        b = p.one(tap.holdfast(), "-r", tmp / "h", "backup", *argv, **kw)
        what = f"backup {' '.join(argv)}"
        if "." in argv or "-v" in argv or "-vv" in argv:
            # Scan and backup speak as they run, side by side.
            x, y = (sorted(clean(t).splitlines()) for t in (b.stdout, a.stdout))
        else:
            x, y = clean(b.stdout), clean(a.stdout)
        tap.eq(b.returncode, a.returncode, what + "\n" + b.stderr + a.stderr)
        if "." not in argv:
            tap.eq(x, y, what)
        la, lb = (p.one(p.restic, "-r", tmp / w, "ls", "-q", "latest", "--recursive").stdout
                  for w in "rh")
        if "." not in argv:
            tap.eq(lb, la, what)


@tap.test
def restores(tmp):
    p = Pair(tmp)
    # `restore -vv` quotes names that would break a line, as backup does; restic's does not.
    repository(p, has_odd_names=False)
    sid = json.loads(p.one(p.restic, "snapshots", "--json", "--tag", "two").stdout)[0]["id"]

    def files(t):
        out = []
        for f in sorted(t.rglob("*")):
            st = f.lstat()
            out.append((str(f.relative_to(t)), oct(st.st_mode), st.st_mtime_ns, st.st_uid,
                        st.st_nlink if f.is_file() else 0,
                        os.readlink(f) if f.is_symlink() else None,
                        f.read_bytes() if f.is_file() and not f.is_symlink() else None))
        return out

    def clean(s):
        s = "".join(x + "\n" for x in s.splitlines() if '"status"' not in x)
        return re.sub(r"\bin t[12]\b", "in T", re.sub(r"\bt[12]\b", "T", quiet_durations(s)))

    base = p.one(p.restic, "ls", "-q", sid).stdout.splitlines()
    data = next(x for x in base if x.endswith("/data"))
    for line in [
        "restore ID", "restore ID --json", "restore ID -vv", "restore ID -vv --json",
        "restore ID --verify", "restore ID --dry-run -vv", "restore ID --include a.txt",
        "restore ID --exclude *.txt -vv", "restore ID:DATA", "restore ID:DATA/sub -vv",
        "restore ID --iinclude A.TXT", "restore ID -i [x", "restore nosuch",
        "restore ID -i a -e b", "restore ID --dry-run --verify", "restore", "restore a b",
        "restore ID --overwrite sometimes", "restore latest --path /none",
        "restore ID:DATA/none", "restore ID --sparse", "restore ID --exclude-xattr user.*",
    ]:
        argv = line.replace("ID", sid).replace("DATA", data).split()
        ra = p.one(p.restic, *argv, "-t", "t1")
        rb = p.one(tap.holdfast(), *argv, "-t", "t2")
        tap.eq(rb.returncode, ra.returncode, line + rb.stderr)
        tap.eq(sorted(clean(rb.stdout).splitlines()), sorted(clean(ra.stdout).splitlines()), line)
        tap.eq((tmp / "t1").exists(), (tmp / "t2").exists(), line)
        if (tmp / "t1").exists():
            tap.eq(files(tmp / "t2"), files(tmp / "t1"), line)
        for t in ("t1", "t2"):
            shutil.rmtree(tmp / t, ignore_errors=True)
    # Over something that is there.
    for line in ["-vv", "--delete -vv", "--overwrite never -vv", "--overwrite if-newer --json",
                 "--overwrite if-changed -vv", "--delete --dry-run -vv", "--delete --json"]:
        for t in ("t1", "t2"):
            d = tmp / t / data[1:]
            d.mkdir(parents=True)
            (d / "a.txt").write_text("older")
            os.utime(d / "a.txt", ns=(10**18, 10**18))
            (d / "extra").write_text("extra")
            os.utime(d / "extra", ns=(10**18, 10**18))
            (d / "link").mkdir()
            if "--dry-run" not in line:  # restic's dry run stumbles over it
                (d / "sub").write_text("a file, not a folder")
        ra = p.one(p.restic, "restore", sid, *line.split(), "-t", "t1")
        rb = p.one(tap.holdfast(), "restore", sid, *line.split(), "-t", "t2")
        tap.eq(rb.returncode, ra.returncode, line + rb.stderr + ra.stderr)
        tap.eq(sorted(clean(rb.stdout).splitlines()), sorted(clean(ra.stdout).splitlines()), line)
        # Without times: restic touches files that it may not overwrite.
        tap.eq([(f[0], f[1], f[5], f[6]) for f in files(tmp / "t2")],
               [(f[0], f[1], f[5], f[6]) for f in files(tmp / "t1")], line)
        for t in ("t1", "t2"):
            shutil.rmtree(tmp / t)


@tap.test
def dumps(tmp):
    p = Pair(tmp)
    repository(p)

    def members(data):
        if not data:
            return None
        # Times to the second: holdfast keeps the fraction.
        # restic turns pipes right below the folder into empty files.
        return [(m.name, m.mode, m.uid, m.gid, round(m.mtime), m.type, m.linkname, m.size, m.uname,
                 m.gname, t.extractfile(m).read() if m.isreg() else None)
                for t in [tarfile.open(fileobj=io.BytesIO(data))] for m in t.getmembers()
                if not m.name.endswith("pipe")]

    first = ["--host", "h1"]
    for argv in (["dump", "latest", "dump.sql"], ["dump", *first, "latest", "/data/sub/b.bin"],
                 ["dump", *first, "latest", "/"], ["dump", *first, "latest", "/data/sub"],
                 ["dump", *first, "latest", "data"], ["dump", *first, "latest:/data", "/"],
                 ["dump", *first, "latest:/data", "sub"], ["dump", *first, "latest:/data", "a.txt"],
                 ["dump", *first, "latest", "/data/link"], ["dump", *first, "latest", "/none"],
                 ["dump", *first, "latest", "/data/a.txt/x"], ["dump", "latest"],
                 ["dump", *first, "latest", "/", "-a", "rar"],
                 ["dump", *first, "latest:/none", "/"]):
        a, b = (tap.run(x, *argv, env=p.env, cwd=tmp, text=False, check=None)
                for x in (p.restic, tap.holdfast()))
        tap.eq(b.returncode, a.returncode, f"{argv} {b.stderr} {a.stderr}")
        is_archive = a.stdout[257:262] == b"ustar"
        tap.eq(members(b.stdout) if is_archive else b.stdout,
               members(a.stdout) if is_archive else a.stdout, argv)
    p.one(tap.holdfast(), "dump", "latest", "dump.sql", "-t", "out")
    tap.eq((tmp / "out").read_text(), "select 1;\n")


@tap.test
def failures(tmp):
    p = Pair(tmp)
    repository(p)

    def code(program, *argv, **kw):
        r = p.one(program, *argv, **kw)
        last = r.stderr.strip().splitlines()[-1] if r.stderr.strip() else ""
        return r.returncode, last

    for argv, env in [
        (["snapshots", "--json"], {"RESTIC_PASSWORD": "wrong"}),
        (["snapshots"], {"RESTIC_PASSWORD": "wrong"}),
        (["snapshots"], {"RESTIC_REPOSITORY": str(tmp / "none")}),
        (["snapshots", "-q", "-v"], {}),
        (["snapshots"], {"RESTIC_REPOSITORY": ""}),
        (["snapshots"], {"RESTIC_PASSWORD": "", "RESTIC_PASSWORD_FILE": str(tmp / "none")}),
        (["init"], {}),
    ]:
        a = code(p.restic, *argv, env=env)
        b = code(tap.holdfast(), *argv, env=env)
        tap.eq(b[0], a[0], f"{argv} {env}\n{b}\n{a}")
    # The texts that programs look for.
    r = p.one(tap.holdfast(), "init")
    tap.contains(r.stderr, "config file already exists")
    lock = p.tmp / "repo/locks"
    tap.eq(os.listdir(lock), [])


tap.main()
