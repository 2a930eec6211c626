# SPDX-License-Identifier: BSD-2-Clause
"""stats: what restic counts, in every mode, on the same repository, byte by byte.

The last line of the progress is about the snapshot that came last, and blobs-per-file depends on what
came first.  When no snapshots are named restic takes them in any order: then neither is compared.
"""

import json
import os
import re
import shutil

import handmade
import repos
import tap
from pair import Pair

MODES = ("restore-size", "files-by-contents", "blobs-per-file", "raw-data")


def fill(d):
    """Hard links, equal contents, files of several blobs that share some, empty files, a deep folder."""
    for f in ("a/one", "a/two", "b/one", "c/d/e/f/deep"):
        (d / f).parent.mkdir(parents=True, exist_ok=True)
        (d / f).write_text(f"this is {f[2:]}\n")
    big = os.urandom(6 << 20)
    (d / "big").write_bytes(big)
    (d / "b/big").write_bytes(big)
    (d / "longer").write_bytes(big + b"tail" * 300_000)
    (d / "twice").write_bytes(b"0" * (4 << 20))
    (d / "empty").touch()
    (d / "a/empty").touch()
    os.link(d / "big", d / "c/hard")
    os.link(d / "a/two", d / "a/hard")
    os.link(d / "longer", d / "a/hard longer")
    (d / "link").symlink_to("nowhere")
    os.mkfifo(d / "pipe")


def repository(p, version=2):
    """Six snapshots: the same twice, a changed one, a part, one of standard input, one without the hard links."""
    d = p.tmp / "data"
    fill(d)
    repos.quick(p.tmp / "repo", version)
    p.setup("backup", "-q", "data", "--tag", "one", "--host", "h1", "--time", "2023-01-02 03:04:05")
    p.setup("backup", "-q", "data", "--tag", "two", "--host", "h1", "--time", "2023-02-02 03:04:05")
    with open(d / "longer", "ab") as f:
        f.write(os.urandom(1 << 20))
    shutil.copytree(d / "c/d", d / "moved")
    (d / "a/one").write_bytes((d / "b/one").read_bytes())
    p.setup("backup", "-q", "data", "--host", "h2", "--time", "2023-03-02 03:04:05")
    p.setup("backup", "-q", "data/a", "data/moved", "--host", "h2", "--time", "2023-04-02 03:04:05")
    p.setup("backup", "-q", "--stdin", "--stdin-filename", "x.sql", "--time", "2023-05-02 03:04:05", input="x" * 5000)
    shutil.rmtree(d / "a")
    p.setup("backup", "-q", "data", "--time", "2023-06-02 03:04:05")
    found = json.loads(p.one(p.restic, "snapshots", "--json").stdout)
    return [s["id"] for s in sorted(found, key=lambda s: s["time"])]


def clean(text):
    return re.sub(r"^\[\d+:\d\d\]", "[0:00]", text, flags=re.M)


def without_progress(text):
    return re.sub(r"^(\[)\d+:\d\d(\] [ \d.%]*/ \d+ snapshots).*", r"\1\2", text, flags=re.M)


@tap.test
def what_restic_counts(tmp):
    p = Pair(repos.memory(tmp))
    ids = repository(p)
    cases = [[], [ids[0]], ids, ids[::-1], [ids[1][:8], ids[0]], ["latest"], ["--host", "h1"], ["--tag", "two"], ["--host", "nobody"]]
    for mode in MODES:
        for n, c in enumerate(cases):
            is_ordered = bool(c) and c[0] != "--host"
            if mode == "blobs-per-file" and not is_ordered:
                continue
            p.same("stats", "--no-lock", "--mode", mode, *c, stderr=True, clean=clean if is_ordered else without_progress)
            if n % 3 == 0:
                p.same("stats", "--no-lock", f"--mode={mode}", "--json", *c, stderr=True)
    p.same("stats", clean=without_progress)
    p.same("stats", "-q", *ids, clean=clean)
    tap.eq(json.loads(p.same("stats", "--json", *ids).stdout)["snapshots_count"], 6)


@tap.test
def a_repository_of_version_1(tmp):
    p = Pair(repos.memory(tmp))
    ids = repository(p, 1)
    for mode in MODES:
        p.same("stats", "--no-lock", "--mode", mode, *ids, clean=clean)
        p.same("stats", "--no-lock", "--mode", mode, *ids, "--json")


