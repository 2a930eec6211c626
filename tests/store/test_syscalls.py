# SPDX-License-Identifier: BSD-2-Clause
"""The system calls of a local store: their order, and what is left when any of them fails."""

import os
import re
import shutil

import tap

PUT = os.environ.get("STORE_PUT", str(tap.TOP / "build/tests/store/store-put"))
SIZE = 100_000
PACK = "ab" + 62 * "0"
# A sanitizer cannot look for leaks under strace.
ENV = {"ASAN_OPTIONS": "detect_leaks=0"}
EIO, EFATAL = 2, 3  # exit codes of store-put: 1 + enum hf_code


def strace(tmp, repo, *options, check=0):
    if not shutil.which("strace"):
        tap.skip("strace is absent")
    log = tmp / "trace"
    r = tap.run("strace", "-f", "-y", "-s", "8", "-o", log, *options, PUT, repo, SIZE,
                check=check, env=ENV)
    return r, log.read_text()


def steps(text, repo):
    """The calls that concern `repo`, as (name, rest of the line with R in its place)."""
    out = []
    for line in text.splitlines():
        m = re.match(r"(?:\d+ +)?(\w+)\((.*)", line)
        if m and (str(repo) in m[2]):
            out.append((m[1], m[2].replace(str(repo), "R")))
    return out


def nth(text, call, part):
    """Which of all calls of that name is the first with `part`; a sanitizer makes some of its own."""
    lines = [x for x in text.splitlines() if re.match(rf"(\d+ +)?{call}\(", x)]
    return 1 + next(i for i, x in enumerate(lines) if part in x)


def place(calls, name, *parts):
    for i, (call, rest) in enumerate(calls):
        if call == name and all(re.search(p, rest) for p in parts):
            return i
    raise AssertionError(f"no {name} with {parts} in\n" + "\n".join(map(str, calls)))


TRACE = ("-e", "trace=openat,write,fsync,close,rename,renameat,renameat2,mkdirat,fchmodat,"
         "fallocate,unlinkat")


@tap.test
def durable_before_it_has_its_name(tmp):
    repo = tmp / "repo"
    _, text = strace(tmp, repo, *TRACE)
    calls = steps(text, repo)
    made = place(calls, "openat", f"{PACK}-tmp-[0-9]+\"", "O_CREAT\\|O_EXCL", "0600\\) = [0-9]")
    temp = f"{PACK}-tmp-[0-9]+>"
    order = [
        made,
        place(calls, "fallocate", temp, f"0, 0, {SIZE}"),
        place(calls, "write", temp, f", {SIZE}\\) = {SIZE}"),
        place(calls, "fsync", temp, "= 0"),
        place(calls, "close", temp),
        place(calls, "renameat", f"{PACK}-tmp-", f"data/ab/{PACK}\""),
        place(calls, "fsync", r"R/data/ab>\) += 0"),
        place(calls, "fchmodat", PACK, "0400"),
    ]
    tap.eq(order, sorted(order), "order of the calls")
    # The folders that were made on the way are durable as well, and before the file.
    calls = steps(text, tmp)
    made = place(calls, "openat", f"{PACK}-tmp-[0-9]+\"", "0600\\) = [0-9]")
    for folder, parent in ("repo", "R"), ("data", "R/repo"), ("data/ab", "R/repo/data"):
        i = place(calls, "mkdirat", f"{folder}\", 0700\\) = 0")
        tap.ok(i < place(calls, "fsync", parent + r">\) += 0") < made,
               f"fsync of {parent} after mkdir of {folder}")


@tap.test
def whatever_fails_nothing_is_left(tmp):
    if not shutil.which("strace"):
        tap.skip("strace is absent")
    for what, code, part in (
        ("write:error=ENOSPC:when=1", EFATAL, "No space left on device"),
        ("write:error=EDQUOT:when=1", EFATAL, "Disk quota exceeded"),
        ("write:error=EIO:when=1", EIO, "Input/output error"),
        ("write:retval=1000:when=1", 0, ""),  # short: is continued
        ("write:error=EINTR:when=1", 0, ""),
        ("fallocate:error=ENOSPC", 0, ""),
        ("fallocate:error=EOPNOTSUPP", 0, ""),
        ("fsync:error=EIO:when=1", EIO, "fsync: Input/output error"),
        ("fsync:error=ENOSPC:when=1", EFATAL, "No space left"),
        ("fsync:error=EINTR:when=1", 0, ""),
        ("fsync:error=EOPNOTSUPP", 0, ""),
        ("renameat:error=EIO", EIO, "rename: Input/output error"),
        ("fchmodat:error=EPERM", 0, ""),
        ("fchmodat:error=ENOENT", 0, ""),  # deleted by somebody else meanwhile
    ):
        repo = tmp / re.sub(r"\W", "-", what)
        tap.run(PUT, repo, 10, env=ENV)
        pack = repo / "data/ab" / PACK
        pack.unlink()
        call = what.split(":")[0]
        if what.endswith("when=1"):
            _, text = strace(tmp, repo, "-e", f"trace={call}")
            what = what[:-1] + str(nth(text, call, "-tmp-"))
            pack.unlink()
        r, text = strace(tmp, repo, "-e", f"trace={call}", "-e", f"inject={what}", check=code)
        tap.contains(text, "(INJECTED)")
        left = sorted(p.name for p in (repo / "data/ab").iterdir())
        if code:
            tap.contains(r.stdout, part)
            tap.contains(r.stdout, f"saving pack ab000000: {repo}/data/ab/{PACK}: ")
            tap.eq(left, [], what)
        else:
            tap.eq(left, [PACK], what)
            if "retval" not in what:
                tap.eq(pack.stat().st_size, SIZE, what)


@tap.test
def a_complete_file_stays_when_the_folder_cannot_be_synced(tmp):
    repo = tmp / "repo"
    tap.run(PUT, repo, 10, env=ENV)
    r, _ = strace(tmp, repo, "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=2", check=EIO)
    tap.contains(r.stdout, "fsync of the folder: Input/output error")
    tap.eq([p.name for p in (repo / "data/ab").iterdir()], [PACK])
    tap.eq((repo / "data/ab" / PACK).stat().st_size, SIZE)


@tap.test
def a_temporary_name_that_is_taken_is_not_used(tmp):
    repo = tmp / "repo"
    tap.run(PUT, repo, 10, env=ENV)
    _, text = strace(tmp, repo, "-e", "trace=openat")
    when = nth(text, "openat", "-tmp-")
    _, text = strace(tmp, repo, "-e", "trace=openat", "-e",
                     f"inject=openat:error=EEXIST:when={when}")
    names = re.findall(r"-tmp-([0-9]+)", text)
    tap.ok(len(set(names)) == 2, f"two different names: {names}")
    tap.eq([p.name for p in (repo / "data/ab").iterdir()], [PACK])


tap.main()
