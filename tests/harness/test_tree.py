# SPDX-License-Identifier: BSD-2-Clause
"""The nasty tree and the comparison: every single change of a tree has to be reported."""

import os
import pathlib
import shutil
import stat
import sys

import compare
import tap
import tree

HERE = pathlib.Path(__file__).resolve().parent
IS_ROOT = os.geteuid() == 0


def differences(a, b, **kw):
    return "\n".join(compare.trees(a, b, **kw))


def no_tree_left(*paths):
    """The harness removes plain trees only."""
    for p in paths:
        tree.remove(p)
        tap.ok(not p.exists(), f"{p} was removed")


@tap.test
def the_same_seed_gives_the_same_tree(tmp):
    a, b = tmp / "a", tmp / "b"
    missing = tree.make(a, seed=7)
    tap.eq(tree.make(b, seed=7), missing)
    if IS_ROOT:
        tap.eq([m for m in missing if "Operation not permitted" not in m], [])
    tap.eq(differences(a, b), "")
    no_tree_left(a, b)


@tap.test
def another_seed_gives_another_tree(tmp):
    tree.make(tmp / "a", seed=1, parts=["times"])
    tree.make(tmp / "b", seed=2, parts=["times"])
    tap.contains(differences(tmp / "a", tmp / "b"), "times: mtime")


@tap.test
def the_tree_holds_what_it_promises(tmp):
    a = tmp / "a"
    missing = tree.make(a)
    s = compare.scan(a)
    tap.ok(len(s) > 5900, f"{len(s)} things")
    kinds = {e["type"] for e in s.values()}
    tap.ok({"file", "folder", "symlink", "fifo", "socket"} <= kinds, str(kinds))
    longest = max(s, key=len)
    tap.ok(len(longest) > 4096, f"longest path {len(longest)}")
    tap.ok(any(len(p.split(b"/")[-1]) == 255 for p in s), "a name of 255 bytes")
    tap.ok(any(b"\xff" in e["target"] for e in s.values() if "target" in e), "target not UTF-8")
    tap.eq(len([p for p in s if p.startswith(b"many/")]), 5000)
    tap.eq(s[b"sizes/%d" % (8 << 20)]["size"], 8 << 20)
    tap.eq(s[b"sizes/random"]["content"], s[b"sizes/duplicate"]["content"])
    tap.ok(os.stat(a / "sizes/hole-only").st_blocks < 100, "sparse")
    tap.eq(len(s[b"hardlinks/0-before"]["links"]), 7)
    tap.eq(s[b"times/file-02"]["mtime"], -1)
    if not missing:
        tap.eq(s[b"owners/file-6"]["uid"], 2**32 - 2)
        tap.eq(s[b"xattrs/symlink"]["xattrs"]["trusted.bin"], bytes(range(256)))
        tap.ok("security.capability" in s[b"xattrs/capable"]["xattrs"], "capabilities survived")
        tap.eq(s[b"xattrs/empty"]["xattrs"], {"user.empty": b""})
        tap.ok({"char", "block"} <= kinds, str(kinds))
        tap.eq(s[b"modes/file-0000"]["mode"], "0o0")
        tap.eq(s[b"owners/setuid-8"]["mode"], "0o6755")
    no_tree_left(a)


# ---- one change at a time ----


def keeping_times(path, change):
    """Makes a change that leaves no trace in the times of the thing and its folder."""
    folder = os.path.dirname(path)
    before = [(p, os.lstat(p)) for p in (folder, path)]
    change(path)
    for p, st in reversed(before):
        if os.path.lexists(p):
            os.utime(p, ns=(st.st_atime_ns, st.st_mtime_ns), follow_symlinks=False)


def rewrite(path):
    with open(path, "r+b") as f:
        f.write(b"X")


def retarget(path):
    size = len(os.readlink(path))
    os.unlink(path)
    os.symlink(b"z" * size, path)


def unshare(path):
    shutil.copy2(path, path + b".copy")
    os.rename(path + b".copy", path)


def link_to(other):
    def change(path):
        os.unlink(path)
        os.link(os.path.join(os.path.dirname(path), other), path, follow_symlinks=False)
    return change


def node(kind, dev):
    def change(path):
        mode = os.lstat(path).st_mode & 0o7777
        os.unlink(path)
        os.mknod(path, kind | mode, dev)
        os.chmod(path, mode)
    return change


to_char = node(stat.S_IFCHR, os.makedev(7, 200))  # rsync takes one device for the other


def xattr(key, value, **kw):
    return lambda p: os.setxattr(p, key, value, follow_symlinks=False, **kw)


def no_xattr(key):
    return lambda p: os.removexattr(p, key, follow_symlinks=False)


def later(p):
    ns = os.lstat(p).st_mtime_ns + 1
    os.utime(p, ns=(ns, ns), follow_symlinks=False)


def owner(uid, gid):
    return lambda p: os.chown(p, uid, gid, follow_symlinks=False)


ACCESS = tree.acl((1, 6, None), (2, 7, 1), (4, 4, None), (16, 7, None), (32, 0, None))

