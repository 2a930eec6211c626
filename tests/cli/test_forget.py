# SPDX-License-Identifier: BSD-2-Clause
"""forget: what restic keeps, prints and removes is what holdfast keeps, prints and removes.

INTEROP=full in the environment tries more policies.
"""

import datetime
import json
import os
import random
import re
import shutil

import handmade
import repos
import tap
from pair import Pair

IS_LONG = os.environ.get("INTEROP") == "full"
TREE = b'{"nodes":[]}\n'


def snapshot(repo, time, **fields):
    """A snapshot file, without the blobs that it names."""
    s = {"time": time, "tree": "ab" * 32, "paths": ["/a"], "hostname": "h", "username": "u", **fields}
    return repo.save("snapshots", s)


def calm(s):
    """Without what a clock says."""
    return re.sub(r"\[\d+:\d\d\]", "[T]", s)


def groups(s):
    """The groups of JSON, which come in any order."""
    return sorted(json.dumps(g) for g in json.loads(s)) if s.strip() else s


def some(p, n, rng):
    """n snapshots of several hosts, paths, tags and zones, no two of them at the same time."""
    repo = handmade.Repo(repos.quick(p.tmp / "repo"), repos.PASSWORD)
    now = datetime.datetime(2024, 4, 3, 12)
    used = set()
    for i in range(n):
        # Most of the time lies near, and across both changes to summer time.
        t = now - datetime.timedelta(seconds=int(rng.choice([3, 40, 500, 2000]) * 86400 * rng.random() ** 2))
        if i == 0:
            t = datetime.datetime(2999, 1, 1)
        while t in used:
            t += datetime.timedelta(seconds=1)
        used.add(t)
        zone = rng.choice([0, 60, 120, -570, 345]) if rng.random() < 0.5 else 60
        local = t + datetime.timedelta(minutes=zone)
        sign, rest = ("-" if zone < 0 else "+"), abs(zone)
        text = local.isoformat() + ("" if rng.random() < 0.5 else ".123456789")
        text += f"{sign}{rest // 60:02}:{rest % 60:02}" if zone else "Z"
        more = {"tags": sorted(rng.sample(["x", "y", "z"], rng.randrange(1, 3)))} if rng.random() < 0.5 else {}
        if rng.random() < 0.3:
            more["program_version"] = "restic 0.19.1"
        snapshot(repo, text, hostname=rng.choice(["h", "h", "h2"]), paths=rng.choice([["/a"], ["/b", "/a"]]), **more)


@tap.test
def prints_what_restic_prints(tmp):
    p = Pair(tmp)
    some(p, 30, random.Random(1))
    # restic's groups come in any order; one host and one set of paths is one group.
    one = ["--host", "h2", "--path", "/b"]
    for line in """--keep-last 3
--keep-last 3 -c
--keep-last 3 -v
--keep-last 3 -q
--keep-daily 2 --keep-weekly=2 --keep-tag x,y --keep-tag z
-l 1 -H 2 -d 3 -w 4 -m 5 -y 6
--keep-last unlimited
--keep-hourly unlimited --keep-yearly unlimited
--keep-within 1y5m7d2h
--keep-within 3d --keep-within-hourly 1d --keep-within-daily 14d --keep-within-weekly 2m
--keep-within-monthly 1y --keep-within-yearly 10y --keep-tag x
--keep-last 1000000
--keep-tag nothing
--keep-tag=
--keep-last 0

--keep-last -1
--keep-last x
--keep-within 3x
--keep-within 3
--keep-within d
--keep-within -3d
--keep-within 0d
--unsafe-allow-remove-all
--unsafe-allow-remove-all --keep-tag nothing
--keep-last 1 --tag nothing
--keep-last 1 --group-by nothing
--no-lock --keep-last 1""".splitlines():
        for how in ([], ["--json"]):
            p.same("forget", "-n", *one, *line.split(), *how)
    for line in ("", "--unsafe-allow-remove-all", "--unsafe-allow-remove-all --keep-tag nothing"):
        p.same("forget", "-n", "--group-by", "", *line.split())
    p.same("forget", "-n", "--keep-monthly", "3", "--group-by", "")
    p.same("forget", "-n", "--keep-monthly", "3", "--group-by", "", "--json")
    for by in ("host", "paths", "tags", "host,paths,tags"):
        a = p.one(p.restic, "forget", "-n", "--keep-monthly", "3", "-g", by, "--json").stdout
        b = p.one(tap.holdfast(), "forget", "-n", "--keep-monthly", "3", "-g", by, "--json").stdout
        tap.eq(groups(b), groups(a))
    p.same("forget", "--keep-last", "1", "--no-lock", *one)
    p.same("forget", "-n", "--host", "nobody", "--keep-last", "1", "--json")


@tap.test
def removes_what_restic_removes(tmp):
    p = Pair(tmp)
    some(p, 12, random.Random(2))
    ids = sorted(repos.files(tmp / "repo", "snapshots"))
    theirs, ours = tmp / "theirs", tmp / "ours"
    for args in (["--keep-last", "2", "-g", ""], ["--keep-last", "2", "-g", "", "-vv"],
                 ["--keep-last", "2", "-g", "", "--json"], ["--keep-last", "2", "-g", "", "-n"],
                 ids[:3], [ids[0], "-vv"], [ids[0], "-n"], [ids[0], "--json"], ["latest"], ["latest", "--host", "h2"],
                 [ids[0], "--host", "h2"], ["ffffffff"], [ids[0][:12], "nonsense"],
                 ["--unsafe-allow-remove-all", "--host", "h2"]):
        for repo in (theirs, ours):
            shutil.rmtree(repo, ignore_errors=True)
            shutil.copytree(tmp / "repo", repo)
        a = p.one(p.restic, "forget", *args, env={"RESTIC_REPOSITORY": str(theirs)})
        b = p.one(tap.holdfast(), "forget", *args, env={"RESTIC_REPOSITORY": str(ours)})
        tap.eq(b.returncode, a.returncode, b.stderr)
        # Several are removed at once.
        order = sorted if "-vv" in args else lambda x: x
        if "--unsafe-allow-remove-all" not in args:  # there are several groups
            tap.eq(order(calm(b.stdout).splitlines()), order(calm(a.stdout).splitlines()), str(args))
        tap.eq(repos.files(ours, "snapshots"), repos.files(theirs, "snapshots"), str(args))
        tap.eq(repos.locks(ours), [])


