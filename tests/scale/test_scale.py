# SPDX-License-Identifier: BSD-2-Clause
"""Memory stays bounded however large the thing is: a folder of many entries, a file of a tebibyte.

The programs run with a limit on their data segment (private memory; what the program puts aside
in unlinked files does not count), which is far below what the listing of the folder or of the
file's chunks takes. restic then says whether everything is there.

SCALE=full in the environment makes the folder one of a million entries; else it has 100,000.
"""

import contextlib
import functools
import os
import pathlib
import random
import resource
import shutil
import subprocess
import tarfile
import tempfile

import repos
import tap

MIB, TIB = 1 << 20, 1 << 40
IS_FULL = os.environ.get("SCALE") == "full"
ENTRIES = 1_000_000 if IS_FULL else 100_000
# About 110 MiB are threads, packs and chunks, whatever is saved, and what is larger than some tens
# of MiB is put aside. The nodes of a million entries are 280 MiB of JSON, which exist as text, tree,
# packed and sealed; the ids of the tebibyte's chunks are 134 MiB.
FOLDER_LIMIT = 400 * MIB if IS_FULL else 256 * MIB
FILE_LIMIT = 200 * MIB


def limit_data(n):
    resource.setrlimit(resource.RLIMIT_DATA, (n, n))


@functools.cache
def can_limit():
    """Not with sanitizers, whose own memory is larger."""
    return tap.run(tap.holdfast(), "version", check=None,
                   preexec_fn=lambda: limit_data(100 * MIB)).returncode == 0


@contextlib.contextmanager
def place(tmp, need):
    """A folder on a file system in memory if that has room, since a million files take long on disk."""
    shm = pathlib.Path("/dev/shm")
    is_fit = shm.is_dir() and os.access(shm, os.W_OK) and shutil.disk_usage(shm).free > need
    top = pathlib.Path(tempfile.mkdtemp(dir=shm if is_fit else tmp, prefix="hf-test-"))
    try:
        yield top
    finally:
        # Python would have to call itself for every level.
        subprocess.run(["rm", "-rf", top], check=True)


class Limited:
    def __init__(self, repo, limit):
        self.ours, self.theirs = repos.holdfast(), repos.restic("restic-new")
        self.repo, self.limit = repo, limit

    def __call__(self, *args, **kw):
        more = {"preexec_fn": lambda: limit_data(self.limit)} if can_limit() else {}
        return self.ours(self.repo, *args, timeout=1200, **more, **kw)


