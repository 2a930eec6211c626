# SPDX-License-Identifier: BSD-2-Clause
"""Two programs save the same tree in turn, and the second adds nothing but a snapshot.

This holds only if both cut files alike and write trees alike, down to the last byte.
"""

import json
import os

import repos
import tap
import tree

NEW, OLD = "restic-new", "restic-0.14"


def find_difference(reader, repo, a, b, path=""):
    """The first pair of nodes in which two trees differ, for the message."""
    x, y = reader.tree(repo, a), reader.tree(repo, b)
    for name in list(x) + [n for n in y if n not in x]:
        m, n = x.get(name), y.get(name)
        if m == n:
            continue
        if m and n and m["type"] == n["type"] == "dir" and {**m, "subtree": 0} == {**n, "subtree": 0}:
            return find_difference(reader, repo, m["subtree"], n["subtree"], f"{path}/{name}")
        return f"{path}/{name}\n  {json.dumps(m)}\n  {json.dumps(n)}"
    # Equal once read: the difference is in the order or in the form.
    texts = [reader(repo, "cat", "blob", t).stdout for t in (a, b)]
    at = len(os.path.commonprefix(texts))
    return f"{path}: the bytes from {at} on\n  " + "\n  ".join(t[max(0, at - 200):at + 200] for t in texts)


def adds_nothing(tmp, source, first, second, *options):
    """`first` saves, then `second`, then `first`: all find everything there."""
    reader = repos.restic(NEW)
    repo = repos.quick(repos.memory(tmp) / f"{first.name}-{second.name}{''.join(options)}")
    whole = first.summary(repo, ".", cwd=source)
    before = reader.blobs(repo)
    for program in second, first:
        s = program.summary(repo, *options, ".", cwd=source)
        trees = [x["tree"] for x in reader.snapshots(repo)]
        if trees[0] != trees[-1]:
            raise AssertionError(f"{program.name} after {first.name}: " +
                                 find_difference(reader, repo, trees[0], trees[-1]))
        tap.eq([s["data_blobs"], s["tree_blobs"], s["data_added"]], [0, 0, 0], program.name)
        # With a parent no file is read again: each believes what the other noted.
        kind = "new" if options else "unmodified"
        tap.eq(s[f"files_{kind}"], whole["files_new"], f"{program.name}: files_{kind}")
        # restic 0.14 counts folders in another way.
        if OLD not in (first.name, program.name):
            tap.eq(s[f"dirs_{kind}"], whole["dirs_new"], f"{program.name}: dirs_{kind}")
    tap.eq(reader.blobs(repo) ^ before, set())
    reader(repo, "check")


def both_orders(tmp, source, peer):
    ours, theirs = repos.holdfast(), repos.restic(peer)
    for options in [], ["--force"]:
        adds_nothing(tmp, source, ours, theirs, *options)
        adds_nothing(tmp, source, theirs, ours, *options)


@tap.test
def a_nasty_tree_with_the_newest_restic(tmp):
    tree.make(tmp / "source", without=repos.RESTIC_CANNOT)
    both_orders(tmp, tmp / "source", NEW)
    tree.remove(tmp / "source")


@tap.test
def a_plain_tree_with_restic_0_14(tmp):
    """It escapes \\b and \\f in another way and knows neither linktarget_raw nor xattrs of links."""
    tree.make(tmp / "source", parts=["hardlinks", "modes", "owners", "times", "specials", "sizes", "many", "deep"])
    both_orders(tmp, tmp / "source", OLD)
    tree.remove(tmp / "source")


@tap.test
def a_changed_tree(tmp):
    """After changes of every kind, what one program stores the other finds."""
    ours, theirs = repos.holdfast(), repos.restic(NEW)
    tree.make(tmp / "source", parts=["names", "hardlinks", "sizes"])
    top = tmp / "source"
    for n, (first, second) in enumerate([(ours, theirs), (theirs, ours)]):
        repo = repos.quick(repos.memory(tmp) / f"repo-{n}")
        first.summary(repo, ".", cwd=top)
        with open(top / "sizes/random", "r+b") as f:
            f.seek(7 << 20)
            f.write(b"changed %d" % n)
        (top / f"names/files/new-{n}").write_bytes(b"new %d" % n)
        os.rename(top / "names/folders/A", top / f"names/folders/moved-{n}")
        os.symlink("moved", top / f"names/folders/A-{n}")
        os.unlink(top / f"hardlinks/folder/also-{n}")
        os.rename(top / f"names/folders/moved-{n}", top / "names/folders/A")
        s = second.summary(repo, ".", cwd=top)
        # The one file that changed is cut anew, most of its pieces are known; the new file is one more.
        tap.ok(2 <= s["data_blobs"] <= 4, s)
        s = first.summary(repo, "--force", ".", cwd=top)
        tap.eq([s["data_blobs"], s["tree_blobs"]], [0, 0])
        theirs(repo, "check", "--read-data")
    tree.remove(top)


tap.main()
