# SPDX-License-Identifier: BSD-2-Clause
"""key list, add, passwd, remove: restic's words, keys that restic opens, and no way to lock oneself out."""

import json
import os
import pty
import re
import subprocess

import handmade
import repos
import tap
from pair import Pair


def clean(s):
    s = re.sub(r"[0-9a-f]{64}", "ID", s)
    return re.sub(r"created on [^>]*", "created on T", s)


def made(tmp):
    """A repository with a cheap key, which is tried first, since those that are added are not."""
    p = Pair(repos.memory(tmp))
    repos.quick(p.tmp / "repo")
    (p.tmp / "new").touch(0o600)
    (p.tmp / "new").write_text("neu\n")
    p.env["RESTIC_KEY_HINT"], = repos.files(p.tmp / "repo", "keys")
    return p


def add_cheap(p, *keys):
    """Keys with these fields; returns their ids."""
    repo = handmade.Repo(p.tmp / "repo", repos.PASSWORD)
    return [repo.put("keys", handmade.key_file(repo.master, "neu", **fields)) for fields in keys]


def keys(p, password, program=None):
    out = p.one(program or p.restic, "key", "list", "--json", "--no-lock", env={"RESTIC_PASSWORD": password}).stdout
    return json.loads(out)


def as_restic(p):
    link = p.tmp / "restic"
    if not link.exists():
        link.symlink_to(tap.holdfast())
    return link


def without_order(s):
    return "\n".join(sorted(s.splitlines()))


@tap.test
def lists_are_those_of_restic(tmp):
    p = made(tmp)
    p.same("key", "list", stderr=True)
    p.same("key", "list", "--json", stderr=True)
    add_cheap(p, {"username": "a long name", "hostname": "h\u00e4 <&>"})
    p.same("key", "list", clean=without_order)
    tap.eq(sorted(map(str, keys(p, "neu"))), sorted(map(str, keys(p, "neu", tap.holdfast()))))
    p.same("key", "list", env={"TZ": "America/St_Johns"}, clean=without_order)
    (p.tmp / "repo/keys" / ("ab" * 32)).write_text("{")
    r = p.one(tap.holdfast(), "key", "list")
    tap.contains(r.stderr, "LoadKey() failed: ")
    tap.eq((r.returncode, r.stdout.count("20")), (0, 2))


@tap.test
def both_open_what_the_other_has_added(tmp):
    p = made(tmp)
    before = repos.files(p.tmp / "repo", "keys")
    for n, program in enumerate((p.restic, tap.holdfast())):
        (p.tmp / "new").write_text(f"neu{n}\n")
        r = p.one(program, "key", "add", "--new-password-file", "new", "--user", f"u{n}", "--host", f"h{n}")
        tap.eq((r.returncode, r.stderr), (0, ""))
        tap.eq(clean(r.stdout), "saved new key with ID ID\n")
        tap.ok(r.stdout.split()[-1] in repos.files(p.tmp / "repo", "keys"), r.stdout)
        for other in (p.restic, tap.holdfast()):
            current = [k for k in keys(p, f"neu{n}", other) if k["current"]]
            tap.eq([(k["userName"], k["hostName"]) for k in current], [(f"u{n}", f"h{n}")])
    tap.eq(len(repos.files(p.tmp / "repo", "keys")), len(before) + 2)
    # A key that resists guessing as long as restic's.
    for f in (p.tmp / "repo/keys").iterdir():
        key = json.loads(f.read_text())
        if key["username"] == "u1":
            tap.ok(key["N"] * key["r"] * key["p"] >= 32768 * 8, key)
    r = p.one(tap.holdfast(), "key", "add", "--new-password-file", "new", "--json")
    tap.eq(clean(r.stdout), "saved new key with ID ID\n")


