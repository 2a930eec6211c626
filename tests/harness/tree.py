# SPDX-License-Identifier: BSD-2-Clause
"""Makes a nasty tree: everything that a folder on Linux can hold and a backup can get wrong.

	import tree
	missing = tree.make(path, seed=1)                       # all parts
	missing = tree.make(path, parts=["names", "links"])     # only these
	tree.remove(path)                                       # whatever the modes and depth

	python3 tree.py DIR [--seed N] [--parts A,B] [--without C,D]

The same seed gives the same tree, down to the nanoseconds, but for inode numbers and whatever
the user or the file system cannot do: that is returned (and printed) as a list of sentences.
Everything has its modification time set. Each part is a folder of its own:

	names       file, folder and link names of all kinds of bytes; 255 bytes
	links       symbolic links: dangling, loops, long targets, targets that are not UTF-8
	hardlinks   of files, also across folders
	oddlinks    hard links of symbolic links, FIFOs and devices
	specials    FIFOs; character and block devices (root)
	sockets
	modes       setuid, setgid, sticky; as root also what nobody may read
	owners      user and group ids up to 2^32-2 (root)
	times       nanoseconds, before 1970, year 2200
	xattrs      binary, empty, many; as root also on symbolic links, and capabilities
	acls        access and default
	sizes       around the limits of the chunker, sparse, zeros, duplicates, 20 MiB
	many        5,000 entries
	deep        a path of more than 3,000 bytes
	beyond      a path that is longer than PATH_MAX
"""

import argparse
import errno
import os
import random
import stat
import struct
import sys

KIB, MIB = 1 << 10, 1 << 20
DAY_NS = 86400 * 10**9

NAMES = [
    b"plain", b"a", b"a-", b"a.", b"a0", b"A", b"-", b"-rf", b"--option=x", b" ", b" spaces ", b"...",
    b"..a", b".hidden", b"~", b"~root", b"#x#", b"tab\there", b"newline\n", b"\nnewline\n\n", b"\r",
    b"\x7f", b"\x1b[31mred\x1b[0m", bytes(range(1, 32)), b"<b>&amp;<b>", b"'", b'"', b"`id`",
    b"\\", b"\\\\", b"\\x41", b"\\u0041", b"\\n", b"end\\", b'\\"', b"%", b"%s%n%41", b"$HOME $(id)",
    b"*", b"?", b"[a-z]", b"{a,b}", b"!", b";", b"|", b"a:b", b"a=b", b"a,b", b"CON", b"nul.txt",
    "\u2028\u2029".encode(), "\u0085\u00a0".encode(), "\ufeffbom".encode(), "\ufffd".encode(),
    "\u202ertl".encode(), "\u00e9 composed".encode(), "e\u0301 decomposed".encode(),
    "\U0001f4be".encode(), "\U0010ffff".encode(), "\u00df\u1e9e\u0130\u0131".encode(),
    # Not UTF-8: Latin-1, lone bytes, overlong, surrogates, too large, cut off.
    b"caf\xe9", b"\x80", b"\xff", b"\xff\xfe", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xaf",
    b"\xed\xa0\x80", b"\xed\xa0\xbd\xed\xb2\xbe", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80",
    b"\xe2\x80", b"x\xe2\x80\nx", b"good \xc3\xa9 bad \xe9",
    b"x" * 255, b"\xff" * 255, "\u00e9".encode() * 127 + b"y", b"\\" * 255, b"\x01" * 255, b'"' * 254,
    b"<" * 253, "\u2028".encode() * 85,
]


