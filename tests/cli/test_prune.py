# SPDX-License-Identifier: BSD-2-Clause
"""prune: on the same repository it plans, says and leaves what restic does; and it loses nothing."""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import time

import compare
import handmade
import locking
import repos
import tap
from pair import Pair

OLD = time.time() - 7200  # unlisted packs are left alone while they are young


def calm(s):
    """Without what a clock says, and the name of the program."""
    return re.sub(r"\[\d+:\d\d\]", "[T]", s)


def lines(s):
    """In order: restic deletes unlisted packs first, holdfast last; and packs in any order."""
    return sorted(calm(s).splitlines())


def age(repo):
    for f in pathlib.Path(repo).rglob("*"):
        os.utime(f, (OLD, OLD))


def write(path, rng, size):
    path.write_bytes(rng.randbytes(size))


class Grown:
    """A repository with some history, in packs of 4 MiB: tmp/repo, made by restic or holdfast."""

    def __init__(self, tmp, program, n=6, version=2, more=()):
        self.tmp = repos.memory(tmp)
        self.repo = repos.quick(self.tmp / "repo", version)
        self.source = self.tmp / "source"
        (self.source / "sub").mkdir(parents=True)
        rng = random.Random(3)
        for i in range(24):
            write(self.source / f"file-{i}", rng, 900_000)
            (self.source / f"sub/text-{i}").write_text(f"{i} text " * 3000)
        for k in range(n):
            for i in rng.sample(range(24), 5):
                write(self.source / f"file-{i}", rng, 900_000)
            (self.source / f"sub/text-{k}").write_text(f"changed {k} " * 4000)
            program(self.repo, "backup", "-q", "--pack-size", "4", *more, ".", cwd=self.source)
        self.snapshots = [s["id"] for s in program.snapshots(self.repo)]

    def copy(self, name):
        repo = self.tmp / name
        shutil.rmtree(repo, ignore_errors=True)
        shutil.copytree(self.repo, repo)
        return repo


def is_sound(repo, *programs):
    for p in programs:
        p(repo, "check", "--read-data")


def both(tmp, source="restic-new", **kw):
    ours, theirs = repos.holdfast(), repos.restic("restic-new")
    return ours, theirs, Grown(tmp, ours if source == "holdfast" else repos.restic(source), **kw)


@tap.test
def plans_as_restic_does(tmp):
    ours, theirs, g = both(tmp)
    theirs(g.repo, "forget", "-q", *g.snapshots[1:4])
    # Packs that no index lists.
    for i in range(1, 4):
        name = f"{i:02x}" * 32
        write(g.repo / "data" / name[:2] / name, random.Random(i), 5000)
    age(g.repo)
    cases = ["", "-v", "-vv", "-q", "--json", "--max-unused 0", "--max-unused unlimited -v", "--max-unused 3.5% -v",
             "--max-unused 4M -v", "--max-repack-size 0 -v", "--repack-cacheable-only -v",
             "--repack-uncompressed -v", "--repack-smaller-than 4M -v --pack-size 4", "--repack-small",
             "--max-unused x", "--max-unused 100%", "--max-unused -1%", "--max-unused=", "--max-repack-size x",
             "--repack-smaller-than 0", "--repack-smaller-than 99M", "--repack-uncompressed --compression off",
             "--unsafe-recover-no-free-space x", f"--unsafe-recover-no-free-space {'ab' * 32} -v", "--no-lock"]
    for case in cases:
        a = theirs(g.repo, "prune", "-n", *case.split(), check=None)
        b = ours(g.repo, "prune", "-n", *case.split(), check=None)
        tap.eq(b.returncode, a.returncode, f"{case}: {b.stderr}")
        tap.eq(lines(b.stdout), lines(a.stdout), case)  # restic lists packs in any order
    tap.eq(theirs(g.repo, "prune", "--no-lock", check=1).returncode, ours(g.repo, "prune", "--no-lock", check=1).returncode)
    # Which of the packs that are equally worth it come first is arbitrary in restic.
    size = re.search(r"to repack: .* / ([0-9.]+) MiB", ours(g.repo, "prune", "-n", "--max-repack-size", "9M").stdout)
    tap.ok(0 < float(size[1]) < 9, size[0])
    # Young ones are not touched, by our own choice.
    os.utime(g.repo / "data/01" / ("01" * 32))
    tap.contains(ours(g.repo, "prune", "-n", "-v").stdout, "2 unreferenced packs")


