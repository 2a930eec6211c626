# SPDX-License-Identifier: BSD-2-Clause
"""Many processes on one cache and one repository, ours and two restics, that are stopped and killed.

Eight of ours and one of each restic run at a time, each choosing what to do next from a list of its
own: backup, restore, ls, dump, snapshots, check, forget with prune, eviction with a tiny limit, and
cleaning up whatever has not been used this very second. Meanwhile somebody stops and kills them at
random, and removes the cache now and then. The second test does the same on a small disk that is
full most of the time.

It passes when every process of ours that was not killed ended with 0, said nothing about a cache
(on the full disk: that it is full), and gave the right answer; when the repository is sound, and the
cache holds only whole files that are what their names say. What the restics say and suffer is
counted and not judged, unless they give a wrong answer without a word about the cache.

CACHE_STRESS is the number of seconds (60) of both tests together, CACHE_STRESS_SEED a number that was
printed before: it makes the same choices, but processes have their own mind about when.
"""

import collections
import contextlib
import functools
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import threading
import time
import traceback

import locking
import repos
import tap

locking.own_mounts()

SECONDS = float(os.environ.get("CACHE_STRESS", "45"))
SEED = os.environ.get("CACHE_STRESS_SEED") or str(random.SystemRandom().randrange(1 << 32))
MAX_WRONG = 5
KEPT = 4  # snapshots that no forget removes
RECENT = 6
FOLDERS, FILES = 30, 10  # of each source
SMALL_DISK = 3 << 20

# What ours may say on a disk that is full: one sentence, in one of two forms.
NO_SPACE = "Warning: .*(No space left on device|Disk quota exceeded)"
FULL = re.compile(f"{NO_SPACE}; going on without adding to it|{NO_SPACE}\nWarning: going on without a cache")
# What of restic's is no more than that the repository is locked.
LOCKED = re.compile(r"already locked|unable to create lock")
DAMAGE = re.compile(r"invalid data|does not match|hash mismatch|ciphertext|verification failed|damaged", re.I)


# ---- what is saved, and what must come back ----

def content(top):
    """Path and SHA-256 of every file below a folder."""
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = pathlib.Path(folder, name)
            found[str(path.relative_to(top))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def all_paths(files):
    """As ls shows them: the files, and the folders that they are in."""
    folders = {str(p) for f in files for p in pathlib.PurePath(f).parents} - {"."}
    return {f"/{p}" for p in folders | set(files)}


class Saved:
    def __init__(self, snapshot, files, is_kept):
        self.id, self.files, self.is_kept = snapshot, files, is_kept


class Sources:
    """Folders to back up, each a little different from all others."""

    def __init__(self, tmp, rng):
        self.top = tmp / "sources"
        self.number = 0
        self.lock = threading.Lock()
        self.base = self.top / "base"
        for n in range(FOLDERS * FILES):
            path = self.base / f"folder-{n % FOLDERS:02}/inner/file-{n:04}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(rng.randbytes(rng.randrange(2000)))
        (self.base / "large").write_bytes(rng.randbytes(1_500_000))

    @contextlib.contextmanager
    def another(self, rng):
        with self.lock:
            self.number += 1
            path = self.top / f"{self.number}"
        shutil.copytree(self.base, path)
        try:
            for n in rng.sample(range(FOLDERS * FILES), 12):
                (path / f"folder-{n % FOLDERS:02}/inner/file-{n:04}").write_bytes(rng.randbytes(rng.randrange(3000)))
            yield path, content(path)
        finally:
            shutil.rmtree(path)


# ---- processes, and what happens to them ----

class Job:
    """A process, until somebody has waited for it."""

    def __init__(self, argv, cwd):
        env = {**os.environ, "RESTIC_PASSWORD": repos.PASSWORD, **({"PWD": str(cwd)} if cwd else {})}
        self.was_killed = False
        self.argv = argv
        self.p = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)

    def wait(self, patience, on_hang):
        """on_hang() tells what else there is to know."""
        told = ""
        try:
            self.out, err = self.p.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            told = f"(pid {self.p.pid} did not come to an end)\n{on_hang()}"
            self.p.kill()
            self.out, err = self.p.communicate()
        self.err = err.decode(errors="replace") + told
        self.code = self.p.returncode

    def told(self):
        return f"{' '.join(map(str, self.argv))}\nexit code {self.code}\n{self.err}"


