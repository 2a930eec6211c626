# SPDX-License-Identifier: BSD-2-Clause
"""The harness itself: what it says about tests that fail, crash and hang."""

import os
import re
import signal
import sys

import tap

SELFTEST = os.environ.get("SELFTEST", str(tap.TOP / "build/tests/harness/harness-selftest"))


def selftest(*words, **kw):
    return tap.run(SELFTEST, *words, **kw)


@tap.test
def every_line_is_what_the_name_says(tmp):
    r = selftest(check=None, env={"TEST_TAP": "1"})
    lines = r.stdout.splitlines()
    tap.eq(lines[0], f"1..{len(lines) - 1}")
    tap.ok(len(lines) > 10, "tests ran")
    for n, line in enumerate(lines[1:], 1):
        m = re.fullmatch(r"(not ok|ok) (\d+) - ([a-z_]+)( # SKIP (.*))?", line)
        tap.ok(m, f"TAP: {line}")
        tap.eq(int(m[2]), n)
        want = "not ok" if m[3].startswith("fail") else "ok"
        tap.eq(m[1], want, m[3])
        tap.eq(m[5], "no moon here" if m[3].startswith("skip") else None)


@tap.test
def exit_code_is_0_for_meson_and_1_by_hand(tmp):
    tap.eq(selftest("fail_check", check=None, env={"TEST_TAP": "1"}).returncode, 0)
    by_hand = {k: v for k, v in os.environ.items() if k != "TEST_TAP"}
    os.environ.pop("TEST_TAP", None)
    try:
        selftest("fail_check", check=1)
        selftest("pass", check=0)
        selftest("--what", check=2)
    finally:
        os.environ.update(by_hand)


@tap.test
def failures_are_explained(tmp):
    for name, text in {
        "fail_check_goes_on": "1 + 1 == 3 does not hold\nstill here",
        "fail_require_stops": "1 + 1 is 2 (0x2), not 3 = 3 (0x3)",
        "fail_eq_sign": "not -1 = -1",
        "fail_str_null": "got:  NULL\n#   want: \"\"",
        "fail_mem": "differs from byte 2 of 4 on\n#   got:  63 64 \n#   want: 58 64 ",
        "fail_crash": "fail_crash: ",
        "fail_hang": "fail_hang: not done after 1 s",
        "fail_exit": "fail_exit: exit code 3",
        "fail_in_thread": "false does not hold",
    }.items():
        r = selftest(name, check=None)
        tap.contains(r.stderr, text)
        tap.ok("never here" not in r.stderr, f"{name} went on")


@tap.test
def temporary_directory_is_removed(tmp):
    r = selftest("pass_tmpdir", env={"TMPDIR": str(tmp)})
    tap.contains(r.stderr, f"tmpdir {tmp}/hf-test-")
    tap.eq(list(tmp.iterdir()), [])


@tap.test
def no_fork_aborts_for_the_debugger(tmp):
    tap.eq(selftest("--no-fork", "fail_require", check=None).returncode, -6)


HEARS = """
import tap
@tap.test
def below(tmp):
    print(tap.run("grep", "^Sig", "/proc/self/status").stdout)
tap.main()
"""


@tap.test
def what_whoever_starts_us_ignores_is_heard(tmp):
    """`perf record` ignores USR2, and a shell that is started so cannot trap it."""
    some = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR2}
    blocked = {signal.SIGUSR1, signal.SIGWINCH}

    def ignore():
        for n in some:
            signal.signal(n, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)

    def masks(text):
        # Without the two that are the C library's own, which nobody can set: they are what they were.
        return {name: {n for n in signal.valid_signals() if int(mask, 16) >> n - 1 & 1}
                for name, mask in re.findall(r"(Sig(?:Blk|Ign)):\s*(\w+)", text)}

    alone = masks(tap.run("grep", "^Sig", "/proc/self/status", preexec_fn=ignore).stdout)
    tap.eq(alone, {"SigBlk": blocked, "SigIgn": some})
    r = tap.run(sys.executable, "-c", HEARS, env={"PYTHONPATH": str(tap.TOP / "tests/harness")}, preexec_fn=ignore)
    tap.eq(masks(r.stdout), {"SigBlk": set(), "SigIgn": set()}, r.stdout)
    selftest("pass_signals", preexec_fn=ignore)


tap.main()