@tap.test
def decides_as_restic_does(tmp):
    """Many snapshots, many policies: the same ones are kept, with the same reasons."""
    for round in range(6 if IS_LONG else 2):
        rng = random.Random(100 + round)
        p = Pair(tmp / str(round))
        p.tmp.mkdir()
        some(p, 300 if IS_LONG else 120, rng)
        for _ in range(100 if IS_LONG else 20):
            args = []
            for what in ("last", "hourly", "daily", "weekly", "monthly", "yearly"):
                if rng.random() < 0.35:
                    args += [f"--keep-{what}", rng.choice(["1", "2", "3", "5", "10", "40", "unlimited"])]
            for what in ("", "-hourly", "-daily", "-weekly", "-monthly", "-yearly"):
                if rng.random() < 0.25:
                    parts = [f"{rng.randrange(1, n)}{u}" for u, n in (("y", 3), ("m", 14), ("d", 40), ("h", 50))]
                    args += [f"--keep-within{what}", "".join(rng.sample(parts, rng.randrange(1, 4)))]
            if rng.random() < 0.3:
                args += ["--keep-tag", rng.choice(["x", "x,y", "", "z"])]
            if not args:
                continue
            args += ["-g", rng.choice(["", "host", "paths", "host,paths", "tags"])]
            zone = {"TZ": rng.choice(["Europe/Berlin", "UTC", "America/New_York", "Australia/Lord_Howe"])}
            a = p.one(p.restic, "forget", "-n", "--json", *args, env=zone)
            b = p.one(tap.holdfast(), "forget", "-n", "--json", *args, env=zone)
            tap.eq(b.returncode, a.returncode, f"{args}: {b.stderr}")
            tap.eq(groups(b.stdout), groups(a.stdout), f"{zone} {args}")


@tap.test
def warns_of_accidents(tmp):
    """To people only."""
    holdfast = repos.holdfast()
    repo = handmade.Repo(repos.quick(tmp / "repo"), repos.PASSWORD)
    for i in range(8):
        snapshot(repo, f"2024-01-0{i + 1}T00:00:00Z", paths=[f"/mnt/{i}"])
    keep = ["forget", "--keep-last", "1", "-n", "--no-lock"]
    tap.contains(holdfast(repo.path, *keep).stderr, "single snapshot")
    tap.contains(holdfast(repo.path, "forget", "--keep-last", "unlimited").stderr, "--keep-last unlimited")
    tap.eq(holdfast(repo.path, *keep, "--json").stderr, "")
    tap.eq(holdfast(repo.path, *keep, "-q").stderr, "")
    tap.eq(holdfast(repo.path, "forget", "--keep-last", "1", "-g", "host").stderr, "")
    tap.eq(len(repos.files(repo.path, "snapshots")), 1)


@tap.test
def warns_of_groups_that_ended(tmp):
    """A host that is no more: its last snapshots stay for ever, whatever the policy says of days."""
    holdfast = repos.holdfast()
    repo = handmade.Repo(repos.quick(tmp / "repo"), repos.PASSWORD)
    for i in range(3):
        snapshot(repo, f"2023-01-0{i + 1}T00:00:00Z", hostname="old", paths=["/data"])
        snapshot(repo, f"2023-12-0{i + 1}T00:00:00Z", hostname="quiet", paths=["/data"])
        snapshot(repo, f"2024-02-0{i + 1}T00:00:00Z", hostname="new", paths=["/data"])
    keep = ["forget", "--keep-daily", "7", "-n", "--no-lock"]
    r = holdfast(repo.path, *keep)
    tap.contains(r.stderr, "1 group has had no snapshot in the last 90 days")
    tap.contains(r.stderr, "host [old], paths [/data], last on 2023-01-03")
    tap.ok("quiet" not in r.stderr and "[new]" not in r.stderr, r.stderr)
    tap.eq(holdfast(repo.path, *keep, "--json").stderr, "")
    tap.eq(holdfast(repo.path, *keep, "-q").stderr, "")
    tap.ok("90 days" not in holdfast(repo.path, *keep, "--host", "old").stderr, "nothing newer to compare with")


@tap.test
def keeps_going_and_says_so(tmp):
    """A snapshot that cannot be removed costs the exit code 3, and none of the others."""
    holdfast = repos.holdfast()
    repo = handmade.Repo(repos.quick(tmp / "repo"), repos.PASSWORD)
    for i in range(5):
        snapshot(repo, f"2024-01-0{i + 1}T00:00:00Z")
    r = holdfast(repo.path, "-o", "fault.plan=fail@2:del:snapshot:fatal", "forget", "--keep-last", "1", check=3)
    tap.contains(r.stderr, "unable to remove snapshot/")
    tap.eq(len(repos.files(repo.path, "snapshots")), 2)
    tap.eq(repos.locks(repo.path), [])


tap.main()
