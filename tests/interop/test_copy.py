# SPDX-License-Identifier: BSD-2-Clause
"""copy beside restic's: the same snapshots are copied and the same passed over, whoever copied them
before; what arrives, both check and restic restores; and what is missing or damaged is told.
"""

import os
import random
import re
import shutil
import time

import compare
import handmade
import repos
import tap
from sides import Sides

FROM = {"RESTIC_FROM_PASSWORD": repos.PASSWORD}


class Copies(Sides):
    """`base` is the source; each program has a target of its own, which begins empty."""

    def __init__(self, tmp, base, version=2):
        super().__init__(tmp, base)
        self.version = version

    def reset(self):
        for r in self.repos:
            shutil.rmtree(r, ignore_errors=True)
            repos.quick(r, self.version)

    def both(self, *argv, **kw):
        return super().both("copy", "--from-repo", self.base, *argv, env={**FROM, **kw.pop("env", {})}, **kw)

    def state(self, repo):
        return super().state(repo), sorted(self.programs[1].blobs(repo))


def change(d, seed):
    rng = random.Random(seed)
    (d / f"sub-{seed}/deep").mkdir(parents=True)
    (d / f"sub-{seed}/deep/random").write_bytes(rng.randbytes(1_300_000))
    (d / f"sub-{seed}/text").write_text(f"line {seed}\n" * 40_000)
    (d / "changing").write_text(f"{seed}\n" * 1000)
    (d / f"empty-{seed}").touch()


def source(tmp, version=2, compression="auto"):
    """Three snapshots of two hosts, of restic's and ours."""
    restic, ours = repos.restic("restic-new"), repos.holdfast()
    base, d = repos.quick(repos.memory(tmp) / "base", version), tmp / "data"
    for n, (program, host) in enumerate(((restic, "h1"), (ours, "h2"), (restic, "h1"))):
        change(d, n)
        program(base, "--compression", compression, "backup", "-q", "--host", host, "--tag", f"t{n},all", ".", cwd=d)
    return base, d


@tap.test
def the_same_as_restic(tmp):
    base, d = source(tmp)
    s = Copies(tmp, base)
    ids = [x["id"] for x in s.programs[0].snapshots(base)]
    s.same("-v", *ids, is_ordered=True)
    s.same("-v", *ids, keeps=True, is_ordered=True)  # everything is there
    for argv in ([], ["-q"], ["--json"], ["latest"], ["--host", "h1"], ["--tag", "t1"], ["--path", "/nowhere"],
                 ["--host", "h2", "latest", ids[0][:10]], ["0000000"], ["latest:sub-0"], [ids[1], ids[1]]):
        # In the order of its choice, restic counts the packs of a snapshot differently.
        r = s.both(*argv) if s.reset() is None else None
        hide = [re.sub(r"\d+ / \d+ packs", "n packs", re.sub(r"\n\n", "\n", x.stdout)) for x in r]
        a, b = (sorted(x for x in map(lambda t: re.sub(r"\b[0-9a-f]{8,}\b", "<id>", re.sub(r"^\[.*?%", "", t)),
                                      h.splitlines()) if x) for h in hide)
        tap.eq(b, a, f"copy {argv}")
        tap.eq([x.returncode for x in r], [r[0].returncode] * 2)
        tap.eq(*(s.state(x) for x in s.repos), f"copy {argv}")


@tap.test
def it_is_whole(tmp):
    """With another key and password: both check all data, restic restores what was backed up."""
    base, d = source(tmp)
    restic, ours = repos.restic("restic-new"), repos.holdfast()
    target, env = tmp / "target", {"RESTIC_PASSWORD": "other", **FROM}
    ours(target, "init", "--copy-chunker-params", "--from-repo", base, env=env)
    handmade.Repo(target, "other").use_cheap_key()
    ours(target, "copy", "--from-repo", base, env=env)
    for p in restic, ours:
        p(target, "check", "--read-data", env=env)
    restic(target, "restore", "latest", "--target", tmp / "back", env=env)
    tap.eq(compare.trees(d, tmp / "back", top=False), [])
    there = {tuple(x.split()) for x in ours(target, "list", "blobs", env=env).stdout.splitlines()}
    tap.eq(there, ours.blobs(base))
    # Copied as it was: not a byte more than in the source, but for headers of other packs.
    tap.ok(repos.stored(target) <= repos.stored(base) + 1024, (repos.stored(target), repos.stored(base)))


