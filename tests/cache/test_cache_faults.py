# SPDX-License-Identifier: BSD-2-Clause
"""Every system call that concerns the cache fails, one at a time.

Whatever fails, the command ends well and its result is right; it says no more than that it goes on
with less of a cache; what is left in the cache is whole. CACHE=long tries every error at every
call of every command, the short form one at the first of all calls that are alike, whichever command makes them.
"""

import hashlib
import os
import re
import shutil

import interleave
import locking
import repos
import situations
import tap

from situations import BACKUP, CLEANUP, LS

ERRORS = ["EIO", "ENOSPC", "EACCES", "EROFS", "EMFILE", "ENOENT"]
IS_LONG = os.environ.get("CACHE") == "long"
TABLE = ("cache",)
SNAPSHOTS = ("snapshots", "--latest", "1")


def warm(p):
    pass


def cold(p):
    for f in p.cached().values():
        f.unlink()


def first_use(p):
    shutil.rmtree(p.cache)


def stale(p):
    p.make_stale()
    situations.make_old(*p.cached().values())


def old(p):
    situations.make_old(p.mine)


def ended_well(p, command, r):
    if command in (CLEANUP, TABLE):
        # They are about the cache, and may fail with it.
        tap.ok(r.code in (0, 1) and (r.code == 0 or r.err), f"exit code {r.code}\n{r.err}")
        return
    tap.eq(r.code, 0, r.err)
    lines = r.err.splitlines()
    tap.ok(len(lines) <= 2 and all(x.startswith("Warning: ") for x in lines), r.err)
    if command is BACKUP:
        r = p.run("--no-cache", *LS)
        tap.contains(r.out, "/source/second/file")
    tap.contains(r.out, "1 snapshots" if command is SNAPSHOTS else "/source/first-1/file")


def is_whole(p):
    for name, f in p.cached().items():
        tap.eq(hashlib.sha256(f.read_bytes()).hexdigest(), name, "a copy that is not whole")


TRIED = set()  # what an earlier command has failed at; for EINTR apart


def chosen(calls, place, errors):
    """The numbers of the calls to try, from 1 on: of those that differ in ids only, one."""
    alike = {}
    for n, call in enumerate(calls, 1):
        key = re.sub(r"[0-9a-f]{2,}|\d+", "#", str(call).replace(str(place), "."))
        if IS_LONG or (key, errors) not in TRIED:
            alike.setdefault(key, []).append(n)
    TRIED.update((key, errors) for key in alike)
    return [(n, calls[n - 1]) for n in sorted(n for group in alike.values()
                                              for n in (group if IS_LONG else group[:1]))]


def torture(tmp, command, prepare):
    tmp = repos.memory(tmp)
    start = situations.Place.template(repos.holdfast(), tmp / "start")
    prepare(start)
    if command is BACKUP:
        start.change("second")
    trial = start.copy(tmp / "trial")
    kw = {"below": trial.cache, "cwd": trial.top}
    calls = interleave.calls(trial.program, trial.repo, *command, **kw)
    tap.ok(len(calls) > 10, f"only {len(calls)} calls")
    tries = [(n, e, call) for n, call in chosen(calls, trial.top, "all")
             for e in (ERRORS if IS_LONG else [ERRORS[n % len(ERRORS)]])]
    # Not every call can be interrupted: those have numbers of their own.
    trial = start.copy(tmp / "again")
    kw = {"below": trial.cache, "cwd": trial.top}
    calls = interleave.calls(trial.program, trial.repo, *command, only_interruptible=True, **kw)
    tries += [(n, "EINTR", call) for n, call in chosen(calls, trial.top, "EINTR")]

    def one(n, errno):
        p = start.copy(tmp / f"{n}-{errno}")
        r = interleave.failing(p.program, p.repo, *command, below=p.cache, nth=n, errno=errno, cwd=p.top)
        ended_well(p, command, r)
        is_whole(p)
        # Nothing stays behind for the next one.
        again = p.run(*LS)
        tap.ok(situations.is_fine(again) or "damaged" in again.err, f"the next one: {again.code}\n{again.err}")
        shutil.rmtree(p.top)

    locking.together([(f"{errno} at call {n}, {call}", one, n, errno) for n, errno, call in tries], at_once=2)


for _name, _command, _states in (
        ("ls", LS, [stale] + IS_LONG * [warm, cold, first_use]),
        ("backup", BACKUP, [stale] + IS_LONG * [warm, first_use]),
        ("snapshots", SNAPSHOTS, IS_LONG * [first_use, stale]), ("cleanup", CLEANUP, [old]),
        ("cache", TABLE, IS_LONG * [warm])):
    for _state in _states:
        def _test(tmp, c=_command, s=_state):
            torture(tmp, c, s)

        _test.__name__ = f"{_name}_{_state.__name__}"
        tap.test(_test)

tap.main()