class Builder:
    """Creates things at once and gives them their attributes at the end, the deepest first."""

    def __init__(self, top, seed):
        self.top = os.fsencode(top)
        self.seed = seed
        self.is_root = os.geteuid() == 0
        self.meta = {}
        self.missing = []

    def part(self, name):
        """Starts a part: its folder and its own random numbers."""
        self.name = name
        self.rng = random.Random(f"{self.seed}/{name}")
        self.dir(name.encode())

    def path(self, rel):
        return os.path.join(self.top, rel)

    def lacks(self, what, why):
        self.missing.append(f"{self.name}: {what}: {why}")

    def note(self, rel, **meta):
        """Remembers attributes: mode, owner, mtime, xattrs."""
        m = self.meta.setdefault(rel, {})
        if "mtime" not in m:
            m["mtime"] = self.rng.randrange(900_000_000 * 10**9, 1_700_000_000 * 10**9)
        m.update(meta)

    def dir(self, rel, **meta):
        os.mkdir(self.path(rel), 0o700)
        self.note(rel, **{"mode": 0o755, **meta})

    def file(self, rel, data=b"", **meta):
        fd = os.open(self.path(rel), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fd, "wb") as f:
            f.write(data)
        self.note(rel, **{"mode": 0o644, **meta})

    def sparse(self, rel, size, pieces):
        with open(self.path(rel), "xb") as f:
            for off, data in pieces:
                f.seek(off)
                f.write(data)
            f.truncate(size)
        self.note(rel, mode=0o644)

    def symlink(self, rel, target, **meta):
        os.symlink(target, self.path(rel))
        self.note(rel, **meta)

    def hardlink(self, rel, other):
        os.link(self.path(other), self.path(rel), follow_symlinks=False)

    def node(self, rel, kind, dev=0, **meta):
        """A FIFO, socket or device; False if that may not be."""
        try:
            os.mknod(self.path(rel), kind | 0o600, dev)
        except PermissionError as e:
            self.lacks(os.fsdecode(rel), e.strerror)
            return False
        self.note(rel, **{"mode": 0o640, **meta})
        return True

    def bytes(self, n):
        return self.rng.randbytes(n)

    def finish(self):
        for rel in sorted(self.meta, key=lambda r: (-r.count(b"/"), r)):
            self.apply(self.path(rel), self.meta[rel])
        self.name = "top"
        self.rng = random.Random(f"{self.seed}/top")
        self.note(b".", mode=0o755)
        self.apply(self.top, self.meta[b"."])

    def apply(self, path, m):
        """In this order, because each call can undo what a later one sets."""
        if "owner" in m:
            try:
                os.chown(path, *m["owner"], follow_symlinks=False)
            except OSError as e:
                self.missing.append(f"owner {m['owner']}: {e.strerror}")
        if "mode" in m:
            os.chmod(path, m["mode"])
        for key, value in m.get("xattrs", {}).items():
            try:
                os.setxattr(path, key, value, follow_symlinks=False)
            except OSError as e:
                self.missing.append(f"{os.fsdecode(key)}: {e.strerror}")
        os.utime(path, ns=(m["mtime"], m["mtime"]), follow_symlinks=False)


# ---- parts ----


def names(b):
    for d in b"files", b"folders", b"links":
        b.dir(b"names/" + d)
    for n in NAMES:
        b.file(b"names/files/" + n, b"content of " + n)
        b.dir(b"names/folders/" + n)
        b.file(b"names/folders/" + n + b"/" + n, n)
        b.symlink(b"names/links/" + n, n)
    # A folder beside files whose names sort around it.
    b.dir(b"names/order")
    for n in b"a-b", b"a.b", b"a0", b"aa", b"a\x01", b"a\xff", b"A":
        b.file(b"names/order/" + n, n)
    b.dir(b"names/order/a")
    b.file(b"names/order/a/b")


def links(b):
    targets = [b".", b"..", b"/", b"//", b"./", b"../links", b"a//b/", b"/etc/passwd", b"nowhere",
               b"/nowhere/at/all", b"self", b"trailing/", b"\xff\xfe", b"caf\xe9/\n\x01", b"\\xff",
               "\u2028<&>\"'".encode(), b"x" * 255, b"x" * 256, b"x/" * 500, b"/\xe9" * 1000, b"y" * 4095]
    for i, target in enumerate(targets):
        b.symlink(b"links/%02d" % i, target)
    b.symlink(b"links/self", b"self")
    b.symlink(b"links/loop-a", b"loop-b")
    b.symlink(b"links/loop-b", b"loop-a")
    b.dir(b"links/folder")
    b.file(b"links/folder/file", b"behind a link")
    b.symlink(b"links/to-folder", b"folder")
    b.symlink(b"links/to-file", b"folder/file")
    b.symlink(b"links/old", b"folder", mtime=-1)
    if b.is_root:
        b.symlink(b"links/owned", b"folder", owner=(1234, 5678))


def hardlinks(b):
    b.dir(b"hardlinks/folder")
    b.file(b"hardlinks/one", b.bytes(70000), mode=0o600)
    for i in range(5):
        b.hardlink(b"hardlinks/folder/also-%d" % i, b"hardlinks/one")
    b.hardlink(b"hardlinks/0-before", b"hardlinks/one")
    b.file(b"hardlinks/folder/two", b"two")
    b.hardlink(b"hardlinks/two", b"hardlinks/folder/two")
    b.file(b"hardlinks/empty")
    b.hardlink(b"hardlinks/empty-too", b"hardlinks/empty")
    b.file(b"hardlinks/same-content-but-no-link", b"two")
    b.file(b"hardlinks/\xff", b"name")
    b.hardlink(b"hardlinks/\xfe", b"hardlinks/\xff")


