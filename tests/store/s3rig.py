# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of S3 share: the contract, and both programs on one repository."""

import os
import re

import repos
import tap


def contract(place, env, options=""):
    """Holds tests/store/contract.c against a place with a `%` in it."""
    r = tap.run(os.environ["STORE_CONTRACT"], env={
        **env, "CONTRACT_PLACE": place, "CONTRACT_OPTIONS": ("s3.hash-uploads=true " + options).strip()},
        check=None, timeout=240)
    failed = re.findall(r"^not ok.*", r.stdout, re.M)
    planned = re.search(r"^1\.\.(\d+)", r.stdout, re.M)
    tap.ok(planned and int(planned[1]) > 15, f"hardly any tests ran:\n{r.stdout}\n{r.stderr}")
    tap.eq(len(re.findall(r"^ok ", r.stdout, re.M)), int(planned[1]),
           f"the contract\n{failed}\n{r.stderr[-3000:]}")


def contract_alone(place, env, test):
    """One test of the contract, as the program is used, which must fail."""
    r = tap.run(os.environ["STORE_CONTRACT"], test, env={**env, "CONTRACT_PLACE": place}, check=None)
    tap.contains(r.stdout, "not ok")
    return r


def fill(tree, files=12, size=300_000):
    """A small tree of files of which no two are alike."""
    for i in range(files):
        d = tree / f"dir{i % 3}"
        d.mkdir(parents=True, exist_ok=True)
        (d / f"file{i}").write_bytes(os.urandom(size) if i % 2 else b"%d\n" % i * 1000)
    return tree


def same(a, b):
    tap.run("diff", "-r", a, b)


def interop(url, tmp, env):
    """Each program reads what the other wrote, and both write at the same time."""
    holdfast, restic = repos.holdfast(), repos.restic("restic-new")
    one, two = fill(tmp / "one"), fill(tmp / "two")
    holdfast(url, "init", env=env)
    holdfast(url, "backup", "one", cwd=tmp, env=env)
    restic(url, "backup", "two", cwd=tmp, env=env)
    # At once, on the same repository, each something new.
    fill(one, 20), fill(two, 20)
    running = [(p.name, p.start(url, "backup", name, cwd=tmp, env=env))
               for p, name in ((holdfast, "one"), (restic, "two"), (restic, "one"), (holdfast, "two"))]
    for name, p in running:
        out, err = p.communicate(timeout=120)
        tap.eq(p.returncode, 0, f"{name}: {out.decode()}\n{err.decode()}")
    tap.eq(len(holdfast.json(url, "snapshots", env=env)), 6)
    holdfast(url, "check", "--read-data", env=env)
    restic(url, "check", "--read-data", env=env)
    for program, path in ((holdfast, "two"), (restic, "one")):
        program(url, "restore", "latest", "--path", tmp / path, "--target", tmp / f"out-{path}", env=env)
        found = next((tmp / f"out-{path}").rglob(path))
        same(tmp / path, found)