@tap.test
def whoever_copied_before(tmp):
    """What one program has copied, the other passes over, also when tags changed on both sides alike."""
    base, _ = source(tmp)
    s = Copies(tmp, base)
    restic, ours = s.programs
    for first, second in (restic, ours), (ours, restic):
        s.reset()
        target = s.repos[0]
        first(target, "copy", "--from-repo", base, env=FROM)
        before = repos.files(target, "snapshots")
        r = second(target, "copy", "-v", "--from-repo", base, env=FROM)
        tap.eq(r.stdout.count("was already copied"), 3, r.stdout)
        tap.eq(repos.files(target, "snapshots"), before)
        # Back again: the originals are there.
        r = second(base, "copy", "-v", "--from-repo", target, env=FROM)
        tap.eq(r.stdout.count("was already copied"), 3, r.stdout)
        # One whose tags were changed is another one.
        second(target, "tag", "--add", "new", "latest")
        r = first(target, "copy", "-v", "--from-repo", base, env=FROM)
        tap.eq(r.stdout.count("was already copied"), 2, r.stdout)
        first(target, "check")


@tap.test
def versions_and_compression(tmp):
    """Compressed is not known to version 1, and what version 1 has is compressed on its way."""
    for version, into, argv in ((2, 1, []), (1, 2, []), (1, 1, []), (2, 2, ["--compression", "max"]),
                                (2, 2, ["--compression", "off"])):
        base, d = source(tmp / f"from{version}to{into}{len(argv)}{argv[-1:]}", version)
        s = Copies(tmp, base, into)
        s.reset()
        for p, r in zip(s.programs, s.repos):
            p(r, *argv, "copy", "--from-repo", base, env=FROM)
            s.programs[0](r, "check", "--read-data")
        tap.eq(*(s.state(r) for r in s.repos))
        theirs, ours = map(repos.stored, s.repos)
        tap.ok(ours < theirs * 1.05 + 4096, f"{version} to {into} {argv}: {ours} bytes, restic's are {theirs}")


@tap.test
def where_the_source_is_named(tmp):
    base, _ = source(tmp)
    s = Copies(tmp, base)
    (tmp / "repo-file").write_text(f"{base}\n")
    (tmp / "password").write_text(repos.PASSWORD + "\n")
    key = os.listdir(base / "keys")[0]
    for argv, env in (
            (["--from-repo", base, "--from-password-file", tmp / "password"], {}),
            (["--from-repo", base, "--from-password-command", f"cat '{tmp}/password'"], {}),
            (["--from-repository-file", tmp / "repo-file"], FROM),
            (["--from-repo", base, "--from-key-hint", key[:8]], FROM),
            ([], {"RESTIC_FROM_REPOSITORY": str(base), **FROM}),
            ([], {"RESTIC_FROM_REPOSITORY_FILE": str(tmp / "repo-file"), "RESTIC_FROM_PASSWORD_FILE": str(tmp / "password")}),
            ([], {"RESTIC_FROM_REPOSITORY": str(base), "RESTIC_FROM_PASSWORD_COMMAND": f"cat {tmp}/password"}),
            (["--from-repo", base], {"RESTIC_FROM_PASSWORD": "wrong"}),
            (["--from-repo", tmp / "nowhere"], FROM), ([], FROM),
            (["--from-repo", base, "--from-insecure-no-password"], {}),
            (["--from-repo", base, "--repo2", base], FROM)):
        s.reset()
        codes = [p(r, "copy", *argv, env=env, check=None).returncode for p, r in zip(s.programs, s.repos)]
        tap.eq(codes[1], codes[0], argv)
        tap.eq(len(repos.files(s.repos[1], "snapshots")), 0 if codes[0] else 3, argv)
    # The older options: the one of -r is the source.
    s.reset()
    s.programs[1](base, "copy", "--repo2", s.repos[1], env={"RESTIC_PASSWORD2": repos.PASSWORD})
    tap.eq(len(repos.files(s.repos[1], "snapshots")), 3)