@tap.test
def the_password_changes(tmp):
    p = made(tmp)
    old = repos.files(p.tmp / "repo", "keys")
    r = p.one(as_restic(p), "key", "passwd", "--new-password-file", "new", "--user", "me", "--host", "here")
    tap.eq((r.returncode, r.stderr, clean(r.stdout)), (0, "", "saved new key as <Key of me@here, created on T>\n"))
    now = repos.files(p.tmp / "repo", "keys")
    tap.eq((len(now), now & old), (1, set()))
    tap.eq(p.one(p.restic, "key", "list").returncode, 12)
    tap.eq([k["current"] for k in keys(p, "neu")], [True])
    (p.tmp / "new").write_text(repos.PASSWORD)
    r = p.one(p.restic, "key", "passwd", "--new-password-file", "new", env={"RESTIC_PASSWORD": "neu"})
    tap.ok(re.fullmatch(r"saved new key as <Key of \S+@\S+, created on [^>]+>\n", r.stdout), r.stdout)
    r = p.one(tap.holdfast(), "key", "passwd", "--new-password-file", "new")
    tap.eq(clean(r.stdout), "saved new key as ID\n")


@tap.test
def keys_go_but_not_the_one_in_use(tmp):
    p = made(tmp)
    current, = repos.files(p.tmp / "repo", "keys")
    ids = add_cheap(p, {"username": "u1"}, {"username": "u2"})
    for argv in ([current], [current[:9]], ["zz"], ["12" * 32], [], [current, current]):
        r = p.same("key", "remove", *argv)
        tap.eq(r.returncode, 1)
        if argv and len(argv) == 1:
            tap.eq(r.stderr.removeprefix("Fatal: "), p.one(p.restic, "key", "remove", *argv).stderr.removeprefix("Fatal: "))
    tap.eq(repos.files(p.tmp / "repo", "keys"), {current, *ids})
    r = p.one(tap.holdfast(), "key", "remove", ids[0])
    tap.eq((r.returncode, r.stdout, r.stderr), (0, f"removed key {ids[0]}\n", ""))
    r = p.one(p.restic, "key", "remove", ids[1][:10])
    tap.eq(r.stdout, f"removed key {ids[1]}\n")
    tap.eq(repos.files(p.tmp / "repo", "keys"), {current})


@tap.test
def passwords_that_are_not_taken(tmp):
    p = made(tmp)
    (p.tmp / "empty").touch()
    for command in ("add", "passwd"):
        for argv, word in ((["--new-password-file", "empty"], "an empty password is not allowed by default"),
                           (["--new-password-file", "new", "--new-insecure-no-password"], "only either"),
                           (["--new-password-file", "nowhere"], "nowhere does not exist"), (["x"], "expects no arguments"),
                           (["--frobnicate"], "unknown flag")):
            r = p.same("key", command, *argv)
            tap.eq((r.returncode, r.stdout), (1, ""))
            tap.contains(r.stderr, word)
        r = p.same("key", command, input="\n")
        tap.contains(r.stderr, "an empty password is not allowed by default. Pass the flag `--insecure-no-password`")
    tap.eq(len(repos.files(p.tmp / "repo", "keys")), 1)
    tap.eq(p.same("key", "list", env={"RESTIC_PASSWORD": "wrong"}).returncode, 12)
    tap.eq(p.same("key", "list", env={"RESTIC_REPOSITORY": str(tmp / "none")}).returncode, 10)
    tap.eq(p.one(tap.holdfast(), "key", "add", "--new-insecure-no-password").returncode, 0)
    tap.eq(p.one(p.restic, "key", "list", "--insecure-no-password", env={"RESTIC_PASSWORD": ""}).returncode, 0)
    tap.eq(p.one(tap.holdfast(), "key", "passwd", input="von stdin\nmehr").returncode, 0)
    tap.ok(keys(p, "von stdin", tap.holdfast()))


@tap.test
def it_is_asked_twice_on_a_terminal(tmp):
    p = made(tmp)
    for answers, code in ((["neu", "neu"], 0), (["neu", "new"], 1)):
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(tap.holdfast(), ["holdfast", "key", "add"], {**os.environ, **p.env})
        text = b""
        for prompt, answer in zip((b"enter new password: ", b"enter password again: "), answers):
            while prompt not in text:
                text += os.read(fd, 1000)
            text = b""
            os.write(fd, answer.encode() + b"\n")
        try:
            while more := os.read(fd, 1000):
                text += more
        except OSError:
            pass
        tap.eq(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), code, text)
        if code != 0:
            tap.contains(text.decode(), "passwords do not match")
    tap.eq(len(repos.files(p.tmp / "repo", "keys")), 2)