@tap.test
def leaves_what_restic_leaves(tmp):
    ours, theirs, g = both(tmp)
    theirs(g.repo, "forget", "-q", *g.snapshots[1:4])
    name = "aa" * 32
    write(g.repo / "data/aa" / name, random.Random(1), 5000)
    age(g.repo)
    keep = [g.snapshots[0], *g.snapshots[4:]]
    for case in ["-vv", "--max-unused 0", "--max-unused unlimited -v", "--max-repack-size 9M -v", "--json",
                 "--repack-cacheable-only", "--repack-smaller-than 4M -v --pack-size 4",
                 f"--unsafe-recover-no-free-space {'ab' * 32} -v"]:
        a, b = g.copy("theirs"), g.copy("ours")
        x = theirs(a, "prune", "--pack-size", "4", *case.split())
        y = ours(b, "prune", "--pack-size", "4", *case.split())
        if case == "-vv":  # ids of index files are random
            x.stdout, y.stdout = (re.sub("removed index .*", "removed index", s) for s in (x.stdout, y.stdout))
        # How many index files there were after repacking is up to the saver.
        x.stdout, y.stdout = (re.sub(r"\d+ / \d+ (indexes|old indexes)", r"N / N \1", s) for s in (x.stdout, y.stdout))
        if "--max-repack-size" not in case:  # of packs equally worth it, restic takes any
            tap.eq(lines(y.stdout), lines(x.stdout), case)
            tap.eq(ours.blobs(b), theirs.blobs(a), case)
        tap.eq(len(repos.files(b, "data") - repos.files(g.repo, "data")) > 0,
               len(repos.files(a, "data") - repos.files(g.repo, "data")) > 0, case)
        tap.ok(name not in repos.files(b, "data"), "the unlisted pack is still there")
        tap.eq(repos.locks(b), [])
        is_sound(b, ours, theirs)
        tap.eq(sorted(s["id"] for s in theirs.snapshots(b)), sorted(keep))
        again = ours(b, "prune", "--pack-size", "4", "-v").stdout
        if case == "--max-unused 0":
            tap.contains(again, "unused size: 0.00% of total size")
    # And what comes out is what went in.
    target = g.tmp / "target"
    ours(b, "restore", g.snapshots[-1], "--target", target, "-q")
    how = {**repos.FORMAT_CANNOT, "rsync": False}
    tap.eq(compare.trees(g.source, target, top=False, **how), [])


@tap.test
def forget_prunes(tmp):
    ours, theirs, g = both(tmp, source="holdfast", n=4)
    age(g.repo)
    for args in (["--keep-last", "2", "-g", "", "--prune", "-v"], ["--keep-last", "2", "--prune", "--json", "-g", ""],
                 ["--keep-last", "2", "-g", "", "--prune", "-n", "-v"], ["--keep-last", "9", "-g", "", "--prune"],
                 [g.snapshots[0], "--prune", "--max-unused", "unlimited", "-v"], [g.snapshots[0], "--prune", "-q"]):
        a, b = g.copy("theirs"), g.copy("ours")
        x, y = (p(r, "forget", "--pack-size", "4", *args) for p, r in ((theirs, a), (ours, b)))
        x.stdout, y.stdout = (re.sub(r"\d+ / \d+ (indexes|old indexes)", r"N / N \1", s) for s in (x.stdout, y.stdout))
        tap.eq(calm(y.stdout), calm(x.stdout), str(args))
        tap.eq(ours.blobs(b), theirs.blobs(a), str(args))
        tap.eq(repos.files(b, "snapshots"), repos.files(a, "snapshots"))
        tap.eq(repos.locks(b), [])
        is_sound(b, ours, theirs)
    # As holdfast, a dry run tells what would be freed; it is what restic finds unused afterwards.
    b = g.copy("ours")
    said = ours(b, "forget", "-n", *g.snapshots[:2]).stdout
    freed = re.search(r"Only they need (\d+) blobs / (.*), which", said)
    as_restic = g.tmp / "restic"
    os.symlink(tap.holdfast(), as_restic)
    tap.ok("Only they need" not in repos.Program("restic", as_restic)(b, "forget", "-n", *g.snapshots[:2]).stdout)
    theirs(b, "forget", *g.snapshots[:2])
    unused = re.search(r"unused: +(\d+) blobs / (.*)", theirs(b, "prune", "-n", "-v").stdout)
    tap.eq(freed.groups(), unused.groups())


