# SPDX-License-Identifier: BSD-2-Clause
"""Two processes on one cache, one of them stopped at an exact system call while the other does its
harm: ours and ours, ours and restic, restic and ours.

Whatever the other does, a process of ours ends well, says nothing, and its result is right; the
cache holds only whole files afterwards. situations.py brings about the same for the document, where
restic 0.14 shows what each of these interleavings does to a program that is not prepared for it.
"""

import contextlib
import functools
import hashlib
import os
import pathlib
import shutil
import signal
import tempfile

import interleave
import locking
import repos
import situations
import tap

from interleave import Point
from situations import BACKUP, LS, MKDIR, OPEN, READ, RENAME, UNLINK, WRITE

# The stopped one first. `make cache` has restic 0.14 everywhere, the short form where it matters most.
OURS = [("holdfast", "holdfast")]
WITH_NEW = [*OURS, ("holdfast", "restic-new"), ("restic-new", "holdfast")]
ALL = [*WITH_NEW, ("holdfast", "restic-0.14"), ("restic-0.14", "holdfast")]
PAIRS = ALL if os.environ.get("CACHE") == "long" else WITH_NEW


def program(name):
    return repos.holdfast() if name == "holdfast" else repos.restic(name)


@functools.cache
def template():
    return situations.Place.template(repos.holdfast(), repos.memory(pathlib.Path(tempfile.gettempdir())) / "template")


class Meeting(situations.Place):
    """A place where two programs meet: `one` is stopped, `other` runs."""

    def __init__(self, one, other, tmp):
        super().__init__(program(one), repos.memory(tmp) / "place")
        shutil.copytree(template().top, self.top)
        self.one, self.other = one, other
        self.second = interleave.cached(program(other), self.cache)

    def meet(self, command, at, then, by=None):
        """One is stopped; then() happens; one goes on. Both must end well."""
        with self.stopped(*command, at=at) as one:
            path = pathlib.Path(one.reach()[1])
            then(path)
            one.go()
            r = situations.finished(one)
        self.ended_well(self.one, r)
        return r

    def other_runs(self, *command):
        r = self.run(*command, program=self.second)
        self.ended_well(self.other, r)
        return r

    def ended_well(self, name, r):
        # What restic is not prepared for is in the document, and not of interest here.
        if name == "holdfast":
            tap.ok(situations.is_fine(r), f"exit code {r.code}\n{r.out}{r.err}")

    def is_sound(self):
        """Only whole copies; the next process of either program works, and lists what is there."""
        for n, f in self.cached().items():
            tap.eq(hashlib.sha256(f.read_bytes()).hexdigest(), n, str(f))
        odd = [f for f in self.mine.rglob("*") if f.is_file() and f.name not in self.cached() and f.name != "version"]
        if "restic" not in self.one + self.other:
            tap.eq(odd, [], "left over")
        for p in repos.holdfast(), repos.restic("restic-new"):
            p = interleave.cached(p, self.cache)
            r = self.run(*LS, program=p)
            tap.ok(situations.is_fine(r), f"{p.name}: exit code {r.code}\n{r.err}")
            tap.contains(r.out, "first-1")

    def listed(self, r):
        tap.ok("first-1" in r.out, f"the list is wrong:\n{r.out}{r.err}")


def pairs(tmp, fn, which=PAIRS):
    """fn(meeting) for each pair, two at a time."""
    template()  # once, before there are threads

    def run(one, other):
        sub = tmp / f"{one}-{other}"
        sub.mkdir()
        m = Meeting(one, other, sub)
        fn(m)
        m.is_sound()

    locking.together([(f"{a} beside {b}", run, a, b) for a, b in which], at_once=2)


def same_stale(tmp, kind, command, which=ALL):
    """Both know that a copy is stale; the other removes it, then the one does."""
    def go(m):
        m.make_stale()
        situations.make_old(*m.cached().values())
        name = m.stale(kind)
        copy = m.cached(kind)[name]

        def then(_):
            tap.ok(copy.exists(), "there when the one stops")
            m.other_runs(*command)
            tap.ok(not copy.exists(), "gone when it goes on")

        m.meet(command, Point(UNLINK, path=copy), then)

    pairs(tmp, go, which)


@tap.test
def the_same_stale_index_is_removed_by_both(tmp):
    same_stale(tmp, "index", BACKUP)


@tap.test
def the_same_stale_pack_is_removed_by_both(tmp):
    same_stale(tmp, "data", BACKUP)


@tap.test
def the_same_stale_snapshot_is_removed_by_both(tmp):
    # restic 0.14 does not clear snapshots.
    same_stale(tmp, "snapshots", ("snapshots",), WITH_NEW)


