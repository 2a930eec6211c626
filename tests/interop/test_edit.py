# SPDX-License-Identifier: BSD-2-Clause
"""Commands that make new snapshots out of old ones: on copies of one repository restic and holdfast
print the same and leave the same behind, down to the ids of trees.

INTEROP=full in the environment runs all command lines; else every third of long lists.
"""

import hashlib
import json
import os
import re
import shutil

import handmade
import repos
import tap
import tree
from sides import Sides, paragraphs

IS_FULL = os.environ.get("INTEROP") == "full"


def some(cases):
    cases = list(cases)
    return cases if IS_FULL else cases[::3]


def source(top):
    """A few folders with names that need care, some alike."""
    for folder in "a/b/c", "a/b/d", "copy/b/c", "empty", "z":
        (top / folder).mkdir(parents=True)
    for n, name in enumerate(("a/one.c", "a/two.h", "a/b/one.c", "a/b/c/deep", "a/b/d/x y", "copy/b/c/deep", "z/<&>",
                              "z/n\new\\", "z/\u00e4.txt", "top")):
        (top / name).write_text(f"{n}\n" * (n + 1))
    (top / os.fsdecode(b"z/\xff")).write_text("latin")
    (top / "link").symlink_to("a/one.c")
    os.link(top / "top", top / "z/hard")
    return top


def repository(tmp, version=2):
    """Two hosts, three snapshots; one has no summary, as of an old restic."""
    d, base = source(tmp / "data"), repos.quick(repos.memory(tmp) / "base", version)
    restic = repos.restic("restic-new")
    old = repos.restic("restic-0.14")
    restic(base, "backup", "-q", "--host", "h1", "--tag", "t1,t2", ".", cwd=d)
    (d / "a/new").write_text("new\n")
    restic(base, "backup", "-q", "--host", "h2", d)
    old(base, "backup", "-q", "--host", "h3", "--tag", "t2", "a", "z", cwd=d)
    return base


@tap.test
def tag(tmp):
    s = Sides(tmp, repository(tmp))
    for argv in some((["--set", "a,b"], ["--set", "a, b", "--set", "c,,a"], ["--set", ""], ["--set", "", "--json"],
                 ["--set", ","], ["--add", "x"], ["--add", "x,x", "--add", "t1"], ["--remove", "t1"],
                 ["--remove", "t2", "--add", "new"], ["--add", "new", "--remove", "new"], ["--remove", "none"],
                 ["--add", "x", "--json"], ["--add", "x", "-v", "--host", "h1"], ["--add", "x", "-q"],
                 ["--tag", "t1", "--remove", "t1"], ["--path", "/nowhere", "--add", "x"], ["--add", "x", "latest"],
                 ["--add", "x", "--host", "h1", "latest"], ["--add", "x", "0000000"], ["--add", "x", "latest:a"],
                 ["--add", "x", "0000:a"], [], ["--set", "a", "--add", "b"], ["--json"])):
        s.same("tag", *argv)
    # The first id is kept over any number of changes.
    s.reset()
    ids = {x["id"] for x in s.programs[0].snapshots(s.repos[1])}
    for argv in ["--add", "one"], ["--add", "two"], ["--remove", "one"], ["--set", "three"]:
        s.same("tag", *argv, keeps=True)
    tap.eq({x["original"] for x in s.programs[0].snapshots(s.repos[1])}, ids)
    # What is said in JSON is true.
    before = {x["id"] for x in s.programs[0].snapshots(s.repos[1])}
    lines = [json.loads(x) for x in s.same("tag", "--add", "last", "--json", keeps=True).stdout.splitlines()]
    tap.eq({x["old_snapshot_id"] for x in lines[:-1]}, before)
    tap.eq({x["new_snapshot_id"] for x in lines[:-1]}, {x["id"] for x in s.programs[0].snapshots(s.repos[1])})
    s.programs[0](s.repos[1], "check")