# What is changed, how, and the attribute that must be named; rsync must see each of them too.
CHANGES = [
    (b"names/files/\xff", rewrite, "content"),
    (b"names/files/plain", lambda p: os.truncate(p, 3), "size"),
    (b"names/files/" + b"x" * 255, os.unlink, "only in the first tree"),
    (b"names/files/new\n\xfe", lambda p: open(p, "xb").close(), "only in the second tree"),
    (b"names/folders/new", os.mkdir, "only in the second tree"),
    (b"modes/file-0755", lambda p: os.chmod(p, 0o754), "mode"),
    (b"modes/file-4755", lambda p: os.chmod(p, 0o755), "mode"),
    (b"modes/folder-1777", lambda p: os.chmod(p, 0o777), "mode"),
    (b"specials/fifo", lambda p: os.chmod(p, 0o600), "mode"),
    (b"times/file-00", later, "mtime"),
    (b"times/folder-02", later, "mtime"),
    (b"times/link-02", later, "mtime"),
    (b"times/fifo", later, "mtime"),
    (b"links/02", retarget, "target"),
    (b"links/folder/file", lambda p: (os.unlink(p), os.mkfifo(p)), "type"),
    (b"hardlinks/folder/also-3", unshare, "links"),
    (b"hardlinks/same-content-but-no-link", link_to(b"two"), "links"),
    (b"oddlinks/symlink-too", lambda p: (os.unlink(p), os.symlink("target", p)), "links"),
    (b"xattrs/one", xattr("user.comment", b"hullo"), "xattrs"),
    (b"xattrs/one", xattr("user.another", b""), "xattrs"),
    (b"xattrs/empty", no_xattr("user.empty"), "xattrs"),
    (b"xattrs/folder", xattr("user.on", b""), "xattrs"),
    (b"acls/file", xattr("system.posix_acl_access", ACCESS), "xattrs"),
    (b"acls/default", no_xattr("system.posix_acl_default"), "xattrs"),
]
ROOT_CHANGES = [
    (b"owners/file-0", owner(1, -1), "uid"),
    (b"owners/folder-0", owner(-1, 1), "gid"),
    (b"owners/link-6", owner(2**32 - 3, -1), "uid"),
    (b"specials/char-0", node(stat.S_IFCHR, os.makedev(1, 5)), "rdev"),
    (b"specials/block-0", to_char, "type"),
    (b"xattrs/symlink", xattr("trusted.bin", b"x"), "xattrs"),
    (b"xattrs/fifo", no_xattr("trusted.on"), "xattrs"),
    (b"xattrs/capable", no_xattr("security.capability"), "xattrs"),
]


@tap.test
def every_single_change_is_reported(tmp):
    for n, (rel, change, what) in enumerate(CHANGES + (ROOT_CHANGES if IS_ROOT else [])):
        part = rel.split(b"/")[0].decode()
        a, b = tmp / part, tmp / f"{part}-{n}"
        if not a.exists():
            tree.make(a, parts=[part])
        tree.make(b, parts=[part])
        path = os.path.join(os.fsencode(b), rel)
        if change is later or not os.path.lexists(path):
            change(path)
        else:
            keeping_times(path, change)
        lines = compare.trees(a, b)
        ours = [x for x in lines if not x.startswith("rsync: ")]
        tap.ok(any(x.startswith(compare.show(rel) + ": ") and what in x for x in ours),
               f"{rel} {what}: not in {lines}")
        tap.ok(len(ours) < len(lines) or change is to_char, f"rsync on {rel} {what}: {lines}")
        tree.remove(b)


@tap.test
def changes_beyond_path_max_are_reported(tmp):
    a, b = tmp / "a", tmp / "b"
    tree.make(a, parts=["beyond"])
    tree.make(b, parts=["beyond"])
    tap.eq(differences(a, b), "")
    fd = os.open(b / "beyond", os.O_RDONLY)
    while True:
        name = sorted(os.listdir(fd))[0]
        if not stat.S_ISDIR(os.lstat(name, dir_fd=fd).st_mode):
            break
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    st = os.lstat("file", dir_fd=fd)
    with open(os.open("file", os.O_WRONLY, dir_fd=fd), "wb") as f:
        f.write(b"X")
    os.utime("file", ns=(0, st.st_mtime_ns), dir_fd=fd)
    os.close(fd)
    tap.contains(differences(a, b), "/file: content: ")
    no_tree_left(a, b)


@tap.test
def what_is_to_be_ignored_is_ignored(tmp):
    a, b = tmp / "a", tmp / "b"
    for top in a, b:
        tree.make(top, parts=["sockets", "links", "oddlinks"])
    os.unlink(b / "sockets/socket")
    ignore = ["mtime:folder"]
    tap.contains(differences(a, b, ignore=ignore), "sockets/socket: only in the first tree")
    tap.eq(differences(a, b, ignore=ignore, without=["socket"]), "")
    os.unlink(b / "oddlinks/symlink")
    os.symlink("target", b / "oddlinks/symlink")
    tap.contains(differences(a, b, ignore=ignore, without=["socket"]), "links")
    ignore += ["links:symlink", "mtime:symlink"]
    tap.eq(differences(a, b, ignore=ignore, without=["socket"]), "")
    os.chmod(b, 0o700)
    tap.contains(differences(a, b, ignore=ignore, without=["socket"]), ".: mode")
    tap.eq(differences(a, b, ignore=ignore, without=["socket"], top=False), "")
    for bad in {"ignore": ["colour"]}, {"ignore": ["mtime:car"]}, {"without": ["car"]}:
        try:
            compare.trees(a, b, **bad)
        except ValueError:
            continue
        raise AssertionError(f"{bad} was accepted")


@tap.test
def command_lines(tmp):
    for name in "a", "b":
        tap.run(sys.executable, HERE / "tree.py", tmp / name, "--seed", 3, "--parts", "names,times")
    script = HERE / "compare.py"
    tap.eq(tap.run(sys.executable, script, tmp / "a", tmp / "b").stdout, "")
    os.unlink(tmp / "b/names/files/\u00e9 composed")
    r = tap.run(sys.executable, script, tmp / "a", tmp / "b", "--ignore", "mtime:folder", check=1)
    tap.eq(len(r.stdout.splitlines()), 2, r.stdout)
    tap.contains(r.stdout, "names/files/\\xc3\\xa9 composed: only in the first tree\nrsync: ")


tap.main()
