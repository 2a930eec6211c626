# SPDX-License-Identifier: BSD-2-Clause
"""Situations in which processes that share a cache harm each other, each brought about by stopping one
of them at an exact system call, and what a program does in them, in words.

test_beside_restic.py makes a table of them; GROUPS is the list, in the order of the document.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import types

import interleave
import locking
import repos
import tap

from interleave import Point

ID = "ab" * 32  # of the repository that repos.quick() makes
NAME = re.compile(r"[0-9a-f]{64}")
TRIES = 3  # after which a command that tries again and again is ended

UNLINK = "unlink,unlinkat"
RENAME = "rename,renameat,renameat2,link,linkat"
STAT = "lstat,stat,newfstatat,statx"
OPEN = "open,openat,openat2"
MKDIR = "mkdir,mkdirat"
READ = "read,pread64,readv,preadv,mmap"
WRITE = "write,pwrite64,writev,pwritev,copy_file_range"

BACKUP = ("backup", "source")
LS = ("ls", "latest")
CLEANUP = ("cache", "--cleanup", "--max-age", "0")


class Place:
    """A repository with two snapshots, the cache of a program that knows all of it, and a source."""

    def __init__(self, program, top):
        self.top = top
        self.program = interleave.cached(program, top / "cache")
        self.elsewhere = repos.restic("restic-new")  # somebody who does not use this cache
        self.is_ours = program.name == "holdfast"
        self.repo, self.cache, self.source = top / "repo", top / "cache", top / "source"
        self.mine = self.cache / ID
        self.env = {}

    @classmethod
    def template(cls, program, top):
        top.mkdir(parents=True)
        p = cls(program, top)
        repos.quick(p.repo)
        for n in range(2):
            p.change(f"first-{n}")
            p.program(p.repo, *BACKUP, cwd=top)
        return p

    def copy(self, top):
        shutil.copytree(self.top, top, symlinks=True)
        return Place(self.program, top)

    def change(self, name):
        """Something for the next backup to save."""
        (self.source / name).mkdir(parents=True)
        (self.source / name / "file").write_text(name)

    def run(self, *args, prefix=(), program=None):
        with locking.Run(program or self.program, self.repo, *args, prefix=prefix, cwd=self.top, env=self.env) as run:
            return finished(run)

    @contextlib.contextmanager
    def stopped(self, *args, at, program=None):
        """The command at its point, which it must reach."""
        with interleave.Stopped(program or self.program, self.repo, *args, points=[at], cwd=self.top,
                                env=self.env) as one:
            one.reach()
            yield one

    def failing(self, *args, at, errno):
        return self.run(*args, prefix=[interleave.STOPAT, *at.options, "--fail", errno, "--"])

    def cached(self, kind=""):
        """Files of the cache by their names: of "index", "data", "snapshots", or of all."""
        return {f.name: f for f in (self.mine / kind).rglob("*") if NAME.fullmatch(f.name) and f.is_file()}

    def glob(self, kind, name="*"):
        """A pattern for copies in the cache."""
        return f"{self.mine}/{kind}/??/{name}"

    def make_stale(self):
        """Somebody elsewhere forgets the first snapshot and prunes: some of what is cached is no more."""
        first = self.elsewhere.snapshots(self.repo)[0]["id"]
        self.elsewhere(self.repo, "forget", first)
        self.elsewhere(self.repo, "prune", "--max-unused", "0")

    def stale(self, kind):
        left = repos.files(self.repo, kind)
        found = sorted(n for n in self.cached(kind) if n not in left)
        tap.ok(found, f"no stale {kind}")
        return found[0]


def finished(run):
    """Waits for the end: code, out, err. Code None: it tried again and again, and was ended."""
    locking.until("the end", lambda: run.p.poll() is not None or run.stderr().count("retrying after") >= TRIES)
    code = run.end() if run.p.poll() is not None else None
    return types.SimpleNamespace(code=code, out=run.stdout(), err=run.stderr())


# ---- words ----

def without_what_differs(text):
    text = re.sub(r"/\S*/(cache|elsewhere)\b", r"\1", text)
    text = NAME.sub("ID", text)
    text = re.sub(r"\btmp-\d+|\.?\btmp\.[\w.-]+", "tmp-N", text)
    text = re.sub(r"\b[0-9a-f]{8,10}\b", "ID", text)
    text = re.sub(r"retrying after [0-9.a-zµ]+", "retrying after a while", text)
    text = re.sub(r"(cache/ID/\w+)/[0-9a-f]{2}\b", r"\1/XX", text)
    # Said or not, by which of restic's threads comes to it first.
    text = text.replace("error flushing repository: ", "")
    return text.replace("|", "\\|")


def is_fine(r):
    return r.code == 0 and not r.err.strip()


def said(r):
    """"fine", or the exit code and the first line of what it said."""
    if is_fine(r):
        return "fine"
    lines = [x for x in r.err.splitlines() if x.strip()]
    text = "tries again and again" if r.code is None else f"exit code {r.code}"
    return text + (f": `{without_what_differs(lines[0])}`" if lines else "")


def one_and_other(one, other):
    if is_fine(one) and is_fine(other):
        return "fine, both"
    return f"the one {said(one)}; the other {said(other)}"


def listed(r):
    """What a listing of the newest snapshot came to."""
    whole = "first-1" in r.out
    return said(r) + (", and lists nothing" if r.code == 0 and not whole else "")


class Group:
    """Situations of one kind, and what holdfast does about them."""

    def __init__(self, title, design):
        self.title, self.design = title, design
        self.rows = []  # (text, stopped at, function)


GROUPS = []


def group(title, design):
    GROUPS.append(Group(title, design))


def situation(text, at=""):
    def add(fn):
        GROUPS[-1].rows.append((text, at, fn))
        return fn

    return add


# ---- removing what is gone ----

group("Two processes remove the same", """\
holdfast: what is gone was to be removed; that somebody else has done it is success, in every step
and for folders as well. Between the reading of a folder and the removal nothing is looked up by
name.
""")


def beside_another(p, command, at):
    """A command is stopped, another one does the same to its end, then the first goes on."""
    with p.stopped(*command, at=at) as one:
        other = p.run(*command)
        one.go()
        return one_and_other(finished(one), other)


@situation("Both know the same cached index as stale, the other removes it first", "unlink of the index")
def unlink_index(p):
    p.make_stale()
    return beside_another(p, BACKUP, Point(UNLINK, path=p.glob("index", p.stale("index"))))


@situation("The same with a pack", "unlink of the pack")
def unlink_pack(p):
    p.make_stale()
    make_old(*p.cached().values())
    return beside_another(p, BACKUP, Point(UNLINK, path=p.glob("data", p.stale("data"))))


@situation("The same with a snapshot", "unlink of the snapshot")
def unlink_snapshot(p):
    p.make_stale()
    if p.program.name == "restic-0.14":
        r = p.run("snapshots")
        return f"{said(r)}; snapshots that are no more stay" if p.stale("snapshots") else said(r)
    return beside_another(p, ("snapshots",), Point(UNLINK, path=p.glob("snapshots", p.stale("snapshots"))))


@situation("The one has read which files there are, the other removes one", "after the reading of the index's folder")
def removed_after_listing(p):
    p.make_stale()
    folder = p.cached("index")[p.stale("index")].parent
    return beside_another(p, BACKUP, Point("getdents64", path=folder, at="exit"))


# ---- folders that go ----

group("`cache --cleanup --max-age 0` while another works", """\
holdfast: every process of ours has a mark on the cache that it uses, and our clean-up leaves alone
what is marked. restic, and people with `rm -r`, do not look for marks: a folder that goes is a miss
for who reads and a copy less for who writes. It is made anew a few times, then the command goes on
without a cache.
""")


def make_old(*paths):
    """As if they had been used, and cached, long ago."""
    for f in paths:
        os.utime(f, (1_700_000_000, 1_700_000_000))


def beside_cleanup(p, command, at):
    """A command is stopped, the whole cache of the repository is cleaned up, the command goes on."""
    with p.stopped(*command, at=at) as one:
        make_old(p.mine)
        other = p.run(*CLEANUP)
        kept = p.mine.exists()
        if kept:
            # By ours, which sees that it is in use. restic does not look.
            make_old(p.mine)
            tap.eq(p.run(*CLEANUP, program=interleave.cached(p.elsewhere, p.cache)).code, 0)
            tap.ok(not p.mine.exists(), "restic removes it")
        one.go()
        r = finished(one)
    return ("kept; when restic cleans up: " if kept else "") + said(r) + \
        ("" if is_fine(other) else f"; the clean-up {said(other)}")


@situation("The repository's folder goes while it is read", "open of the folder `index`")
def cleanup_walk(p):
    p.make_stale()
    return beside_cleanup(p, BACKUP, Point(OPEN, path=f"{p.mine}/index"))


@situation("The same, one level below", "open of a folder `index/XX`")
def cleanup_walk_below(p):
    p.make_stale()
    return beside_cleanup(p, BACKUP, Point(OPEN, path=f"{p.mine}/index/??"))


@situation("It goes before the first file is read from it", "open of the index")
def cleanup_before_open(p):
    return beside_cleanup(p, LS, Point(OPEN, path=p.glob("index")))


@situation("It goes while a file is written that a backup has saved", "write of the copy")
def cleanup_before_write(p):
    p.change("second")
    return beside_cleanup(p, BACKUP, Point(WRITE, below=p.mine))


@situation("It goes when that file is complete", "rename or link to its name")
def cleanup_before_rename(p):
    p.change("second")
    return beside_cleanup(p, BACKUP, Point(RENAME, path=p.glob("*")))


@situation("It goes when a file has been fetched", "rename or link to its name")
def cleanup_after_fetch(p):
    p.make_stale()  # of several that are fetched at once, any could be the first to fail
    for f in p.cached("index").values():
        f.unlink()
    return beside_cleanup(p, LS, Point(RENAME, path=p.glob("index")))


@situation("Two clean up", "the first unlink")
def cleanup_twice(p):
    make_old(p.mine)
    return beside_another(p, CLEANUP, Point(UNLINK, below=p.cache))


@situation("The table of `cache` is made meanwhile", "open of the repository's folder")
def table_while_cleaned(p):
    return beside_cleanup(p, ("cache",), Point(OPEN, path=p.mine))


# ---- first use ----

group("First use", """\
holdfast: folders may be there already. `version` is written under another name and renamed, so that
nobody reads half of it, and one that says nothing is as good as none: it is written anew.
""")


def first_use(p, at):
    shutil.rmtree(p.cache)
    return beside_another(p, ("snapshots",), at)


@situation("Two make the same cache", "mkdir of the repository's folder")
def two_make_folder(p):
    return first_use(p, Point(MKDIR, path=p.mine))


@situation("The same", "mkdir of the folder `snapshots`")
def two_make_snapshots(p):
    return first_use(p, Point(MKDIR, path=f"{p.mine}/snapshots"))


@situation("The same", "write of `version`")
def two_make_version(p):
    return first_use(p, Point(WRITE, below=p.mine))


@situation("One is killed there; what the next ones do", "write of `version`")
def killed_at_version(p):
    shutil.rmtree(p.cache)
    with p.stopped("snapshots", at=Point(WRITE, below=p.mine)) as one:
        os.kill(one.reach()[0], signal.SIGKILL)
        one.end()
    a, b = p.run("snapshots"), p.run("snapshots")
    return "fine" if is_fine(a) and is_fine(b) else f"all of them: {said(b)}" if said(a) == said(b) else \
        f"{said(a)}; then {said(b)}"


# ---- readers ----

group("A file goes while it is read", """\
holdfast: what cannot be opened is a miss; what is open stays readable.
""")


def while_read(p, at, change):
    """`ls` is stopped at a copy that it reads; then change(copy)."""
    with p.stopped(*LS, at=at) as one:
        change(pathlib.Path(one.reach()[1]))
        one.go()
        return listed(finished(one))


@situation("It is evicted before it is opened", "open of the index")
def evicted_before_open(p):
    return while_read(p, Point(OPEN, path=p.glob("index")), pathlib.Path.unlink)


@situation("It is evicted after it was opened", "read of the index")
def evicted_before_read(p):
    return while_read(p, Point(READ, path=p.glob("index")), pathlib.Path.unlink)


@situation("The same with a tree pack", "read of the pack")
def evicted_pack_before_read(p):
    return while_read(p, Point(READ, path=p.glob("data")), pathlib.Path.unlink)


@situation("It is evicted as soon as it was fetched", "after the rename or link to its name")
def evicted_after_fetch(p):
    for f in p.cached("index").values():
        f.unlink()
    return while_read(p, Point(RENAME, path=p.glob("index"), at="success"), pathlib.Path.unlink)


@situation("Two fetch the same file", "rename or link to its name")
def two_fetch(p):
    for f in p.cached().values():
        f.unlink()
    return beside_another(p, LS, Point(RENAME, path=p.glob("index")))


# ---- files that are not whole ----

group("Files that are not what their name says", """\
holdfast: every copy is proven before it is used, a whole file by the hash that is its name, a part of
a pack by its MAC. What fails is removed and fetched again, once. A copy has no name until it is
complete (`O_TMPFILE` and `linkat`), so nothing is left of a process that is killed; where the file
system cannot do that, the temporary name tells whose it is, and goes when its owner is dead.
""")


def halve(f):
    os.truncate(f, f.stat().st_size // 2)


def empty(f):
    os.truncate(f, 0)


def flip(f):
    data = bytearray(f.read_bytes())
    data[len(data) // 2] ^= 1
    f.write_bytes(data)


def damaged(p, kind, change):
    """All copies of a kind are damaged; what `ls` does, and what becomes of them."""
    before = {n: f.read_bytes() for n, f in p.cached(kind).items()}
    for f in p.cached(kind).values():
        f.chmod(0o600)
        change(f)
    a, b = p.run(*LS), p.run(*LS)
    after = {n: f.read_bytes() for n, f in p.cached(kind).items()}
    left = "cached anew" if any(after.get(n) == data for n, data in before.items()) else \
        "the damaged copy stays" if after else "no copy is left"
    return listed(a) + ("" if listed(a) == listed(b) else f"; then {listed(b)}") + f"; {left}"


for _kind, _what in ("index", "index"), ("snapshots", "snapshot"), ("data", "tree pack"):
    for _how, _change in ("is half a file", halve), ("has a wrong bit", flip), ("is empty", empty):
        situation(f"A cached {_what} {_how}")(lambda p, k=_kind, c=_change: damaged(p, k, c))


@situation("A cached index is cut short after it was opened", "read of the index")
def cut_before_read(p):
    return while_read(p, Point(READ, path=p.glob("index")), halve)


@situation("A process is killed when a file is complete and has no name yet; what is left of it",
           "rename or link to its name")
def killed_before_rename(p):
    p.change("second")
    with p.stopped(*BACKUP, at=Point(RENAME, path=p.glob("*"))) as one:
        os.kill(one.reach()[0], signal.SIGKILL)
        one.end()
    p.elsewhere(p.repo, "unlock")
    p.run("cache", "--cleanup")
    r = p.run(*BACKUP)
    left = [f for f in p.cache.rglob("*") if f.is_file() and f.parent.parent.parent == p.mine
            and not NAME.fullmatch(f.name)]
    # The hour that it may take is not waited for.
    return f"{said(r)}; " + (f"{len(left)} temporary file, for ever" if left else "nothing")


# ---- clearing too much ----

group("Clearing that goes too far", """\
holdfast: reads which copies there are before it lists the repository, so what is cached meanwhile
stays. Packs, of which only the whole index says whether they are in use, stay for an hour besides.
""")


@situation("The one has listed the repository, another saves and caches a snapshot, the one clears the cache",
           "open of the folder `index`")
def cleared_too_much(p):
    before = p.cached()
    with p.stopped(*LS, at=Point(OPEN, path=f"{p.mine}/index")) as one:
        p.change("second")
        tap.eq(p.run(*BACKUP).code, 0)
        new = [n for n in p.cached() if n not in before]
        one.go()
        r = finished(one)
    lost = [n for n in new if n not in p.cached()]
    return f"{said(r)}; {len(lost) or 'none'} of {len(new)} new copies removed"


@situation("The repository's `index` and `snapshots` are empty for a moment, as with a mount that is not there")
def empty_listing(p):
    many = len(p.cached())
    for d in "index", "snapshots":
        (p.repo / d).rename(p.repo / f"away-{d}")
        (p.repo / d).mkdir()
    p.run("snapshots")
    p.run("ls", "latest")
    return f"{many - len(p.cached()) or 'none'} of {many} copies removed"


# ---- places ----

group("A cache that cannot be used", """\
holdfast: one warning, and the command goes on without the cache, or without adding to it. One that
belongs to somebody else, or that others may write to, is not used.
""")


@contextlib.contextmanager
def mounted(p, *options, fill=False):
    """The cache on a file system of its own."""
    saved = p.cache.with_name("saved")
    p.cache.rename(saved)
    p.cache.mkdir()
    tap.run("mount", "-t", "tmpfs", "-o", "size=512k,mode=700", "tmpfs", p.cache)
    try:
        shutil.copytree(saved, p.cache, dirs_exist_ok=True)
        if fill:
            with contextlib.suppress(OSError), open(p.cache / "fill", "wb", buffering=0) as f:
                while True:
                    f.write(bytes(4096))
        if options:
            tap.run("mount", "-o", ",".join(["remount", *options]), p.cache)
        yield
    finally:
        tap.run("umount", "-l", p.cache)


def works_in(p, prefix=()):
    """Whether a backup and a listing succeed there."""
    p.change("second")
    before = repos.files(p.repo, "snapshots")
    backup, ls = p.run(*BACKUP, prefix=prefix), p.run(*LS, prefix=prefix)
    if is_fine(backup) and is_fine(ls):
        return "fine"
    saved = "" if repos.files(p.repo, "snapshots") - before else ", nothing is saved"
    return f"backup: {said(backup)}{saved}; ls: " + ("the same" if said(backup) == said(ls) else said(ls))


@situation("The disk is full")
def full(p):
    with mounted(p, fill=True):
        return works_in(p)


@situation("The disk is full at first use")
def full_first(p):
    shutil.rmtree(p.mine)
    with mounted(p, fill=True):
        return works_in(p)


@situation("The file system is read-only")
def read_only(p):
    with mounted(p, "ro"):
        return works_in(p)


def as_nobody(p, mode):
    """The cache is root's; the program runs as nobody, on a repository that is open to it."""
    for d, folders, names in os.walk(p.top):
        for n in folders + names:
            os.chmod(os.path.join(d, n), 0o777)
    for d in p.top.parent, p.top:
        d.chmod(0o755)
    for d, _, names in os.walk(p.cache):
        os.chmod(d, mode)
        for n in names:
            os.chmod(os.path.join(d, n), mode & 0o666)
    p.env = {"HOME": str(p.top), "XDG_STATE_HOME": str(p.top / "nowhere")}
    return works_in(p, prefix=locking.as_nobody())