@tap.test
def rewrite(tmp):
    s = Sides(tmp, repository(tmp))
    lists = {"list": "*.c\n# no\nz/*\n", "none": "# nothing\n", "folded": "*.H\n"}
    for name, text in lists.items():
        (tmp / name).write_text(text)
    top = str(tmp / "data")
    for argv in some((
            [], ["--forget"], ["-n"], ["--exclude", "a", "--include", "b"],
            ["--exclude", "nothing"], ["--exclude", "a"], ["--exclude", "a", "--forget"], ["--exclude", "a", "-n"],
            ["--exclude", "a", "--forget", "-n"], ["-e", "*.c", "-e", "z/*"], ["-e", "*.c", "-e", "!one.c"],
            ["-e", "/a/b"], ["-e", f"{top}/a"], ["-e", "/**"], ["-e", "c/deep"], ["-e", "deep"], ["-e", "<*"],
            ["-e", "new\nline"], ["-e", "*\u00e4*"], ["-e", "\\xff"], ["--iexclude", "*.C"], ["--exclude-file", tmp / "list"],
            ["--exclude-file", tmp / "none"], ["--iexclude-file", tmp / "folded"], ["-e", ""],
            ["--include", "*.c"], ["--include", "/a/b"], ["--include", "a/b/c"], ["--include", f"{top}/z/*"],
            ["--include", "empty"], ["--include", "nothing"], ["--include", "/a/**"], ["--include", "*"],
            ["--iinclude", "*.C", "--forget"], ["--include-file", tmp / "list"], ["--iinclude-file", tmp / "folded"],
            ["--include", "c", "-n"], ["-s"], ["-s", "-n"], ["-s", "--forget"], ["-s", "-e", "a"],
            ["--new-host", "other"], ["--new-host", "h1"], ["--new-time", "2001-02-03 04:05:06"],
            ["--new-host", "other", "--new-time", "2001-02-03 04:05:06", "-n", "--forget"], ["--new-host", ""],
            ["--new-host", "x", "--new-time", "2001-07-03 04:05:06", "-e", "a", "--forget"],
            ["-e", "a", "--host", "h1"], ["-e", "a", "latest"], ["-e", "a", "0000000"], ["-e", "a", "--tag", "t1", "--tag", "none"],
            ["-e", "a", "--json"], ["-e", "a", "-q"], ["-e", "a", "-v"])):
        s.same("rewrite", *argv, env={"TZ": "Europe/Berlin"})
    for argv in ["-e", "["], ["--include", "a", "--include", "[a-"], ["--new-time", "yesterday"]:
        # Restic says so of the first snapshot, we before we look at any.
        s.reset()
        before = repos.files(s.repos[1], "snapshots")
        tap.eq([r.returncode for r in s.both("rewrite", *argv)], [1, 1], argv)
        tap.eq(repos.files(s.repos[1], "snapshots"), before)
    # Again: those with the tag are left alone only if nothing changes any more.
    s.same("rewrite", "-e", "a")
    s.same("rewrite", "-e", "a", keeps=True)
    s.same("rewrite", "--include", "z", "--forget", keeps=True)
    for p in s.programs:
        p(s.repos[1], "check", "--read-data")
    # What is said of files, of one snapshot, so that the order is known.
    for argv in (["-e", "*.c"], ["-e", "a", "-e", "z"], ["--include", "*.c"], ["--include", "empty"], ["-e", "\\xff"]):
        s.same("rewrite", "-vv", "--host", "h2", *argv, is_ordered=True)


@tap.test
def rewrite_keeps_what_it_may(tmp):
    """Trees of a nasty source: the same ids as restic's, and what restic restores is the rest."""
    d = tmp / "nasty"
    tree.make(d, parts=["names", "hardlinks", "specials", "xattrs", "modes", "times"])
    base = repos.quick(repos.memory(tmp) / "base")
    s = Sides(tmp, base)
    s.programs[1](base, "backup", "-q", ".", cwd=d)
    for argv in ["-s"], ["-e", "a*"], ["--include", "*e*"], ["-e", "*[0-9]"]:
        s.same("rewrite", *argv)
    s.programs[0](s.repos[1], "check", "--read-data")


@tap.test
def rewrite_loses_nothing_that_it_does_not_know(tmp):
    """A tree with a field of somebody else's is refused, as is one that is not in restic's form."""
    good = b'{"nodes":[{"name":"f","type":"file","mtime":"2026-01-02T03:04:05Z","atime":"2026-01-02T03:04:05Z",' \
           b'"ctime":"2026-01-02T03:04:05Z","uid":0,"gid":0,"content":[]}]}\n'
    for change, code in ((lambda t: t, 0), (lambda t: t.replace(b'"uid"', b'"label":"x","uid"'), 1),
                         (lambda t: t.replace(b'"content"', b'"size":0,"content"'), 1), (lambda t: t.replace(b":[{", b": [{"), 1),
                         (lambda t: t.rstrip(), 1), (lambda t: t.replace(b'"uid":0', b'"uid":0.5'), 1)):
        base = repos.quick(repos.memory(tmp) / "base")
        h = handmade.Repo(base, repos.PASSWORD)
        h.add_blob("tree", change(good))
        h.save("snapshots", {"time": "2026-01-02T03:04:05Z", "tree": hashlib.sha256(change(good)).hexdigest(), "paths": ["/x"], "hostname": "h"})
        s = Sides(tmp, base)
        s.reset()
        r = s.both("rewrite", "-e", "other", "-s")
        tap.eq([x.returncode for x in r], [code] * 2, change(good))
        if code and b"0.5" not in change(good):
            s.agree(["rewrite", change(good)], r)
        tap.eq(len(repos.files(s.repos[1], "snapshots")), 1 + (not code))