@tap.test
def sizes_of_all_there_is(tmp):
    """The mode that restic's help does not mention."""
    p = Pair(repos.memory(tmp))
    repository(p)
    debug = ["stats", "--no-lock", "--mode", "debug"]
    for more in [], ["-q"], ["--json"], ["zz"]:
        p.same(*debug, *more, stderr=True)
    for n, size in enumerate((0, 9, 10, 256 << 20, (256 << 20) + 1, 10**10)):
        f = p.tmp / "repo/data/ab" / f"ab{n:062}"
        f.parent.mkdir(exist_ok=True)
        f.touch()
        os.truncate(f, size)
    tap.contains(p.same(*debug, stderr=True).stderr, "Oversized: [")
    for f in (p.tmp / "repo/locks", p.tmp / "repo/snapshots", p.tmp / "repo/index"):
        for x in f.iterdir():
            x.unlink()
    tap.contains(p.same(*debug, stderr=True).stderr, "Size  Count\n-----------\n-----------\n")


@tap.test
def errors(tmp):
    p = Pair(repos.memory(tmp))
    ids = repository(p)
    for argv in (["--mode", "nonsense"], ["--mode="], ["--mode"], ["--frobnicate"]):
        tap.eq(p.same("stats", *argv).returncode, 1)
    for argv in (["zz"], ["zz", ids[0]], [ids[0], "--host", "h1"], [f"{ids[0]}:/data"], ["latest", "--host", "nobody"]):
        p.same("stats", *argv, stderr=True, clean=clean)
    tap.eq(p.same("stats", env={"RESTIC_REPOSITORY": str(tmp / "none")}).returncode, 10)
    tap.eq(p.same("stats", env={"RESTIC_PASSWORD": "wrong"}).returncode, 12)


@tap.test
def what_is_missing_is_told(tmp):
    """A tree, and a blob, that are in no index."""
    p = Pair(repos.memory(tmp))
    ids = repository(p)
    repo = handmade.Repo(p.tmp / "repo", repos.PASSWORD)
    node = json.loads(p.one(p.restic, "cat", "tree", f"{ids[0]}:/data/a").stdout)["nodes"][-1]
    tap.eq(node["type"], "file")
    for name in repo.ids("index"):
        index = repo.load("index", name)
        for pack in index["packs"]:
            pack["blobs"] = [b for b in pack["blobs"] if b["id"] != node["content"][0]]
        repo.replace("index", name, index)
    for mode in MODES:
        r = p.same("stats", "--no-lock", "--mode", mode, ids[0], clean=without_progress)
        is_needed = mode in ("blobs-per-file", "raw-data")
        tap.eq(r.returncode, int(is_needed))
        if is_needed:
            tap.contains(r.stderr, f"blob {node['content'][0]} not found" if mode == "blobs-per-file" else
                         f"blob <data/{node['content'][0][:8]}> not found")
    for name in repo.ids("index"):
        repo.remove("index", name)
    for mode in MODES:
        r = p.same("stats", "--no-lock", "--mode", mode, ids[0], clean=lambda s: "")
        tap.eq(r.returncode, 1)
        tap.contains(r.stderr, "error walking snapshot")


@tap.test
def trees_that_were_met_are_not_read_again(tmp):
    p = Pair(repos.memory(tmp))
    ids = repository(p)
    root = p.one(p.restic, "cat", "snapshot", ids[0]).stdout
    tap.eq(json.loads(root)["tree"], json.loads(p.one(p.restic, "cat", "snapshot", ids[1]).stdout)["tree"])
    reads = []
    for which in ([ids[0]], ids[:2]):
        r = p.one(tap.holdfast(), "stats", "--no-cache", "-o", f"trace.file={tmp / 'trace'}", "--mode", "restore-size", *which)
        tap.eq(r.returncode, 0, r.stderr)
        reads.append(sum("data/" in x for x in (tmp / "trace").read_text().splitlines()))
        (tmp / "trace").unlink()
    tap.ok(reads[0] > 5, reads)
    tap.eq(reads[0], reads[1])


tap.main()