@situation("It is another user's, and closed")
def another_ones(p):
    return as_nobody(p, 0o700)


@situation("It is another user's, and can be read")
def anothers_open(p):
    return as_nobody(p, 0o755)


@situation("Everybody may write into it (mode 0777)")
def open_to_all(p):
    for d in p.cache, p.mine:
        d.chmod(0o777)
    return works_in(p)


@situation("Reading a copy fails (EIO)", "read of the index")
def read_fails(p):
    return listed(p.failing(*LS, at=Point(READ, path=p.glob("index")), errno="EIO"))


@situation("Writing a copy fails (EIO)", "write of the copy")
def write_fails(p):
    p.change("second")
    return said(p.failing(*BACKUP, at=Point(WRITE, below=p.mine), errno="EIO"))


@situation("Removing a stale copy fails (EACCES)", "unlink of the index")
def unlink_fails(p):
    p.make_stale()
    return said(p.failing(*BACKUP, at=Point(UNLINK, path=p.glob("index", p.stale("index"))), errno="EACCES"))


# ---- links ----

group("Symbolic links in the cache", """\
holdfast: goes from folder to folder by descriptor and follows no link, at no moment: what is behind
one is not there.
""")


def link_away(p, folder):
    """The folder goes elsewhere, and a link takes its place."""
    outside = p.top / "elsewhere"
    folder.rename(outside)
    folder.symlink_to(outside)
    return outside


def leads_outside(p, outside, text, before):
    after = {f.name for f in outside.rglob("*")}
    what = " and ".join(["made"] * bool(after - before) + ["removed"] * bool(before - after))
    return f"{text}; elsewhere {'files are ' + what if what else 'nothing happens'}"


def linked(p, folder):
    outside = link_away(p, folder)
    before = {f.name for f in outside.rglob("*")}
    p.make_stale()
    return leads_outside(p, outside, works_in(p), before)


@situation("The folder `snapshots` is a link to elsewhere")
def linked_snapshots(p):
    return linked(p, p.mine / "snapshots")


@situation("The repository's folder is a link to elsewhere")
def linked_all(p):
    return linked(p, p.mine)


@situation("The folder `data` becomes a link when the cache is open", "reading of the repository's `snapshots`")
def linked_meanwhile(p):
    p.change("second")
    with p.stopped(*BACKUP, at=Point("getdents64", path=p.repo / "snapshots")) as one:
        outside = link_away(p, p.mine / "data")
        before = {f.name for f in outside.rglob("*")}
        one.go()
        r = finished(one)
    return leads_outside(p, outside, said(r), before)
