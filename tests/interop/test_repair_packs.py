# SPDX-License-Identifier: BSD-2-Clause
"""repair packs beside restic's: for every kind of damage both save the same blobs, keep the same copies
and leave a repository in which nothing else is missing than was lost.
"""

import os
import random
import re
import shutil

import handmade
import repos
import tap
from sides import Sides

IS_FULL = os.environ.get("INTEROP") == "full"


def repository(tmp):
    """Two snapshots; packs of several blobs."""
    rng, d, base = random.Random(4), tmp / "data", repos.quick(repos.memory(tmp) / "base")
    (d / "sub/deep").mkdir(parents=True)
    for n in range(12):
        (d / f"sub/{n}").write_bytes(rng.randbytes(20_000 + n))
    restic = repos.restic("restic-new")
    restic(base, "backup", "-q", ".", cwd=d)
    for n in range(12):
        (d / f"sub/deep/{n}").write_bytes(rng.randbytes(10_000 + n))
    restic(base, "backup", "-q", ".", cwd=d)
    return base


class Packs(Sides):
    def __init__(self, tmp, base):
        super().__init__(tmp, base)
        self.folders = [tmp / f"folder-{p.name}" for p in self.programs]

    def reset(self):
        super().reset()
        for f in self.folders:
            shutil.rmtree(f, ignore_errors=True)
            f.mkdir()

    def both(self, *argv, **kw):
        return [p(r, *argv, check=None, cwd=f) for p, r, f in zip(self.programs, self.repos, self.folders)]

    def agree(self, argv, results, is_ordered=False, cut=None):
        for r in results:  # why a blob cannot be loaded, and who prints
            r.stderr = re.sub(r"(failed to load blob \S+):.*", r"\1", r.stderr.replace("restic ", "holdfast "))
            r.stderr = "\n".join(sorted(x for x in r.stderr.splitlines() if x and not x.startswith("Load(<")))
        super().agree(argv, results, True)

    def state(self, repo):
        folder = self.folders[self.repos.index(repo)]
        copies = {f.name: f.read_bytes() for f in folder.iterdir()}
        packs = len(repos.files(repo, "data")) - len(repos.files(self.base, "data"))
        return sorted(self.programs[1].blobs(repo)), copies, packs, len(repos.files(repo, "snapshots"))


def change(repo, pack, how):
    path = repo / "data" / pack[:2] / pack
    os.chmod(path, 0o600)
    data = bytearray(path.read_bytes())
    path.write_bytes(how(data))


def flip(at):
    def how(data):
        data[int(at * len(data)) if isinstance(at, float) else at] ^= 1
        return data
    return how


def packs_of(repo, kind):
    h = handmade.Repo(repo, repos.PASSWORD)
    found = {}
    for i in h.ids("index"):
        for p in h.load("index", i)["packs"]:
            if p["blobs"][0]["type"] == kind:
                found[p["id"]] = p["blobs"]
    return found


def cut_index(repo, pack, n):
    """The index lists only the first n blobs of the pack, or not the pack at all."""
    h = handmade.Repo(repo, repos.PASSWORD)
    for i in h.ids("index"):
        index = h.load("index", i)
        for p in index["packs"]:
            if p["id"] == pack:
                p["blobs"] = p["blobs"][:n]
        index["packs"] = [p for p in index["packs"] if p["blobs"]]
        h.replace("index", i, index)


