# SPDX-License-Identifier: BSD-2-Clause
"""The command line as scripts and terminals meet it: arguments, passwords, signals, pipes."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import repos
import tap

CLEAN = {k: "" for k in os.environ if k.startswith(("RESTIC_", "HOLDFAST_"))}


def run(*argv, env=None, **kw):
    """holdfast with these arguments, without what the tester has in the environment."""
    return tap.run(tap.holdfast(), *argv, env={**CLEAN, **(env or {})}, **kw)


def make_repo(tmp, password="pw"):
    repos.quick(tmp / "repo", password=password)
    return {"RESTIC_REPOSITORY": str(tmp / "repo"), "RESTIC_PASSWORD": password}


def popen(*argv, env=None, **kw):
    return subprocess.Popen([tap.holdfast(), *[str(a) for a in argv]],
                            env={**os.environ, **CLEAN, **(env or {})}, **kw)


def locks(tmp):
    return os.listdir(tmp / "repo/locks")


# --- arguments


@tap.test
def without_a_command_comes_help(tmp):
    r = run()
    tap.contains(r.stdout, "Usage:")
    tap.contains(r.stdout, "snapshots")
    tap.eq(run("--help").stdout, r.stdout)
    tap.eq(run("help").stdout, r.stdout)


@tap.test
def every_command_explains_itself(tmp):
    names = re.findall(r"^  ([a-z -]+?)  ", run().stdout.split("Global flags")[0], re.M)
    tap.ok(len(names) >= 8, names)
    for name in names:
        text = run(*name.split(), "--help").stdout
        tap.contains(text, f"holdfast {name}")
        tap.eq(run("help", *name.split()).stdout, text)


@tap.test
def usage_errors_name_the_culprit_and_exit_with_1(tmp):
    for argv, text in [
        (["frobnicate"], 'unknown command "frobnicate"'),
        (["snapshots", "--nope"], "unknown flag: --nope"),
        (["snapshots", "-Z"], "unknown shorthand flag: 'Z' in -Z"),
        (["snapshots", "--repo"], "flag needs an argument: --repo"),
        (["snapshots", "--pack-size=x"], '"--pack-size"'),
        (["snapshots", "-q", "-v"], "--quiet and --verbose cannot be specified"),
        (["snapshots"], "Please specify repository location"),
        (["snapshots", "-r", "a", "--repository-file", "b"], "mutually exclusive"),
        (["cat", "-r", "a"], "type not specified"),
        (["cat", "-r", "a", "foo"], 'invalid type "foo"'),
        (["list", "-r", "a", "foo"], '"foo"'),
        (["ls", "-r", "a"], "no snapshot ID specified"),
        (["ls", "-r", "a", "latest", "rel"], "must be absolute"),
        (["find", "-r", "a"], "wrong number of arguments"),
        (["find", "-r", "a", "x", "-O", "yesterday"], 'unable to parse time: "yesterday"'),
        (["find", "-r", "a", "x", "--blob", "--tree"], "cannot have several ID types"),
        (["backup", "-r", "a"], "nothing to backup"),
        (["check", "-r", "a", "--read-data", "--read-data-subset", "1/2"], "cannot be used"),
        (["check", "-r", "a", "--read-data-subset", "3/2"], "--read-data-subset"),
        (["snapshots", "-r", "a", "-g", "moon"], 'unknown grouping option: "moon"'),
    ]:
        r = run(*argv, env={"RESTIC_PASSWORD": "x"}, check=1)
        tap.ok(r.stderr.startswith("Fatal: "), r.stderr)
        tap.contains(r.stderr, text)
        tap.eq(r.stdout, "")


@tap.test
def options_may_stand_before_the_command(tmp):
    env = make_repo(tmp)
    (tmp / "f").write_text("x")
    run("backup", "-q", "--tag", "a", tmp / "f", env=env)
    for argv in (["--tag", "a", "snapshots"], ["--tag=a", "snapshots"], ["-c", "snapshots"],
                 ["-q", "--tag", "a", "-c", "snapshots", "latest"]):
        tap.contains(run(*argv, env=env).stdout, "1 snapshots")
    tap.contains(run("-l", "ls", "latest", env=env).stdout, "-rw-")


@tap.test
def errors_under_json_are_one_line_of_json(tmp):
    r = run("--json", "-r", tmp / "none", "snapshots", env={"RESTIC_PASSWORD": "x"}, check=10)
    line = json.loads(r.stderr)
    tap.eq(list(line), ["message_type", "code", "message"])
    tap.eq(line["message_type"], "exit_error")
    tap.eq(line["code"], 10)
    tap.contains(line["message"], "repository does not exist")
    tap.eq(r.stdout, "")


@tap.test
def exit_codes(tmp):
    env = make_repo(tmp)
    run("cat", "config", env=env)
    run("cat", "config", env={**env, "RESTIC_REPOSITORY": str(tmp)}, check=10)
    run("cat", "config", env={**env, "RESTIC_PASSWORD": "wrong"}, check=12)
    run("backup", tmp / "absent", env=env, check=1)
    (tmp / "file").write_text("x")
    run("backup", tmp / "absent", tmp / "file", env=env, check=3)


@tap.test
def called_as_restic_it_says_so(tmp):
    os.symlink(tap.holdfast(), tmp / "restic")
    tap.ok(re.match(r"restic 0\.\d+\.\d+ compiled with holdfast \d+\.\d+\.\d+ on linux/\w+\n$",
                    tap.run(tmp / "restic", "version").stdout))
    tap.ok(re.match(r"holdfast \d+\.\d+\.\d+ compiled with .* on linux/\w+\n$",
                    run("version").stdout))
    v = json.loads(run("version", "--json").stdout)
    tap.eq(list(v), ["message_type", "version", "go_version", "go_os", "go_arch"])


# --- environment


@tap.test
def flag_beats_holdfast_beats_restic(tmp):
    for name in ("a", "b", "c"):
        run("init", "-q", "-r", tmp / name, env={"RESTIC_PASSWORD": "pw"})
    ids = {n: json.loads(run("cat", "config", "-r", tmp / n,
                             env={"RESTIC_PASSWORD": "pw"}).stdout)["id"] for n in "abc"}

    def which(*argv, **env):
        return json.loads(run("cat", "config", *argv,
                              env={"RESTIC_PASSWORD": "pw", **env}).stdout)["id"]

    a, b, c = (str(tmp / n) for n in "abc")
    tap.eq(which(RESTIC_REPOSITORY=a), ids["a"])
    tap.eq(which(RESTIC_REPOSITORY=a, HOLDFAST_REPOSITORY=b), ids["b"])
    tap.eq(which("-r", c, RESTIC_REPOSITORY=a, HOLDFAST_REPOSITORY=b), ids["c"])
    (tmp / "where").write_text(f"  {a}\n")
    tap.eq(which(RESTIC_REPOSITORY_FILE=str(tmp / "where")), ids["a"])


@tap.test
def a_holdfast_variable_beats_all_restic_variables_of_its_kind(tmp):
    repo = str(repos.quick(tmp / "repo"))
    (tmp / "where").write_text(repo)
    (tmp / "pw").write_text(repos.PASSWORD)
    (tmp / "pw").chmod(0o600)
    places = {"REPOSITORY": repo, "REPOSITORY_FILE": str(tmp / "where")}
    passwords = {"PASSWORD": repos.PASSWORD, "PASSWORD_FILE": str(tmp / "pw"),
                 "PASSWORD_COMMAND": f"echo {repos.PASSWORD}"}
    every = {**places, **passwords}

    def opens(*names, check=0, **env):
        env.update({f"HOLDFAST_{n}": every[n] for n in names})
        return run("cat", "config", env=env, check=check).stderr

    wrong = {f"RESTIC_{n}": "/no/such" for n in every}
    for place in places:
        for password in passwords:
            opens(place, password, **wrong)
    # Of its kind only, and an empty one is none.
    for password in passwords:
        opens("REPOSITORY", **{f"RESTIC_{password}": every[password], "HOLDFAST_PASSWORD": ""})
    # Two of HOLDFAST_ are as two of RESTIC_.
    tap.contains(opens(*places, "PASSWORD", check=1), "mutually exclusive")
    tap.contains(opens("REPOSITORY", *passwords, check=1), "mutually exclusive")

    # The source repository has two sets of names, which exclude each other.
    sets = ("FROM_{}", "{}2")
    wrong = {f"RESTIC_{form.format(n)}": "/no/such" for n in every for form in sets}
    for ours, theirs in (sets, sets[::-1]):
        for n, password in enumerate(passwords):
            place = list(places)[n % 2]
            run("init", "-q", "--copy-chunker-params", "-r", tmp / ours.format(password), env={
                **wrong, "RESTIC_PASSWORD": "pw",
                f"HOLDFAST_{ours.format(place)}": every[place],
                f"HOLDFAST_{ours.format(password)}": every[password]})
        one = {f"HOLDFAST_{ours.format('REPOSITORY')}": repo,
               f"HOLDFAST_{theirs.format('REPOSITORY')}": repo}
        r = run("init", "--copy-chunker-params", "-r", tmp / "two", env=one, check=1)
        tap.contains(r.stderr, "mutually exclusive")


@tap.test
def wrong_values_in_the_environment_are_errors(tmp):
    env = make_repo(tmp)
    for name, value in [("COMPRESSION", "fast"), ("PACK_SIZE", "big")]:
        r = run("snapshots", env={**env, f"RESTIC_{name}": value}, check=1)
        tap.contains(r.stderr, f"RESTIC_{name}")
        tap.contains(r.stderr, value)
        run("snapshots", env={**env, f"RESTIC_{name}": ""})
    run("snapshots", "--compression", "max", env={**env, "RESTIC_COMPRESSION": "fast"})


@tap.test
def an_empty_host_undoes_the_environment(tmp):
    env = make_repo(tmp)
    (tmp / "f").write_text("x")
    run("backup", "-q", "-H", "one", tmp / "f", env=env)
    run("backup", "-q", tmp / "f", env={**env, "RESTIC_HOST": "two"})

    def hosts(*argv, **more):
        out = run("snapshots", "--json", *argv, env={**env, **more}).stdout
        return [s["hostname"] for s in json.loads(out)]

    tap.eq(hosts(), ["one", "two"])
    tap.eq(hosts(RESTIC_HOST="one"), ["one"])
    tap.eq(hosts("--host", "", RESTIC_HOST="one"), ["one", "two"])
    tap.eq(hosts("--host", "two", RESTIC_HOST="one"), ["two"])


@tap.test
def a_day_that_does_not_exist_is_no_time(tmp):
    env = make_repo(tmp)
    (tmp / "f").write_text("x")
    for day, code in [("2020-02-30", 1), ("2021-02-29", 1), ("2020-02-29", 0)]:
        r = run("backup", tmp / "f", "--time", f"{day} 23:30:00", env=env, check=code)
        tap.ok(code == 0 or "error in time option" in r.stderr, r.stderr)
    tap.eq(len(json.loads(run("snapshots", "--json", env=env).stdout)), 1)


@tap.test
def an_empty_stdin_is_named_by_its_path(tmp):
    env = make_repo(tmp)
    r = run("backup", "--stdin", "--json", env=env, input="", check=3)
    tap.eq([json.loads(line)["item"] for line in r.stderr.splitlines()
            if '"error"' in line], ["/stdin"])
    r = run("backup", "--stdin", "-v", env=env, input="x")
    tap.contains(r.stdout, "start backup on [/stdin]")


@tap.test
def a_command_that_ignores_signals_does_not_keep_us(tmp):
    env = make_repo(tmp)
    script = "trap '' TERM INT; echo $$; cat /dev/zero"
    p = popen("backup", "--stdin-from-command", "--", "sh", "-c", script, env=env,
              stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    wait_for(lambda: locks(tmp))
    time.sleep(0.5)
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=20)
    tap.eq(p.returncode, 130)
    tap.eq(locks(tmp), [])


# --- passwords


@tap.test
def passwords_come_from_files_of_any_encoding(tmp):
    env = make_repo(tmp, "pässword")
    del env["RESTIC_PASSWORD"]
    for n, data in enumerate([
        "pässword".encode(), "  pässword \r\n\n".encode(), b"\xef\xbb\xbf" + "pässword\n".encode(),
        "\ufeffpässword\n".encode("utf-16-le"), "\ufeffpässword".encode("utf-16-be"),
    ]):
        f = tmp / f"pw{n}"
        f.write_bytes(data)
        f.chmod(0o600)
        tap.eq(run("cat", "config", "-p", f, env=env).stderr, "")
    f.chmod(0o644)
    tap.contains(run("cat", "config", "-p", f, env=env).stderr, "others can read")
    r = run("cat", "config", "-p", tmp / "nope", env=env, check=1)
    tap.contains(r.stderr, "nope does not exist")
    # Raw in the environment: nothing is taken off.
    run("cat", "config", env={**env, "RESTIC_PASSWORD": "pässword "}, check=12)


@tap.test
def passwords_come_from_descriptors_and_standard_input(tmp):
    env = make_repo(tmp)
    del env["RESTIC_PASSWORD"]
    r, w = os.pipe()
    os.write(w, b"pw\n")
    os.close(w)
    run("cat", "config", "--password-fd", r, env=env, pass_fds=[r])
    os.close(r)
    tap.contains(run("cat", "config", "--password-fd", "77", env=env, check=1).stderr, "77")
    run("cat", "config", env=env, input="pw\nmore\n")
    run("cat", "config", env=env, input="no\n", check=12)
    tap.contains(run("cat", "config", env=env, check=1).stderr, "empty password is not allowed")
    r = run("backup", "--stdin", env=env, input="pw\ndata", check=1)
    tap.contains(r.stderr, "cannot read both password and data from stdin")


@tap.test
def passwords_come_from_commands_without_a_shell(tmp):
    env = make_repo(tmp, "p w")
    del env["RESTIC_PASSWORD"]
    ok = f"printf '%s\\n' \"p w\""
    run("cat", "config", "--password-command", ok, env=env)
    run("cat", "config", env={**env, "RESTIC_PASSWORD_COMMAND": ok})
    run("cat", "config", "--password-command", "echo $HOME `p w`", env=env, check=12)
    r = run("cat", "config", "--password-command", "sh -c 'echo seen >&2; exit 7'", env=env,
            check=1)
    tap.contains(r.stderr, "seen")
    tap.contains(r.stderr, "exit status 7")
    tap.contains(run("cat", "config", "--password-command", "echo 'x", env=env, check=1).stderr,
                 "not terminated")
    tap.contains(run("cat", "config", "--password-command", "/no/such", env=env, check=1).stderr,
                 "/no/such")


@tap.test
def sources_of_passwords_exclude_each_other(tmp):
    env = make_repo(tmp)
    (tmp / "pw").write_text("pw")
    (tmp / "pw").chmod(0o600)
    r = run("cat", "config", "-p", tmp / "pw", "--password-command", "echo pw", env=env, check=1)
    tap.contains(r.stderr, "mutually exclusive")
    r = run("cat", "config", "--insecure-no-password", env=env, check=1)
    tap.contains(r.stderr, "--insecure-no-password must not be specified together")
    # A file beats the environment, as in restic.
    run("cat", "config", "-p", tmp / "pw", env={**env, "RESTIC_PASSWORD": "wrong"})


@tap.test
def an_empty_password_needs_the_flag(tmp):
    none = {"RESTIC_REPOSITORY": str(tmp / "repo")}
    run("init", env=none, check=1)
    run("init", "-q", "--insecure-no-password", env=none)
    run("cat", "config", "--insecure-no-password", env=none)
    run("cat", "config", env=none, input="x\n", check=12)


@tap.test
def children_do_not_inherit_passwords(tmp):
    env = make_repo(tmp)
    script = tmp / "cmd"
    script.write_text("#!/bin/sh\nenv > " + str(tmp / "env") + "\necho pw\n")
    script.chmod(0o700)
    run("cat", "config", "--password-command", script,
        env={**env, "RESTIC_PASSWORD": "geheim", "HOLDFAST_PASSWORD": "geheim",
             "RESTIC_FROM_PASSWORD": "geheim", "RESTIC_REST_PASSWORD": "geheim"})
    text = (tmp / "env").read_text()
    tap.contains(text, "RESTIC_REPOSITORY")
    tap.ok("geheim" not in text, text)
    # Nor one that does not count because of another variable.
    run("cat", "config", env={"RESTIC_REPOSITORY": str(tmp / "repo"), "RESTIC_PASSWORD": "geheim",
                              "HOLDFAST_PASSWORD_COMMAND": str(script)})
    text = (tmp / "env").read_text()
    tap.contains(text, "HOLDFAST_PASSWORD_COMMAND")
    tap.ok("geheim" not in text, text)
    # Nor does /proc show them while the program runs.
    p = popen("backup", "--stdin", env={**env, "HOLDFAST_PASSWORD": "pw"},
              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: locks(tmp))
        with open(f"/proc/{p.pid}/environ", "rb") as f:
            environ = f.read()
        tap.ok(b"RESTIC_REPOSITORY" in environ)
        tap.ok(b"PASSWORD=pw" not in environ)
    finally:
        p.communicate(b"data")
    tap.eq(p.returncode, 0)


def wait_for(fn, seconds=20):
    end = time.time() + seconds
    while time.time() < end:
        v = fn()
        if v:
            return v
        time.sleep(0.02)
    raise AssertionError("nothing happened in time")


# --- terminals


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, *argv, env=None, columns=80, stdout=None):
        self.text = b""
        pid, self.fd = pty.fork()
        if pid == 0:
            try:
                if stdout is not None:
                    os.dup2(stdout, 1)
                fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
                e = {**os.environ, "TERM": "xterm", **(env or {})}
                for k in CLEAN:
                    e.pop(k, None)
                e.update(env or {})
                os.execve(tap.holdfast(), [tap.holdfast(), *[str(a) for a in argv]], e)
            finally:
                os._exit(99)
        self.pid = pid

    def read(self, seconds):
        """Reads for some time, or to the end; False at the end."""
        end = time.time() + seconds
        while time.time() < end:
            if not select.select([self.fd], [], [], 0.05)[0]:
                continue
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return False
            if not data:
                return False
            self.text += data
        return True

    def expect(self, part, seconds=20):
        end = time.time() + seconds
        while part not in self.text:
            if time.time() > end or not self.read(0.1):
                raise AssertionError(f"{part!r} did not come:\n{self.text!r}")

    def type(self, data):
        os.write(self.fd, data)

    def end(self):
        while self.read(1):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@tap.test
def the_password_is_asked_for_without_echo(tmp):
    make_repo(tmp, "secret1")
    t = Terminal("cat", "config", env={"RESTIC_REPOSITORY": str(tmp / "repo")})
    t.expect(b"enter password for repository: ")
    t.type(b"wrong\n")
    t.expect(b"Try again")
    t.type(b"secret1\n")
    tap.eq(t.end(), 0)
    tap.contains(t.text, b'"chunker_polynomial"')
    tap.ok(b"secret1" not in t.text, t.text)


@tap.test
def a_new_password_is_asked_for_twice(tmp):
    env = {"RESTIC_REPOSITORY": str(tmp / "repo")}
    t = Terminal("init", env=env)
    t.expect(b"enter password for new repository: ")
    t.type(b"one\n")
    t.expect(b"enter password again: ")
    t.type(b"two\n")
    tap.eq(t.end(), 1)
    tap.contains(t.text, b"passwords do not match")
    tap.ok(not (tmp / "repo/config").exists())
    t = Terminal("init", env=env)
    t.expect(b"enter password for new repository: ")
    t.type(b"one\n")
    t.expect(b"enter password again: ")
    t.type(b"one\n")
    tap.eq(t.end(), 0)
    tap.ok((tmp / "repo/config").exists())


@tap.test
def ctrl_c_at_the_prompt_ends_it_and_brings_echo_back(tmp):
    make_repo(tmp)
    t = Terminal("cat", "config", env={"RESTIC_REPOSITORY": str(tmp / "repo")})
    t.expect(b"enter password for repository: ")
    tap.ok(not termios.tcgetattr(t.fd)[3] & termios.ECHO)
    t.type(b"\x03")
    code = t.end()
    tap.eq(code, 130)


@tap.test
def progress_is_drawn_on_a_terminal_and_cleared(tmp):
    env = make_repo(tmp)
    r, w = os.pipe()
    t = Terminal("backup", "--stdin-from-command", "--", "sh", "-c",
                 "echo x; sleep 1.5; echo y", env=env, columns=40)
    code = t.end()
    os.close(r)
    os.close(w)
    tap.eq(code, 0)
    frames = t.text.count(b"\x1b[K")
    tap.ok(frames >= 6, f"{frames} frames")
    tap.contains(t.text, b"[0:01]")
    # No frame is wider than the terminal, and none is left behind.
    for line in re.findall(rb"\x1b\[K([^\r\n\x1b]*)", t.text):
        tap.ok(len(line) <= 40, line)
    shown = render(t.text.decode())
    tap.ok(not any(x.startswith("[0:") for x in shown), shown)
    tap.ok(any(x.startswith("snapshot ") for x in shown), shown)


def render(text):
    """What a terminal shows in the end, as lines; knows CR, LF, erase and cursor up."""
    lines, row, col = [""], 0, 0
    for m in re.finditer(r"\x1b\[(\d*)([A-Za-z])|([\r\n])|([^\x1b\r\n])", text):
        if m.group(2) == "K":
            lines[row] = lines[row][:col]
        elif m.group(2) == "A":
            row = max(0, row - int(m.group(1) or 1))
        elif m.group(3) == "\r":
            col = 0
        elif m.group(3) == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif m.group(4):
            lines[row] = lines[row][:col].ljust(col) + m.group(4) + lines[row][col + 1:]
            col += 1
    return [x.rstrip() for x in lines]


@tap.test
def no_progress_without_a_terminal_or_when_quiet(tmp):
    env = make_repo(tmp)
    slow = ["--stdin-from-command", "--", "sh", "-c", "echo x; sleep 0.5"]
    r = run("backup", *slow, env=env)
    tap.eq(r.stderr, "")
    tap.ok("[0:" not in r.stdout, r.stdout)
    t = Terminal("backup", "-q", *slow, env=env)
    tap.eq(t.end(), 0)
    tap.eq(t.text, b"")
    t = Terminal("backup", *slow, env={**env, "TERM": "dumb"})
    tap.eq(t.end(), 0)
    tap.ok(b"\x1b" not in t.text, t.text)
    r = run("backup", *slow, env={**env, "RESTIC_PROGRESS_FPS": "20"})
    tap.ok(r.stderr.count("[0:00]") >= 4, r.stderr)


@tap.test
def json_status_lines_come_without_a_terminal(tmp):
    env = make_repo(tmp)
    r = run("backup", "--json", "--stdin-from-command", "--", "sh", "-c", "echo x; sleep 0.6",
            env=env)
    lines = [json.loads(x) for x in r.stdout.splitlines()]
    kinds = [x["message_type"] for x in lines]
    tap.ok(kinds.count("status") >= 3, kinds)
    tap.eq(kinds[-1], "summary")
    tap.eq(kinds.count("summary"), 1)
    tap.ok(r.stdout.splitlines()[-1].startswith('{"message_type":"summary","files_new":1,'))
    for x in lines[:-1]:
        tap.ok("percent_done" in x)


@tap.test
def names_cannot_drive_the_terminal(tmp):
    env = make_repo(tmp)
    d = tmp / "d"
    d.mkdir()
    (d / "evil\x1b[31m\nname").write_text("x")
    run("backup", "-q", d, env=env)
    t = Terminal("ls", "-q", "latest", env={**env, "NO_COLOR": "1"})
    tap.eq(t.end(), 0)
    tap.contains(t.text, b'evil\\x1b[31m\\nname"')
    tap.ok(b"\x1b" not in t.text, t.text)
    # In a pipe the bytes are what they are.
    tap.contains(run("ls", "latest", env=env).stdout, "/evil\x1b[31m\nname\n")


# --- signals and pipes


def start_slow_backup(tmp, env, *argv):
    """A backup that waits for its input in the middle."""
    p = popen("backup", "--stdin", *argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
              stderr=subprocess.PIPE)
    wait_for(lambda: locks(tmp))
    return p


@tap.test
def sigusr1_asks_for_one_report(tmp):
    env = make_repo(tmp)
    p = start_slow_backup(tmp, env, "-q")
    time.sleep(0.3)
    p.send_signal(signal.SIGUSR1)
    line = p.stderr.readline()
    tap.ok(re.match(rb"\[0:\d\d\] .*files", line), line)
    _, err = p.communicate(b"data")
    tap.eq(p.returncode, 0)
    tap.ok(b"[0:" not in err, err)


@tap.test
def sighup_and_sigpipe_do_no_harm(tmp):
    env = make_repo(tmp)
    p = start_slow_backup(tmp, env)
    p.send_signal(signal.SIGHUP)
    p.send_signal(signal.SIGPIPE)
    p.communicate(b"data")
    tap.eq(p.returncode, 0)


@tap.test
def an_interrupted_backup_cleans_up_and_the_next_one_works(tmp):
    env = make_repo(tmp)
    for sig in (signal.SIGINT, signal.SIGTERM):
        d = tmp / sig.name
        d.mkdir()
        os.mkfifo(d / "later")
        for n in range(40):
            (d / f"f{n}").write_bytes(os.urandom(1 << 20))
        p = popen("backup", d, "--json", env=env, stdout=subprocess.PIPE,
                  stderr=subprocess.PIPE)
        wait_for(lambda: locks(tmp))
        p.send_signal(sig)
        out, err = p.communicate(timeout=60)
        if p.returncode == 0:
            tap.skip("the machine was too fast")
        tap.eq(p.returncode, 130)
        tap.eq(json.loads(err.splitlines()[-1])["code"], 130)
        tap.ok(b'"summary"' not in out, out)
        tap.eq(locks(tmp), [])
        tap.eq(json.loads(run("snapshots", "--json", "--path", d, env=env).stdout), [])
        run("backup", "-q", d, env=env)
        tap.eq(len(json.loads(run("snapshots", "--json", "--path", d, env=env).stdout)), 1)
    run("check", "--read-data", env=env)


@tap.test
def the_second_interrupt_ends_it_at_once(tmp):
    env = make_repo(tmp)
    # Blocked in a read that no wish to stop can end.
    p = start_slow_backup(tmp, env)
    p.send_signal(signal.SIGINT)
    time.sleep(0.5)
    if p.poll() is None:
        p.send_signal(signal.SIGINT)
    tap.eq(p.wait(10), 130)
    p.communicate()


@tap.test
def a_reader_that_goes_away_leaves_no_lock(tmp):
    env = make_repo(tmp)
    d = tmp / "d"
    d.mkdir()
    for n in range(3000):
        (d / f"file-with-a-rather-long-name-{n:05}").touch()
    run("backup", "-q", d, env=env)
    for argv in (["ls", "latest"], ["ls", "--json", "latest"], ["check"], ["snapshots"],
                 ["list", "blobs"], ["backup", d]):
        p = popen(*argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdout.close()
        _, err = p.communicate(timeout=60)
        tap.ok(p.returncode not in (0, -signal.SIGPIPE) or argv[0] == "list",
               f"{argv}: {p.returncode}")
        tap.eq(err, b"", argv)
        tap.eq(locks(tmp), [], argv)


@tap.test
def a_full_disk_behind_standard_output_is_an_error(tmp):
    env = make_repo(tmp)
    with open("/dev/full", "wb") as full:
        p = popen("cat", "config", env=env, stdout=full, stderr=subprocess.PIPE)
        _, err = p.communicate()
    tap.eq(p.returncode, 1)
    tap.contains(err, b"writing standard output")


@tap.test
def of_several_inits_at_once_one_makes_the_repository(tmp):
    for i in range(3):
        repo = tmp / f"repo{i}"
        all_of_them = [repos.holdfast().start(repo, "init") for _ in range(4)]
        ends = []
        for p in all_of_them:
            _, err = p.communicate(timeout=60)
            ends.append(p.returncode)
            tap.ok(p.returncode == 0 or b"exist" in err or b"there is a file" in err or b"already" in err, err)
        tap.eq(sorted(ends), [0, 1, 1, 1])
        tap.eq(len(repos.files(repo, "keys")), 1)
        repos.holdfast()(repo, "snapshots")


tap.main()
