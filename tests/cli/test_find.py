# SPDX-License-Identifier: BSD-2-Clause
"""find: what restic prints is what holdfast prints, on the same repository, byte by byte.

Apart from what is written down at the end, where restic's own answer is wrong or random.
"""

import concurrent.futures
import json
import os
import re
import shutil
import subprocess

import repos
import tap
from pair import Pair

BOTH = ("restic-new", "restic-0.14")
START = 1_600_000_000
RAW = {"errors": "surrogateescape"}


def fill(tmp):
    d = tmp / "data"
    for f in ("docs/report.txt", "docs/Report.TXT", "docs/old/report.txt", "docs/old/deep/er/x", "src/main.c", "src/lib/main.c",
              "src/lib/a/b/c/d.go", "same/one", "same/two/three", "!bang", "!!bang", "sp ace", "[x]", "star*", "<&>\u00e4 \u2028",
              "\u00c4RGER", "empty/x/y"):
        (d / f).parent.mkdir(parents=True, exist_ok=True)
        (d / f).write_text(f"this is {f}\n")
    (d / "none").mkdir()
    (d / "zero").touch()
    (d / "big").write_bytes(os.urandom(3 << 20))
    (d / "twice").write_bytes((d / "big").read_bytes())
    (d / "link").symlink_to("docs/report.txt")
    (d / "broken").symlink_to(os.fsdecode(b"nowhere\xe9"))
    os.mkfifo(d / "pipe")
    os.link(d / "zero", d / "hard")
    os.chmod(d / "big", 0o4711)
    (d / os.fsdecode(b"latin\xe9")).write_text("latin")
    age(d)
    return d


def age(d):
    """Everything has a time of its own, an hour apart."""
    for n, f in enumerate(sorted(d.rglob("*"))):
        os.utime(f, ns=((START + n * 3600) * 10**9 + 123_456_000 + n,) * 2, follow_symlinks=False)


def repository(p):
    """Five snapshots that share most of their trees, and what they say of themselves."""
    d = fill(p.tmp)
    repos.quick(p.tmp / "repo")
    p.setup("backup", "-q", "data", "--tag", "one", "--host", "h1", "--time", "2023-01-02 03:04:05")
    (d / "docs/report.txt").write_text("changed\n")
    p.setup("backup", "-q", "data", "--tag", "one,two", "--host", "h2", "--time", "2023-02-02 03:04:05")
    p.setup("backup", "-q", "data", "--tag", "two", "--host", "h2", "--time", "2023-03-02 03:04:05")
    (d / "src").rename(d / "source")
    shutil.copytree(d / "same", d / "docs/copy")
    age(d)
    p.setup("backup", "-q", d, "--host", "h1", "--time", "2023-08-02 03:04:05")
    p.setup("backup", "-q", "--stdin", "--stdin-filename", "report.sql", "--host", "h3", "--time", "2022-02-02 03:04:05", input="x")
    return snapshots(p)


def snapshots(p):
    return json.loads(p.one(p.restic, "snapshots", "--json", "--no-lock").stdout)


def node(p, name):
    """A node of /data in the first snapshot of it."""
    first = next(s for s in snapshots(p) if "one" in s.get("tags", ()))
    out = p.one(p.restic, "cat", "--no-lock", "tree", f"{first['id']}:/data", **RAW).stdout
    return next(n for n in json.loads(out)["nodes"] if n["name"] == name)


def a_sixth(pairs):
    """A sixth of what comes in pairs, either side in turn; all with INTEROP=full."""
    if os.environ.get("INTEROP") == "full":
        return pairs
    return [x for n, x in enumerate(pairs) if n % 12 in (0, 9)]


def compare(p, cases, **kw):
    """Every case, a list of arguments, given to both, as text and as JSON; most of the time each waits."""
    wrong = []

    def one(case):
        try:
            p.same("find", "--no-lock", *case, stderr=True, clean=clean, **RAW, **kw)
        except AssertionError as e:
            wrong.append(str(e))

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(one, a_sixth([c + more for c in cases for more in ([], ["--json"])])))
    tap.ok(not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong))


def clean(s):
    return re.sub(r"using temporary cache in .*\n", "", s)