def oddlinks(b):
    b.symlink(b"oddlinks/symlink", b"target")
    b.hardlink(b"oddlinks/symlink-too", b"oddlinks/symlink")
    b.node(b"oddlinks/fifo", stat.S_IFIFO)
    b.hardlink(b"oddlinks/fifo-too", b"oddlinks/fifo")
    if b.node(b"oddlinks/null", stat.S_IFCHR, os.makedev(1, 3)):
        b.hardlink(b"oddlinks/null-too", b"oddlinks/null")


def specials(b):
    b.node(b"specials/fifo", stat.S_IFIFO)
    b.node(b"specials/fifo \xff\n", stat.S_IFIFO, mode=0o666)
    for i, (major, minor) in enumerate([(1, 3), (5, 1), (255, 255), (259, 1048575), (4095, 256)]):
        b.node(b"specials/char-%d" % i, stat.S_IFCHR, os.makedev(major, minor))
    for i, (major, minor) in enumerate([(7, 200), (8, 0), (259, 65537)]):
        b.node(b"specials/block-%d" % i, stat.S_IFBLK, os.makedev(major, minor))


def sockets(b):
    b.node(b"sockets/socket", stat.S_IFSOCK)
    b.file(b"sockets/file", b"beside a socket")


def modes(b):
    files = [0o4755, 0o2755, 0o1755, 0o6711, 0o7777, 0o777, 0o444, 0o600, 0o755, 0o666, 0o1644, 0o4600]
    folders = [0o755, 0o700, 0o777, 0o1777, 0o2775, 0o3777, 0o4755, 0o7777, 0o500, 0o555]
    if b.is_root:
        files += [0, 0o111, 0o222, 0o7000, 0o4000]
        folders += [0, 0o111, 0o333, 0o7000]
    else:
        b.lacks("unreadable files and folders", "only as root")
    for mode in files:
        b.file(b"modes/file-%04o" % mode, b"%o" % mode, mode=mode)
    for mode in folders:
        b.dir(b"modes/folder-%04o" % mode, mode=mode)
        b.file(b"modes/folder-%04o/file" % mode, b"%o" % mode)
    b.dir(b"modes/folder-0500/inner", mode=0o500)


def owners(b):
    if not b.is_root:
        return b.lacks("all", "only as root")
    ids = [(0, 0), (1, 2), (1000, 1000), (65534, 65534), (65535, 65536), (2**31 - 1, 2**31),
           (2**32 - 2, 2**32 - 2), (0, 2**32 - 2), (3_000_000_000, 7)]
    for i, owner in enumerate(ids):
        b.file(b"owners/file-%d" % i, b"x", owner=owner)
        b.dir(b"owners/folder-%d" % i, owner=owner)
        b.symlink(b"owners/link-%d" % i, b"nowhere", owner=owner)
        # chown() takes these bits away.
        b.file(b"owners/setuid-%d" % i, b"x", owner=owner, mode=0o6755)
    b.node(b"owners/fifo", stat.S_IFIFO, owner=(12, 34))
    return None


def times(b):
    moments = [0, 1, -1, 999_999_999, -999_999_999, 10**9, -10**9, 123_456_789, 1_700_000_000_000_000_001,
               1_700_000_000_100_000_000, 1_700_000_000_000_001_000, 1_700_000_000_000_000_000,
               -DAY_NS * 365 * 30 + 7, (2**31 - 1) * 10**9, 2**31 * 10**9 + 1, -(2**31) * 10**9,
               7_258_118_400 * 10**9 + 999_999_999]  # year 2200
    for i, t in enumerate(moments):
        b.file(b"times/file-%02d" % i, b"%d" % t, mtime=t)
        b.dir(b"times/folder-%02d" % i, mtime=t)
        b.symlink(b"times/link-%02d" % i, b"nowhere", mtime=t)
    b.node(b"times/fifo", stat.S_IFIFO, mtime=-123_456_789)