@tap.test
def a_stale_copy_goes_between_listing_and_removing(tmp):
    def go(m):
        m.make_stale()
        copy = m.cached("index")[m.stale("index")]

        def then(_):
            m.other_runs(*BACKUP)
            tap.ok(not copy.exists(), "removed by the other")

        m.meet(BACKUP, Point("getdents64", path=copy.parent, at="exit"), then)

    pairs(tmp, go, [p for p in PAIRS if p[0] == "holdfast"])


# ---- folders that go ----

def by_restic(m):
    situations.make_old(m.mine)
    tap.eq(m.run(*situations.CLEANUP, program=interleave.cached(repos.restic("restic-new"), m.cache)).code, 0)
    tap.ok(not m.mine.exists(), "the folder is there")


def by_hand(m):
    shutil.rmtree(m.cache)


def by_hand_and_made_anew(m):
    shutil.rmtree(m.cache)
    tap.eq(m.run("snapshots", program=interleave.cached(repos.restic("restic-new"), m.cache)).code, 0)


def by_shards(m):
    """Every folder of the lowest level, as who looks for empty ones may do."""
    for d in m.mine.glob("*/??"):
        shutil.rmtree(d)


REMOVALS = [by_restic, by_hand, by_hand_and_made_anew, by_shards]
PLACES = {
    "the folder that is read": (LS, lambda m: Point(OPEN, path=f"{m.mine}/index")),
    "a folder below it": (LS, lambda m: Point(OPEN, path=f"{m.mine}/index/??")),
    "after it was opened": (LS, lambda m: Point(OPEN, path=f"{m.mine}/index/??", at="success")),
    "in the middle of reading it": (LS, lambda m: Point("getdents64", path=f"{m.mine}/index", at="success")),
    "the copy that is opened": (LS, lambda m: Point(OPEN, path=m.glob("index"))),
    "the copy that is read": (LS, lambda m: Point(READ, path=m.glob("snapshots"))),
    "the pack that is read": (LS, lambda m: Point(READ, path=m.glob("data"))),
    "the folder of a new copy": (BACKUP, lambda m: Point(MKDIR, path=f"{m.mine}/*/??")),
    "when that was made": (BACKUP, lambda m: Point(MKDIR, path=f"{m.mine}/*/??", at="success")),
    "before a copy is written": (BACKUP, lambda m: Point(WRITE, below=m.mine)),
    "before it gets its name": (BACKUP, lambda m: Point(RENAME, path=m.glob("*"))),
    "when it has its name": (BACKUP, lambda m: Point(RENAME, path=m.glob("*"), at="success")),
}


def folders_go(tmp, remove):
    template()

    def run(what, command, point):
        sub = tmp / what.replace(" ", "-")
        sub.mkdir()
        m = Meeting("holdfast", "holdfast", sub)
        m.change("second")
        r = m.meet(command, point(m), lambda _: remove(m))
        if command is LS:
            m.listed(r)
        else:
            tap.eq(len(repos.files(m.repo, "snapshots")), 3)
        m.is_sound()

    locking.together([(f"{remove.__name__}: {what}", run, what, c, p) for what, (c, p) in PLACES.items()], at_once=2)


def in_long_form(fn):
    """What differs from its neighbours in little; with CACHE=long."""
    return tap.test(fn) if os.environ.get("CACHE") == "long" else fn


@in_long_form
def the_cache_is_cleaned_up_by_restic(tmp):
    folders_go(tmp, by_restic)


@tap.test
def the_cache_is_removed_by_hand(tmp):
    folders_go(tmp, by_hand)


@in_long_form
def the_cache_is_removed_and_made_anew(tmp):
    folders_go(tmp, by_hand_and_made_anew)


@tap.test
def folders_inside_the_cache_go(tmp):
    folders_go(tmp, by_shards)


@tap.test
def our_own_clean_up_leaves_alone_what_is_in_use(tmp):
    def go(m):
        def then(_):
            situations.make_old(m.mine)
            m.other_runs(*situations.CLEANUP)
            tap.ok(m.mine.exists(), "in use")

        m.listed(m.meet(LS, Point(OPEN, path=m.glob("index")), then))
        situations.make_old(m.mine)
        m.other_runs(*situations.CLEANUP)
        tap.ok(not m.mine.exists(), "no longer in use")

    pairs(tmp, go, OURS)