class Fate:
    """Stops and kills processes until `end`; what is stopped then goes on while it is entered."""

    def __init__(self, rng, cache, counts, on_hang):
        self.rng, self.cache, self.counts, self.on_hang = rng, cache, counts, on_hang
        self.end = 0
        self.lock = threading.Lock()
        self.jobs = set()
        self.stopped = []  # (when to go on, job)
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def watch(self, job, patience):
        """Waits for a job, to which things may happen meanwhile."""
        with self.lock:
            self.jobs.add(job)
        job.wait(patience, self.on_hang)
        with self.lock:
            self.jobs.remove(job)

    def go_on(self, until):
        while self.stopped and min(self.stopped, key=lambda s: s[0])[0] <= until:
            next_one = min(self.stopped, key=lambda s: s[0])
            self.stopped.remove(next_one)
            next_one[1].p.send_signal(signal.SIGCONT)

    def strike(self):
        with self.lock:
            # The fewer there are, the rarer: a lone one is to get on, too.
            jobs = sorted(self.jobs, key=lambda j: j.p.pid) + [None] * (10 - len(self.jobs))
            job = self.rng.choice(jobs)
            what = self.rng.choices(("stop", "kill", "remove"), (60, 40, 3))[0]
            if what == "remove":
                # People with rm; a restic that opens a file there at this moment has it coming.
                for part in self.cache.glob("[0-9a-f]*"):
                    shutil.rmtree(part, ignore_errors=True)
            elif job is None or job.p.poll() is not None:
                return
            elif what == "stop":
                job.p.send_signal(signal.SIGSTOP)
                self.stopped.append((time.monotonic() + self.rng.uniform(0.01, 0.8), job))
            else:
                job.was_killed = True
                job.p.kill()
            self.counts[f"({what})"] += 1

    def run(self):
        while not self.is_over.wait(self.rng.uniform(0, 0.3)):
            if time.monotonic() < self.end:
                self.strike()
            self.go_on(time.monotonic())
        self.go_on(float("inf"))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()


class Turns:
    """Lets those who need the repository for themselves find it free, without taking it for long.

    restic 0.14 does not wait for locks at all, and under this load nobody would ever see none. Others
    are held back until the one has had the time to take its lock, and wait for that from then on.
    """

    GAP, HEAD_START = 2.5, 1.5

    def __init__(self):
        self.cond = threading.Condition()
        self.running = 0
        self.closed_until = 0
        self.next = 0

    @contextlib.contextmanager
    def among_others(self):
        with self.cond:
            while time.monotonic() < self.closed_until:
                self.cond.wait(min(1, max(0, self.closed_until - time.monotonic())))
            self.running += 1
        try:
            yield
        finally:
            with self.cond:
                self.running -= 1
                self.cond.notify_all()

    def take(self):
        """True for who may be alone now; done() follows."""
        with self.cond:
            if time.monotonic() < max(self.next, self.closed_until):
                return False
            self.closed_until = float("inf")
            while self.running:
                self.cond.wait()
        return True

    def go(self):
        with self.cond:
            self.closed_until = time.monotonic() + self.HEAD_START
            self.cond.notify_all()

    def done(self):
        with self.cond:
            self.closed_until = 0
            self.next = time.monotonic() + self.GAP
            self.cond.notify_all()


# ---- the stress ----

