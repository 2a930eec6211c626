# SPDX-License-Identifier: BSD-2-Clause
"""stats and diff on trees made by chance: restic and holdfast must agree about all of them.

Nodes of all types under the same few names, hard links in all constellations, contents and folders that
are shared, and what no file system gives: sizes that are not those of the content, files without a list
of blobs, links that nobody counts.  INTEROP=full makes more of them; SEED=7 begins with that one.
"""

import json
import os
import random
import re

import handmade
import repos
import tap
from pair import Pair

MODES = ("restore-size", "files-by-contents", "blobs-per-file", "raw-data")
NAMES = ["a", "b", "c", "dir", "file", "x<&>", "100%", "z"]


class Forest:
    def __init__(self, p, rng):
        self.p, self.rng = p, rng
        self.repo = handmade.Repo(repos.quick(p.tmp / "repo"), repos.PASSWORD)
        self.data = [self.add("data", rng.randbytes(rng.randrange(1, 300)) + b"\0" * rng.randrange(2000)) for _ in range(10)]
        self.trees = []

    def add(self, kind, plain):
        # Some are not compressed; of two copies that differ in that restic counts any.
        if sum(plain) % 3 == 0:
            return self.repo.add_blob(kind, plain, packed=plain, raw_length=0)[0].id.hex()
        return self.repo.add_blob(kind, plain)[0].id.hex()

    def node(self, name, depth):
        r = self.rng
        kind = r.choice(("file", "file", "file", "dir", "dir", "symlink", "fifo", "dev"))
        n = {"name": name, "type": kind, "mode": r.choice((420, 493)), "mtime": r.choice(("2023-01-01T00:00:00Z", "2023-01-01T01:00:00+01:00",
             "2024-05-06T07:08:09.1Z")), "atime": "2023-01-01T00:00:00Z", "ctime": "2023-01-01T00:00:00Z", "uid": r.choice((0, 1000)), "gid": 0}
        if r.random() < 0.3:
            n["user"] = r.choice(("root", "eve"))
        n.update(inode=r.randrange(6), device_id=r.randrange(2), links=r.choice((0, 1, 1, 2, 3)))
        if r.random() < 0.2:
            n["extended_attributes"] = [{"name": f"user.{k}", "value": r.choice(("MQ==", "Mg=="))} for k in r.sample("ab", r.randrange(1, 3))]
        if kind == "file":
            n["size"] = r.randrange(3000)
            n["content"] = r.choices(self.data, k=r.choice((0, 1, 1, 1, 2, 3))) if r.random() < 0.9 else None
        elif kind == "dir":
            n["subtree"] = self.tree(depth - 1)
        elif kind == "symlink":
            n.update(linktarget=r.choice(("x", "y")), size=r.randrange(2))
        return n

    def tree(self, depth):
        """The id of a new tree, or of one that there is."""
        if self.trees and (depth <= 0 or self.rng.random() < 0.3):
            return self.rng.choice(self.trees)
        names = self.rng.sample(NAMES, self.rng.randrange(0, 6) if depth > 0 else 0)
        nodes = [self.node(n, depth) for n in sorted(names)]
        self.trees.append(self.add("tree", (json.dumps({"nodes": nodes}, separators=(",", ":")) + "\n").encode()))
        return self.trees[-1]

    def snapshot(self, n):
        return self.repo.save("snapshots", {
            "time": f"2023-01-{n + 1:02}T00:00:00Z", "tree": self.tree(4), "paths": ["/x"], "hostname": "h", "username": "u"})


def clean(s):
    return re.sub(r"^\[\d+:\d\d\]", "[0:00]", s, flags=re.M)


@tap.test
def chance(tmp):
    is_full = os.environ.get("INTEROP") == "full"
    first = int(os.environ.get("SEED", "1"))
    for seed in range(first, first + (40 if is_full else 2)):
        p = Pair(repos.memory(tmp))
        forest = Forest(p, random.Random(seed))
        ids = [forest.snapshot(n) for n in range(4)]
        try:
            for mode in MODES:
                p.same("stats", "--no-lock", "--mode", mode, *ids, clean=clean)
                p.same("stats", "--no-lock", "--json", "--mode", mode, *ids[::-1])
            for a, b in zip(ids, ids[1:]):
                p.same("diff", "--no-lock", "--metadata", a, b, stderr=True)
                p.same("diff", "--no-lock", b, a, stderr=True)
        except AssertionError as e:
            raise AssertionError(f"SEED={seed}: {e}") from None


tap.main()
