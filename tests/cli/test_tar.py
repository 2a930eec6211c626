# SPDX-License-Identifier: BSD-2-Clause
"""export-tar: archives that GNU tar unpacks to what was backed up."""

import os
import subprocess

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


def unpack(tar, to, *args):
    to.mkdir()
    return tap.run("tar", "-x", "-p", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "-C", to,
                   *args, "-f", tar)


def same(a, b, ignore=()):
    found = compare.trees(a, b, ignore=[*IGNORE, *ignore], rsync=False, top=False)
    tap.eq(found, [])


def names(tar, *args):
    return tap.run("tar", "-t", "-f", tar, *args).stdout.splitlines()


@tap.test
def gnu_tar_unpacks_what_was_backed_up(tmp):
    repo, source = repos.quick(tmp / "repo"), tmp / "source"
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
    repo, source = repos.quick(tmp / "repo"), tmp / "source"
    make_some(source)
    ours(repo, "backup", ".", cwd=source)

    def got(*args, snapshot="latest", paths=()):
        ours(repo, "export-tar", *args, snapshot, tmp / "x.tar", *paths)
        return sorted(names(tmp / "x.tar"))

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
    repo, source, mib = repos.quick(tmp / "repo"), tmp / "source", 1 << 20
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
    tap.eq(sorted(names(tmp / "x.tar", "--quoting-style=literal")), sorted(os.listdir(source)))


@tap.test
def programs_between(tmp):
    repo, source = repos.quick(tmp / "repo"), tmp / "source"
    make_some(source)
    ours(repo, "backup", ".", cwd=source)
    for suffix, magic in (("tar.gz", b"\x1f\x8b"), ("tgz", b"\x1f\x8b"), ("tar.zst", b"\x28\xb5\x2f\xfd"),
                          ("tar.xz", b"\xfd7zXZ"), ("tar", b"PaxHeaders.0/dir\0")):
        ours(repo, "export-tar", "latest", tmp / f"x.{suffix}")
        tap.eq((tmp / f"x.{suffix}").read_bytes()[:len(magic)], magic)
        tap.eq(sorted(names(tmp / f"x.{suffix}")), ALL)
    ours(repo, "export-tar", "--tar-filter", "none", "latest", tmp / "y.tar.gz")
    tap.eq((tmp / "y.tar.gz").read_bytes(), (tmp / "x.tar").read_bytes())
    tap.eq(ours(repo, "export-tar", "latest", "-", text=False).stdout, (tmp / "x.tar").read_bytes())
    tap.eq(ours(repo, "export-tar", "--tar-filter", "tr 'a-z' A-Z", "latest", "-", text=False).stdout[:12], b"PAXHEADERS.0")
    tap.eq(oct((tmp / "x.tar").stat().st_mode & 0o777), "0o644")


@tap.test
def what_goes_wrong(tmp):
    repo, source = repos.quick(tmp / "repo"), tmp / "source"
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


tap.main()