class Stress:
    def __init__(self, tmp, cache, is_full=False):
        self.tmp, self.cache, self.is_full = tmp, cache, is_full
        self.rng = random.Random(f"{SEED}-{is_full}")
        self.ours = repos.holdfast()
        self.theirs = [repos.restic("restic-0.14"), repos.restic("restic-new")]
        self.repo = repos.quick(tmp / "repo")
        self.sources = Sources(tmp, self.rng)
        self.counts = collections.Counter()  # "ours backup": how many were right; "(kill)": what happened
        self.restics = collections.Counter()  # how commands of restic ended
        self.wrong = []
        self.saved = []
        self.dead = set()  # numbers of restics that were killed
        self.lock = threading.Lock()
        self.turns = Turns()
        self.fate = Fate(random.Random(f"{SEED}-{is_full}-fate"), cache, self.counts, self.show_locks)
        for _ in range(KEPT):
            with self.sources.another(self.rng) as (path, files):
                s = self.ours.summary(self.repo, ".", "--tag", "keep", "--host", "h", "--no-cache", cwd=path)
                self.saved.append(Saved(s["snapshot_id"], files, True))

    # -- running and judging

    def argv(self, program, rng, *args):
        """With the cache. Ours wait for a lock that is held, restic 0.14 cannot."""
        more = ["--cache-dir", self.cache]
        if program is self.ours and rng.random() < 0.5:
            # A store that is not so near, so that there is time for something to happen meanwhile.
            more += ["-o", rng.choice(("fault.plan=delay@1+:list:index:snapshot:pack:200",
                                       "fault.plan=delay@1+:get:index:snapshot:pack:30"))]
        if program is self.ours and self.is_full and rng.random() < 0.7:
            more += ["--cache-min-free", "1k"]  # without it ours do not use what little there is
        if program.name != "restic-0.14":
            more += ["--retry-lock", "10m"]
        return [program.path, "-r", str(self.repo), *map(str, more), *map(str, args)]

    def is_ok(self, program, job, may_fail):
        """Whether it has an answer to be looked at."""
        if job.was_killed and job.code == -signal.SIGKILL:
            return False
        if program is self.ours:
            self.judge_words(job)
            if job.code != 0 and not may_fail():
                self.add_wrong(f"a command of ours failed:\n{job.told()}")
            return job.code == 0
        how = "fine" if job.code == 0 else "locked" if LOCKED.search(job.err) else "failed"
        if how == "failed" and "cache" in job.err:
            how = "failed because of the cache"
        elif how == "fine" and "cache" in job.err:
            how = "fine, with words about the cache"
        if DAMAGE.search(job.err):
            how += ", damage"
        with self.lock:
            self.restics[f"{program.name}: {how}"] += 1
            if how not in ("fine", "locked"):
                self.restics[f"{program.name} said: {first_words(job.err)}"] += 1
        return job.code == 0

    def judge_words(self, job):
        lines = [line for line in job.err.splitlines() if "cache" in line.lower()]
        if self.is_full and FULL.fullmatch("\n".join(lines)):
            with self.lock:
                self.counts["(told that the disk is full)"] += 1
        elif lines:
            self.add_wrong(f"a command of ours speaks of the cache:\n{job.told()}")

    def add_wrong(self, text):
        with self.lock:
            self.wrong.append(text)

    def run(self, program, rng, *args, cwd=None, may_fail=lambda: False):
        """Runs a command among others; returns the job if it ended well."""
        job = Job(self.argv(program, rng, *args), cwd)
        self.dead.discard(job.p.pid)
        # A restic on a full disk may try for a quarter of an hour, and holds a lock that ours wait for.
        self.fate.watch(job, locking.PATIENCE / (1 if program is self.ours else 4))
        if program is not self.ours and job.code == -signal.SIGKILL:
            self.dead.add(job.p.pid)
            self.remove_locks()
        return job if self.is_ok(program, job, may_fail) else None

    def ok(self, job, what, got, want):
        if got != want and job.argv[0] != self.ours.path and "cache" in job.err:
            # The newest restic leaves out snapshots whose copies it cannot write, and ends with 0.
            with self.lock:
                self.restics["wrong answers of restics because of the cache"] += 1
        elif got != want:
            difference = sorted(set(got) ^ set(want))[:10] if isinstance(got, (dict, set)) else (got, want)
            self.add_wrong(f"{what}, with exit code 0: {difference}\n{job.told()}")

    def some_snapshot(self, rng):
        with self.lock:
            return rng.choice(self.saved[:KEPT] + self.saved[-RECENT:])

    def is_gone(self, s):
        """For a failure that is right: the snapshot was forgotten."""
        return lambda: not s.is_kept and not (self.repo / "snapshots" / s.id).exists()

    # -- what processes do

    def backup(self, program, rng):
        with self.sources.another(rng) as (path, files):
            job = self.run(program, rng, "backup", ".", "--host", "h", "--json", "--tag", "t", cwd=path)
            if job:
                s = json.loads(job.out.splitlines()[-1])
                self.ok(job, "not all files were saved", s["total_files_processed"], len(files))
                with self.lock:
                    self.saved.append(Saved(s["snapshot_id"], files, False))
        return job

    def restore(self, program, rng, *more):
        s = self.some_snapshot(rng)
        target = self.tmp / f"restore-{rng.randrange(1 << 60):x}"
        job = self.run(program, rng, *more, "restore", s.id, "--target", target, may_fail=self.is_gone(s))
        if job:
            self.ok(job, "something else was restored", content(target), s.files)
        shutil.rmtree(target, ignore_errors=True)
        return job

    def ls(self, program, rng, *more):
        s = self.some_snapshot(rng)
        job = self.run(program, rng, *more, "ls", s.id, may_fail=self.is_gone(s))
        if job:
            found = {line for line in job.out.decode().splitlines() if line.startswith("/")}
            self.ok(job, "something else was listed", found, all_paths(s.files))
        return job

    def dump(self, program, rng, *more):
        s = self.some_snapshot(rng)
        name = rng.choice(sorted(s.files))
        # Quietly: restic says on standard output that it waits for a lock.
        job = self.run(program, rng, *more, *(["--quiet"] if program is not self.ours else []), "dump", s.id, f"/{name}", may_fail=self.is_gone(s))
        if job:
            self.ok(job, "something else was read", hashlib.sha256(job.out).hexdigest(), s.files[name])
        return job

    def snapshots(self, program, rng, *more):
        job = self.run(program, rng, *more, "snapshots", "--tag", "keep", "--json")
        if job:
            found = {s["id"] for s in json.loads(job.out)}
            self.ok(job, "other snapshots were listed", found, {s.id for s in self.saved[:KEPT]})
        return job

    def cleanup(self, program, rng):
        return self.run(program, rng, "cache", "--cleanup", "--max-age", "0")

    def table(self, program, rng):
        return self.run(program, rng, "cache", *rng.choice(([], ["--no-size"])))

    def evict(self, program, rng):
        limit = rng.choice(("1k", "64k", "256k", "1M"))
        return rng.choice((self.ls, self.restore, self.dump, self.snapshots))(program, rng, "--cache-limit", limit)

    def check(self, program, rng):
        more = rng.choice(([], ["--with-cache"], ["--with-cache", "--read-data"]))
        return self.run(program, rng, "check", *more)

    def prune(self, program, rng):
        return self.run(program, rng, "forget", "--keep-tag", "keep", "--keep-last", RECENT, "--group-by", "host",
                        "--prune")

    ALONE = {"check", "prune"}  # those that take the whole repository
    NO_LOCK = {"cleanup", "table"}

    def one(self, program, what, rng):
        """Runs one command; None if it was not its turn."""
        fn = getattr(self, what)
        if what in self.NO_LOCK:
            return fn(program, rng)
        if what not in self.ALONE:
            with self.turns.among_others():
                return fn(program, rng)
        if not self.turns.take():
            time.sleep(0.2)
            return None
        try:
            self.remove_locks()
            # Mostly all the others begin at once when it is done, and find the same copies to be stale.
            if what != "prune" or rng.random() < 0.3:
                self.turns.go()
            job = fn(program, rng)
            if not job:
                self.remove_locks()
            return job
        finally:
            self.turns.done()

    def remove_locks(self):
        """Those of the dead. Of a restic, unlock takes no number of a process for a proof, but we know it."""
        r = self.ours(self.repo, "unlock", "--no-cache", check=None)
        if r.returncode != 0:
            self.add_wrong(f"unlock failed:\n{r.stderr}")
        for held in self.ours.json(self.repo, "locks", "--no-cache"):
            if held["kind"] == "restic" and held["pid"] in self.dead:
                # Another thread may have done it by now.
                self.ours(self.repo, "unlock", "--no-cache", "--id", held["id"], "--force", check=None)

    def show_locks(self):
        return self.ours(self.repo, "locks", "--no-cache", check=None).stdout

    def work(self, program, name, mix, end):
        """One process after the other, until the time is over and everything was done once."""
        rng = random.Random(f"{SEED}-{self.is_full}-{name}")
        whose = "ours" if program is self.ours else "restic"
        undone, deadline = set(mix), time.monotonic() + 3 * locking.PATIENCE
        while (time.monotonic() < end or undone) and time.monotonic() < deadline + SECONDS \
                and len(self.wrong) < MAX_WRONG:
            what = rng.choice(mix) if time.monotonic() < end else rng.choice(sorted(undone))
            try:
                done = self.one(program, what, rng)
            except Exception:  # told by the test; a thread has nobody to tell
                self.add_wrong(f"{whose} {what}: {traceback.format_exc()}")
                return
            if done:
                undone.discard(what)
                with self.lock:
                    self.counts[f"{whose} {what}"] += 1
            elif program is not self.ours and (self.is_full or what != "prune"):
                undone.discard(what)  # it need not work

    def all_at_once(self, seconds, *meanwhile):
        """`meanwhile` are functions that are called with the time of the end, in threads of their own."""
        backup = ["backup"] * 4 + ["ls", "restore"]
        restore = ["restore"] * 4 + ["dump", "snapshots"]
        look = ["ls", "dump", "snapshots", "table"]
        mixes = [backup, backup, restore, restore, ["check", "check", "ls"], ["cleanup"] * 4 + ["snapshots"],
                 ["evict"], ["evict", *look]]
        self.fate.end = end = time.monotonic() + seconds
        workers = [(self.ours, f"{n}", mix) for n, mix in enumerate(mixes)]
        workers += [(p, p.name, ["backup", "backup", "restore", "ls", "snapshots", "cleanup", "prune", "prune", "prune", "check"])
                    for p in self.theirs]
        threads = [threading.Thread(target=self.work, args=(*w, end)) for w in workers]
        threads += [threading.Thread(target=fn, args=(end,)) for fn in meanwhile]
        with self.fate:
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        self.remove_locks()
        self.report()
        tap.ok(not self.wrong, f"seed {SEED}: {len(self.wrong)} went wrong:\n" + "\n\n".join(self.wrong))
        tap.ok(self.counts["(kill)"] and self.counts["(stop)"], "nothing was killed or stopped")

    def report(self):
        """How much was done, as a remark in the output of the test."""
        n = sum(v for k, v in self.counts.items() if not k.startswith("("))
        print(f"# seed {SEED}: {n} commands ended well: " + as_text(self.counts))
        print("# " + as_text(self.restics), flush=True)

    # -- afterwards

    def is_sound(self):
        """The repository, what we read of it by way of the cache, and every file of the cache."""
        by_cache = repos.holdfast()
        by_cache.more = ["--cache-dir", self.cache]
        # Of restics that were killed while they copied: they can take all of a small disk, and for days.
        for path in self.cache.rglob("tmp-*"):
            path.unlink()
        for program in (self.ours, self.theirs[1]):
            program(self.repo, "check", "--read-data", *(["--no-cache"] if program is self.ours else []))
        for s in self.saved[:KEPT]:
            target = self.tmp / f"kept-{s.id}"
            by_cache(self.repo, "restore", s.id, "--target", target)
            tap.eq(content(target), s.files, "restored in the end")
            shutil.rmtree(target)
        print("# the cache: " + as_text(cache_is_valid(self.cache)), flush=True)