@tap.test
def every_damage(tmp):
    whole = repository(tmp)
    data, trees = sorted(packs_of(whole, "data")), sorted(packs_of(whole, "tree"))
    cases = {
        "nothing": ([], data[:1]),
        "one blob": ([(data[0], flip(0.3))], data[:1]),
        "many blobs": ([(data[0], lambda d: d[:1000] + bytes(len(d) // 2) + d[1000 + len(d) // 2:])], data[:1]),
        "the header": ([(data[0], flip(-20))], data[:1]),
        "its length": ([(data[0], flip(-1))], data[:1]),
        "cut": ([(data[0], lambda d: d[:len(d) // 2])], data[:1]),
        "empty": ([(data[0], lambda d: b"")], data[:1]),
        "longer": ([(data[0], lambda d: d + b"more")], data[:1]),
        "a tree": ([(trees[0], flip(0.2))], trees[:1]),
        "two of them": ([(data[0], flip(0.9)), (data[1], flip(0.1))], data),
        "all": ([(p, flip(0.5)) for p in data + trees], data + trees),
    }
    ours, restic = repos.holdfast(), repos.restic("restic-new")
    if not IS_FULL:
        cases = {n: cases[n] for n in ("one blob", "its length", "cut", "a tree", "all")}
    for name, (damage, argv) in cases.items():
        base = repos.memory(tmp) / "base"
        shutil.copytree(whole, base)
        for pack, how in damage:
            change(base, pack, how)
        s = Packs(tmp, base)
        s.same("repair", "packs", *argv)
        # Nothing more to be found fault with than what is lost; and that can be repaired.
        left = ours(s.repos[1], "check", "--read-data", check=None)
        tap.ok(not re.search(r"pack \S+ contains|does not exist|cannot be", left.stderr), f"{name}: {left.stderr}")
        ours(s.repos[1], "repair", "snapshots", "--forget")
        for p in ours, restic:
            p(s.repos[1], "check", "--read-data")


@tap.test
def an_index_that_is_wrong(tmp):
    whole = repository(tmp)
    data = sorted(packs_of(whole, "data"))
    for n in 0, 1, 5:
        base = repos.memory(tmp) / "base"
        shutil.copytree(whole, base)
        cut_index(base, data[0], n)
        s = Packs(tmp, base)
        s.same("repair", "packs", data[0])
        for p in s.programs:
            p(s.repos[1], "check", "--read-data")
        change(base, data[0], flip(-20))
        s.same("repair", "packs", data[0])


@tap.test
def what_it_refuses(tmp):
    base = repository(tmp)
    s = Packs(tmp, base)
    pack = sorted(repos.files(base, "data"))[0]
    for argv in [], [pack[:8]], ["0" * 64], [pack, "1" * 64], ["x"]:
        s.reset()
        a, b = s.both("repair", "packs", *argv)
        tap.eq((a.returncode, b.returncode), (1, 1), argv)
        tap.eq(repos.files(s.repos[1], "data"), repos.files(base, "data"))
        tap.eq(repos.files(s.repos[1], "index"), repos.files(base, "index"))
    s.reset()
    for f in s.folders:
        (f / f"pack-{pack}").write_text("an earlier copy")
    tap.eq([r.returncode for r in s.both("repair", "packs", pack)], [1, 1])
    tap.eq((s.folders[1] / f"pack-{pack}").read_text(), "an earlier copy")
    tap.eq(repos.files(s.repos[1], "data"), repos.files(base, "data"))


@tap.test
def whatever_fails(tmp):
    """The N-th change fails, or the program is killed there: no blob is lost that was good."""
    whole = repository(tmp)
    data = sorted(packs_of(whole, "data"))
    change(whole, data[0], flip(0.3))
    ours, restic = repos.holdfast(), repos.restic("restic-new")
    good = None
    for kind in "kill@{}", "fail@{}:fatal", "fail@{}+:fatal":
        for n in range(1, 40, 1 if IS_FULL else 3):
            calls = ":put" if n % 2 else ":del"
            repo, folder = repos.memory(tmp) / "repo", tmp / "folder"
            shutil.copytree(whole, repo)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            plan = kind.format((n + 1) // 2) + calls
            r = ours(repo, "-o", f"fault.plan={plan}", "repair", "packs", data[0], check=None, cwd=folder)
            tap.ok(r.returncode in (0, 1, -9), f"{plan}: {r.stderr}")
            if data[0] in repos.files(repo, "data"):  # again, to its end
                (folder / f"pack-{data[0]}").unlink(missing_ok=True)
                ours(repo, "repair", "packs", data[0], cwd=folder)
            blobs = ours.blobs(repo)
            good = good or blobs
            tap.eq(blobs, good, plan)
            ours(repo, "repair", "snapshots", "--forget")
            if n < 3:
                restic(repo, "check", "--read-data", "--no-lock")
            ours(repo, "check", "--read-data")
            shutil.rmtree(repo)
            if r.returncode == 0 and n > 2:
                break


@tap.test
def what_arrives_damaged_replaces_nothing(tmp):
    """A store that keeps a wrong bit: what was saved is read back before anything is deleted."""
    repo, ours = repository(tmp), repos.holdfast()
    pack = sorted(packs_of(repo, "data"))[0]
    change(repo, pack, flip(0.3))
    files = {k: repos.files(repo, k) for k in ("data", "index")}
    dry = ours(repo, "repair", "packs", "-n", pack, cwd=tmp)
    tap.ok("failed to load blob" in dry.stderr and f"blobs of pack {pack}" in dry.stderr, dry.stderr)
    tap.eq((files, list(tmp.glob("pack-*"))), ({k: repos.files(repo, k) for k in files}, []), "a dry run")
    for n, plan in enumerate(("flip@1:put:pack", "flip@1:put:index", "flip@2:put:index")):
        folder = tmp / f"folder-{n}"
        folder.mkdir()
        r = ours(repo, "-o", f"fault.plan={plan}", "repair", "packs", pack, check=1, cwd=folder)
        tap.ok("does not pass the check" in r.stderr or "rewrite indexes" in r.stderr, f"{plan}: {r.stderr}")
        for kind, names in files.items():
            tap.ok(names <= repos.files(repo, kind), f"{plan}: {kind}")
        # The remedy for what the store spoilt.
        bad = re.findall(r"pack ([0-9a-f]{64}) contains", ours(repo, "check", "--read-data", check=None).stderr)
        ours(repo, "repair", "index")
        for p in set(bad) - {pack}:
            ours(repo, "repair", "packs", p, cwd=folder)
        files = {k: repos.files(repo, k) for k in files}
    ours(repo, "repair", "packs", pack, cwd=tmp)
    tap.ok(pack not in repos.files(repo, "data"))
    ours(repo, "repair", "snapshots", "--forget")
    repos.restic("restic-new")(repo, "check", "--read-data")


tap.main()