@tap.test
def nothing_goes_before_the_new_key_is_proven(tmp):
    """Writing fails, or what is read back is not what was written: the old key stays, alone."""
    p = made(tmp)
    old = repos.files(p.tmp / "repo", "keys")
    for plan, command in (("fail@1+:put:key", "passwd"), ("flip@2+:get:key", "add"), ("flip@2+:get:key", "passwd"), ("fail@2+:get:key", "passwd")):
        r = p.one(tap.holdfast(), "-o", f"fault.plan={plan}", "key", command, "--new-password-file", "new", timeout=100)
        tap.eq(r.returncode, 1, f"{plan}: {r.stdout} {r.stderr}")
        tap.eq(repos.files(p.tmp / "repo", "keys"), old, f"{plan} {command}: {r.stderr}")
    r = p.one(tap.holdfast(), "-o", "fault.plan=fail@1+:del:key", "key", "passwd", "--new-password-file", "new")
    tap.eq(r.returncode, 1)
    tap.contains(r.stderr, "is saved; removing the old key")
    tap.ok(old < repos.files(p.tmp / "repo", "keys"))
    tap.eq(len(keys(p, repos.PASSWORD)), 2)
    # And the order when nothing fails.
    log = p.tmp / "trace"
    tap.eq(p.one(tap.holdfast(), "-o", f"trace.file={log}", "key", "passwd", "--new-password-file", "new").returncode, 0)
    calls = [w for line in log.read_text().splitlines() for w in re.findall(r"\b(put|get|del)\b.*\bkeys?/", line)]
    tap.eq(calls[-3:], ["put", "get", "del"], log.read_text())


@tap.test
def a_power_cut_locks_nobody_out(tmp):
    """Killed instead of writing the new key, or instead of removing the old one."""
    p = made(tmp)
    old = repos.files(p.tmp / "repo", "keys")
    for plan, n in (("kill@1:put:key", 1), ("kill@1:del:key", 2)):
        r = p.one(tap.holdfast(), "-o", f"fault.plan={plan}", "key", "passwd", "--new-password-file", "new")
        tap.eq(r.returncode, -9, f"{plan}: {r.stderr}")
        now = repos.files(p.tmp / "repo", "keys")
        tap.eq((len(now), old <= now), (n, True), plan)
        tap.eq(len(keys(p, repos.PASSWORD)), n)
        p.one(tap.holdfast(), "unlock")
    tap.eq(len(keys(p, "neu")), 2)
    tap.eq(p.one(p.restic, "check").returncode, 0)


@tap.test
def locks(tmp):
    p = made(tmp)
    sleeper = subprocess.Popen([tap.holdfast(), "with-lock", "--shared", "--", "sh", "-c", "echo locked; read x"],
                               env={**os.environ, **p.env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        tap.eq(sleeper.stdout.readline(), "locked\n")
        tap.eq(p.one(tap.holdfast(), "key", "passwd", "--new-password-file", "new").returncode, 11)
        tap.eq(p.one(tap.holdfast(), "key", "remove", "abc").returncode, 11)
        tap.eq(p.one(tap.holdfast(), "key", "list").returncode, 0)
        tap.eq(p.one(tap.holdfast(), "key", "add", "--new-password-file", "new").returncode, 0)
    finally:
        sleeper.communicate("\n", timeout=60)


@tap.test
def the_word_alone(tmp):
    p = made(tmp)
    r = p.same("key", clean=lambda s: "")
    for word in ("add", "list", "passwd", "remove"):
        tap.contains(r.stdout, f"  key {word}")
    tap.eq(p.one(tap.holdfast(), "key", "nothing").returncode, 1)
    tap.eq(p.one(as_restic(p), "key", "nothing").returncode, p.one(p.restic, "key", "nothing").returncode)


tap.main()