PATTERNS = [
    ["report.txt"], ["*.txt"], ["*.TXT", "*.go"], ["nothing"], ["docs"], ["/data/docs"], ["/docs"], ["docs/old"], ["docs/report.txt"],
    ["docs/**/x"], ["**/x"], ["**"], ["*"], ["/"], ["/data"], ["/data/*"], ["/data/**/*.c"], ["/data/s*/lib"], ["a/*/c"], ["a/b/**"],
    ["lib/main.c"], ["ma?n.c"], ["[ms]*"], ["[^a-z]*"], ["\\[x\\]"], ["[[]x]"], ["star\\*"], ["sp ace"], [""], ["", "x"], ["!bang"],
    ["!!bang"], ["!!!bang"], ["\\!bang"], ["!"], ["!*.c", "x"], ["./docs"], ["docs/../docs"], ["docs/"], ["docs//old"], ["."], [".."],
    ["-i", "REPORT.txt"], ["-i", "*.C"], ["-i", "\u00e4rger"], ["\u00c4*"], ["-i", "/DATA/docs/OLD"], ["same"], ["two/three"], ["three"],
    ["<&>*"], ["latin*"], ["latin?"], ["x" * 300], ["main.c", "main.c"], ["report.sql"], ["--", "-x"],
]


@tap.test
def patterns(tmp):
    p = Pair(tmp)
    repository(p)
    compare(p, PATTERNS)


@tap.test
def listings_and_filters(tmp):
    p = Pair(tmp)
    found = repository(p)
    ids = [s["id"] for s in found]
    lines = ["-l *", "-l --human-readable *", "--human-readable b*", "-q report.txt", "-q -l *", "-v report.txt", "-R report.txt",
             "--reverse -l main.c", "-R nothing", "-H h1 report.txt", "--host h1 --host h3 report*", "--host nobody report.txt",
             "--tag one report.txt", "--tag one,two report.txt", "--tag two --tag one report.txt", "--tag none report.txt",
             "--tag= report.txt", "--path /nowhere report.txt", f"--path {tmp}/data report.txt", "--host= report.txt",
             f"-s {ids[0]} *.c", f"-s {ids[1][:8]} -s {ids[0][:10]} *.c", f"-s {ids[1]} -s {ids[1][:8]} *.c", "-s latest *.c",
             "-s latest -s latest --host h2 *.c", f"-s {ids[0]} --host h2 *.c", "-s latest --host nobody *.c", "-s nosuch *.c",
             f"-s {ids[0]}:/data *.c", "-s latest:/data *.c", "-s zz -s latest x", "-R -s latest *", "-s ffffffff *"]
    compare(p, [x.split() for x in lines])
    compare(p, [["report.txt"]], env={"RESTIC_HOST": "h2"})
    compare(p, [["--host", "", "report.txt"]], env={"RESTIC_HOST": "h2"})
    compare(p, [["-l", "report.txt"]], env={"TZ": "America/St_Johns"})


@tap.test
def of_the_old_restic_too(tmp):
    """It has the snapshots in any order, no --reverse and --human-readable, and no inodes in its JSON."""
    p = Pair(tmp, "restic-0.14")
    ids = [s["id"] for s in repository(p)]
    cases = [["-s", i, *x] for i in ids for x in (["-l", "*"], ["-q", "*.c", "x"], ["-i", "REPORT*"], ["-l", "-N", "2020-09-14", "*"])]
    cases += [["x", "-O", "soon"], [], ["--blob", "--pack", "x"], ["-s", ids[0], "nothing", "--json"]]
    for c in cases:
        p.same("find", "--no-lock", *c, **RAW)
    for i in ids:
        a, b = (json.loads(p.one(x, "find", "--no-lock", "--json", "-s", i, "*", **RAW).stdout) for x in (p.restic, tap.holdfast()))
        for m in b[0]["matches"]:
            m.pop("inode", None)
        tap.eq(json.dumps(b), json.dumps(a))


# ---- times ----

