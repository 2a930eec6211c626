# SPDX-License-Identifier: BSD-2-Clause
"""export-tar and import-tar, beside GNU tar: what one writes the other reads."""

import io
import json
import os
import random
import subprocess
import tarfile

import compare
import repos
import tap
import tree

ours = repos.holdfast()

# What GNU tar cannot do, and why:
#   beyond    it opens files by their whole path, which the system refuses beyond PATH_MAX
#   deep      the same, in the folder of the test
WITHOUT = ["sockets", "beyond", "many"]
IGNORE = ["links:symlink", "links:fifo", "links:char", "links:block"]


def new_repo(tmp):
    return repos.quick(repos.memory(tmp) / "repo")


def unpack(tar, to, *args):
    to.mkdir()
    return tap.run("tar", "-x", "-p", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "-C", to,
                   *args, "-f", tar)


def same(a, b, ignore=()):
    found = compare.trees(a, b, ignore=[*IGNORE, *ignore], rsync=False, top=False)
    tap.eq(found, [])


def members(tar, *args):
    return tap.run("tar", "-t", "-f", tar, *args).stdout.splitlines()


@tap.test
def gnu_tar_unpacks_what_was_backed_up(tmp):
    repo, source = new_repo(tmp), tmp / "source"
    tree.make(source, without=WITHOUT)
    ours(repo, "backup", ".", cwd=source)
    ours(repo, "export-tar", "latest", tmp / "a.tar")
    unpack(tmp / "a.tar", tmp / "a")
    same(source, tmp / "a")
    ours(repo, "export-tar", "--sparse", "latest", tmp / "b.tar")
    unpack(tmp / "b.tar", tmp / "b")
    same(source, tmp / "b")
    tap.ok((tmp / "b.tar").stat().st_size < (tmp / "a.tar").stat().st_size)
    for d in source, tmp / "a", tmp / "b":
        tree.remove(d)


def make_some(top):
    (top / "dir/sub").mkdir(parents=True)
    for name in "one", "dir/two", "dir/sub/three", "dir/o.o":
        (top / name).write_text(name)
    os.link(top / "one", top / "dir/second")
    os.mkfifo(top / "pipe")
    os.symlink("one", top / "link")


ALL = ["dir/", "dir/o.o", "dir/second", "dir/sub/", "dir/sub/three", "dir/two", "link", "one", "pipe"]


@tap.test
def what_is_chosen(tmp):
    repo, source = new_repo(tmp), tmp / "source"
    make_some(source)
    ours(repo, "backup", ".", cwd=source)

    def got(*args, snapshot="latest", paths=()):
        ours(repo, "export-tar", *args, snapshot, tmp / "x.tar", *paths)
        return sorted(members(tmp / "x.tar"))

    tap.eq(got(), ALL)
    tap.eq(got(snapshot="latest:/dir"), ["o.o", "second", "sub/", "sub/three", "two"])
    tap.eq(got(paths=["dir/sub", "/pipe"]), ["dir/sub/", "dir/sub/three", "pipe"])
    tap.eq(got("--exclude", "*.o", "--exclude", "/dir/sub"),
           [n for n in ALL if not n.endswith(".o") and "sub" not in n])
    tap.eq(got("--include", "three", "--include", "link"), ["dir/sub/three", "link"])
    tap.eq(got("--strip-components", "1"), ["o.o", "second", "sub/", "sub/three", "two"])
    tap.eq(got("--strip-components", "2", paths=["/dir"]), ["three"])
    # The name that a link refers to is one that is there, under the name that it has there.
    tap.eq(got("--strip-components", "1", "--exclude", "two"), ["o.o", "second", "sub/", "sub/three"])
    unpack(tmp / "x.tar", tmp / "x")
    tap.eq((tmp / "x/second").read_text(), "one")
    ours(repo, "export-tar", "latest", tmp / "x.tar")
    unpack(tmp / "x.tar", tmp / "y")
    tap.eq((tmp / "y/one").stat().st_ino, (tmp / "y/dir/second").stat().st_ino)
    # dump has no links, as restic's has none.
    r = ours(repo, "dump", "latest", "/", text=False).stdout
    tap.eq(subprocess.run(["tar", "-tv"], input=r, capture_output=True).stdout.count(b"link to"), 0)