def hide(repo, blobs):
    """Takes blobs, by id, out of the index: as lost as in a pack that is gone."""
    h = handmade.Repo(repo, repos.PASSWORD)
    for i in h.ids("index"):
        index = h.load("index", i)
        for pack in index["packs"]:
            pack["blobs"] = [b for b in pack["blobs"] if b["id"] not in blobs]
        index["packs"] = [p for p in index["packs"] if p["blobs"]]
        h.replace("index", i, index)


def node(program, repo, tree, path):
    n = {"subtree": tree}
    for name in path.split("/"):
        n = program.tree(repo, n["subtree"])[name]
    return n


def file_node(name, content, **more):
    t = "2026-01-02T03:04:05Z"
    n = {"name": name, "type": "file", "mtime": t, "atime": t, "ctime": t, "uid": 0, "gid": 0, **more, "content": content}
    return {k: n[k] for k in ("name", "type", "mtime", "atime", "ctime", "uid", "gid", "size", "content", "subtree") if k in n}


def crafted(repo, nodes):
    """Adds a snapshot of one tree with these nodes."""
    h = handmade.Repo(repo, repos.PASSWORD)
    text = json.dumps({"nodes": nodes}, separators=(",", ":")).encode() + b"\n"
    h.add_blob("tree", text)
    h.save("snapshots", {"time": "2026-01-02T03:04:05Z", "tree": hashlib.sha256(text).hexdigest(), "paths": ["/x"],
                         "hostname": "crafted"})


def findings_aside(text):
    """A tree that several snapshots have is told of in the one that is looked at first."""
    return paragraphs("\n".join(x for x in text.splitlines() if not x.startswith("  ")))


@tap.test
def repair_snapshots(tmp):
    whole = repository(tmp)
    ours = repos.holdfast()
    newest = next(s for s in ours.snapshots(whole) if s["hostname"] == "h1")["tree"]

    def lost(*paths, root=False):
        base = repos.memory(tmp) / "base"
        shutil.copytree(whole, base)
        ids = set()
        for p in paths:
            n = node(ours, whole, newest, p)
            ids |= set([n["subtree"]] if n["type"] == "dir" else n["content"])
        hide(base, ids | ({newest} if root else set()))
        return base

    bases = {"nothing": whole, "one file": lost("a/one.c"), "files": lost("a/two.h", "top", "z/\\xff"),
             "a folder": lost("a/b"), "nested": lost("a/b/c", "a/one.c", "a/b/one.c"), "alike": lost("copy/b/c"),
             "the root": lost("z", root=True)}
    content = node(ours, whole, newest, "a/one.c")["content"]
    bases["crafted"] = base = repos.memory(tmp) / "base"
    shutil.copytree(whole, base)
    for nodes in ([file_node("f", content, size=1)], [file_node("f", content)], [file_node("f", None, size=7)],
                  [file_node("f", content + ["0" * 64], size=2)], [file_node("f", ["1" * 64] * 3, size=3), file_node("g", content, size=2)],
                  [file_node("f", None, type="irregular"), file_node("g", content, size=2)], [file_node("f", None, type="")],
                  [file_node("f", None, type="other")], [file_node("d", None, type="dir")],
                  [file_node("d", None, type="dir", subtree="2" * 64)], [file_node("f", content, size=2)]):
        crafted(base, nodes)
    for name, base in bases.items() if IS_FULL else [(n, bases[n]) for n in ("nested", "the root", "crafted")]:
        s = Sides(tmp, base)
        more = [["-q"], ["0000000"], ["-n", "--forget"]] if name in ("nothing", "nested") else []
        for argv in [[], ["-n"], *more]:
            s.same("repair", "snapshots", *argv, cut=findings_aside)
        for snapshot in ours.snapshots(base):
            s.same("repair", "snapshots", "-n", snapshot["id"], is_ordered=True)
        # Once is enough, and then both are content.
        s.same("repair", "snapshots", "--forget", cut=findings_aside)
        left = repos.files(s.repos[1], "snapshots")
        s.same("repair", "snapshots", "--forget", keeps=True)
        tap.eq(repos.files(s.repos[1], "snapshots"), left, name)
        # Packs are not as long as the index says now; of trees and files nothing is missing.
        said = "".join(x.stdout + x.stderr for x in (p(s.repos[1], "check", check=None) for p in s.programs))
        tap.eq([x for x in said.splitlines() if re.search("not found in index|null ID|no subtree|nil blob list|not decode", x)],
               [], name)