def cache_is_valid(cache):
    """Whether all that restic and we take for copies is what its name says; counts the files."""
    found, wrong = collections.Counter(), []
    for part in cache.glob("[0-9a-f]" * 64):
        tap.eq((part / "version").read_text(), "1", "version of the cache")
        for kind in ("index", "snapshots", "data"):
            for path in (p for p in (part / kind).rglob("*") if not p.is_dir()):
                if path.name.startswith("tmp-"):
                    found["left by a restic"] += 1
                    continue
                found[kind] += 1
                if path.is_symlink() or hashlib.sha256(path.read_bytes()).hexdigest() != path.name \
                        or path.parent.name != path.name[:2]:
                    wrong.append(f"{path.relative_to(cache)}, {path.stat().st_size} bytes")
    tap.ok(not wrong, "in the cache are files that are not what they are called:\n" + "\n".join(wrong))
    there = "\n".join(f"{path.relative_to(cache)}, {path.stat().st_size} bytes" for path in sorted(cache.rglob("*")))
    tap.ok(found["index"] or found["snapshots"],
           f"there is no cache; {os.statvfs(cache).f_bavail * os.statvfs(cache).f_bsize} bytes are free:\n{there}")
    return found


def first_words(text):
    """A message without what is different each time."""
    line = next((w for w in text.splitlines() if w.strip() and not w.startswith("repository ")), "")
    return re.sub(r"[0-9a-f]{8,}|\d{3,}", "#", re.sub(r"/\S*/", "", line))[:120]


