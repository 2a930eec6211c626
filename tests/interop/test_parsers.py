# SPDX-License-Identifier: BSD-2-Clause
"""What programs that call `restic` look for in its output, and do with it: backrest, resticprofile,
autorestic, an exporter of metrics, units of systemd. Each test takes in what one of them does, with
its own regular expressions, from the real restic and from ours, called as `restic` and as
`holdfast`, and wants the same from all three.
"""

import json
import os
import pathlib
import re
import subprocess
import time

import handmade
import repos
import tap

ID = re.compile(r"^[0-9a-f]{64}$")


class As(repos.Program):
    """The program under the name of a link."""

    def __init__(self, name, path, shows):
        super().__init__(name, path)
        self.shows = shows


def programs(tmp):
    link = tmp / "restic"
    if not link.exists():
        link.symlink_to(os.path.realpath(tap.holdfast()))
    return [As("restic", tap.peer("restic-new"), "restic"), As("as-restic", str(link), "restic"),
            As("holdfast", tap.holdfast(), "holdfast")]


class World:
    """For each program a repository and the same folder."""

    def __init__(self, tmp):
        self.tmp = repos.memory(tmp)
        self.tree = self.tmp / "tree"
        (self.tree / "sub").mkdir(parents=True)
        (self.tree / "one").write_text("one\n" * 10000)
        (self.tree / "sub/two").write_bytes(os.urandom(100_000))
        self.programs = programs(self.tmp)
        self.repos = {p.name: repos.quick(self.tmp / f"repo-{p.name}") for p in self.programs}

    def each(self, parse):
        """What parse(program, repository) makes of each, which is the same for all."""
        made = {p.name: parse(p, self.repos[p.name]) for p in self.programs}
        for name, got in made.items():
            tap.eq(got, made["restic"], name)
        return made["restic"]


def lock(repo):
    """A lock of somebody else on another machine."""
    return handmade.Repo(repo, repos.PASSWORD).save("locks", {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 90)), "exclusive": True,
        "hostname": "elsewhere", "username": "somebody", "pid": 4711, "uid": 7, "gid": 8})


@tap.test
def versions(tmp):
    for p in programs(tmp):
        text = subprocess.run([p.path, "version"], capture_output=True, text=True, check=True).stdout
        if p.shows == "holdfast":
            tap.ok(re.match(r"holdfast \d+\.\d+\.\d+ ", text), text)
            continue
        # backrest; resticprofile; what says "0.14 or newer".
        m = re.search(r"restic\s+(\d+\.\d+\.\d+)", text)
        tap.ok(m and tuple(map(int, m[1].split("."))) >= (0, 14, 0), text)
        tap.eq(re.match(r"restic ([\d.]+)[ -].+", text)[1], m[1])


@tap.test
def resticprofile_scans_the_plain_summary(tmp):
    def numbers(text):
        found = {}
        for line in text.splitlines():
            if m := re.match(r"Files:\s+(\d+) new,\s+(\d+) changed,\s+(\d+) unmodified", line):
                found["files"] = m.groups()
            elif m := re.match(r"Dirs:\s+(\d+) new,\s+(\d+) changed,\s+(\d+) unmodified", line):
                found["dirs"] = m.groups()
            elif m := re.match(r"Added to the repo(?:sitory)?: ([\d.]+)\s+(\w{1,3}) \(([\d.]+)\s+(\w{1,3}) stored\)", line):
                found["added"] = m[2], m[4]
            elif m := re.match(r"processed (\d+) files, ([\d.]+)\s+(\w{1,3}) in (\S+)", line):
                found["processed"] = m[1], m[2], m[3]
                tap.ok(re.fullmatch(r"\d+:\d\d(:\d\d)?", m[4]), line)
        return found

    w = World(tmp)
    first = w.each(lambda p, repo: numbers(p(repo, "backup", "tree", cwd=w.tmp).stdout))
    tap.eq(set(first), {"files", "dirs", "added", "processed"})
    (w.tree / "one").write_text("changed")
    w.each(lambda p, repo: numbers(p(repo, "backup", "tree", cwd=w.tmp).stdout))