@tap.test
def a_folder_of_many_entries(tmp):
    with place(tmp, 3 * ENTRIES * 1024) as top:
        run = Limited(repos.quick(top / "repo"), FOLDER_LIMIT)
        source = top / "source"
        source.mkdir()
        fd = os.open(source, os.O_RDONLY)
        for i in range(ENTRIES):
            os.close(os.open(f"entry-{i}", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.close(fd)

        run("backup", ".", cwd=source)
        run("backup", ".", cwd=source)  # beside a parent of the same size
        tap.eq(len({s["tree"] for s in run.theirs.snapshots(run.repo)}), 1)
        run("check", "--read-data")
        tap.eq(run("ls", "latest").stdout.count("\n/entry-"), ENTRIES)
        tap.eq(run.theirs(run.repo, "ls", "latest").stdout.count("\n/entry-"), ENTRIES)
        run("restore", "latest", "--target", top / "restored")
        tap.eq(set(os.listdir(top / "restored")), {f"entry-{i}" for i in range(ENTRIES)})
        # Once more over what is there: everything is looked at, nothing written.
        run("restore", "latest", "--target", top / "restored")


@tap.test
def a_file_of_a_tebibyte(tmp):
    """Almost all of it a hole; the pieces of data are found again where they were."""
    with place(tmp, 64 * MIB) as top:
        run = Limited(repos.quick(top / "repo"), FILE_LIMIT)
        rng = random.Random(4)
        (top / "source").mkdir()
        pieces = {rng.randrange(TIB - 4096): rng.randbytes(4096) for _ in range(20)} | {TIB - 4096: rng.randbytes(4096)}
        with open(top / "source/file", "wb") as f:
            for at, data in pieces.items():
                os.pwrite(f.fileno(), data, at)
        run("backup", ".", cwd=top / "source")
        s = run.theirs.json(run.repo, "stats", "latest")
        tap.eq([s["total_size"], s["total_file_count"]], [TIB, 1])
        run("check", "--read-data")
        run("restore", "latest", "--target", top / "restored", "--sparse")
        with open(top / "restored/file", "rb") as f:
            st = os.fstat(f.fileno())
            tap.eq(st.st_size, TIB)
            tap.ok(st.st_blocks * 512 < 256 * MIB, f"{st.st_blocks * 512} bytes on disk")
            for at, data in pieces.items():
                tap.ok(os.pread(f.fileno(), 4096, at) == data, f"the data at {at}")
        # Unchanged: its list of chunks is taken over, and the tree is the same.
        s = run.ours.summary(run.repo, ".", cwd=top / "source")
        tap.eq([s["files_unmodified"], s["data_added"]], [1, 0])


@tap.test
def a_tree_of_many_levels(tmp):
    """Far deeper than the system can name, and than a stack of calls could be."""
    levels = 3000
    with place(tmp, 64 * MIB) as top:
        run = Limited(repos.quick(top / "repo"), FOLDER_LIMIT)
        (top / "source").mkdir()
        here = os.getcwd()
        try:
            os.chdir(top / "source")
            for _ in range(levels):
                os.mkdir("d")
                os.chdir("d")
            pathlib.Path("bottom").write_text("x")
        finally:
            os.chdir(here)
        run("backup", ".", cwd=top / "source")
        run("backup", ".", cwd=top / "source")
        tap.eq(len({s["tree"] for s in run.theirs.snapshots(run.repo)}), 1)
        run("check", "--read-data")
        run.theirs(run.repo, "check")
        tap.eq(run("ls", "latest").stdout.splitlines()[-1], "/d" * levels + "/bottom")


def peak(*argv):
    """The largest resident set of a program in bytes; Python's own, which it begins with, is smaller."""
    p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    error = p.stderr.read()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = status
    tap.ok(status == 0, f"{argv}: {error}")
    return usage.ru_maxrss * 1024


@tap.test
def an_index_of_many_blobs(tmp):
    """The bytes that each blob costs, and what reading several index files at once needs above that."""
    blobs = 2_000_000 if IS_FULL else 500_000
    maker = pathlib.Path(tap.holdfast()).parent / "bench/make_blobs"
    if not can_limit() or not maker.exists():
        tap.skip("memory cannot be measured in this build")
    with place(tmp, blobs * 100) as top:
        repo = repos.quick(top / "repo")
        for i in range(256):
            (repo / f"data/{i:02x}").mkdir(parents=True, exist_ok=True)
        os.environ.update(RESTIC_PASSWORD=repos.PASSWORD, XDG_STATE_HOME=str(top / "state"))
        subprocess.run([maker, repo, str(blobs / 1e6)], check=True)
        most = 14 * MIB + 7 * MIB * min(os.cpu_count(), 16) + 48 * blobs
        for words in (["stats"], ["stats", "--mode", "raw-data"], ["prune", "--dry-run"], ["check"]):
            got = peak(tap.holdfast(), "-r", repo, "--cache-dir", top / "cache", *words)
            tap.ok(got < most, f"{words}: {got / MIB:.1f} MiB, at most {most / MIB:.1f}")
            tap.ok(got > 44 * blobs, f"{words}: {got / MIB:.1f} MiB cannot be all")


@tap.test
def an_archive_of_many_entries(tmp):
    """In no order, so that no folder is complete before the last entry is there."""
    with place(tmp, ENTRIES * 4096) as top:
        run = Limited(repos.quick(top / "repo"), FOLDER_LIMIT)
        numbers = list(range(ENTRIES))
        random.Random(1).shuffle(numbers)
        with tarfile.open(top / "x.tar", "w") as t:
            for i in numbers:
                t.addfile(tarfile.TarInfo(f"d{i % 1000}/an-entry-with-a-name-of-some-length-{i}"))
        run("import-tar", top / "x.tar")
        run.theirs(run.repo, "check")
        tap.eq(run.theirs(run.repo, "ls", "latest").stdout.count("/an-entry-"), ENTRIES)


tap.main()
