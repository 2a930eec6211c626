# SPDX-License-Identifier: BSD-2-Clause
"""generate and complete: what shells offer, in the real shells, and that nothing is asked or locked for it."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import time

import repos
import tap

HOSTS = ["web1", "web2"]


class Case:
    """A repository, the programs by both names in a folder of their own, and what completes their words."""

    def __init__(self, tmp):
        self.tmp = tmp
        (tmp / "bin").mkdir()
        (tmp / "bin/holdfast").symlink_to(tap.holdfast())
        (tmp / "bin/restic").symlink_to(tap.holdfast())
        self.repo = repos.quick(tmp / "repo")
        self.env = {"RESTIC_REPOSITORY": str(self.repo), "RESTIC_PASSWORD": repos.PASSWORD, "XDG_CACHE_HOME": str(tmp / "cache"),
                    "HOME": str(tmp), "PATH": f"{tmp / 'bin'}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "TERM": "dumb"}
        (tmp / "data/sub dir").mkdir(parents=True)
        (tmp / "data/sub dir/file").write_text("x")
        (tmp / "data/other").write_text("y")
        for n, host in enumerate(HOSTS):
            self.run("holdfast", "backup", "-q", tmp / "data", "--host", host, "--tag", f"tag{n},both", "--time", f"2023-0{n + 1}-02 03:04:05")
        found = json.loads(self.run("holdfast", "snapshots", "--json").stdout)
        self.ids = [s["id"] for s in sorted(found, key=lambda s: s["time"], reverse=True)]

    def run(self, *argv, **kw):
        kw["env"] = {**self.env, **kw.get("env", {})}
        return tap.run(self.tmp / "bin" / argv[0], *argv[1:], **kw)

    def offers(self, *words, program="holdfast", **kw):
        r = self.run(program, "complete", "--", *words, **kw)
        tap.eq(r.returncode, 0)
        return [x.split("\t")[0] for x in r.stdout.splitlines()]


def shown(program, *command):
    """The commands and flags that help shows."""
    text = tap.run(program, "help", *command).stdout
    return (set(re.findall(r"^  ([a-z][a-z -]*?)  ", text.split("Global flags:")[0], re.M)),
            set(re.findall(r"^  (?:-\w, |    )(--[a-z0-9-]+)", text, re.M)))


@tap.test
def commands_and_flags_are_those_of_help(tmp):
    c = Case(tmp)
    names, _ = shown(tap.holdfast())
    tap.eq(sorted(c.offers("")), sorted({n.split()[0] for n in names}))
    tap.eq(sorted(c.offers("key", "")), ["add", "list", "passwd", "remove"])
    tap.eq(c.offers("sn"), ["snapshots"])
    tap.eq(c.offers("help", "sn"), ["snapshots"])
    tap.eq(c.offers("-r", "x", "--json", "sn"), ["snapshots"])
    for name in sorted(names):
        tap.eq(sorted(set(c.offers(*name.split(), "--"))), sorted(shown(tap.holdfast(), *name.split())[1]), name)
    tap.eq(c.offers("nothing", ""), [])


@tap.test
def values(tmp):
    c = Case(tmp)
    short = [i[:8] for i in c.ids]
    for words, want in (
            (["stats", "--mode", ""], ["restore-size", "files-by-contents", "blobs-per-file", "raw-data"]),
            (["ls", "--sort=", ], ["--sort=" + w for w in ("name", "size", "time", "atime", "ctime", "extension")]),
            (["--compression", "b"], ["better"]), (["ls", "-s", "si"], ["size"]), (["ls", "-ls", "si"], ["size"]),
            (["snapshots", "--host", ""], HOSTS[::-1]), (["snapshots", "--tag", ""], ["tag1", "both", "tag0"]),
            (["snapshots", "-H", "web1", "--path", "/"], [str(tmp / "data")]), (["backup", "--parent", ""], ["latest", *short]),
            (["snapshots", ""], ["latest", *short]), (["stats", "--json", short[0], ""], ["latest", *short]),
            (["diff", "latest", short[1][:7]], [short[1]]), (["restore", c.ids[0][:12]], [c.ids[0]]),
            (["ls", "lat"], ["latest"]), (["list", "l"], ["locks"]), (["cat", "ma"], ["masterkey"]), (["cat", "t"], ["tree"]),
            (["snapshots", "--group-by", "h"], ["host"]), (["key", "remove", ""], sorted(i[:8] for i in repos.files(c.repo, "keys"))),
            (["restore", "--target", ""], [":files"]), (["--password-file=/e"], [":files"]), (["--cache-dir", ""], [":folders"]),
            (["backup", ""], [":files"]), (["backup", "--", "--"], [":files"]), (["find", "x"], []), (["version", ""], []),
            (["snapshots", "--latest", ""], [])):
        tap.eq(c.offers(*words), want, words)
    tap.ok("s3.region=" in c.offers("-o", "s3."), "options")
    tap.eq(c.offers("-o", "lock.t"), ["lock.trust-hostname=", ":nospace"])
    tap.eq(c.offers("-o", "lock.t", program="restic"), [":nospace"])
    top = str(tmp / "data")
    tap.eq(c.offers("ls", "latest", f"{top}/"), [f"{top}/other", f"{top}/sub dir/", ":nospace"])
    tap.eq(c.offers("ls", f"latest:{top}/sub"), [f"latest:{top}/sub dir/", ":nospace"])
    tap.eq(c.offers("ls", "latest", f"/{top.split('/')[1][:1]}"), [f"/{top.split('/')[1]}/", ":nospace"])


@tap.test
def repository_and_password_may_be_on_the_line(tmp):
    c = Case(tmp)
    (tmp / "pw").write_text(repos.PASSWORD)
    (tmp / "pw").chmod(0o600)
    env = {"RESTIC_REPOSITORY": "", "RESTIC_PASSWORD": ""}
    tap.eq(c.offers("snapshots", "--host", "", env=env), [])
    tap.eq(c.offers("-r", c.repo, "-p", tmp / "pw", "snapshots", "--host", "", env=env), HOSTS[::-1])
    tap.eq(c.offers(f"--repo={c.repo}", f"--password-file={tmp / 'pw'}", "snapshots", "--host=", env=env), [f"--host={h}" for h in HOSTS[::-1]])


@tap.test
def nobody_is_asked_and_nothing_is_locked(tmp):
    """On a terminal, without a password; with a command for it; with a wrong one; without a repository."""
    c = Case(tmp)
    (tmp / "asked").unlink(missing_ok=True)
    for env in ({"RESTIC_PASSWORD": ""}, {"RESTIC_PASSWORD": "", "RESTIC_PASSWORD_COMMAND": f"touch {tmp / 'asked'}"},
                {"RESTIC_PASSWORD": "", "RESTIC_PASSWORD_FILE": "-"}, {"RESTIC_PASSWORD": "wrong"}, {"RESTIC_REPOSITORY": ""},
                {"RESTIC_REPOSITORY": str(tmp / "none")}, {"RESTIC_REPOSITORY": "rest:http://127.0.0.1:1/"}):
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(tap.holdfast(), ["holdfast", "complete", "--", "snapshots", ""], {**c.env, **env})
        start, text = time.monotonic(), b""
        try:
            while more := os.read(fd, 1000):
                text += more
        except OSError:
            pass
        os.waitpid(pid, 0)
        tap.ok(time.monotonic() - start < 5, env)
        tap.eq(text, b"", env)
    tap.ok(not (tmp / "asked").exists(), "the command was run")
    log = tmp / "trace"
    tap.eq(c.offers("-o", f"trace.file={log}", "snapshots", "--host", ""), HOSTS[::-1])
    tap.contains(log.read_text(), "snapshot")
    tap.ok("lock" not in log.read_text() and " put " not in log.read_text(), log.read_text())
    # Somebody's exclusive lock is in nobody's way.
    sleeper = subprocess.Popen([tap.holdfast(), "with-lock", "--", "sh", "-c", "echo locked; read x"], env={**os.environ, **c.env},
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    tap.eq(sleeper.stdout.readline(), "locked\n")
    tap.eq(c.offers("snapshots", "--host", ""), HOSTS[::-1])
    sleeper.communicate("\n", timeout=60)


# ---- the shells ----


def generate(c, shell, program="holdfast"):
    f = c.tmp / f"{program}.{shell}"
    tap.eq(c.run(program, "generate", f"--{shell}-completion", f).stdout, "")
    tap.eq(c.run(program, "generate", f"--{shell}-completion", "-").stdout, f.read_text())
    return f


class Shell:
    """A real one on a terminal."""

    def __init__(self, c, *argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(c.tmp)
            os.execvpe(argv[0], argv, {**c.env, "PS1": "$ "})

    def until(self, what, seconds=20):
        text, end = "", time.monotonic() + seconds
        while what not in text:
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"{what!r} does not come:\n{text!r}")
            text += os.read(self.fd, 4000).decode("utf-8", "replace")
        return text

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def in_bash(c, script, line):
    """What bash would offer for the line, the cursor at its end."""
    words = [w for w in re.split(r"([=:])|\s+", line) if w]
    if line.endswith(" ") or line[-1] in "=:":
        words += [""] if line.endswith(" ") else []
    code = (f"source {script}; COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}; compopt() {{ echo \"opt $*\"; }};"
            f" _{words[0]}_complete; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    r = subprocess.run(["bash", "--norc", "-c", code], env=c.env, cwd=c.tmp, capture_output=True, text=True, timeout=60)
    tap.eq(r.stderr, "")
    return r.stdout.splitlines()


@tap.test
def bash(tmp):
    c = Case(tmp)
    f = generate(c, "bash")
    tap.eq(in_bash(c, f, "holdfast snaps"), ["snapshots"])
    tap.eq(in_bash(c, f, "holdfast stats --mode="), ["restore-size", "files-by-contents", "blobs-per-file", "raw-data"])
    tap.eq(in_bash(c, f, "holdfast stats --mode=raw"), ["raw-data"])
    tap.eq(in_bash(c, f, "holdfast snapshots --host "), HOSTS[::-1])
    tap.eq(in_bash(c, f, f"holdfast ls latest:{tmp}/data/s"), ["opt -o nospace", f"{tmp}/data/sub\\ dir/"])
    tap.eq(in_bash(c, f, "holdfast -o sftp.c"), ["opt -o nospace", "sftp.connections=", "sftp.command="])
    tap.eq(in_bash(c, f, "holdfast --password-file=da"), ["opt -o filenames", "data"])
    tap.eq(in_bash(c, f, "holdfast backup da"), ["opt -o filenames", "data"])
    r = generate(c, "bash", "restic")
    tap.eq(in_bash(c, r, "restic key r"), ["remove"])
    sh = Shell(c, "bash", "--norc", "--noprofile", "-i")
    sh.type(f"bind 'set bell-style none'; source {f}; echo ready\n")
    sh.until("ready\r\n")
    sh.type("holdfast version >out; holdfast snap\t-c --host=web\t1 && echo d''one\n")
    sh.until("done\r\n")
    tap.ok((tmp / "out").exists(), "it ran")
    sh.end()


@tap.test
def zsh(tmp):
    if not shutil.which("zsh"):
        tap.skip("zsh is absent")
    c = Case(tmp)
    f = generate(c, "zsh")
    sh = Shell(c, "zsh", "-f", "-i")
    sh.type(f"autoload -U compinit; compinit -u -d {tmp}/dump; source {f}; unsetopt beep; echo rea''dy\n")
    sh.until("ready\r\n")
    for typed, said in (("snaps\t--json", '[{"time"'), ("list key\t", sorted(repos.files(c.repo, "keys"))[0]),
                        ("stats --mode=raw\tlatest", "Stats in raw-data mode"), (f"ls --long latest:{tmp}/data/o\t", "other"),
                        ("snapshots --host web1 --compact --tag bo\t", "tag0")):
        sh.type(f"holdfast {typed}\n")
        sh.until(said)
    sh.type("echo en''d\n")
    sh.until("end\r\n")
    sh.end()


@tap.test
def fish(tmp):
    if not shutil.which("fish"):
        tap.skip("fish is absent")
    c = Case(tmp)
    f = generate(c, "fish")

    def offers(line):
        r = subprocess.run(["fish", "--no-config", "-c", f"source {f}; complete -C '{line}'"], env=c.env, cwd=tmp, capture_output=True, text=True,
                           timeout=60)
        tap.eq(r.stderr, "")
        return [x.split("\t")[0] for x in r.stdout.splitlines()]

    tap.eq(offers("holdfast snaps"), ["snapshots"])
    tap.eq(offers("holdfast snapshots --host "), HOSTS[::-1])
    tap.eq(offers("holdfast stats --mode=raw"), ["--mode=raw-data"])
    tap.eq(offers("holdfast ls lat"), ["latest"])
    tap.eq(offers("holdfast backup da"), ["data/"])
    tap.eq(offers("holdfast --password-file=da"), ["--password-file=data/"])


@tap.test
def powershell(tmp):
    """In a real one if there is any; without, that the script asks the program, by its name."""
    c = Case(tmp)
    for program in "restic", "holdfast":
        f = generate(c, "powershell", program)
        text = f.read_text()
        tap.contains(text, f"-Native -CommandName '{program}'")
        tap.ok("@PROGRAM@" not in text and "@NAME@" not in text, text)
        tap.eq([text.count(x) for x in "{(["], [text.count(x) for x in "})]"])
    if not shutil.which("pwsh"):
        return

    def offers(line):
        code = f". {f}; (TabExpansion2 -inputScript {json.dumps(line)} -cursorColumn {len(line)}).CompletionMatches | % CompletionText"
        r = subprocess.run(["pwsh", "-NoProfile", "-NonInteractive", "-Command", code], env=c.env, cwd=tmp, capture_output=True, text=True, timeout=60)
        tap.eq(r.stderr, "")
        return r.stdout.splitlines()

    tap.eq(offers("holdfast snaps"), ["snapshots"])
    tap.eq(offers("holdfast snapshots --host "), HOSTS[::-1])
    tap.eq(offers("holdfast stats --mode=raw"), ["--mode=raw-data"])
    tap.eq(offers("holdfast ls lat"), ["latest"])
    tap.eq(offers(f"holdfast ls latest:{tmp}/data/s"), [f"'latest:{tmp}/data/sub dir/'"])
    tap.eq(offers("holdfast version "), [])


# ---- generate ----


@tap.test
def manual_pages(tmp):
    c = Case(tmp)
    for program in ("holdfast", "restic"):
        d = tmp / f"man-{program}"
        d.mkdir()
        tap.eq(c.run(program, "generate", "--man", d).stdout, f"writing man pages to directory {d}\n")
        ours = {"export-tar", "import-tar"} if program == "restic" else set()
        names = {program} | {f"{program}-{n.replace(' ', '-')}" for n in set(shown(tap.holdfast())[0]) - ours}
        tap.eq({p.name for p in d.iterdir()}, {f"{n}.1" for n in names})
    tap.contains((tmp / "man-restic/restic-stats.1").read_text(), "\\-\\-mode")
    if shutil.which("mandoc"):
        r = subprocess.run(["mandoc", "-Tlint", "-Werror", *map(str, (tmp / "man-holdfast").iterdir())], capture_output=True, text=True)
        tap.eq(r.stdout + r.stderr, "")


@tap.test
def errors(tmp):
    c = Case(tmp)
    peer = tap.peer("restic-new")
    for argv in ([], ["x"], ["--bash-completion", "-", "--zsh-completion", "-"], ["--powershell-completion", "-", "--zsh-completion", "-"],
                 ["--powershell-completion", "/nowhere/x"], ["--bash-completion", "/nowhere/x"], ["--man", "/nowhere"]):
        ours, theirs = c.run("restic", "generate", *argv, check=None), tap.run(peer, "generate", *argv, check=None, env=c.env)
        tap.eq((ours.returncode, ours.stdout), (theirs.returncode, theirs.stdout), argv)
        tap.ok(ours.stderr != "", argv)


tap.main()