@tap.test
def autorestic_scans_it_as_well(tmp):
    patterns = [r"^Files:\s+\d+ new", r"^Dirs:\s+\d+ new", r"^Added to the repo(sitory)?: .+( \(.+\))?",
                r"^processed \d* files", r"^using parent snapshot [0-9a-f]{8}", r"^snapshot \w+ saved"]
    w = World(tmp)

    def found(p, repo):
        p(repo, "backup", "tree", cwd=w.tmp)
        out = p(repo, "backup", "tree", cwd=w.tmp).stdout
        return [bool(re.search(x, out, re.M)) for x in patterns]

    tap.eq(w.each(found), [True] * len(patterns))


@tap.test
def resticprofile_knows_a_summary_by_its_first_bytes(tmp):
    w = World(tmp)

    def keys(p, repo):
        out = p(repo, "backup", "tree", "--json", cwd=w.tmp).stdout.splitlines()
        last = [x for x in out if x.startswith('{"message_type":"summary",') and x.endswith("}")]
        tap.eq(len(last), 1, out)
        tap.ok(all(x.startswith('{"message_type":"') for x in out), out)
        return list(json.loads(last[0]))

    w.each(keys)


@tap.test
def resticprofile_tells_who_has_the_lock(tmp):
    w = World(tmp)

    def parse(p, repo):
        held = lock(repo)
        r = p(repo, "backup", "tree", cwd=w.tmp, check=11)
        m = re.search(r"unable to create lock.+already locked.+?by (.+)$", r.stderr, re.M)
        age = re.search(r"lock was created at.+\(([^()]+)\s+ago\)", r.stderr)
        tap.ok(m and age, r.stderr)
        tap.ok(re.fullmatch(r"(\d+h)?(\d+m)?[\d.]+s", age[1]), age[1])
        tap.contains(r.stderr, "the `unlock` command can be used to remove stale locks")
        waits = p(repo, "backup", "tree", "--retry-lock", "1s", cwd=w.tmp, check=11)
        m2 = re.search(r"repo already locked, waiting up to (\S+) for the lock", waits.stdout + waits.stderr)
        (pathlib.Path(repo) / "locks" / held).unlink()
        return m[1], m2[1]

    tap.eq(w.each(parse), ("PID 4711 on elsewhere by somebody (UID 7, GID 8)", "1s"))


@tap.test
def backrest_runs_its_rounds(tmp):
    w = World(tmp)

    def rounds(p, repo):
        got = []
        out = p(repo, "backup", "--json", "--exclude", "*.tmp", "--iexclude", "*.BAK", "--exclude-caches", "--tag", "plan:a",
                "--tag", "created-by:b", "tree", cwd=w.tmp).stdout.splitlines()
        summary = json.loads(out[-1])
        tap.ok(ID.match(summary["snapshot_id"]), summary)
        statuses = [json.loads(x) for x in out[:-1]]
        tap.ok(all(s["message_type"] in ("status", "verbose_status", "error") for s in statuses), statuses)
        tap.ok(all(0 <= s.get("percent_done", 0) <= 1 for s in statuses), statuses)
        got.append({k: summary[k] for k in ("files_new", "dirs_new", "total_files_processed", "total_bytes_processed")})
        snapshots = json.loads(p(repo, "snapshots", "--json", "--tag", "plan:a").stdout)
        tap.ok(all(ID.match(s["id"]) and ID.match(s["tree"]) for s in snapshots), snapshots)
        got.append([(s["tags"], s["paths"], s["id"] == summary["snapshot_id"], sorted(s)) for s in snapshots])
        listed = [json.loads(x) for x in p(repo, "ls", "--json", summary["snapshot_id"], "/tree", "--recursive").stdout.splitlines()]
        tap.eq(listed[0]["id"], summary["snapshot_id"])
        tap.eq(sorted(n["name"] for n in listed[1:]), ["one", "sub", "tree", "two"])
        got.append([(n["name"], n["type"], n["path"], n.get("size"), list(n)) for n in listed[1:]])
        got.append(list(json.loads(p(repo, "stats", "--json", "--mode=raw-data").stdout)))
        p(repo, "tag", "--add", "more", summary["snapshot_id"])
        forgot = json.loads(p(repo, "forget", "--json", "--keep-last", "1", "--group-by", "tag").stdout)
        got.append([(sorted(g), len(g["keep"]), g["remove"]) for g in forgot])
        p(repo, "prune", "--max-unused", "5%")
        p(repo, "check")
        target = w.tmp / f"back-{p.name}"
        last = json.loads(p(repo, "restore", "--json", "latest", "--target", target).stdout.splitlines()[-1])
        got.append({k: v for k, v in last.items() if k != "seconds_elapsed"})
        tap.eq((target / "tree/sub/two").read_bytes(), (w.tree / "sub/two").read_bytes())
        return got

    w.each(rounds)


