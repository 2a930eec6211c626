# SPDX-License-Identifier: BSD-2-Clause
"""A few lines of help for tests written in Python: TAP out, one function per test.

	import tap

	@tap.test
	def restores_what_was_saved(tmp):
		tap.eq(run(...), 0)

	tap.main()

Every function marked with @tap.test gets a new empty directory (a pathlib.Path, removed
afterwards) and fails by raising.  tap.skip("why") ends a test as skipped, which counts as a
failure in CI.  Arguments on the command line select tests by parts of their names.

HOLDFAST in the environment is the program under test, PEERS the directory with the other
backup programs; tap.holdfast() and tap.peer("restic-0.14") find them.
"""

import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import traceback

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
LONG = 60  # seconds that a single test may take before they are told
_tests = []


class Skip(Exception):
    pass


def skip(why):
    raise Skip(why)


def test(fn):
    _tests.append(fn)
    return fn


def ok(cond, what="condition"):
    if not cond:
        raise AssertionError(what)


def eq(got, want, what=""):
    if got != want:
        raise AssertionError(f"{what or 'value'}\n  got:  {got!r}\n  want: {want!r}")


def contains(text, part):
    if part not in text:
        raise AssertionError(f"{part!r} is not in\n{text}")


def holdfast():
    """The program under test."""
    p = pathlib.Path(os.environ.get("HOLDFAST", TOP / "build/holdfast"))
    if not p.exists():
        raise AssertionError(f"{p} is not built")
    return str(p)


def peer(name, program=None):
    """Another backup program, brought by tools/peers: "restic-0.14", "restic-new"."""
    peers = pathlib.Path(os.environ.get("PEERS", TOP / "build/peers"))
    p = peers / name / "usr/bin" / (program or name.split("-")[0])
    if not p.exists():
        skip(f"{p} is absent (tools/peers brings it)")
    return str(p)


def run(*argv, env=None, check=0, timeout=120, **kw):
    """Runs a program; returns the CompletedProcess with text in stdout and stderr.

    `check` is the exit code that it must have, or None.  `env` is added to the environment.
    """
    argv = [str(a) for a in argv]
    kw.setdefault("text", True)
    kw.setdefault("stdin", None if "input" in kw else subprocess.DEVNULL)
    if "input" in kw:
        kw.pop("stdin")
    r = subprocess.run(argv, capture_output=True, timeout=timeout,
                       env={**os.environ, **(env or {})}, **kw)
    if check is not None and r.returncode != check:
        raise AssertionError(f"{' '.join(argv)}\nexit code {r.returncode}, not {check}\n"
                             f"--- stdout\n{r.stdout}\n--- stderr\n{r.stderr}")
    return r


def _remove(path):
    path = str(path)

    def force(fn, p, _):
        # Never the folder above, which is everybody's.
        for q in (os.path.dirname(p), p) if p != path else (p,):
            if os.path.exists(q) and not os.path.islink(q):
                os.chmod(q, stat.S_IRWXU)
        if not os.path.lexists(p):
            return
        fn(p) if fn is not os.open else shutil.rmtree(p, ignore_errors=True)

    shutil.rmtree(path, onerror=force)


def _hear_signals():
    """Whoever starts the tests may ignore signals, or block them, and so would all that is tested.

    A shell does for what it starts with `&`, nohup does, and `perf record`.
    """
    # Those two are Python's own doing, which Popen undoes.
    for n in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(n) == signal.SIG_IGN:
            # Nothing happens here; what is executed begins with the default.
            signal.signal(n, lambda *_: None)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def main():
    words = sys.argv[1:]
    tests = [t for t in _tests if not words or any(w in t.__name__ for w in words)]
    failed = 0
    _hear_signals()
    print(f"1..{len(tests)}", flush=True)
    for n, t in enumerate(tests, 1):
        tmp = pathlib.Path(tempfile.mkdtemp(prefix="hf-test-"))
        # No test touches, or is helped by, what the user of this machine has cached.
        os.environ["XDG_CACHE_HOME"] = str(tmp / ".cache-home")
        line = "ok"
        note = ""
        begin = time.monotonic()
        try:
            t(tmp)
        except Skip as e:
            note = f" # SKIP {e}"
        except BaseException as e:
            failed += 1
            line = "not ok"
            print(f"# {t.__name__}:", file=sys.stderr)
            text = traceback.format_exc() if not isinstance(e, AssertionError) else (
                "".join(traceback.format_tb(e.__traceback__)[-1:]) + f"{e}\n")
            sys.stderr.write("".join(f"# {x}\n" for x in text.splitlines()))
            if isinstance(e, KeyboardInterrupt):
                raise
        finally:
            _remove(tmp)
        print(f"{line} {n} - {t.__name__}{note}", flush=True)
        took = time.monotonic() - begin
        if took >= LONG:
            print(f"# took {took:.0f} s: {t.__name__}", flush=True)
    sys.exit(0 if not failed or os.environ.get("TEST_TAP") else 1)