DATES = ["2020-03-28 21:00:00", "2020-03-29 00:30:00", "2020-10-24 23:30:00", "2020-10-25 01:00:00", "2020-01-01 00:00:00", "2020-07-01 00:00:00"]
TIMES = [
    "2020-03-29", "2020-03-29 01:59", "2020-03-29 02:00", "2020-03-29 02:30", "2020-03-29 03:00", "2020-03-29 03:30:00", "2020-10-25 01:59",
    "2020-10-25 02:00", "2020-10-25 02:30", "2020-10-25 02:59:59", "2020-10-25 03:00:00", "2020-07-01 1:00", "2020-07-01 01:00:00.5",
    "2020-07-01 01:00:00,25", "2020-07-01 01:00:00.", "2020-07-01  01:00", "2020-07-01 ", " 2020-07-01", "2020-07-01 01:00 ",
    "2020-07-01 02:00:00 +0200", "2020-07-01 02:00:00 -0330", "2020-07-01 02:00:00 +2460", "2020-07-01 02:00:00 +2500",
    "2020-07-01 02:00:00 +02:00", "2020-07-01 02:00:00 +02", "2020-07-01 02:00:00 UTC", "2020-07-01 02:00:00 CEST", "2020-07-01 02:00:00 CET",
    "2020-01-01 02:00:00 CEST", "2020-01-01 02:00:00 CET", "2020-01-01 02:00:00 MST", "2020-01-01 02:00:00 GMT", "2020-01-01 02:00:00 GMT+3",
    "2020-01-01 02:00:00 GMT-30", "2020-01-01 02:00:00 CEMT", "2020-01-01 02:00:00 ChST", "2020-01-01 02:00:00 abc", "2020-01-01 02:00:00 ABCD",
    "2020-01-01 02:00:00 ABCT", "2020-01-01 02:00:00 WITA", "2020-01-01 02:00:00 ABCDE", "2020-01-01 02:00:00 ABCDET", "2020-01-01 02:00:00 -03",
    "2020-01-01 02:00:00 UTCX", "2020-01-01 02:00:00 AB", "01.07.2020", "1.7.2020", "01.07.2020 02:00", "01.07.2020 02:00:00",
    "01.07.2020 02:00:00 +0100", "01.07.2020 02:00:00 CEST", "Wed Jul 1 02:00:00 +0200 CEST 2020", "Mon jul 01 2:00:00 +0300 XYZ 2020",
    "Wed Jul  1 02:00:00 +0200 UTC 2020", "Wed Jul 1 02:00:00 +0200 2020", "Wednesday Jul 1 02:00:00 +0200 CEST 2020", "2020-02-30",
    "2020-02-29", "2019-02-29", "2020-00-01", "2020-13-01", "2020-01-00", "2020-01-32", "2020-07-01 24:00", "2020-07-01 23:60", "2020-07-01 23:59:60",
    "2020-7-1", "20-07-01", "02020-07-01", "2020-07-01T02:00:00Z", "2020-07-01 02", "now", "yesterday", "0001-01-01", "0000-01-01", "9999-12-31",
    "2020-07-01 02:00:00\n", "a\"b\\\u00e4", "-1", "1593561600", "",
]


@tap.test
def times(tmp):
    """A file for every half hour around each of the dates: what is found tells how the time was read."""
    d = tmp / "data"
    d.mkdir()
    for date in DATES:
        start = int(subprocess.run(["date", "-u", "-d", date, "+%s"], capture_output=True, text=True, check=True).stdout)
        for n in range(-6, 14):
            f = d / f"{date[:13].replace(' ', '-')}.{n}"
            f.touch()
            os.utime(f, (start + n * 1800,) * 2)
    repos.quick(tmp / "repo")
    p = Pair(tmp)
    p.setup("backup", "-q", "data")
    p.env["TZ"] = "Europe/Berlin"
    wrong = []

    def one(case):
        try:
            p.same("find", "--no-lock", "-q", *case, "2*", stderr=True)
        except AssertionError as e:
            wrong.append(str(e))

    cases = a_sixth([c for t in TIMES for c in ([f"--oldest={t}"], [f"--newest={t}"])])
    cases += [["-O", "2020-01-01 01:00", "-N", "2020-01-01 01:00"], ["-O", "2020-07-01", "-N", "2020-01-01"], ["-O", "2020-01-01", "-N", "2020-07-01"],
              ["-O", "x", "-N", "y"], ["--json", "-O", "x"]]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(one, cases))
    for zone in ("UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"):
        p.env["TZ"] = zone
        for t in ("2020-03-29 02:30", "2020-07-01 02:00:00 EST", "2020-01-01", "2020-10-25 02:00:00 UTC"):
            one(["-O", t])
    tap.ok(not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong))


# ---- ids ----


def pack_of(p, kind, name):
    """The whole id of the pack that a blob or tree is in."""
    out = p.one(p.restic, "find", "--no-lock", f"--{kind}", name, "--show-pack-id").stdout
    return re.search(r"belongs to pack ([0-9a-f]{64})", out).group(1)