@tap.test
def backrest_reads_exit_codes(tmp):
    w = World(tmp)

    def codes(p, repo):
        nowhere = w.tmp / "nowhere"
        got = [p(nowhere, "snapshots", "--json", check=None).returncode]
        r = p(repo, "init", check=None)
        got += [r.returncode, bool(re.search("config file already exists|already initialized", r.stdout + r.stderr))]
        got.append(p(repo, "backup", "tree", "missing", cwd=w.tmp, check=None).returncode)
        got.append(p(repo, "snapshots", env={"RESTIC_PASSWORD": "wrong"}, check=None).returncode)
        r = p(repo, "--json", "snapshots", env={"RESTIC_PASSWORD": "wrong"}, check=None)
        last = json.loads(r.stderr.splitlines()[-1])
        got.append((list(last), last["message_type"], last["code"]))
        return got

    tap.eq(w.each(codes), [10, 1, True, 3, 12, (["message_type", "code", "message"], "exit_error", 12)])


@tap.test
def an_exporter_asks_without_a_lock(tmp):
    w = World(tmp)

    def ask(p, repo):
        for host in "a", "b":
            p(repo, "backup", "tree", "--host", host, cwd=w.tmp)
        groups = json.loads(p(repo, "--no-lock", "snapshots", "--json", "--latest", "1", "--group-by", "host").stdout)
        got = [sorted((json.dumps(g["group_key"], sort_keys=True), len(g["snapshots"])) for g in groups)]
        held = lock(repo)
        got.append(list(json.loads(p(repo, "--no-lock", "stats", "--json").stdout)))
        tap.eq(p(repo, "list", "locks", "--no-lock").stdout.split(), [held])
        (pathlib.Path(repo) / "locks" / held).unlink()
        got.append(p(repo, "check", check=None).returncode)
        got.append(p(repo, "check", "--json").stdout.splitlines()[-1])
        return got

    w.each(ask)


@tap.test
def units_unlock_look_and_initialize(tmp):
    w = World(tmp)

    def boot(p, repo):
        fresh = w.tmp / f"fresh-{p.name}"
        env = {**os.environ, "RESTIC_PASSWORD": repos.PASSWORD, "R": p.path, "RESTIC_REPOSITORY": str(fresh)}
        script = '"$R" --no-cache cat config >/dev/null 2>&1 || "$R" --no-cache init >/dev/null && "$R" --no-cache unlock -q ' \
                 '&& "$R" --no-cache backup -q tree && "$R" --no-cache forget -q --keep-daily 7 --prune && ' \
                 '"$R" --no-cache check -q; echo $?'
        return subprocess.run(["sh", "-c", script], env=env, cwd=w.tmp, capture_output=True, text=True).stdout

    tap.eq(w.each(boot), "0\n")


tap.main()
