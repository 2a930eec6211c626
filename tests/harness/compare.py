# SPDX-License-Identifier: BSD-2-Clause
"""Compares two trees with tools that are not ours: Python's own calls, and rsync.

	import compare
	differences = compare.trees(a, b, without=["socket"], ignore=["mtime:symlink"])

	python3 compare.py A B [--without TYPE]... [--ignore ATTR[:TYPE]]... [--no-top] [--no-rsync]

Attributes: type, mode, uid, gid, mtime (ns), size, content (SHA-256), target (of a symbolic
link), rdev (of a device), links (which names are the same file), xattrs (with ACLs).
Types: file, folder, symlink, fifo, socket, char, block.  What A or B has of a type in `without`
is passed over.  Differences are lines of text; none means that the trees are equal.  On the
command line they are printed, and the exit code is 1 if there are any.
"""

import argparse
import errno
import hashlib
import os
import re
import stat
import subprocess
import sys
import tempfile

TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
         stat.S_IFSOCK: "socket", stat.S_IFCHR: "char", stat.S_IFBLK: "block"}
ATTRS = ("type", "mode", "uid", "gid", "mtime", "size", "content", "target", "rdev", "links", "xattrs")

# Given by the system to what is created, not by the user.
FOREIGN_XATTRS = {"security.selinux"}


def show(path):
    """A path for people: bytes that are not printable as \\x.."""
    return repr(path)[2:-1] if path else "."


def _digest(path):
    h = hashlib.sha256()
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(fd, "rb") as f:
        while data := f.read(1 << 20):
            h.update(data)
    return h.hexdigest()


def _xattrs(path):
    try:
        keys = os.listxattr(path, follow_symlinks=False)
        return {k: os.getxattr(path, k, follow_symlinks=False) for k in sorted(keys)
                if k not in FOREIGN_XATTRS}
    except OSError as e:
        if e.errno != errno.ENOTSUP:
            raise
        return {}


def _entry(path):
    """The attributes of one thing; `path` is short, by way of /proc/self/fd."""
    st = os.lstat(path)
    kind = TYPES[stat.S_IFMT(st.st_mode)]
    e = {"type": kind, "mode": oct(stat.S_IMODE(st.st_mode)), "uid": st.st_uid, "gid": st.st_gid,
         "mtime": st.st_mtime_ns, "xattrs": _xattrs(path)}
    if kind == "file":
        e["size"] = st.st_size
        e["content"] = _digest(path)
    elif kind == "symlink":
        e["target"] = os.readlink(path)
    elif kind in ("char", "block"):
        e["rdev"] = f"{os.major(st.st_rdev)}:{os.minor(st.st_rdev)}"
    return e, ((st.st_dev, st.st_ino) if kind != "folder" and st.st_nlink > 1 else None)


def scan(top):
    """All things below `top`: path in bytes -> attributes; the folder itself is b""."""
    out, groups = {}, {}

    def walk(fd, rel):
        for name in sorted(os.fsencode(n) for n in os.listdir(fd)):
            short = b"/proc/self/fd/%d/" % fd + name
            path = rel + b"/" + name if rel else name
            out[path], inode = _entry(short)
            if inode:
                groups.setdefault(inode, []).append(path)
            if out[path]["type"] == "folder":
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                try:
                    walk(inner, path)
                finally:
                    os.close(inner)

    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        out[b""] = _entry(b"/proc/self/fd/%d/." % fd)[0]
        walk(fd, b"")
    finally:
        os.close(fd)
    for paths in groups.values():
        for p in paths:
            out[p]["links"] = [show(q) for q in sorted(paths)] if len(paths) > 1 else None
    return out


def _is_ignored(ignore, attr, kind):
    return attr in ignore or f"{attr}:{kind}" in ignore


def _brief(value):
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + "..."


def _compare_scans(a, b, ignore):
    out = []
    for path in sorted(a.keys() | b.keys()):
        if path not in b or path not in a:
            out.append(f"{show(path)}: only in the {'first' if path in a else 'second'} tree")
            continue
        x, y = a[path], b[path]
        if x["type"] != y["type"]:
            out.append(f"{show(path)}: type: {x['type']} != {y['type']}")
            continue
        for attr in ATTRS:
            if x.get(attr) != y.get(attr) and not _is_ignored(ignore, attr, x["type"]):
                out.append(f"{show(path)}: {attr}: {_brief(x.get(attr))} != {_brief(y.get(attr))}")
    return out