@tap.test
def two_clean_up(tmp):
    def go(m):
        for d in m.cache / ("cd" * 32), m.cache / "restic-check-cache-123":
            shutil.copytree(m.mine, d)
            situations.make_old(d)
        situations.make_old(m.mine)
        m.meet(situations.CLEANUP, Point(UNLINK, below=m.cache), lambda _: m.other_runs(*situations.CLEANUP))
        tap.ok(not m.mine.exists(), "gone")

    pairs(tmp, go)


@tap.test
def the_table_is_made_while_folders_go(tmp):
    def go(m):
        m.meet(("cache",), Point(OPEN, path=m.mine), lambda _: by_restic(m))

    pairs(tmp, go, OURS)


# ---- first use ----

FIRST = {
    "the base": lambda m: Point(MKDIR, path=m.cache),
    "its mark": lambda m: Point(OPEN, path=f"{m.cache}/CACHEDIR.TAG"),
    "the repository's folder": lambda m: Point(MKDIR, path=m.mine),
    "when it is made": lambda m: Point(MKDIR, path=m.mine, at="success"),
    "the version": lambda m: Point(WRITE, below=m.mine),
    "a folder of copies": lambda m: Point(MKDIR, path=f"{m.mine}/snapshots"),
    "a folder below it": lambda m: Point(MKDIR, path=f"{m.mine}/snapshots/??"),
    "the first copy": lambda m: Point(RENAME, path=m.glob("snapshots")),
}


@tap.test
def two_make_the_cache_at_first_use(tmp):
    for n, (what, point) in enumerate(FIRST.items()):
        def go(m, point=point):
            shutil.rmtree(m.cache)
            m.meet(("snapshots",), point(m), lambda _: m.other_runs("snapshots"))
            tap.eq((m.mine / "version").read_text(), "1")
            tap.eq(len(m.cached("snapshots")), 2)

        sub = tmp / str(n)
        sub.mkdir()
        with named(what):
            pairs(sub, go)


@contextlib.contextmanager
def named(what):
    try:
        yield
    except AssertionError as e:
        raise AssertionError(f"{what}: {e}") from e


@tap.test
def killed_at_first_use(tmp):
    def go(m):
        for point in FIRST.values():
            shutil.rmtree(m.cache, ignore_errors=True)
            with m.stopped("snapshots", at=point(m)) as one:
                os.kill(one.reach()[0], signal.SIGKILL)
                one.end()
            # Ours first where restic was killed: it repairs what restic cannot.
            m.other_runs("snapshots")
            tap.ok(situations.is_fine(m.run("snapshots", program=m.second)), "and again")
            tap.eq((m.mine / "version").read_text(), "1")

    pairs(tmp, go)


# ---- readers ----

@tap.test
def a_copy_is_evicted_under_its_reader(tmp):
    points = [Point(OPEN, path="*/{kind}/??/" + 64 * "?"), Point(OPEN, path="*/{kind}/??/" + 64 * "?", at="success"),
              Point(READ, path="*/{kind}/??/" + 64 * "?"), Point(READ, path="*/{kind}/??/" + 64 * "?", at="success")]
    def go(m):
        for kind in "index", "snapshots", "data":
            for p in points:
                at = Point.__new__(Point)
                at.options = [o.replace("{kind}", kind).replace("*/", f"{m.mine}/", 1) for o in p.options]

                def then(path):
                    # A real eviction: there is room for nothing.
                    r = m.run("--cache-limit", "1", *LS, program=m.second)
                    tap.ok(situations.is_fine(r), r.err)
                    path.unlink(missing_ok=True)
                    tap.ok(not path.exists(), "evicted")

                m.listed(m.meet(LS, at, then))
                m.other_runs(*LS)  # fills the cache again

    pairs(tmp, go, OURS)


@tap.test
def what_was_fetched_goes_at_once(tmp):
    def go(m):
        for at in "entry", "success":
            for f in m.cached().values():
                f.unlink()
            for kind in "index", "snapshots", "data":
                m.listed(m.meet(LS, Point(RENAME, path=m.glob(kind), at=at), lambda _: by_shards(m)))
                by_shards(m)

    pairs(tmp, go, OURS)


@tap.test
def two_fetch_the_same_file(tmp):
    def go(m):
        for kind in "index", "snapshots", "data":
            by_shards(m)

            def then(path):
                m.other_runs(*LS)
                tap.ok(path.exists(), "the other was first")

            m.listed(m.meet(LS, Point(RENAME, path=m.glob(kind)), then))

    pairs(tmp, go)


# ---- files that are not whole ----

