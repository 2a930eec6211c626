# SPDX-License-Identifier: BSD-2-Clause
"""What lies around a store, seen from outside the program: calls that are repeated, limits, the trace."""

import re
import signal
import time

import repos
import tap

holdfast = repos.holdfast()

QUICK = ("-o", "retry.limit=1m", "-o", "retry.pause=1ms")


def trace(path):
    """The calls in a trace: (operation, file or folder) each."""
    lines = path.read_text().splitlines()
    for line in lines:
        tap.ok(re.fullmatch(r"\S+T\S+ (create|put|get|stat|list|del|age) .* ms (ok|failed: .*)", line), line)
    return [tuple(line.split()[1:3]) for line in lines]


def tree(tmp):
    folder = tmp / "tree"
    folder.mkdir()
    for i in range(20):
        (folder / f"f{i}").write_bytes(bytes([i]) * 5000)
    return folder


@tap.test
def the_trace_has_every_call(tmp):
    repo = repos.quick(tmp / "repo")
    holdfast(repo, "-o", f"trace.file={tmp}/trace", "backup", tree(tmp))
    calls = trace(tmp / "trace")
    there = {str(p.relative_to(repo)) for p in repo.rglob("*") if p.is_file()} - {"config"}
    there = {name for name in there if not name.startswith("keys/")}
    put = [name for op, name in calls if op == "put"]
    locks = {name for name in put if name.startswith("locks/")}
    tap.eq({name for name in put if name not in locks}, there)
    tap.eq(len(put), len(set(put)), "each file is written once")
    tap.eq({name for op, name in calls if op == "del"}, locks)
    # A second command appends.
    holdfast(repo, "-o", f"trace.file={tmp}/trace", "snapshots")
    tap.eq(trace(tmp / "trace")[:len(calls)], calls)
    tap.ok(len(trace(tmp / "trace")) > len(calls))


@tap.test
def opening_reads_nothing_twice(tmp):
    repo = repos.quick(tmp / "repo")
    holdfast(repo, "-o", f"trace.file={tmp}/trace", "--no-lock", "snapshots")
    calls = [(op, name.split("/")[0]) for op, name in trace(tmp / "trace")]
    tap.eq(calls, [("get", "config"), ("list", "keys"), ("get", "keys"), ("list", "snapshots")])


@tap.test
def the_trace_on_standard_error_or_nowhere(tmp):
    repo = repos.quick(tmp / "repo")
    p = holdfast(repo, "-o", "trace.file=-", "snapshots")
    tap.contains(p.stderr, " list snapshots 0 files ")
    p = holdfast(repo, "-o", "trace.file=/no/such/folder/file", "snapshots", check=1)
    tap.contains(p.stderr, "option trace.file=/no/such/folder/file: No such file or directory")


@tap.test
def calls_are_repeated(tmp):
    repo = repos.quick(tmp / "repo")
    folder = tree(tmp)
    for plan, said in (("fail@1:put:pack", "Save(<data/"), ("lost@1:put:snapshot", "Save(<snapshot/"),
                       ("fail@2:list", "List("), ("short@2:get", "Load(<"),
                       ("fail@1:get:config", "Load(<config/>, 0, 0) returned error, retrying after "),
                       ("lost@1:del:lock", "Remove(<lock/"), ("fail@1:put:lock", "Save(<lock/")):
        (folder / "new").write_text(plan)
        p = holdfast(repo, "-o", f"fault.plan={plan}", *QUICK, "backup", folder)
        tap.contains(p.stderr, said)
        tap.contains(p.stderr, " returned error, retrying after ")
        tap.contains(p.stderr, ": injected ")
        tap.contains(p.stderr, " operation successful after 1 retries\n")
    holdfast(repo, "check", "--read-data")
    tap.eq(repos.locks(repo), [])


@tap.test
def it_gives_up_in_the_end(tmp):
    repo = repos.quick(tmp / "repo")
    p = holdfast(repo, "-o", "fault.plan=fail@1+:list:snapshot", "-o", "retry.limit=50ms",
                 "-o", "retry.pause=1ms", "snapshots", check=1)
    tap.contains(p.stderr, "listing snapshot files: giving up after ")
    tap.eq(repos.locks(repo), [])
    # A folder of this machine is not asked again, unless the user says so.
    p = holdfast(repo, "-o", "fault.plan=fail@1:list:snapshot", "snapshots", check=1)
    tap.ok("retrying" not in p.stderr, p.stderr)
    p = holdfast(repo, "-o", "retry.limit=long", "snapshots", check=1)
    tap.contains(p.stderr, "option retry.limit=long: not a duration")


@tap.test
def an_interrupt_ends_the_pause(tmp):
    repo = repos.quick(tmp / "repo")
    p = holdfast.start(repo, "-o", "fault.plan=fail@1+:list:snapshot", "-o", "retry.limit=100h",
                       "-o", "retry.pause=10h", "snapshots", text=True)
    while "retrying after" not in p.stderr.readline():
        tap.eq(p.poll(), None)
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=60)
    tap.eq(p.returncode, 130)
    tap.eq(repos.locks(repo), [])


@tap.test
def limits_are_kept(tmp):
    repo = repos.quick(tmp / "repo")
    (tmp / "noise").write_bytes(open("/dev/urandom", "rb").read(300 << 10))
    begin = time.monotonic()
    holdfast(repo, "--limit-upload", "200", "backup", tmp / "noise")
    # One second's worth is free, the rest is not: 300 KiB at 200 KiB/s.
    tap.ok(time.monotonic() - begin > 0.5, "upload")
    begin = time.monotonic()
    holdfast(repo, "--limit-download", "200", "check", "--read-data")
    tap.ok(time.monotonic() - begin > 0.5, "download")


tap.main()