@tap.test
def compresses(tmp):
    """--repack-uncompressed; a repository of version 1 has nothing compressed and stays so."""
    ours, theirs, g = both(tmp, n=1, more=["--compression", "off"])
    before = repos.stored(g.repo)
    a, b = g.copy("theirs"), g.copy("ours")
    x, y = (p(r, "prune", "-v", "--repack-uncompressed").stdout for p, r in ((theirs, a), (ours, b)))
    x, y = (re.sub(r"\d+ / \d+ (indexes|old indexes)", r"N / N \1", s) for s in (x, y))
    tap.eq(lines(y), lines(x))
    tap.ok(repos.stored(b) < before - 500_000, "nothing became smaller")
    is_sound(b, ours, theirs)
    ours, theirs, g = both(tmp, n=3, version=1)
    theirs(g.repo, "forget", "-q", g.snapshots[0])
    age(g.repo)
    a, b = g.copy("theirs"), g.copy("ours")
    tap.eq(lines(ours(b, "prune", "-v", "--max-unused", "0", "-n").stdout),
           lines(theirs(a, "prune", "-v", "--max-unused", "0", "-n").stdout))
    ours(b, "prune", "--max-unused", "0")
    is_sound(b, ours, theirs)
    tap.eq(ours(b, "prune", "--repack-uncompressed", check=1).returncode, 1)


@tap.test
def stops_before_anything_is_lost(tmp):
    """A missing or damaged tree, blob, pack, snapshot, index: restic's exit code, nothing changed."""
    ours, theirs, g = both(tmp, n=3)
    theirs(g.repo, "forget", "-q", g.snapshots[1])
    age(g.repo)
    made = handmade.Repo(g.repo, repos.PASSWORD)
    by_type = {}
    for pack in made.ids("data"):
        for b in made.pack_header(pack):
            by_type.setdefault(b.type, set()).add(pack)
    needed = json.loads(theirs(g.repo, "cat", "snapshot", g.snapshots[0]).stdout)["tree"]
    root = next(p for p in by_type["tree"] for b in made.pack_header(p) if b.id.hex() == needed)
    data = sorted(by_type["data"], key=lambda p: -len(made.pack_header(p)))[0]

    def all_files(repo):
        return {(k, f) for k in ("data", "index", "snapshots", "keys") for f in repos.files(repo, k)}

    def drop(kind, name):
        def fn(r):
            r.remove(kind, name)
        return fn

    def damage(kind, name, at=-1):
        def fn(r):
            b = bytearray(r.read(kind, name))
            b[at] ^= 1
            r.write(kind, name, bytes(b))
        return fn

    def forget_blob(r):
        """One blob of data is in no index."""
        for i in r.ids("index"):
            index = r.load("index", i)
            for p in index["packs"]:
                if p["id"] == data:
                    p["blobs"] = p["blobs"][1:]
            r.replace("index", i, index)

    cases = {
        "a pack of trees is gone": drop("data", root),
        "a tree is damaged": damage("data", root, 20),
        "a pack of data is gone": drop("data", data),
        "a blob is in no index": forget_blob,
        "a pack has another size": lambda r: r.write("data", data, r.read("data", data)[:-9]),
        "a snapshot is damaged": damage("snapshots", g.snapshots[0]),
        "an index file is damaged": damage("index", made.ids("index")[0]),
        "all index files are gone": lambda r: [r.remove("index", i) for i in r.ids("index")],
    }
    for what, fn in cases.items():
        a, b = g.copy("theirs"), g.copy("ours")
        fn(handmade.Repo(b, repos.PASSWORD))
        before = all_files(b)
        shutil.rmtree(a)
        shutil.copytree(b, a)
        x = theirs(a, "prune", "--max-unused", "0", check=None)
        y = ours(b, "prune", "--max-unused", "0", check=None)
        tap.eq(y.returncode, x.returncode, f"{what}: {y.stderr}")
        tap.eq(y.returncode, 1, what)
        tap.eq(all_files(b), before, what)
        tap.eq(repos.locks(b), [], what)


