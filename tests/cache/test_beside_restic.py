# SPDX-License-Identifier: BSD-2-Clause
"""Processes on one cache, stopped at exact system calls: restic 0.14, the newest restic, and ours.

What happens is written down in docs/cache-beside-restic.md, and the test fails when that is no
longer what happens. The document is made anew by

	tests/cache/test_beside_restic.py --write
"""

import concurrent.futures
import difflib
import pathlib
import re
import sys
import tempfile

import locking
import repos
import situations
import tap

DOCUMENT = tap.TOP / "docs/cache-beside-restic.md"
PROGRAMS = ["restic-0.14", "restic-new", "holdfast"]

HEAD = """\
# One cache, beside restic's

A cache is shared by all processes of a user on a machine: two timers that fire at once, a backup and
somebody who looks at snapshots. Each of them reads, adds, and removes what it holds to be no longer
needed. This is what was seen when two processes of one program, restic {old}, restic {new} or
holdfast, were brought into the same situation on one cache and one local repository.

"The one" was stopped at a system call, all threads of it, by `tests/cache/stopat.c`; "the other" then
ran from its beginning to its end, and the one went on. The tables are made by
`tests/cache/test_beside_restic.py --write` (`make beside-restic`), and `make test` fails when they
are no longer true.

"fine" is exit code 0 without any message. "tries again and again": the command was ended after it
had said so three times; by its source, restic 0.14 goes on for a quarter of an hour. Messages are given
by their first line, with `ID` and `XX` for what is different in each repository.
"""

TAIL = """
## What follows

* Two processes that remove the same stale file: restic 0.14 stops clearing there and says so in words
  that frighten; the newest restic passes over it, and over the siblings of the story as well.
* What the newest restic has lost since 0.14 is patience with a cache that cannot be written: a full
  disk, a file system that is read-only, a folder of another user, or a clean-up at the wrong moment
  end a backup with exit code 1. In 0.14 the same happens to who reads: a file that is fetched and
  cannot be cached is fetched again and again.
* The temporary files of processes that were killed stay in both. A process that is killed between the
  making of `version` and the writing of it leaves a cache that neither can use; the newest restic
  does not run any more then, until somebody removes the file.
* Damaged copies are noticed by both. 0.14 keeps them, and says so in a way that points to the
  repository; with a damaged snapshot it goes on as if there were none, with exit code 0.
* Both follow symbolic links in the cache, whenever they come.
"""


def table(rows):
    line = "| Situation | Stopped at | " + " | ".join(TITLES[n] for n in PROGRAMS) + " |\n"
    return line + "|---" * (2 + len(PROGRAMS)) + "|\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


TITLES = {"restic-0.14": "restic 0.14", "restic-new": "the newest restic", "holdfast": "holdfast"}


def program(name):
    return repos.holdfast() if name == "holdfast" else repos.restic(name)


def version(name):
    return tap.run(program(name).path, "version").stdout.split()[1]


def observe(words=()):
    """All groups with their rows, or the situations whose functions have one of the words in their names."""
    locking.needs_root()
    with tempfile.TemporaryDirectory(prefix="hf-beside-") as tmp, concurrent.futures.ThreadPoolExecutor(3) as pool:
        top = repos.memory(pathlib.Path(tmp))
        templates = {n: situations.Place.template(program(n), top / n) for n in PROGRAMS}

        def run(name, fn, number):
            try:
                return fn(templates[name].copy(top / f"{name}-{number}"))
            except Exception as e:
                raise AssertionError(f"{fn.__name__} with {name}: {e}") from e

        seen, number = [], 0
        for g in situations.GROUPS:
            jobs = []
            for text, at, fn in g.rows:
                if not words or any(w in fn.__name__ for w in words):
                    number += 1
                    jobs.append((text, at, [pool.submit(run, n, fn, number) for n in PROGRAMS]))
            seen.append((g, jobs))
        return [(g, [[text, at, *(j.result() for j in row)] for text, at, row in jobs]) for g, jobs in seen]


def document(old, new):
    parts = [f"\n## {g.title}\n\n{table(rows)}\n{g.design}" for g, rows in observe()]
    return HEAD.format(old=old, new=new) + "".join(parts) + TAIL


@tap.test
def the_document_tells_what_happens(tmp):
    want = document("X", "X")
    text = re.sub(r"restic \d+\.\d+\.\d+", "restic X", DOCUMENT.read_text())
    differs = "\n".join(difflib.unified_diff(text.splitlines(), want.splitlines(), "written", "seen", lineterm="", n=0))
    tap.ok(not differs, differs)


locking.own_mounts()
if "--write" in sys.argv:
    DOCUMENT.write_text(document(version("restic-0.14"), version("restic-new")))
    print(f"{DOCUMENT} was written")
elif "--see" in sys.argv:
    for _, found in observe(sys.argv[sys.argv.index("--see") + 1:]):
        for situation, at, *seen in found:
            print(f"{situation} ({at})", *seen, sep="\n\t")
else:
    tap.main()
