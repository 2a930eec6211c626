# SPDX-License-Identifier: BSD-2-Clause
"""migrate beside restic's: what is listed, what is refused, what the repository is afterwards; and
whatever fails on the way, it can be opened, as one version or the other.
"""

import os
import re
import shutil

import repos
import tap
from sides import Sides


def repository(tmp, version=1):
    d, base = tmp / "data", repos.quick(repos.memory(tmp) / "base", version)
    d.mkdir()
    (d / "text").write_text("compressible\n" * 10_000)
    repos.restic("restic-new")(base, "backup", "-q", ".", cwd=d)
    return base, d


class Versions(Sides):
    def state(self, repo):
        return self.programs[0](repo, "cat", "config", "--no-lock").stdout, len(repos.files(repo, "snapshots"))

    def agree(self, argv, results, is_ordered=False, cut=None):
        """Errors that end a command are worded by each in its own way."""
        for r in results:
            r.stderr = "\n".join(x for x in r.stderr.splitlines() if x.startswith(("migration", "check for", "unknown", "If you")))
        super().agree(argv, results, True)


@tap.test
def the_same_as_restic(tmp):
    for version in 1, 2:
        top = tmp / str(version)
        top.mkdir()
        base, _ = repository(top, version)
        s = Versions(tmp, base)
        for argv in ([], ["upgrade_repo_v2"], ["upgrade_repo_v2", "--force"], ["nothing"], ["nothing", "upgrade_repo_v2"],
                     ["-q"], ["upgrade_repo_v2", "-q"], ["upgrade_repo_v2", "--json"], ["upgrade_repo_v2", "upgrade_repo_v2"]):
            s.same("migrate", *argv)
        s.same("migrate", "upgrade_repo_v2")
        s.same("migrate", keeps=True)
        s.same("migrate", "upgrade_repo_v2", keeps=True)


@tap.test
def a_damaged_one_stays(tmp):
    base, _ = repository(tmp)
    pack = sorted(repos.files(base, "data"))[0]
    (base / "data" / pack[:2] / pack).unlink()
    s = Versions(tmp, base)
    s.reset()
    codes = [r.returncode for r in s.both("migrate", "upgrade_repo_v2")]
    tap.eq(codes, [1, 1])
    for r in s.repos:
        tap.contains(s.state(r)[0], '"version": 1')
        tap.eq((r / "config").read_bytes(), (base / "config").read_bytes())


@tap.test
def it_is_one_of_version_2(tmp):
    """New data is compressed, old data is read, by both programs."""
    base, d = repository(tmp)
    ours, restic = repos.holdfast(), repos.restic("restic-new")
    ours(base, "migrate", "upgrade_repo_v2", env={"TMPDIR": str(tmp)})
    tap.eq(list(tmp.glob("restic-migrate-*")), [], "the copy of the old config")
    (d / "more").write_text("other text\n" * 50_000)
    size = repos.stored(base)
    ours(base, "backup", "-q", ".", cwd=d)
    tap.ok(repos.stored(base) < size + 20_000, "not compressed")
    for p in ours, restic:
        p(base, "check", "--read-data")
    restic(base, "restore", "latest", "--target", tmp / "back")
    tap.eq((tmp / "back/text").read_bytes(), (d / "text").read_bytes())
    tap.eq((tmp / "back/more").read_bytes(), (d / "more").read_bytes())


@tap.test
def whatever_fails(tmp):
    """The N-th call about the config fails, or what it wrote is lost: one version or the other."""
    base, _ = repository(tmp)
    ours, restic = repos.holdfast(), repos.restic("restic-new")
    seen = set()
    for n in range(1, 6 if os.environ.get("INTEROP") == "full" else 3):
        for kind in "fail@{}:fatal:put:config", "fail@{}+:fatal:put:config", "lost@{}:put:config", "kill@{}:put:config", "fail@{}:fatal:get:config":
            repo = repos.memory(tmp) / "repo"
            shutil.copytree(base, repo)
            r = ours(repo, "-o", f"fault.plan={kind.format(n)}", "migrate", "upgrade_repo_v2", check=None, env={"TMPDIR": str(tmp)})
            tap.ok(r.returncode in (0, 1, 10, -9), r.stderr)
            version = re.search(r'"version": (\d)', restic(repo, "cat", "config", "--no-lock").stdout)[1]
            tap.ok(r.returncode != 0 or version == "2", "success, and nothing done")
            seen.add((r.returncode, version))
            restic(repo, "check", "--no-lock")
            ours(repo, "check")
            shutil.rmtree(repo)
    tap.ok((0, "2") in seen and (1, "1") in seen, seen)


tap.main()
