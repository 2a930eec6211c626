# SPDX-License-Identifier: BSD-2-Clause
"""Two programs, one repository: the same command line for restic and for holdfast, compared."""

import os

import repos
import tap

CLEAN = {k: "" for k in os.environ if k.startswith(("RESTIC_", "HOLDFAST_"))}


class Pair:
    """restic and holdfast, and the repository tmp/repo for both."""

    def __init__(self, tmp, peer="restic-new"):
        self.tmp = tmp
        self.restic = tap.peer(peer)
        self.env = {**CLEAN, "RESTIC_PASSWORD": repos.PASSWORD, "RESTIC_CACHE_DIR": str(tmp / "cache"),
                    "TZ": "Europe/Berlin", "RESTIC_REPOSITORY": str(tmp / "repo"),
                    "HOME": str(tmp)}

    def one(self, program, *argv, cwd=None, env=None, **kw):
        return tap.run(program, *argv, env={**self.env, **(env or {})}, check=None,
                       cwd=cwd or self.tmp, **kw)

    def setup(self, *argv, **kw):
        r = self.one(self.restic, *argv, **kw)
        tap.ok(r.returncode in (0, 3), r.stderr)

    def same(self, *argv, stderr=False, clean=lambda s: s, order=True, **kw):
        """Runs both; returns holdfast's result."""
        a = self.one(self.restic, *argv, **kw)
        b = self.one(tap.holdfast(), *argv, **kw)
        what = " ".join(map(str, argv))
        tap.eq(b.returncode, a.returncode, f"{what}: exit code; {b.stderr}")
        x, y = clean(b.stdout), clean(a.stdout)
        if not order:
            x, y = (sorted(t.splitlines()) for t in (x, y))
        tap.eq(x, y, what)
        if stderr:
            tap.eq(clean(b.stderr), clean(a.stderr), what)
        return b
