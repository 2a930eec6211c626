# SPDX-License-Identifier: BSD-2-Clause
"""The N-th call to the store goes wrong, for every N: what tests of that have in common."""

import concurrent.futures
import itertools
import re

import tap

# The first line of what is said names the part of the repository, or what was to be done with it.
NAMES = re.compile(r"config|keys?\b|lock|snapshot|index|pack|tree|blob|repository|data/|list", re.I)
MAX_CALLS = 1000


def ended_well(r, plan):
    """A failure is told, and is none of the program itself; True after success."""
    if plan.startswith("kill"):
        tap.ok(r.returncode in (0, -9), f"exit code {r.returncode}\n{r.stderr}")
        return r.returncode == 0
    tap.ok(r.returncode in (0, 1, 3), f"exit code {r.returncode}\n{r.stderr}")
    if r.returncode != 0:
        first = next(iter(r.stderr.splitlines()), "")
        tap.ok(NAMES.search(first), f"the first line names nothing:\n{r.stderr}")
    return r.returncode == 0


def every_n(fn, kinds, step=1):
    """Calls fn(plan) for the N-th call and every N; being killed tells how many calls there are.

    `kinds` has lists of plans by the calls that are counted. fn() returns True if the plan did not
    concern its run any more. With `step`, only every so manieth N is tried.
    """
    wrong = []

    def run(plan):
        try:
            return fn(plan)
        except AssertionError as e:
            wrong.append(f"{plan}: {e}")
            return False

    # Threads only start programs and wait for them.
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for calls, plans in kinds.items():
            for n in itertools.count(1, 4 * step):
                tap.ok(n < MAX_CALLS, "there is no end")
                numbers = range(n, n + 4 * step, step)
                if any(list(pool.map(run, [f"kill@{i}{calls}" for i in numbers]))) or len(wrong) > 5:
                    break
            list(pool.map(run, [p.format(i) + calls for p in plans for i in range(1, n + 4 * step, step)]))
    tap.ok(not wrong, f"{len(wrong)} plans went wrong:\n" + "\n".join(wrong[:10]))
