# SPDX-License-Identifier: BSD-2-Clause
"""Commands that change a repository: each of two programs on a copy of its own, then compared.

	sides = Sides(tmp, base)            # restic and holdfast
	sides.same("tag", "--add", "x")     # texts, exit codes and what is in the repository then
"""

import concurrent.futures
import json
import re
import shutil

import repos
import tap

MASKS = [(r"\b[0-9a-f]{64}\b", "<id>"), (r"\b[0-9a-f]{8}\b", "<short>"), (r"\[\d+:\d\d\]", "[time]"),
         (r"restic-migrate-[^/ ]*", "restic-migrate-0")]


def masked(text):
    for pattern, word in MASKS:
        text = re.sub(pattern, word, text)
    return text


def paragraphs(text):
    """Restic takes snapshots in the order in which they arrive: order says nothing."""
    return sorted(p.strip("\n") for p in masked(text).split("\n\n"))


class Sides:
    """`base` is a repository that stays as it is."""

    def __init__(self, tmp, base):
        self.tmp, self.base = tmp, base
        self.programs = repos.restic("restic-new"), repos.holdfast()
        top = repos.memory(tmp)
        self.repos = [top / f"side-{p.name}" for p in self.programs]

    def reset(self):
        for r in self.repos:
            shutil.rmtree(r, ignore_errors=True)
            shutil.copytree(self.base, r)

    def state(self, repo):
        """What snapshots say, without what differs between any two runs."""
        found, old = [], repos.files(self.base, "snapshots")
        for s in self.programs[1].json(repo, "snapshots", "--no-lock"):
            for k in "id", "short_id":
                s.pop(k, None)
            if s.get("original", "") not in old and "original" in s:
                s["original"] = "one that was made meanwhile"
            found.append(json.dumps(s, sort_keys=True))
        return sorted(found)

    def both(self, *argv, **kw):
        """Runs the command on both sides as they are; returns the two results."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda p, r: p(r, *argv, check=None, **kw), self.programs, self.repos))

    def agree(self, argv, results, is_ordered=False, cut=None):
        a, b = results
        what = " ".join(map(str, argv))
        tap.eq(b.returncode, a.returncode, f"{what}: exit code; {a.stderr} {b.stderr}")
        cut = cut or (masked if is_ordered else paragraphs)
        tap.eq(cut(b.stdout), cut(a.stdout), f"{what}: stdout")
        tap.eq(masked(b.stderr), masked(a.stderr), f"{what}: stderr")

    def same(self, *argv, keeps=False, is_ordered=False, cut=None, **kw):
        """As the module says; `keeps` goes on from where the last call left both repositories.
        `cut` makes of standard output what is compared. Returns holdfast's result."""
        if not keeps:
            self.reset()
        results = self.both(*argv, **kw)
        self.agree(argv, results, is_ordered, cut)
        x, y = map(self.state, self.repos)
        tap.eq(y, x, f"{' '.join(map(str, argv))}: the repository afterwards")
        tap.eq(repos.locks(self.repos[1]), [], "locks")
        return results[1]