def xattrs(b):
    binary = bytes(range(256))
    b.file(b"xattrs/one", b"x", xattrs={b"user.comment": b"hello"})
    b.file(b"xattrs/binary", b"x", xattrs={b"user.binary": binary, b"user.nul": b"\0", b"user.bad": b"\xff"})
    b.file(b"xattrs/empty", b"x", xattrs={b"user.empty": b""})
    b.file(b"xattrs/empty-file", b"", xattrs={b"user.a": b"1"})
    b.file(b"xattrs/many", b"x", xattrs={b"user.n%02d" % i: b.bytes(i) for i in range(40)})
    b.file(b"xattrs/large", b"x", xattrs={b"user.large": b.bytes(2500)})
    b.file(b"xattrs/names", b"x", xattrs={
        "user.<&>\"'\\ \u00e9\u2028\U0001f4be".encode(): b"v", b"user." + b"n" * 200: b"long",
        b"user.tab\t\x01\n": b"control", b"user. ": b"space"})
    b.file(b"xattrs/read-only", b"x", mode=0o444, xattrs={b"user.a": b"1"})
    b.dir(b"xattrs/folder", xattrs={b"user.on": b"a folder", b"user.empty": b""})
    b.file(b"xattrs/folder/file", b"x", xattrs={b"user.on": b"a file"})
    b.file(b"xattrs/linked", b"x", xattrs={b"user.a": b"both names"})
    b.hardlink(b"xattrs/linked-too", b"xattrs/linked")
    if not b.is_root:
        return b.lacks("trusted.* and capabilities", "only as root")
    b.symlink(b"xattrs/symlink", b"one", xattrs={b"trusted.on": b"a link", b"trusted.bin": binary})
    b.symlink(b"xattrs/dangling", b"nowhere", xattrs={b"trusted.empty": b""})
    b.file(b"xattrs/trusted", b"x", xattrs={b"trusted.a": b"1", b"user.a": b"2"})
    b.dir(b"xattrs/trusted-folder", xattrs={b"trusted.a": b"1"})
    # cap_net_bind_service=ep; chown() and write() take it away.
    cap = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
    b.file(b"xattrs/capable", b"x", mode=0o755, owner=(0, 7), xattrs={b"security.capability": cap})
    if b.node(b"xattrs/fifo", stat.S_IFIFO):
        b.note(b"xattrs/fifo", xattrs={b"trusted.on": b"a fifo"})
    return None


def acl(*entries):
    """The value of system.posix_acl_*; entries are (tag, permissions, id)."""
    none = 2**32 - 1
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, perm, none if who is None else who) for tag, perm, who in entries)


USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32


def acls(b):
    access = acl((USER_OBJ, 6, None), (USER, 4, 1), (USER, 6, 65534), (GROUP_OBJ, 4, None), (GROUP, 7, 5),
                 (MASK, 6, None), (OTHER, 0, None))
    default = acl((USER_OBJ, 7, None), (USER, 5, 2), (GROUP_OBJ, 5, None), (MASK, 5, None), (OTHER, 1, None))
    plain = acl((USER_OBJ, 7, None), (GROUP_OBJ, 5, None), (OTHER, 0, None))
    a, d = b"system.posix_acl_access", b"system.posix_acl_default"
    b.file(b"acls/file", b"x", xattrs={a: access})
    b.file(b"acls/mask-hides", b"x", xattrs={a: acl(
        (USER_OBJ, 6, None), (USER, 7, 9), (GROUP_OBJ, 7, None), (MASK, 0, None), (OTHER, 4, None))})
    b.file(b"acls/with-xattr", b"x", xattrs={a: access, b"user.a": b"1"})
    enter = acl((USER_OBJ, 7, None), (USER, 5, 1), (GROUP_OBJ, 5, None), (MASK, 5, None), (OTHER, 0, None))
    b.dir(b"acls/access", xattrs={a: enter})
    b.dir(b"acls/default", xattrs={d: default})
    b.dir(b"acls/both", xattrs={a: enter, d: default})
    b.dir(b"acls/default-minimal", xattrs={d: plain})
    # Made before their folder has its default list, so they inherit nothing; no more may a restore.
    b.file(b"acls/both/file", b"x", mode=0o640)
    b.dir(b"acls/both/folder", mode=0o700)
    b.file(b"acls/both/folder/file", b"x", xattrs={a: access})