# ---- the second opinion ----

# What a letter of rsync's itemized changes says, by position: YXcstpoguax.
LETTERS = {2: ("content", "target", "rdev"), 3: ("size", "rdev"), 4: ("mtime",), 5: ("mode",), 6: ("uid",),
           7: ("gid",), 9: ("xattrs", "mode"), 10: ("xattrs",)}
# Attributes that only one type has.
OWN = {"content": "file", "size": "file", "target": "symlink", "rdev": "char"}
RSYNC_TYPES = {"f": "file", "d": "folder", "L": "symlink", "D": "char", "S": "fifo"}


def _pattern(path):
    """An rsync pattern for exactly this path: a backslash escapes only beside wildcards."""
    if re.search(rb"[*?[]", path):
        path = re.sub(rb"([\\*?[])", rb"\\\1", path)
    return b"/" + path


def _matters(flags, ignore):
    """Whether an itemized line says something that is not ignored."""
    if flags.startswith("*") or flags[2] == "+":
        return True  # a deletion or a new thing
    kind = RSYNC_TYPES.get(flags[1], "file")
    said = [i for i in LETTERS if flags[i] not in ". "]
    if not said:
        # A hard link that has to be made; or a line without news.
        return flags[0] in "hc" and not _is_ignored(ignore, "links", kind)
    return any(not all(_is_ignored(ignore, attr, kind) for attr in LETTERS[i] if OWN.get(attr, kind) == kind)
               for i in said)


def _rsync(a, b, excluded, ignore, top):
    argv = ["rsync", "-aHAXn", "--delete", "--itemize-changes", "--checksum", "--numeric-ids",
            "--modify-window=-1", "--from0"]
    with tempfile.NamedTemporaryFile() as f:
        f.write(b"\0".join(_pattern(p) for p in excluded))
        f.flush()
        r = subprocess.run([*argv, f"--exclude-from={f.name}", os.fsencode(a) + b"/", os.fsencode(b) + b"/"],
                           capture_output=True, timeout=600, env={**os.environ, "LC_ALL": "C"})
    out = []
    for line in r.stdout.decode("utf-8", "backslashreplace").splitlines():
        flags, name = line[:11], line[12:]
        if _matters(flags, ignore) and (top or name != "./"):
            out.append(f"rsync: {line}")
    if r.returncode != 0:
        out.append(f"rsync: exit code {r.returncode}: {r.stderr.decode('utf-8', 'backslashreplace').strip()}")
    return out


def trees(a, b, without=(), ignore=(), top=True, rsync=True):
    """The differences, one line of text each; see the head of this file."""
    for what in ignore:
        attr, _, kind = what.partition(":")
        if attr not in ATTRS or (kind and kind not in TYPES.values()):
            raise ValueError(f"nothing to ignore: {what}")
    if set(without) - set(TYPES.values()):
        raise ValueError(f"no types: {without}")
    scans = scan(a), scan(b)
    # rsync cannot speak paths beyond PATH_MAX; leave their whole part to Python.
    excluded = {p.split(b"/")[0] for s in scans for p in s if len(p) > 3800}
    for s in scans:
        for p in [p for p in s if p and s[p]["type"] in without]:
            excluded.add(p)
            del s[p]
        if not top:
            s.pop(b"")
    out = _compare_scans(*scans, ignore)
    if rsync:
        out += _rsync(a, b, sorted(excluded), ignore, top)
    return out


def main():
    p = argparse.ArgumentParser(description="compares two trees")
    p.add_argument("a")
    p.add_argument("b")
    p.add_argument("--without", action="append", default=[], metavar="TYPE")
    p.add_argument("--ignore", action="append", default=[], metavar="ATTR[:TYPE]")
    p.add_argument("--no-top", action="store_true", help="not the two folders themselves")
    p.add_argument("--no-rsync", action="store_true")
    a = p.parse_args()
    out = trees(a.a, a.b, a.without, a.ignore, not a.no_top, not a.no_rsync)
    for line in out:
        print(line)
    return 1 if out else 0


if __name__ == "__main__":
    sys.exit(main())
