# SPDX-License-Identifier: BSD-2-Clause
"""What Borg has and restic does not: options that exist only under our own name."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import time

import repos
import tap

ours = repos.holdfast()


def as_restic(tmp):
    """Our program under restic's name."""
    link = tmp / "bin/restic"
    link.parent.mkdir(exist_ok=True)
    if not link.exists():
        link.symlink_to(tap.holdfast())
    return repos.Program("restic", str(link))


class Borg:
    """Borg beside us, with one repository; skips the test if it is absent."""

    def __init__(self, tmp):
        self.path = tap.peer("borg-1.4")
        self.repo = tmp / "borg-repo"
        self.env = {"BORG_BASE_DIR": str(tmp), "BORG_HOST_ID": "this-host", "LC_ALL": "C.UTF-8",
                    "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
        self("init", "-e", "none", self.repo)

    def __call__(self, *args, check=0, **kw):
        return tap.run(self.path, *args, env=self.env, check=check, **kw)


# ---- --show-rc


def last_line(r):
    return r.stderr.splitlines()[-1] if r.stderr else ""


@tap.test
def the_exit_code_in_words(tmp):
    repo = repos.quick(tmp / "repo")
    (tmp / "file").write_text("x")

    def expect(words, code, *args, where=repo, **kw):
        r = ours(where, *args, check=code, **kw)
        tap.eq(last_line(r), f"terminating with {words} status, rc {code}", str(args))
        tap.ok("terminating" not in r.stdout)
        tap.eq(r.stderr.count("terminating"), 1)

    expect("success", 0, "--show-rc", "snapshots")
    expect("success", 0, "backup", tmp / "file", "--show-rc", "--quiet", "--json")
    expect("warning", 3, "backup", tmp / "file", tmp / "absent", "--show-rc")
    expect("error", 1, "backup", tmp / "absent", "--show-rc")
    expect("error", 1, "backup", "--no-such-flag", "--show-rc")
    expect("error", 1, "backup", "--show-rc", "--read-concurrency", "x")
    expect("error", 1, "--show-rc", "no-such-command")
    expect("error", 10, "snapshots", "--show-rc", where=tmp / "none")
    expect("error", 12, "snapshots", "--show-rc", env={"RESTIC_PASSWORD": "wrong"})
    expect("success", 0, "with-lock", "--show-rc", "--", "true")
    expect("error", 7, "with-lock", "--show-rc", "--", "sh", "-c", "exit 7")
    r = ours(repo, "with-lock", "--show-rc", "--", "sh", "-c", "kill -KILL $$", check=-9)
    tap.eq(last_line(r), "terminating with signal status, rc 137")
    tap.ok("terminating" not in ours(repo, "snapshots").stderr)
    tap.ok("terminating" not in ours(repo, "snapshots", "--show-rc=false").stderr)


@tap.test
def the_exit_code_as_borg_says_it(tmp):
    borg = Borg(tmp)
    repo = repos.quick(tmp / "repo")
    (tmp / "file").write_text("x")
    # Codes of warnings differ; the words do not.
    for theirs, mine in ((("list", borg.repo), ("snapshots",)),
                         (("create", f"{borg.repo}::a", tmp / "file", tmp / "absent"),
                          ("backup", tmp / "file", tmp / "absent")),
                         (("with-lock", borg.repo, "sh", "-c", "exit 7"), ("with-lock", "--", "sh", "-c", "exit 7"))):
        a = borg("--show-rc", *theirs, check=None)
        b = ours(repo, "--show-rc", *mine, check=None)
        words = [re.fullmatch(r"(terminating with \w+ status, rc )\d+", last_line(r)).group(1) for r in (a, b)]
        tap.eq(words[0], words[1], str(mine))


@tap.test
def under_restics_name_there_is_none_of_it(tmp):
    repo = repos.quick(tmp / "repo")
    (tmp / "file").write_text("x")
    theirs = as_restic(tmp)
    for args in (["snapshots", "--show-rc"], ["snapshots", "--lock-wait", "1s"],
                 ["snapshots", "--log-format", "json"], ["backup", "--list"], ["backup", "--filter", "A"],
                 ["backup", "--files-changed", "mtime"], ["ls", "--format", "x"], ["snapshots", "--format", "x"]):
        r = theirs(repo, *args, check=1)
        tap.contains(r.stderr, f"unknown flag: {args[1]}")
        tap.ok("terminating" not in r.stderr)
        tap.ok(args[1] not in theirs(repo, "help", args[0]).stdout)
        tap.contains(ours(repo, "help", args[0]).stdout, args[1])
    # And of all that stands there as ours.
    text = (tap.TOP / "docs/compatibility.md").read_text().split("## What only holdfast has")[1]
    for command, options in re.findall(r"^\| (\S+|\*of all.*?|\*all.*?) \| (`--.*) \|$", text, re.M):
        args = [] if command.startswith("*") else [command.strip("`")]
        shown = [re.findall(r"(?m)^ +(?:-., )?(--[a-z-]+)", p(repo, "help", *args).stdout) for p in (theirs, ours)]
        for o in re.findall(r"`(--[a-z-]+)`", options):
            tap.ok(o not in shown[0] and o in shown[1], f"{command} {o}")
    for name in "export-tar", "import-tar":
        tap.contains(theirs(repo, name, check=1).stderr, f'unknown command "{name}" for "restic"')
        tap.ok(name not in theirs(repo, "help").stdout)
        tap.contains(ours(repo, "help").stdout, name)


# ---- backup --list


def listed(text, top):
    """The lines of a list as a set of (status, path), without what lies above `top`."""
    found = set()
    for line in text.splitlines():
        m = re.fullmatch(r"(\S) (/.*)", line)
        if m and (m[2] + "/").startswith(f"{top}/"):
            tap.ok(m.groups() not in found, f"{line} is listed twice")
            found.add(m.groups())
    return found


def make_source(top):
    for d in "dir/sub", "tagged", "empty", "dir/excluded":
        (top / d).mkdir(parents=True)
    for name, text in (("plain", "x"), ("dir/a", "a"), ("dir/sub/deep", "deep"), ("void", ""), ("dir/out.o", "o"),
                       ("dir/excluded/in", "in"), ("umläut", "u"), ("dir/long", "l" * 3000000)):
        (top / name).write_text(text)
    os.symlink("plain", top / "link")
    os.mkfifo(top / "pipe")
    for name in "one", "two", "dir/three":
        os.link(top / "plain", top / name)
    if os.geteuid() == 0:
        os.mknod(top / "null", 0o20600, os.makedev(1, 3))
        os.mknod(top / "loop", 0o60600, os.makedev(7, 0))


@tap.test
def a_list_as_borg_makes_it(tmp):
    borg, repo, top = Borg(tmp), repos.quick(tmp / "repo"), tmp / "source"
    make_source(top)
    excludes = ["--exclude", "*.o", "--exclude", f"{top}/dir/excluded"]

    def both(n, *args):
        theirs = borg("create", "--list", *args, "--exclude", "*.o", "--exclude", f"{top}/dir/excluded",
                      f"{borg.repo}::{n}", top)
        mine = ours(repo, "backup", "--list", *args, *excludes, top)
        tap.ok(not listed(mine.stdout, ""))
        return listed(theirs.stderr, top), listed(mine.stderr, top)

    def first_names(found):
        """Which of the names of a file comes first is chance here, and the order of inodes there."""
        names = {f"{top}/{n}" for n in ("plain", "one", "two", "dir/three")}
        return sorted(s for s, p in found if p in names), {(s, p) for s, p in found if p not in names}

    a, b = both(1)
    tap.eq(first_names(b), first_names(a))
    tap.eq(first_names(b)[0], ["A", "h", "h", "h"])
    tap.ok({s for s, _ in b} >= set("Adshfx"))
    (top / "new").write_text("new")
    (top / "dir/a").write_text("another")
    a, b = both(2)
    tap.eq(b - {x for x in b if x[0] == "U"}, {("A", f"{top}/new"), ("M", f"{top}/dir/a")} |
           {x for x in b if x[0] in "dshfxbc"})
    tap.eq(first_names(b)[0], ["U", "h", "h", "h"])
    tap.eq({x for x in a if x[0] in "dsfxbc"}, {x for x in b if x[0] in "dsfxbc"})
    a, b = both(3, "--filter", "AMx")
    # Borg does not trust its memory of the newest file.
    tap.eq(a - {("A", f"{top}/dir/a"), ("A", f"{top}/new")}, b)
    tap.eq({s for s, _ in b}, {"x"})


@tap.test
def what_is_listed(tmp):
    repo, top = repos.quick(tmp / "repo"), tmp / "source"
    make_source(top)
    quiet = ours(repo, "backup", top).stderr
    tap.ok(not listed(quiet, top), quiet)
    r = ours(repo, "backup", "--list", "--json", top)
    tap.ok("message_type" in r.stdout and not listed(r.stderr, ""), r.stderr)
    r = ours(repo, "backup", "--list", "--quiet", top)
    tap.ok(r.stdout == "" and ("U", f"{top}/dir/a") in listed(r.stderr, top))
    r = ours(repo, "backup", "--list", "--filter", "d", "--dry-run", "--force", top)
    tap.eq({s for s, _ in listed(r.stderr, "")}, {"d"})
    r = ours(repo, "backup", "--list", "--stdin", "--stdin-filename", "of/pipe", input="x",
             env={"RESTIC_PASSWORD_COMMAND": "echo geheim"})
    tap.contains(r.stderr, "i /of/pipe\n")
    # What cannot be read; as Borg has it.
    r = ours(repo, "backup", "--list", "--filter", "E", "/proc/self/mem", top, check=3)
    tap.eq(listed(r.stderr, ""), {("E", "/proc/self/mem")})
    # A name with a newline stays one line.
    (top / "two\nlines").write_text("")
    tap.contains(ours(repo, "backup", "--list", top).stderr, f'\nA "{top}/two\\nlines"\n')
    r = ours(repo, "backup", "--list", "--filter", "AZ", top, check=1)
    tap.contains(r.stderr, "--filter: no item has the status Z; there are AMUCEdbcfshix")
    r = ours(repo, "backup", "--filter", "A", top, check=1)
    tap.contains(r.stderr, "--filter chooses what --list lists")


# ---- files that change while they are read


def while_changing(fn, program, repo, top, *args):
    """Backs up a file of 48 MiB, to which fn(path, n) is done all the time."""
    top.mkdir(exist_ok=True)
    (top / "file").write_bytes(os.urandom(1 << 20) * 48)
    ends = threading.Event()

    def loop():
        n = 0
        while not ends.wait(0.002):
            fn(top / "file", n)
            n += 1

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        return program(repo, "backup", *args, top)
    finally:
        ends.set()
        thread.join()


def change_content(path, n):
    with open(path, "r+b") as f:
        os.pwrite(f.fileno(), b"%d" % n, n % 48 << 20)


def change_ctime(path, n):
    os.chmod(path, 0o600 + n % 2 * 0o40)


@tap.test
def files_that_change(tmp):
    repo = repos.quick(tmp / "repo")
    top, file = tmp / "source", tmp / "source/file"
    words = "file changed while we backed it up"
    r = while_changing(change_content, ours, repo, top, "--list", "--filter", "C")
    tap.eq(listed(r.stderr, ""), {("C", str(file))})
    tap.eq(r.stderr.count(f"Warning: {file}: {words}"), 1)
    r = while_changing(change_ctime, ours, repo, top, "--force")
    tap.contains(r.stderr, words)
    r = while_changing(change_ctime, ours, repo, top, "--force", "--files-changed", "mtime")
    tap.ok(words not in r.stderr, r.stderr)
    r = while_changing(change_content, ours, repo, top, "--force", "--files-changed", "disabled")
    tap.ok(words not in r.stderr, r.stderr)
    # restic says nothing, and so do we under its name.
    r = while_changing(change_content, as_restic(tmp), repo, top, "--force")
    tap.ok("changed" not in r.stderr, r.stderr)
    # Nothing is said of files that stay as they are.
    r = ours(repo, "backup", "--force", "--list", "--filter", "C", top)
    tap.eq(r.stderr.count(words) + len(listed(r.stderr, "")), 0, r.stderr)
    repos.restic("restic-new")(repo, "check")


# ---- --format


@tap.test
def files_in_the_users_form(tmp):
    borg, repo, top = Borg(tmp), repos.quick(tmp / "repo"), tmp / "source"
    make_source(top)
    os.chmod(top / "void", 0o4711)
    os.chmod(top / "dir/a", 0o7644)
    os.chmod(top / "empty", 0o1777)
    os.utime(top / "plain", (0, 1234567890))
    borg("create", f"{borg.repo}::a", top)
    ours(repo, "backup", top)
    # Borg's own default, but for the time, which it has in another form, and for what else is a choice:
    # names have no slash in front there, folders no size, and hard links are told.
    form = "{mode} {user:6} {group:6} {uid:>5} {gid:<5}|{size:8d} {mtime:%Y-%m-%d %H:%M:%S} {type} {path}{extra}{NL}"

    def lines(text):
        found = {}
        for line in text.splitlines():
            m = re.match(r"(.*\d\d:\d\d:\d\d) (\S) (/?)(\S+)(.*)", line)
            name = m[4].removeprefix(str(top)[1:])
            if name and name[1:] not in ("one", "two", "dir/three", "plain"):
                found[name] = (m[1][1:], m[2], m[5])
        return found

    mine = lines(ours(repo, "ls", "--format", form, "latest").stdout)
    theirs = lines(borg("list", "--format", form, f"{borg.repo}::a").stdout)
    for name, (rest, kind, extra) in theirs.items():
        if kind == "l":  # Borg has the length of the target there
            tap.eq(mine[name][1:], (kind, extra), name)
        else:
            tap.eq(mine[name], (rest, kind, extra), name)
    tap.ok(len(theirs) > 8)

    nodes = [json.loads(x) for x in ours(repo, "ls", "latest", "--json").stdout.splitlines()][1:]
    text = ours(repo, "ls", "--format", "{path}{NUL}{name}{NUL}{inode}{NUL}{isomtime}{NUL}{isoctime}{LF}{NUL}", "latest").stdout
    tap.eq([x.rstrip("\n") for x in text.split("\0")[:-1]],
           [str(n.get(k, 0)) for n in nodes for k in ("path", "name", "inode", "mtime", "ctime")])
    by_size = ours(repo, "ls", "--format", "{size} {path}{NUL}", "--sort", "size", "--reverse", "latest").stdout
    tap.ok(by_size.startswith(f"3000000 {top}/dir/long\0"), by_size[:80])
    tap.eq(ours(repo, "ls", "--format", "{linktarget}{source}{links}", "latest", top).stdout.count("plain"), 2)
    for name in "plain", "umläut":
        tap.contains(ours(repo, "ls", "--format", "{name:>8}|{NL}", "latest").stdout, f"{name:>8}|\n")


@tap.test
def snapshots_in_the_users_form(tmp):
    repo = repos.quick(tmp / "repo")
    (tmp / "file").write_text("x")
    for i in range(3):
        ours(repo, "backup", "--host", f"host{i}", "--tag", f"a,b{i}", "--tag", "c", "--time",
             f"202{i}-01-02 03:04:05", tmp / "file", env={"TZ": "UTC"})
    want = [f"{s['id']} {s['id'][:8]} {s['time'][:10]} {s['time']} {s['hostname']:>8} {s['username']} "
            f"{','.join(s['tags'])} {','.join(s['paths'])} {s['tree']} {s.get('parent', '')} {s['program_version']}\n"
            for s in repos.holdfast().snapshots(repo)]
    form = ("{id} {short_id} {time:%Y-%m-%d} {isotime} {hostname:>8} {username} {tags} {paths} {tree} {parent} "
            "{program_version}{NL}")
    tap.eq(ours(repo, "snapshots", "--format", form, env={"TZ": "UTC"}).stdout, "".join(want))
    tap.eq(ours(repo, "snapshots", "--format", form, "--host", "host1", env={"TZ": "UTC"}).stdout, want[1])
    tap.eq(ours(repo, "snapshots", "--format", "{time};", "--latest", "1", env={"TZ": "UTC"}).stdout.count(";"), 3)


@tap.test
def forms_that_are_none(tmp):
    repo = repos.quick(tmp / "repo")
    for args, words in ((["ls", "--format", "{nope}", "latest"], "there is no {nope}\nThese there are: {path} {name} "),
                        (["snapshots", "--format", "{path}"], "there is no {path}\nThese there are: {id} {short_id} "),
                        (["ls", "--format", "{path", "latest"], "a { without a }"),
                        (["ls", "--format", "x", "--json", "latest"], "--format does not go together with --json"),
                        (["ls", "--format", "x", "--ncdu", "latest"], "--format does not go together"),
                        (["snapshots", "--format", "x", "--json"], "--format does not go together with --json")):
        r = ours(repo, *args, check=1)
        tap.contains(r.stderr, words)
        tap.eq(r.stdout, "")


tap.main()
