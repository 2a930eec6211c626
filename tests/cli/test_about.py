# SPDX-License-Identifier: BSD-2-Clause
"""Commands about the program and not about a repository: options, features, self-update."""

import re

import tap


def lines(r):
    return r.stdout.splitlines()


@tap.test
def options_are_called_as_in_restic(tmp):
    (tmp / "restic").symlink_to(tap.holdfast())
    ours = lines(tap.run(tmp / "restic", "options"))
    theirs = lines(tap.run(tap.peer("restic-new"), "options"))
    tap.eq([x for x in ours if x not in theirs], [])
    tap.ok(len(ours) > 15, ours)
    # What restic has and we do not is about places that we do not reach.
    absent = {x.split()[0] for x in theirs if x not in ours}
    tap.eq({x for x in absent if not re.match(r"(b2|gs|swift|azure)\.", x)}, set())
    more = lines(tap.run(tap.holdfast(), "options"))
    tap.eq([x.split()[0] for x in more[1:]], sorted(x.split()[0] for x in more[1:]))
    longer = {x.split()[0]: x for x in more[1:]}
    tap.eq([x for x in ours[1:] if not longer[x.split()[0]].startswith(x)], [])
    tap.contains(longer["s3.retries"], "attempted (accepted, without effect: see retry.limit)")


@tap.test
def options_are_taken(tmp):
    """Every one of them is known to who opens a repository."""
    values = {"connections": "3", "timeout": "1m", "retries": "3", "part-size": "200", "bucket-lookup": "auto", "limit": "1s", "pause": "1s"}
    for line in lines(tap.run(tap.holdfast(), "options"))[1:]:
        key = line.split()[0]
        scheme, name = key.split(".")
        value = values.get(name, "true")
        r = tap.run(tap.holdfast(), "-r", "local:/nowhere", "--no-cache", "-o", f"{key}={tmp / 'log' if scheme == 'trace' else value}", "cat", "config",
                    env={"RESTIC_PASSWORD": "x"}, check=10)
        tap.ok("not known" not in r.stderr, r.stderr)


@tap.test
def features_are_those_of_restic(tmp):
    for argv in ([], ["x"], ["--json"], ["-q"]):
        a, b = (tap.run(p, "features", *argv, check=None) for p in (tap.peer("restic-new"), tap.holdfast()))
        tap.eq((b.returncode, b.stdout, b.stderr), (a.returncode, a.stdout, a.stderr))


@tap.test
def the_variable_for_features_is_looked_at(tmp):
    for value in ("foo", "s3-restore=x", ",", "safe-forget-keep-tags=false", "backend-error-redesign=true", "s3-restore=false,device-id-for-hardlinks=0"):
        a, b = (tap.run(p, "version", check=None, env={"RESTIC_FEATURES": value}) for p in (tap.peer("restic-new"), tap.holdfast()))
        tap.eq(b.returncode, a.returncode, value)
        tap.eq(b.stderr == "", a.stderr == "", value)
    tap.contains(tap.run(tap.holdfast(), "version", env={"RESTIC_FEATURES": "device-id-for-hardlinks"}).stderr,
                 "always disabled")
    tap.eq(tap.run(tap.holdfast(), "version", env={"RESTIC_FEATURES": "s3-restore"}).stderr, "")


@tap.test
def packages_update_the_program(tmp):
    for argv in ([], ["--output", "x"]):
        r = tap.run(tap.holdfast(), "self-update", *argv, check=1)
        tap.contains(r.stderr, "packages")


tap.main()