def sizes(b):
    for size in (0, 1, 511, 512, 513, 4095, 4096, 4097, 65536, 512 * KIB - 1, 512 * KIB, 512 * KIB + 1,
                 MIB, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1):
        b.file(b"sizes/%d" % size, b.bytes(size))
    b.file(b"sizes/random", data := b.bytes(20 * MIB))
    b.file(b"sizes/duplicate", data)
    b.file(b"sizes/duplicate-shifted", b"x" + data)
    b.file(b"sizes/duplicate-cut", data[:13 * MIB + 5])
    b.file(b"sizes/zeros", bytes(9 * MIB))
    b.file(b"sizes/zeros-512k", bytes(512 * KIB))
    b.file(b"sizes/text", b"".join(b"line %d of a text\n" % i for i in range(100_000)))
    b.sparse(b"sizes/hole-only", 24 * MIB, [])
    b.sparse(b"sizes/hole-first", 10 * MIB + 3, [(10 * MIB, b"end")])
    b.sparse(b"sizes/hole-last", 10 * MIB + 3, [(0, b"start")])
    b.sparse(b"sizes/holes", 30 * MIB, [(i * 3 * MIB + 17, b.bytes(5000)) for i in range(10)])
    b.sparse(b"sizes/hole-odd", 12345, [(5000, b"x")])


def many(b):
    for i in range(5000):
        data = b.bytes(b.rng.randrange(200)) if i % 3 else b"the same"
        b.file(b"many/%x-%d" % (b.rng.getrandbits(32), i), data)


def deep(b):
    rel = b"deep"
    while len(rel) < 3000:
        rel += b"/" + b"d%d" % len(rel) * 7
        b.dir(rel)
    b.file(rel + b"/file", b"at the bottom")
    rel = b"deep/x"
    b.dir(rel)
    for _ in range(300):
        rel += b"/x"
        b.dir(rel)
    b.file(rel + b"/file", b"many levels down")


def beyond(b):
    """As its paths cannot be spoken, this part goes step by step, and sets attributes going up."""
    fds = [os.open(b.path(b"beyond"), os.O_RDONLY | os.O_DIRECTORY)]
    try:
        for i in range(24):
            name = b"%02d-" % i + b"\xe9" * 200
            os.mkdir(name, 0o755, dir_fd=fds[-1])
            fds.append(os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fds[-1]))
        fd = os.open(b"file", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=fds[-1])
        with open(fd, "wb") as f:
            f.write(b"nobody can name me")
        os.symlink(b"file", b"link", dir_fd=fds[-1])
        os.mkfifo(b"fifo", 0o600, dir_fd=fds[-1])
        for name in b"file", b"link", b"fifo":
            t = b.rng.randrange(10**18)
            os.utime(name, ns=(t, t), dir_fd=fds[-1], follow_symlinks=False)
        for fd in reversed(fds[1:]):
            os.chmod(fd, 0o755)
            t = b.rng.randrange(10**18)
            os.utime(fd, ns=(t, t))
    finally:
        for fd in fds:
            os.close(fd)


PARTS = {f.__name__: f for f in (names, links, hardlinks, oddlinks, specials, sockets, modes, owners,
                                 times, xattrs, acls, sizes, many, deep, beyond)}


def make(top, seed=1, parts=None, without=()):
    """Makes the tree in `top`, a folder that is empty or not there; returns what is missing."""
    unknown = set(parts or ()) | set(without)
    if unknown - set(PARTS):
        raise ValueError(f"no parts of the tree: {sorted(unknown - set(PARTS))}")
    os.makedirs(top, exist_ok=True)
    if os.listdir(top):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), top)
    b = Builder(top, seed)
    old = os.umask(0)
    try:
        for name, fn in PARTS.items():
            if (parts is None or name in parts) and name not in without:
                b.part(name)
                fn(b)
        b.finish()
    finally:
        os.umask(old)
    return b.missing


def remove(top):
    """Removes a tree with folders that nobody may enter and paths that cannot be spoken."""
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _empty(fd)
    finally:
        os.close(fd)
    os.rmdir(top)


def _empty(fd):
    os.chmod(fd, 0o700)
    for name in os.listdir(fd):
        if stat.S_ISDIR(os.lstat(name, dir_fd=fd).st_mode):
            os.chmod(name, 0o700, dir_fd=fd)
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            try:
                _empty(inner)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=fd)
        else:
            os.unlink(name, dir_fd=fd)


def main():
    def parts(text):
        return text.split(",")

    p = argparse.ArgumentParser(description="makes a nasty tree")
    p.add_argument("dir")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--parts", type=parts)
    p.add_argument("--without", type=parts, default=())
    a = p.parse_args()
    for what in make(a.dir, a.seed, a.parts, a.without):
        print(f"missing: {what}", file=sys.stderr)


if __name__ == "__main__":
    main()
