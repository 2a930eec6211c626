# SPDX-License-Identifier: BSD-2-Clause
"""repair index: the index that restic makes of the same damage, with the same words."""

import random
import re
import shutil

import handmade
import repos
import tap


def calm(s):
    s = re.sub(r"\[\d+:\d\d\]", "[T]", s)
    s = re.sub(r"(removed index|removing invalid index) .*", r"\1", s)
    return sorted(s.splitlines())


def repository(tmp, program):
    tmp = repos.memory(tmp)
    repo, source = repos.quick(tmp / "repo"), tmp / "source"
    source.mkdir()
    rng = random.Random(4)
    for i in range(4):
        for k in range(4):
            (source / f"{i}-{k}").write_bytes(rng.randbytes(700_000))
        program(repo, "backup", "-q", "--pack-size", "4", ".", cwd=source)
    return repo


def cut(r, pack):
    r.write("data", pack, r.read("data", pack)[:-100])


def flip(r, kind, name, at=40):
    b = bytearray(r.read(kind, name))
    b[at] ^= 1
    r.write(kind, name, bytes(b))


def again(r, name):
    """The same content in one more index file."""
    r.save("index", r.load("index", name))


def less(r, name):
    """A pack is listed with one blob less, as by very old programs."""
    index = r.load("index", name)
    index["packs"][0]["blobs"] = index["packs"][0]["blobs"][1:]
    r.replace("index", name, index)


@tap.test
def repairs_what_restic_repairs(tmp):
    ours, theirs = repos.holdfast(), repos.restic("restic-new")
    base = repository(tmp, theirs)
    made = handmade.Repo(base, repos.PASSWORD)
    packs, index = made.ids("data"), made.ids("index")
    cases = {
        "nothing": lambda r: None,
        "an index file is gone": lambda r: r.remove("index", index[0]),
        "all index files are gone": lambda r: [r.remove("index", i) for i in index],
        "an index file is damaged": lambda r: flip(r, "index", index[1]),
        "an index file is no JSON": lambda r: r.replace("index", index[1], b"no"),
        "a pack is gone": lambda r: r.remove("data", packs[0]),
        "a pack is cut": lambda r: cut(r, packs[1]),
        "a pack is empty": lambda r: r.write("data", packs[2], b""),
        "a pack is not listed": lambda r: r.remove("index", index[0]) or again(r, index[1]),
        "a file that is no pack": lambda r: r.write("data", "cd" * 32, b"x" * 1000),
        "the index lists alike twice": lambda r: again(r, index[0]),
        "the index lists one blob less": lambda r: less(r, index[2]),
    }
    for what, fn in cases.items():
        for args in ([], ["--read-all-packs"], ["-vv"]):
            if args == ["-vv"] and what not in ("nothing", "a pack is cut"):
                continue
            pair = []
            broken = base.parent / "broken"
            shutil.rmtree(broken, ignore_errors=True)
            shutil.copytree(base, broken)
            fn(handmade.Repo(broken, repos.PASSWORD))
            for program in (theirs, ours):
                repo = base.parent / program.name
                shutil.rmtree(repo, ignore_errors=True)
                shutil.copytree(broken, repo)
                before = repos.files(repo, "data")
                r = program(repo, "repair", "index", *args, check=None)
                tap.eq(repos.files(repo, "data"), before)
                tap.eq(repos.locks(repo), [])
                pair.append((r.returncode, calm(r.stdout), calm(r.stderr), theirs.blobs(repo),
                             theirs(repo, "check", check=None).returncode))
            for a, b in zip(*pair):
                tap.eq(b, a, f"{what} {args}")
    holds = base.parent / "holdfast"
    r = ours(holds, "rebuild-index")
    tap.eq(r.stderr, theirs(holds, "rebuild-index").stderr)
    tap.ok("rebuild-index" not in ours(holds, "help").stdout)


@tap.test
def a_broken_connection_costs_no_index(tmp):
    """What cannot be read just now is not taken for damaged."""
    ours = repos.holdfast()
    repo = repository(tmp, ours)
    before = repos.files(repo, "index")
    for plan in ("fail@1+:get:index", "fail@2:get:index", "fail@1:list:pack", "fail@1+:put:index"):
        r = ours(repo, "-o", f"fault.plan={plan}", "-o", "retry.limit=0s", "repair", "index", check=1)
        tap.ok(before <= repos.files(repo, "index"), f"{plan}: {r.stderr}")
    # Nor is a pack given up because of one bad read.
    blobs = ours.blobs(repo)
    for plan in ("short@5:get", "flip@5:get", "short@2:get:pack", "flip@3:get:pack"):
        ours(repo, "-o", f"fault.plan={plan}", "repair", "index", "--read-all-packs", check=None)
        tap.eq(ours.blobs(repo), blobs, plan)
    for pack in repos.files(repo, "index"):
        (repo / "index" / pack).unlink()
    r = ours(repo, "-o", "fault.plan=fail@3+:get:pack", "-o", "retry.limit=0s", "repair", "index", check=1)
    tap.eq(ours(repo, "repair", "index").returncode, 0)
    tap.eq(ours.blobs(repo), blobs)


@tap.test
def what_arrives_damaged_replaces_nothing(tmp):
    """A store that keeps a wrong bit: the new index is looked at before the old one goes."""
    ours, theirs = repos.holdfast(), repos.restic("restic-new")
    repo = repository(tmp, ours)
    before, blobs = repos.files(repo, "index"), ours.blobs(repo)
    r = ours(repo, "-o", "fault.plan=flip@1:put:index", "repair", "index", "--read-all-packs", check=1)
    tap.ok("does not pass the check" in r.stderr and "Nothing was deleted" in r.stderr, r.stderr)
    tap.eq(len(repos.files(repo, "index") - before), 1)
    tap.ok(before <= repos.files(repo, "index"))
    tap.ok("invalid index" in ours(repo, "repair", "index").stderr)
    tap.eq(ours.blobs(repo), blobs)
    theirs(repo, "check")


@tap.test
def a_dry_run_shows_the_plan(tmp):
    ours = repos.holdfast()
    repo = repository(tmp, ours)
    made = handmade.Repo(repo, repos.PASSWORD)
    (repo / "index" / made.ids("index")[0]).unlink()
    before = repos.files(repo, "index")
    dry = ours(repo, "repair", "index", "--dry-run")
    tap.eq(repos.files(repo, "index"), before)
    tap.ok("adding pack file to index" in dry.stderr and "nothing was changed" in dry.stdout, dry)
    tap.eq(ours(repo, "repair", "index").stderr, dry.stderr, "and then does what it has said")
    tap.ok("adding" not in ours(repo, "repair", "index", "-n").stderr)


tap.main()