@tap.test
def files_with_holes(tmp):
    repo, source, mib = new_repo(tmp), tmp / "source", 1 << 20
    source.mkdir()
    for name, parts, size in (("all", [], 10 * mib), ("begin", [(9 * mib, b"x")], 0), ("end", [(0, b"x" * 1000)], 9 * mib),
                              ("middle", [(0, b"a" * mib), (20 * mib, b"b" * mib)], 0), ("none", [(0, os.urandom(mib))], 0),
                              ("many", [(i * 4 * mib, b"%d" % i) for i in range(30)], 0), ("empty", [], 0),
                              ("a" * 200, [], 5 * mib), ("umläut", [(3 * mib, b"u")], 0)):
        with open(source / name, "wb") as f:
            for off, data in parts:
                os.pwrite(f.fileno(), data, off)
            if size:
                f.truncate(size)
    ours(repo, "backup", ".", cwd=source)
    ours(repo, "export-tar", "--sparse", "latest", tmp / "x.tar")
    tap.ok((tmp / "x.tar").stat().st_size < 60 * mib, "without holes it has 200 MiB")
    unpack(tmp / "x.tar", tmp / "x")
    same(source, tmp / "x")
    tap.eq((tmp / "x/all").stat().st_blocks, 0)
    tap.eq(sorted(members(tmp / "x.tar", "--quoting-style=literal")), sorted(os.listdir(source)))


@tap.test
def programs_between(tmp):
    repo, source = new_repo(tmp), tmp / "source"
    make_some(source)
    ours(repo, "backup", ".", cwd=source)
    for suffix, magic in (("tar.gz", b"\x1f\x8b"), ("tgz", b"\x1f\x8b"), ("tar.zst", b"\x28\xb5\x2f\xfd"),
                          ("tar.xz", b"\xfd7zXZ"), ("tar", b"PaxHeaders.0/dir\0")):
        ours(repo, "export-tar", "latest", tmp / f"x.{suffix}")
        tap.eq((tmp / f"x.{suffix}").read_bytes()[:len(magic)], magic)
        tap.eq(sorted(members(tmp / f"x.{suffix}")), ALL)
    ours(repo, "export-tar", "--tar-filter", "none", "latest", tmp / "y.tar.gz")
    tap.eq((tmp / "y.tar.gz").read_bytes(), (tmp / "x.tar").read_bytes())
    tap.eq(ours(repo, "export-tar", "latest", "-", text=False).stdout, (tmp / "x.tar").read_bytes())
    tap.eq(ours(repo, "export-tar", "--tar-filter", "tr 'a-z' A-Z", "latest", "-", text=False).stdout[:12], b"PAXHEADERS.0")
    tap.eq(oct((tmp / "x.tar").stat().st_mode & 0o777), "0o644")