@tap.test
def finishes_what_was_begun(tmp):
    """Without the exclusive lock nothing is deleted, and the next run repacks nothing again."""
    ours, theirs, g = both(tmp, n=16)  # with many small packs, so that the first run joins them
    theirs(g.repo, "forget", "-q", *g.snapshots[1:4])
    age(g.repo)
    before = repos.files(g.repo, "data")
    # A lock of restic, from a host that nobody can ask.
    made = handmade.Repo(g.repo, repos.PASSWORD)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    lock = made.save("locks", {"time": now, "exclusive": False, "hostname": "elsewhere", "username": "u", "pid": 1})
    r = ours(g.repo, "prune", "--max-unused", "0", "--pack-size", "4", check=11)
    tap.contains(r.stderr, "deleted nothing")
    after = repos.files(g.repo, "data")
    tap.ok(before < after, "packs were deleted, or none was written")
    is_sound_unlocked = [p(g.repo, "check", "--read-data", "--no-lock") for p in (ours, theirs)]
    tap.eq(len(is_sound_unlocked), 2)
    made.remove("locks", lock)
    r = ours(g.repo, "prune", "--max-unused", "0", "--pack-size", "4", "-v")
    tap.contains(r.stdout, "to repack:             0 blobs / 0 B")
    tap.eq(repos.files(g.repo, "data") - after, set())
    tap.eq(repos.files(g.repo, "data") & before, repos.files(g.repo, "data") & before)
    is_sound(g.repo, ours, theirs)
    tap.contains(ours(g.repo, "prune", "--max-unused", "0", "-v").stdout, "unused size: 0.00% of total size")


@tap.test
def is_told_to_stop(tmp):
    """Ends in order; what has been uploaded is listed, and nothing is deleted."""
    ours, theirs, g = both(tmp)
    theirs(g.repo, "forget", "-q", *g.snapshots[1:4])
    before = repos.files(g.repo, "data")
    with locking.Held(ours, g.repo, "delay@2:put:pack", "prune", "--max-unused", "0", "--pack-size", "4",
                      gate=g.tmp / "gate") as p:
        locking.until("a new pack", lambda: repos.files(g.repo, "data") - before)
        p.tell(signal.SIGINT)
        p.release()
        tap.eq(p.end(), 130, p.stderr())
    tap.eq(repos.locks(g.repo), [])
    tap.ok(before < repos.files(g.repo, "data"))
    tap.eq(set(ours(g.repo, "list", "packs").stdout.split()), repos.files(g.repo, "data"))
    is_sound(g.repo, ours, theirs)
    ours(g.repo, "prune", "--max-unused", "0", "--pack-size", "4")
    is_sound(g.repo, ours, theirs)


@tap.test
def packs_that_no_index_lists(tmp):
    """Each is asked for its age, once, and several at a time; those that are young stay."""
    ours, _, g = both(tmp)
    rng = random.Random(1)
    names = [rng.randbytes(32).hex() for _ in range(12)]
    for n in names:
        f = g.repo / "data" / n[:2] / n
        f.parent.mkdir(exist_ok=True)
        f.write_bytes(b"what a killed backup has left")
    age(g.repo)
    os.utime(f)
    trace = g.tmp / "trace"
    r = ours(g.repo, "-o", f"trace.file={trace}", "-o", "fault.plan=delay@1+:300:stat:pack", "prune", "--max-unused", "unlimited", "-vv")
    tap.contains(r.stdout, f"pack {names[-1][:8]} is not indexed, but so young")
    tap.eq(set(names) & repos.files(g.repo, "data"), {names[-1]})
    asked = re.findall(r"T(\d+):(\d+):([\d.]+)Z age data/../([0-9a-f]{64}) .*?([\d.]+) ms", trace.read_text())
    tap.eq(sorted(a[3] for a in asked), sorted(names))
    ends = [(int(h) * 3600 + int(m) * 60 + float(s), float(ms) / 1000) for h, m, s, _, ms in asked]
    at_once = max(sum(end - lasted < e <= end for e, _ in ends) for end, lasted in ends)
    tap.ok(at_once > 1, trace.read_text())


tap.main()