@tap.test
def blobs_trees_and_packs(tmp):
    p = Pair(tmp)
    found = repository(p)
    blob = {}
    for line in p.one(p.restic, "list", "blobs", "--no-lock").stdout.splitlines():
        kind, i = line.split()
        blob.setdefault(kind, []).append(i)
    roots = [s["tree"] for s in found]
    cases = []
    for i in blob["data"][::3]:
        cases += [["--blob", i], ["--blob", i[:8], "--show-pack-id"]]
    for i in blob["tree"][::3]:
        cases += [["--tree", i, "--show-pack-id"], ["--tree", i[:8]]]
    a, b = blob["data"][:2], blob["tree"][:2]
    cases += [["--blob", *a], ["--blob", a[0], a[0][:8]], ["--blob", a[0][:8], a[0]], ["--blob", a[0][:7]], ["--blob", a[0][:9]],
              ["--blob", a[0].upper()], ["--blob", "-i", a[0].upper()], ["--blob", "zz"], ["--blob", b[0]], ["--tree", a[0]], ["--tree", *b],
              ["--tree", roots[0]], ["--tree", *roots], ["--tree", roots[-1], b[0]], ["--tree", roots[0], "-R"], ["--tree", "zz"],
              ["--tree", roots[0], roots[0]], ["--tree", "-s", "latest", *b], ["--blob", a[0], "--host", "h2"], ["--blob", a[0], "-l", "-O", "2030-01-01"],
              ["--blob", a[0], "--tree", b[0]], ["--tree", b[0], "--pack"], ["--blob", "zz", "--show-pack-id"], ["--tree", b[0][:8], "--show-pack-id"],
              ["--blob", "ab\"c\n", "--show-pack-id"], ["--blob", "1" * 64, "--show-pack-id"], ["--tree", "f" * 64, "--show-pack-id"],
              ["--blob", "X" * 64], ["--blob", "-q", a[0]], ["--show-pack-id", "report.txt"]]
    for i in p.one(p.restic, "list", "packs", "--no-lock").stdout.split():
        cases += [["--pack", i], ["--pack", i[:8]], ["--pack", i, i[:8]], ["--pack", i[:7], "zz"], ["--pack", i, "aa"]]
    cases += [["--pack", *p.one(p.restic, "list", "packs", "--no-lock").stdout.split()]]
    compare(p, cases)
    # Of many, restic says in any order where they are.
    for i in p.one(p.restic, "list", "packs", "--no-lock").stdout.split():
        p.same("find", "--pack", i, "--show-pack-id", order=False, **RAW)
    p.same("find", "--blob", *blob["data"], "--show-pack-id", order=False, **RAW)


@tap.test
def ids_in_the_old_restic(tmp):
    p = Pair(tmp, "restic-0.14")
    found = repository(p)
    s = found[0]["id"]
    for line in p.one(p.restic, "list", "blobs", "--no-lock").stdout.splitlines():
        kind, i = line.split()
        option = "--blob" if kind == "data" else "--tree"
        if i not in [x["tree"] for x in found]:  # it does not find roots
            p.same("find", "--no-lock", "-s", s, option, i, "--show-pack-id", **RAW)
            p.same("find", "--no-lock", "-s", s, option, i[:8], "--json", **RAW)


@tap.test
def a_pack_that_is_gone_is_looked_up(tmp):
    p = Pair(tmp)
    repository(p)
    content = node(p, "big")["content"]
    pack = pack_of(p, "blob", content[0])
    (tmp / "repo/data" / pack[:2] / pack).unlink()
    compare(p, [["--pack", pack], ["--pack", pack[:8]]])
    tap.contains(p.one(tap.holdfast(), "find", "--pack", pack, **RAW).stderr, "some pack files are missing")


# ---- exit codes, locks ----


@tap.test
def errors(tmp):
    p = Pair(tmp)
    repository(p)
    compare(p, [[], ["--oldest"], ["x", "--frobnicate"], ["x", "-N", "2020-01-01", "-O", "2020-01-02"], ["--tree", "--blob"]][:1])
    for argv in (["x", "--frobnicate"], ["--oldest"], ["["], ["x/["], ["a", "[a-"], ["\\"]):
        r = p.same("find", *argv)
        tap.eq((r.returncode, r.stdout), (1, ""))
        tap.ok(r.stderr.startswith("Fatal: "), r.stderr)
    tap.eq(p.same("find", "x", env={"RESTIC_REPOSITORY": str(tmp / "none")}).returncode, 10)
    tap.eq(p.same("find", "x", env={"RESTIC_PASSWORD": "wrong"}).returncode, 12)
    tap.eq(p.same("find", "nothing").returncode, 0)