@tap.test
def what_goes_wrong(tmp):
    repo, source = new_repo(tmp), tmp / "source"
    make_some(source)
    (source / "large").write_bytes(os.urandom(1 << 20) * 20)
    ours(repo, "backup", ".", cwd=source)
    old = tmp / "x.tar"
    old.write_text("old")

    def fails(words, *args, code=1):
        before = sorted(os.listdir(tmp))
        tap.contains(ours(repo, "export-tar", *args, check=code).stderr, words)
        tap.eq((old.read_text(), sorted(os.listdir(tmp))), ("old", before))

    fails("no snapshot ID and no file to write to specified")
    fails("no file to write to (- is standard output) specified", "latest")
    fails("path /none: not found", "latest", old, "dir", "none")
    fails("path /dir/none: not found", "latest", old, "dir/none")
    fails("no matching ID found", "beef", old)
    fails("mutually exclusive", "latest", old, "--include", "a", "--exclude", "b")
    fails("--tar-filter: no-such-program", "latest", old, "--tar-filter", "no-such-program -x")
    fails("--tar-filter: false: exit status 1", "latest", old, "--tar-filter", "false")
    fails("--tar-filter: sh: exit status 3", "latest", old, "--tar-filter", "sh -c 'head -c 100000; exit 3'")
    fails("--tar-filter: sh: exit status 3", "latest", old, "--tar-filter", "sh -c 'cat; exit 3'")
    fails("no/such/folder", "latest", tmp / "no/such/folder/x.tar")
    # Nothing is left of an archive whose data are lost.
    packs = sorted((p for p in (repo / "data").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    packs[-1].unlink()
    fails("cannot export", "latest", old)
    tap.ok(ours(repo, "export-tar", "latest", "/dev/full", "dir", check=1).stderr)


# ---- import-tar


def nodes(repo, snapshot, ignore=()):
    """All nodes of a snapshot, by path, without what an archive does not say."""
    found = {}

    def walk(tree, path):
        for name, n in ours.tree(repo, tree).items():
            subtree = n.pop("subtree", None)
            for k in ("inode", "device_id", "ctime", "atime", *ignore):
                n.pop(k, None)
            if n["type"] != "file":  # links of other things are in no archive
                n.pop("links", None)
            if n.get("extended_attributes"):
                n["extended_attributes"].sort(key=lambda x: x["name"])
            found[f"{path}/{name}"] = n
            if subtree:
                walk(subtree, f"{path}/{name}")

    walk(ours.root_tree(repo, snapshot), "")
    return found


def imported(repo, tar, *args, check=0, **kw):
    """Imports an archive; returns the short id of the snapshot."""
    return json.loads(ours(repo, "import-tar", "--json", *args, tar, check=check, **kw).stdout.splitlines()[-1])["snapshot_id"]


def backed_up(repo, folder):
    return ours.summary(repo, ".", cwd=folder)["snapshot_id"]


def same_nodes(a, b):
    for path in sorted(a.keys() | b.keys()):
        tap.eq(a.get(path), b.get(path), path)


@tap.test
def the_snapshot_is_that_of_the_unpacked_archive(tmp):
    repo, source = new_repo(tmp), tmp / "source"
    tree.make(source, without=["sockets", "beyond", "oddlinks", "deep", "many"])
    # libarchive takes the last second before 1970 for the first one after.
    for top, folders, files in os.walk(os.fsencode(source)):
        for path in (os.path.join(top, n) for n in folders + files):
            if -10**9 < os.lstat(path).st_mtime_ns < 0:
                os.utime(path, ns=(0, -1500000000), follow_symlinks=False)
    tap.run("tar", "-c", "--format=posix", "--sparse", "--xattrs", "--xattrs-include=*", "--acls", "-C", source, "-f",
            tmp / "x.tar", ".")
    unpack(tmp / "x.tar", tmp / "x")
    a, b = imported(repo, tmp / "x.tar"), backed_up(repo, tmp / "x")
    same_nodes(nodes(repo, a), nodes(repo, b))
    ours(repo, "restore", a, "--target", tmp / "restored")
    same(source, tmp / "restored")
    ours(repo, "check", "--read-data")
    repos.restic("restic-new")(repo, "check")
    # And what we wrote ourselves, compressed by a program or not.
    ours(repo, "export-tar", "--sparse", b, tmp / "y.tar.zst")
    want = nodes(repo, b)
    for more in [], ["--tar-filter", "zstd -d"]:
        same_nodes(nodes(repo, imported(repo, tmp / "y.tar.zst", *more)), want)
    for d in source, tmp / "x", tmp / "restored":
        tree.remove(d)


@tap.test
def entries_in_any_order(tmp):
    repo, source = new_repo(tmp), tmp / "source"
    make_some(source)
    os.link(source / "one", source / "a-first")
    for n in "a.b", "a b", "a/x", "a-b", "a0":  # around the slash
        (source / n).parent.mkdir(exist_ok=True)
        (source / n).write_text(n)
    tap.run("tar", "-c", "--format=posix", "-C", source, "-f", tmp / "x.tar", ".")
    want = nodes(repo, backed_up(repo, source))
    with tarfile.open(tmp / "x.tar") as t:
        entries = [(m, t.extractfile(m).read() if m.isreg() else None) for m in t]
    for seed in range(8):
        random.Random(seed).shuffle(entries)
        with tarfile.open(tmp / "y.tar", "w", format=tarfile.PAX_FORMAT) as t:
            for m, data in entries:
                t.addfile(m, io.BytesIO(data) if data is not None else None)
        same_nodes(nodes(repo, imported(repo, tmp / "y.tar")), want)


def archive(path, *members, fmt=tarfile.PAX_FORMAT):
    """Members are (name, content, or a type and target)."""
    with tarfile.open(path, "w", format=fmt) as t:
        for name, what, *target in members:
            m = tarfile.TarInfo(name)
            m.mtime = 1234567890
            if isinstance(what, bytes):
                m.size = len(what)
                t.addfile(m, io.BytesIO(what))
            else:
                m.type, m.linkname = what[0], (target or [""])[0]
                t.addfile(m)
    return path


DIR, LINK, SYM = [tarfile.DIRTYPE], [tarfile.LNKTYPE], [tarfile.SYMTYPE]


@tap.test
def names(tmp):
    repo = new_repo(tmp)
    weird = ["\u00e4", "a\u0308", "\uac00", "\u1100\u1161", "\udcff\udcfe", "x" * 200 + "\udcff", "new\nline",
             "/absolute", "./dot/./x", "sla//sh", "a=b", "very/" * 60 + "deep"]
    for fmt in tarfile.PAX_FORMAT, tarfile.GNU_FORMAT:
        archive(tmp / "x.tar", *((n, b"x") for n in weird), fmt=fmt)
        sn = imported(repo, tmp / "x.tar")
        got = ours(repo, "ls", "--format", "{type}{path}{NUL}", sn, text=False).stdout.split(b"\0")
        want = sorted(os.fsencode(os.path.normpath("/" + n).replace("//", "/")) for n in weird)
        tap.eq(sorted(g[1:] for g in got if g[:1] == b"-"), want)


@tap.test
def what_comes_twice_and_what_is_missing(tmp):
    repo = new_repo(tmp)
    sn = imported(repo, archive(tmp / "x.tar", ("a", b"old"), ("link", LINK, "a"), ("a", b"new"), ("d/e/f", b"f"),
                                ("later", LINK, "a"), ("s", SYM, "a"), ("s", b"file"), ("d", DIR)))
    read = {n: ours(repo, "dump", sn, n).stdout for n in ("a", "link", "later", "s")}
    tap.eq(read, {"a": "new", "link": "old", "later": "new", "s": "file"})
    listed = ours(repo, "ls", "--format", "{mode} {links} {path}{NL}", sn).stdout.splitlines()
    tap.eq(listed, ["-rw-r--r-- 2 /a", "drw-r--r-- 0 /d", "drwxr-xr-x 0 /d/e", "-rw-r--r-- 1 /d/e/f",
                    "-rw-r--r-- 2 /later", "-rw-r--r-- 1 /link", "-rw-r--r-- 1 /s"])
    # A link to its own name: to what had it before.
    sn = imported(repo, archive(tmp / "x.tar", ("a", b"it"), ("a", LINK, "a")))
    tap.eq(ours(repo, "dump", sn, "a").stdout, "it")
    # Owners that no system has are not root.
    with tarfile.open(tmp / "x.tar", "w", format=tarfile.GNU_FORMAT) as t:
        m = tarfile.TarInfo("a")
        m.uid = m.gid = 1 << 40
        t.addfile(m)
    r = ours(repo, "import-tar", tmp / "x.tar", check=3)
    tap.contains(r.stderr, "error: incomplete metadata for a: 1099511627776 is no number of a user or group")
    tap.eq(ours(repo, "ls", "--format", "{uid} {gid}", "latest").stdout, "65534 65534")
    both = archive(tmp / "1.tar", ("one", b"1")).read_bytes() + archive(tmp / "2.tar", ("two", b"2")).read_bytes()
    (tmp / "12.tar").write_bytes(both)
    for args, want in ([], ["/one"]), (["--ignore-zeros"], ["/one", "/two"]):
        sn = imported(repo, tmp / "12.tar", *args)
        tap.eq(ours(repo, "ls", "--format", "{path}{NL}", sn).stdout.splitlines(), want)


@tap.test
def of_what_the_snapshot_says(tmp):
    repo = new_repo(tmp)
    tar = archive(tmp / "x.tar", ("f", b"x"), ("d", DIR))
    imported(repo, tar, "--tag", "a,b", "--host", "elsewhere", "--time", "2012-11-01 22:08:41", env={"TZ": "UTC"})
    s = ours.snapshots(repo)[-1]
    tap.eq((s["tags"], s["hostname"], s["time"], s["paths"]),
           (["a", "b"], "elsewhere", "2012-11-01T22:08:41Z", [str(tar)]))
    tap.eq((s["summary"]["files_new"], s["summary"]["dirs_new"], s["summary"]["total_bytes_processed"]), (1, 1, 1))
    # From a pipe, whose writer has more to say than the archive.
    r = subprocess.Popen(f"cat {tar}; head -c 300000 /dev/zero && echo written >&2", shell=True, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    out = ours(repo, "import-tar", "-", stdin=r.stdout, env={"RESTIC_PASSWORD_COMMAND": "echo geheim"}).stdout
    tap.contains(out, "snapshot ")
    tap.eq(r.communicate()[1], b"written\n")
    tap.eq(ours.snapshots(repo)[-1]["paths"], ["/stdin"])
    r = ours(repo, "import-tar", "--list", "--dry-run", tar)
    tap.ok("A /f\n" in r.stderr and "d /d\n" in r.stderr, r.stderr)
    tap.eq(len(ours.snapshots(repo)), 2)


@tap.test
def archives_that_are_none(tmp):
    repo = new_repo(tmp)

    def fails(words, *args, code=1):
        r = ours(repo, "import-tar", *args, check=code)
        tap.contains(r.stderr, words)
        tap.eq(repos.files(repo, "snapshots"), set())
        return r

    good = archive(tmp / "good.tar", ("f", os.urandom(3 << 20)), ("g", b"g")).read_bytes()
    for i, cut in enumerate((700, 1500, 100000, 3 << 20)):
        (tmp / f"cut{i}").write_bytes(good[:cut])
        fails("cannot import", tmp / f"cut{i}")
    (tmp / "text").write_text("This is no archive. " * 100)
    fails("cannot import", tmp / "text")
    (tmp / "empty").write_text("")
    fails("cannot import", tmp / "empty")
    flipped = bytearray(good)
    flipped[(3 << 20) + 512 + 150] ^= 1
    (tmp / "flipped").write_bytes(flipped)
    fails("cannot import", tmp / "flipped")
    subprocess.run(["gzip", "-k", tmp / "good.tar"], check=True)
    z = (tmp / "good.tar.gz").read_bytes()
    (tmp / "cut.gz").write_bytes(z[:len(z) // 2])
    fails("cannot import", tmp / "cut.gz")
    fails("--tar-filter: gzip: exit status 1", tmp / "good.tar", "--tar-filter", "gzip -d")
    fails("leads out of the archive", archive(tmp / "x", ("a/../../b", b"x")))
    fails("a is no folder, but has a/b in it", archive(tmp / "x", ("a", b"x"), ("a/b", b"x")))
    fails("a is no folder, but has a/b/c in it", archive(tmp / "x", ("a/b/c", b"x"), ("a", SYM, "b")))
    fails("l is another name of none, which is not in the archive", archive(tmp / "x", ("l", LINK, "none")))
    fails("which is not in the archive", archive(tmp / "x", ("l", LINK, "m"), ("m", LINK, "l")))
    fails("l is another name of a folder", archive(tmp / "x", ("d", DIR), ("l", LINK, "d")))
    fails("the archive is empty", archive(tmp / "x", ("./", DIR)))
    fails("one archive must be named")
    fails("none.tar", tmp / "none.tar")
    imported(repo, tmp / "good.tar")


@tap.test
def archives_that_are_almost_right(tmp):
    """Whatever is in an archive, the program refuses it or makes a snapshot that is whole."""
    repo, source = new_repo(tmp), tmp / "source"
    make_some(source)
    os.setxattr(source / "one", "user.x", b"value")
    with open(source / "holes", "wb") as f:
        os.pwrite(f.fileno(), b"x", 2 << 20)
        f.truncate(3 << 20)
    tap.run("tar", "-c", "--format=posix", "--sparse", "--xattrs", "--acls", "-C", source, "-f", tmp / "x.tar", ".")
    data = (tmp / "x.tar").read_bytes()
    n = int(os.environ.get("MUTANTS", "25"))
    for seed in range(n):
        r = random.Random(seed)
        bad = bytearray(data)
        for _ in range(r.randrange(1, 4)):
            if len(bad) < 4096:
                break
            at = r.randrange(len(bad) // 512) * 512
            what = r.randrange(5)
            if what == 0:
                bad[at + r.randrange(512)] = r.randrange(256)
            elif what == 1:
                del bad[at:at + 512]
            elif what == 2:
                bad[at:at] = bad[(b := r.randrange(len(bad) // 512) * 512):b + 512]
            elif what == 3:
                del bad[at + r.randrange(512):]
            elif bad[at + 257:at + 262] == b"ustar":  # a header with something else, whose sum is right
                field, size = r.choice([(0, 100), (124, 12), (156, 1), (157, 100), (345, 155)])
                bad[at + field:at + field + size] = r.randbytes(1)[:size].ljust(size, r.choice([b"\0", b"7", b"/", b"a"]))
                bad[at + 148:at + 156] = b" " * 8
                bad[at + 148:at + 156] = b"%06o\0 " % sum(bad[at:at + 512])
        (tmp / "bad.tar").write_bytes(bad)
        p = ours(repo, "import-tar", "--json", tmp / "bad.tar", check=None)
        tap.ok(p.returncode in (0, 1, 3), f"seed {seed}: exit code {p.returncode}\n{p.stderr}")
        if p.returncode == 1:
            tap.contains(p.stderr, "cannot import")
    if repos.files(repo, "snapshots"):
        repos.restic("restic-new")(repo, "check", "--read-data")


tap.main()