@tap.test
def a_half_written_file_is_never_seen(tmp):
    """Stopped at each write and name of a copy: what the others see then is whole, or is not there."""
    def go(m):
        for at in Point(WRITE, below=m.mine), Point(WRITE, below=m.mine, at="exit"), Point(RENAME, path=m.glob("*")):
            by_shards(m)

            def then(_):
                for n, f in m.cached().items():
                    tap.eq(hashlib.sha256(f.read_bytes()).hexdigest(), n, "a file that is not whole")
                m.other_runs(*LS)

            m.listed(m.meet(LS, at, then))

    pairs(tmp, go)


@tap.test
def killed_before_the_name(tmp):
    def go(m):
        for at in Point(WRITE, below=m.mine), Point(RENAME, path=m.glob("*")):
            by_shards(m)
            with m.stopped(*LS, at=at) as one:
                os.kill(one.reach()[0], signal.SIGKILL)
                one.end()
            m.listed(m.other_runs(*LS))

    pairs(tmp, go)


# ---- clearing too much ----

@tap.test
def clearing_keeps_what_came_after_the_listing(tmp):
    """At every moment of clearing, from before the listing of the repository until the last removal."""
    points = {
        "index before": lambda m: Point("getdents64", path=m.repo / "index"),
        "index listed": lambda m: Point("getdents64", path=m.repo / "index", at="exit"),
        "snapshots before": lambda m: Point("getdents64", path=m.repo / "snapshots"),
        "snapshots listed": lambda m: Point("getdents64", path=m.repo / "snapshots", at="exit"),
        "cache of index": lambda m: Point("getdents64", path=f"{m.mine}/index", at="exit"),
        "cache of snapshots": lambda m: Point("getdents64", path=f"{m.mine}/snapshots", at="exit"),
        "cache of packs": lambda m: Point("getdents64", path=f"{m.mine}/data", at="exit"),
        "removal": lambda m: Point(UNLINK, path=m.glob("index", m.stale("index"))),
    }

    for n, (what, point) in enumerate(points.items()):
        def go(m, point=point):
            m.make_stale()
            before = set(m.cached())

            def then(_):
                m.change("second")
                tap.eq(m.run(*BACKUP, program=m.second).code, 0)
                m.new = {k: f.read_bytes() for k, f in m.cached().items() if k not in before}
                tap.ok(len(m.new) >= 3, "a pack, an index, a snapshot")

            m.meet(LS, point(m), then)
            tap.eq(sorted(set(m.new) - set(m.cached())), [], "copies that are gone")

        sub = tmp / str(n)
        sub.mkdir()
        with named(what):
            pairs(sub, go, WITH_NEW[:2])


# ---- links ----

@tap.test
def no_link_leads_outside_at_any_moment(tmp):
    """A folder becomes a link to elsewhere between any two calls; nothing happens there."""
    folders = {"": "the repository's folder", "index": "index", "data": "data", "snapshots": "snapshots"}
    points = [lambda m: Point(OPEN, path=f"{m.mine}*"), lambda m: Point("getdents64", path=f"{m.mine}/index"),
              lambda m: Point(MKDIR, path=f"{m.mine}/*/??"), lambda m: Point(WRITE, below=m.mine),
              lambda m: Point(RENAME, path=m.glob("*")), lambda m: Point(UNLINK, below=m.mine)]

    template()

    def run(n, folder, point):
        sub = tmp / f"{n}-{folder}"
        sub.mkdir()
        m = Meeting("holdfast", "holdfast", sub)
        m.make_stale()
        situations.make_old(*m.cached().values())
        m.change("second")
        seen = {}

        def state():
            return {str(f): (f.is_file() and f.read_bytes(), f.lstat().st_mtime_ns) for f in seen["at"].rglob("*")}

        def then(_):
            seen["at"] = m.top / "elsewhere"
            shutil.copytree(m.mine / folder, seen["at"])
            # Every folder that a copy may want is there already: nothing has to be made on the way.
            for kind in [""] if folder else ["index", "data", "snapshots"]:
                for n in range(256):
                    (seen["at"] / kind / f"{n:02x}").mkdir(exist_ok=True)
            (m.mine / folder).rename(m.top / "before")
            (m.mine / folder).symlink_to(seen["at"])
            seen["before"] = state()

        with m.stopped(*BACKUP, at=point(m)) as one:
            then(None)
            one.go()
            r = situations.finished(one)
        # A warning is in place, and that one goes on without.
        tap.eq(r.code, 0, r.err)
        lines = r.err.splitlines()
        tap.ok(len(lines) <= 2 and all(x.startswith("Warning: ") and "cache" in x for x in lines), r.err)
        tap.eq(state(), seen["before"], "elsewhere")

    locking.together([(f"{n} {text}", run, n, f, p) for n, p in enumerate(points) for f, text in folders.items()],
                     at_once=2)


tap.main()