@tap.test
def it_takes_a_lock_unless_told_not_to(tmp):
    p = Pair(tmp)
    repository(p)
    sleeper = subprocess.Popen([tap.holdfast(), "with-lock", "--", "sh", "-c", "echo locked; read x"], env={**os.environ, **p.env},
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        tap.eq(sleeper.stdout.readline(), "locked\n")
        tap.eq(p.one(tap.holdfast(), "find", "x").returncode, 11)
        r = p.one(tap.holdfast(), "find", "--no-lock", "x")
        tap.eq(r.returncode, 0, r.stderr)
        tap.contains(r.stdout, "/data/empty/x\n")
    finally:
        sleeper.communicate("\n", timeout=60)
    tap.eq(sleeper.returncode, 0)
    before = repos.files(tmp / "repo", "locks")
    tap.eq(p.one(tap.holdfast(), "find", "x").returncode, 0)
    tap.eq(repos.files(tmp / "repo", "locks"), before)


# ---- where restic's answer is not ours ----


@tap.test
def names_with_percent_signs_are_names(tmp):
    """restic takes them for what printf() would."""
    p = Pair(tmp)
    (tmp / "data").mkdir()
    (tmp / "data/100%done %s").touch()
    repos.quick(tmp / "repo")
    p.setup("backup", "-q", "data")
    tap.eq(p.one(tap.holdfast(), "find", "-q", "100*").stdout, "/data/100%done %s\n")
    compare(p, [["--json", "100*"]])


@tap.test
def what_cannot_be_read_is_told(tmp):
    """restic does so among the results, names the tree above, and says nothing with its exit code."""
    p = Pair(tmp)
    repository(p)
    lost = node(p, "docs")["subtree"]
    pack = pack_of(p, "tree", lost)
    good = p.one(tap.holdfast(), "find", "--no-cache", "-q", "x").stdout.splitlines()
    path = tmp / "repo/data" / pack[:2] / pack
    out = p.one(p.restic, "find", "--no-lock", "--tree", lost, "--show-pack-id").stdout
    at = re.search(r"offset (\d+), length (\d+)", out)
    with open(path, "r+b") as f:
        f.seek(int(at.group(1)) + int(at.group(2)) // 2)
        f.write(b"damage!!")
    r = p.one(tap.holdfast(), "find", "--no-cache", "-q", "x")
    tap.eq(r.returncode, 1)
    tap.contains(r.stderr, "/data/docs")
    tap.contains(r.stderr, lost[:8])
    # One snapshot, the oldest with the folder, lacks what is in it.
    good.reverse()
    good.remove("/data/docs/old/deep/er/x")
    good.reverse()
    tap.eq(r.stdout.splitlines(), good)
    # The folder itself is still there, and so is its tree for who looks for what is damaged.
    tap.contains(p.one(tap.holdfast(), "find", "--no-cache", "-q", "docs").stdout, "/data/docs\n")
    tap.contains(p.one(tap.holdfast(), "find", "--no-cache", "--tree", lost).stdout, " ... path /data/docs\n")
    r = p.one(tap.holdfast(), "find", "--no-cache", "--json", "x")
    tap.eq(r.returncode, 1)
    tap.ok(json.loads(r.stdout))
    for line in r.stderr.splitlines():
        tap.ok(json.loads(line)["message_type"] in ("error", "exit_error"), line)


@tap.test
def folders_that_are_shared_are_read_once(tmp):
    """Once there is nothing in one: counted by the reads of the packs that the trees are in."""
    if not shutil.which("strace"):
        tap.skip("strace is absent")
    d = tmp / "data"
    for n in range(40):
        (d / f"d{n}").mkdir(parents=True)
        (d / f"d{n}/f").write_text(str(n))
    repos.quick(tmp / "repo")
    p = Pair(tmp)
    counts = []
    for n in range(8):
        (d / "changing").write_text(str(n))
        p.setup("backup", "-q", "data")
        if n in (0, 7):
            trace = tmp / "trace"
            p.one("strace", "-f", "-y", "-e", "trace=pread64,read", "-o", trace, tap.holdfast(), "find", "--no-cache", "--no-lock", "nothing")
            counts.append(len(re.findall(r"repo/data/[0-9a-f]{2}/", trace.read_text())))
    # Per snapshot more: the root, and the folder that changed.
    tap.ok(40 < counts[0] < counts[1] <= counts[0] + 7 * 8, counts)


tap.main()