@tap.test
def what_is_missing_is_told(tmp):
    """Nothing becomes a snapshot whose data is not there; what is whole is copied by name."""
    base, _ = source(tmp)
    ours, restic = repos.holdfast(), repos.restic("restic-new")
    newest = ours.snapshots(base)[-1]["id"]
    only = ours.blobs(base) - {b for s in ours.snapshots(base)[:-1] for b in blobs_of(ours, base, s["tree"])}
    blob = sorted(b for t, b in only if t == "data")[0]
    pack = restic(base, "find", "--blob", blob, "--show-pack-id").stdout.split("belongs to pack ")[1].split()[0]
    path = base / "data" / pack[:2] / pack
    whole = path.read_bytes()
    os.chmod(path, 0o600)
    for damage in (lambda: path.write_bytes(whole[:10]), lambda: path.write_bytes(bytes(len(whole))), path.unlink):
        damage()
        target = repos.quick(repos.memory(tmp) / "target")
        r = ours(target, "copy", "--from-repo", base, newest, env=FROM, check=1)
        tap.contains(r.stderr, pack)
        tap.eq(repos.files(target, "snapshots"), set())
        # All of them: the older two are whole, and are saved.
        ours(target, "copy", "--from-repo", base, env=FROM, check=1)
        tap.eq(len(repos.files(target, "snapshots")), 2)
        restic(target, "check", "--read-data")
        tap.eq(repos.locks(base) + repos.locks(target), [])
        shutil.rmtree(target)


def blobs_of(program, repo, tree):
    found = {("tree", tree)}
    for n in program.tree(repo, tree).values():
        found |= {("data", b) for b in n.get("content") or []}
        if n["type"] == "dir":
            found |= blobs_of(program, repo, n["subtree"])
    return found


@tap.test
def another_copy_of_a_blob_will_do(tmp):
    """A damaged pack costs nothing when its blobs are in another one as well."""
    base, d = source(tmp)
    ours, restic = repos.holdfast(), repos.restic("restic-new")
    # A second repository with the same keys and the same data, whose packs and index are added.
    again = repos.quick(tmp / "again")
    restic(again, "backup", "-q", ".", cwd=d)
    victims = repos.files(base, "data")
    for kind in "data", "index":
        for f in (again / kind).rglob("*"):
            if f.is_file() and not (base / f.relative_to(again)).exists():
                shutil.copy(f, base / f.relative_to(again))
    blobs = {b for b in blobs_of(ours, base, ours.snapshots(base)[-1]["tree"])}
    for pack in victims:
        path = base / "data" / pack[:2] / pack
        os.chmod(path, 0o600)
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 1
        path.write_bytes(data)
    target = repos.quick(tmp / "target")
    ours(target, "copy", "--from-repo", base, "latest", env=FROM)
    tap.eq(ours.blobs(target), blobs)
    restic(target, "check", "--read-data")


@tap.test
def a_lock_that_is_lost(tmp):
    """Somebody removes the target's lock while packs are uploaded: it is all done again under a new
    one, and nothing that was written under the old one is left as it was."""
    base, _ = source(tmp)
    ours, restic = repos.holdfast(), repos.restic("restic-new")
    target = repos.quick(repos.memory(tmp) / "target")
    p = ours.start(target, "-o", "fault.plan=delay@1+:400:put:pack", "copy", "--from-repo", base,
                   env={**FROM}, text=True)
    lost = 0
    while p.poll() is None:
        if lost == 0 and repos.locks(target) and p.poll() is None:
            time.sleep(0.2)
            for f in repos.locks(target):
                (target / "locks" / f).unlink(missing_ok=True)
                lost += 1
        time.sleep(0.01)
    out, err = p.communicate(timeout=60)
    tap.eq(p.returncode, 0, err)
    tap.ok(lost, "there was no lock to lose")
    tap.contains(err, "copying again under a new lock")
    tap.eq(len(repos.files(target, "snapshots")), 3)
    tap.eq({s["original"] for s in ours.snapshots(target)}, {s["id"] for s in ours.snapshots(base)})
    restic(target, "check", "--read-data")
    tap.eq(repos.locks(target), [])


tap.main()