def as_text(counter):
    return ", ".join(f"{n} {k}" if k.startswith("(") else f"{k} {n}" for k, n in sorted(counter.items())) or "nothing"


@tap.test
def everybody_at_once(tmp):
    tmp = repos.memory(tmp)
    s = Stress(tmp, tmp / "cache")
    s.all_at_once(SECONDS * 0.6)
    s.is_sound()


@contextlib.contextmanager
def small_disk(path):
    path.mkdir()
    if "HF_TEST_MOUNTS" not in os.environ:
        tap.skip("needs root and mount namespaces")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK},mode=700", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def fill(disk, rng, end):
    """Takes all of a disk, or almost all of it, or gives half of it back, until the end."""
    with open(disk / "ballast", "wb") as f:
        while time.monotonic() < end:
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
            all_of_it = os.fstat(f.fileno()).st_size + free
            size = rng.choice((all_of_it, all_of_it, all_of_it - rng.randrange(1 << 17), all_of_it // 2))
            with contextlib.suppress(OSError):  # somebody else was faster
                os.truncate(f.fileno(), max(0, size))
                os.posix_fallocate(f.fileno(), 0, max(1, size))
            time.sleep(rng.uniform(0.1, 1))
    os.unlink(disk / "ballast")


@tap.test
def on_a_disk_that_is_full(tmp):
    tmp = repos.memory(tmp)
    with small_disk(tmp / "disk") as disk:
        s = Stress(tmp, disk / "cache", is_full=True)
        s.all_at_once(SECONDS * 0.4, functools.partial(fill, disk, random.Random(f"{SEED}-fill")))
        s.is_sound()


tap.main()