@tap.test
def recover(tmp):
    whole = repository(tmp)
    ours, restic = repos.holdfast(), repos.restic("restic-new")
    snapshots = ours.snapshots(whole)
    base = repos.memory(tmp) / "base"

    def state(repo):
        """The new snapshot and its tree, but for times and who made it."""
        new = [s for s in ours.json(repo, "snapshots", "--no-lock") if s["paths"] == ["/recover"]]
        nodes = [n for s in new for n in ours.tree(repo, s["tree"]).values()]
        return ([{k: v for k, v in s.items() if k not in ("id", "short_id", "time", "tree")} for s in new],
                [{k: v for k, v in n.items() if k[1:] != "time"} for n in nodes], len(repos.files(repo, "snapshots")))

    # Nothing, one and, where restic gets them in the right order by chance only, three.
    for gone in [], snapshots[:1], snapshots[1:2]:
        shutil.rmtree(base, ignore_errors=True)
        shutil.copytree(whole, base)
        for s in gone:
            (base / "snapshots" / s["id"]).unlink()
        s = Sides(tmp, base)
        s.state = state
        for argv in [], ["-q"], ["-v", "--json"]:
            s.same("recover", *argv, is_ordered=True)
        s.same("recover", keeps=True)
    for x in snapshots:
        (base / "snapshots" / x["id"]).unlink(missing_ok=True)
    r = ours(base, "recover", "-v")
    tap.contains(r.stdout, "found 3 unreferenced roots")
    found = ours.tree(base, ours.snapshots(base)[-1]["tree"])
    tap.eq({n["subtree"] for n in found.values()}, {x["tree"] for x in snapshots})
    tap.eq(sorted(found), sorted(x["tree"][:8] for x in snapshots))
    for p in ours, restic:
        p(base, "check", "--read-data")
    tap.contains(ours(base, "recover").stdout, "found 0 unreferenced roots")


@tap.test
def recover_what_is_below_a_damaged_root(tmp):
    base = repos.quick(repos.memory(tmp) / "base")
    ours, h = repos.holdfast(), handmade.Repo(base, repos.PASSWORD)
    good = json.dumps({"nodes": [file_node("f", [])]}, separators=(",", ":")).encode() + b"\n"
    below = hashlib.sha256(good).hexdigest()
    bad = json.dumps({"nodes": [file_node("d", None, type="dir", subtree=below), {"name": 5}]}).encode() + b"\n"
    for tree_ in good, bad:
        h.add_blob("tree", tree_)
    r = ours(base, "recover")
    tap.contains(r.stderr, f"unable to load tree {hashlib.sha256(bad).hexdigest()[:8]}")
    tap.eq([n["subtree"] for n in ours.tree(base, ours.snapshots(base)[0]["tree"]).values()], [below])
    ours(base, "check")
    tap.eq(ours(base, "dump", "latest", f"{below[:8]}/f").stdout, "")


@tap.test
def a_snapshot_that_cannot_be_read(tmp):
    """The others are changed; that it was passed over is said, and makes the exit code 1. Restic ends with 0."""
    base = repository(tmp)
    ours = repos.holdfast()
    victim = ours.snapshots(base)[0]["id"]
    path = base / "snapshots" / victim
    os.chmod(path, 0o600)
    path.write_bytes(bytes(100))
    (tmp / "restic").symlink_to(ours.path)
    s = Sides(tmp, base)
    for argv in (["tag", "--add", "x"], ["rewrite", "-e", "a"], ["repair", "snapshots", "--forget"],
                 ["tag", "--add", "x", "--json"]):
        s.reset()
        a, b = s.both(*argv)
        tap.eq((a.returncode, b.returncode), (0, 1), argv)
        tap.eq(s.state(s.repos[1]), s.state(s.repos[0]))
        tap.contains(b.stderr, f'Ignoring "{victim}"')
        tap.contains(b.stderr, "1 snapshots could not be read")
        s.reset()
        repos.Program("restic", tmp / "restic")(s.repos[1], *argv, check=0)


tap.main()
