# SPDX-License-Identifier: BSD-2-Clause
"""Repositories on SFTP servers: the contract over a whole sshd and over poor servers, restic beside
us, the terminal, and how many round trips it takes."""

import contextlib
import json
import os
import pathlib
import pty
import re
import shlex
import signal
import time

import repos
import sftpd
import tap

CONTRACT = os.environ.get("CONTRACT", str(tap.TOP / "build/tests/store/test_contract"))


def contract(tmp, command, top):
    r = tap.run(CONTRACT, "sftp_", timeout=600, check=None,
                env={"CONTRACT_SFTP_COMMAND": command, "CONTRACT_SFTP_DIR": str(top)})
    lines = [x for x in r.stdout.splitlines() if re.match("(not )?ok ", x)]
    bad = [x for x in lines if not x.startswith("ok ") or "SKIP" in x]
    tap.ok(len(lines) > 10 and not bad, "\n".join(bad) + r.stderr)


@tap.test
def contract_over_sshd(tmp):
    server = sftpd.Sshd(tmp)
    contract(tmp, server.command(), server.home)


@tap.test
def contract_without_extensions(tmp):
    contract(tmp, sftpd.command("--without", "all"), tmp)


@tap.test
def contract_with_short_answers(tmp):
    contract(tmp, sftpd.command("--short", 5000), tmp)


@tap.test
def restic_at_the_same_time(tmp):
    """Both write into one repository over one sshd, at once; each reads what the other wrote."""
    server = sftpd.Sshd(tmp)
    us, them = repos.holdfast(), repos.restic("restic-new")
    url, o = server.url("repo"), server.options
    them(url, *o, "init")
    trees = {}
    for name in ("a", "b"):
        trees[name] = tmp / name
        trees[name].mkdir()
        for i in range(40):
            (trees[name] / f"file-{i}").write_bytes(os.urandom(200_000))
    running = [p.start(url, *o, "backup", ".", cwd=trees[t]) for p, t in ((us, "a"), (them, "b"))]
    for p in running:
        out, err = p.communicate(timeout=300)
        tap.eq(p.returncode, 0, (out + err).decode())
    for p in (us, them):
        tap.contains(p(url, *o, "check", "--read-data").stdout, "no errors were found")
        for tree in trees.values():
            target = tmp / f"{p.name}-{tree.name}"
            p(url, *o, "restore", "latest", "--path", str(tree), "--target", target)
            # restic makes the whole path below the target
            got = target / str(tree)[1:] if (target / str(tree)[1:]).exists() else target
            tap.run("diff", "-r", tree, got)


@tap.test
def old_restic_reads_it(tmp):
    server = sftpd.Sshd(tmp)
    us, them = repos.holdfast(), repos.restic("restic-0.14")
    # 0.14 does not know sftp.args.
    url, o = sftpd.url(server.home / "repo"), ["-o", "sftp.command=" + server.command()]
    us(url, *o, "init")
    us(url, *o, "backup", str(tap.TOP / "src/base"))
    tap.contains(them(url, *o, "check", "--read-data").stdout, "no errors were found")


@tap.test
def a_host_like_an_option_is_refused(tmp):
    trap = tmp / "trap"
    r = repos.holdfast()(f"sftp:-oProxyCommand=touch {trap}:dir", "snapshots", check=1)
    tap.contains(r.stderr, "may begin with -")
    tap.ok(not trap.exists())


@tap.test
def an_unknown_host_is_said_at_once(tmp):
    server = sftpd.Sshd(tmp)
    url = server.url("repo").replace(f":{server.port}/", f":{sftpd.Sshd.free_port()}/")
    r = repos.holdfast()(url, *server.options, "snapshots", check=1)
    tap.contains(r.stderr, "Connection refused")
    tap.contains(r.stderr, url)


def fake_ssh(tmp, text):
    """A program `ssh` in a folder of its own; it ends as sftp-server."""
    folder = tmp / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(f"#!/bin/sh\n{text}\nexec {sftpd.sftp_server()}\n")
    (folder / "ssh").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@tap.test
def arguments_are_those_of_restic(tmp):
    log = tmp / "log"
    env = fake_ssh(tmp, f'for a; do printf "[%s]" "$a"; done >>{log}; echo >>{log}')
    repo = repos.quick(tmp / "repo")
    for url, args in ((f"sftp:user@host:{repo}", []),
                      (f"sftp://user@[::1]:2222/{repo}", ["-o", "sftp.args=-i 'a key' -4"])):
        for p in (repos.restic("restic-new"), repos.holdfast()):
            p(url, *args, "snapshots", "--no-lock", env=env)
    lines = log.read_text().splitlines()
    tap.eq(len(lines), 4)
    tap.eq(lines[1], lines[0])
    tap.eq(lines[3], lines[2])


def between_log(log):
    """What sftp_between.py says in the end, which may come after the client's."""
    log = pathlib.Path(log)
    for _ in range(600):
        if log.exists():
            text = log.read_text()
            log.unlink()
            return json.loads(text)
        time.sleep(0.1)
    raise AssertionError("sftp_between.py does not end")


def round_trips(tmp, program, repo, *args, **kw):
    """After the greeting of the two programs."""
    log = tmp / "log"
    # So late that what is sent without waiting for an answer is there before the answer.
    program(sftpd.url(repo), *sftpd.bare("--log", log, "--delay", 100), *args,
            env={"XDG_STATE_HOME": str(tmp / "state")}, **kw)
    between_log(log)
    depth = tmp / "log.depth"
    reached = int(depth.read_text())
    depth.unlink()
    return reached


@tap.test
def round_trips_of_commands(tmp):
    """A file takes two (open; read), and so does a folder; a new file takes four, a deletion one.
    test_rest.py says what is asked for at once."""
    ours, tree = repos.holdfast(), tmp / "tree"
    tree.mkdir()
    (tree / "file").write_text("content")
    commands = (
        # (config, list of keys), key; then it is known which key it was: (config, key)
        (2 + 2, "cat", "config", "--no-lock"),
        (2, "cat", "config", "--no-lock"),
        # (config, key, locks), our lock, (locks, snapshots), list of index files; pack, index file,
        # snapshot, locks; our lock
        (2 + 4 + 2 + 2 + 4 + 4 + 4 + 2 + 1, "backup", "."),
        # ..., (snapshot, list of index files), index file; tree; snapshot, (locks, index); our lock
        (2 + 4 + 2 + 2 + 2 + 2 + 4 + 2 + 1, "backup", "."),
        (2 + 4 + 2 + 2 + 2 + 1, "snapshots"),
    )
    want = [n for n, *_ in commands]
    # A thread that gets no processor for so long seems to have waited for an answer.
    for i in range(3):
        repo = repos.quick(tmp / f"repo{i}")
        got = [round_trips(tmp, ours, repo, *words, cwd=tree) for _, *words in commands]
        if got == want:
            break
    tap.eq(got, want)
    tap.ok(round_trips(tmp, repos.restic("restic-new"), repo, "cat", "config", "--no-lock") >= 10)


@tap.test
def many_requests_are_under_way(tmp):
    """Reads and writes of one pack do not wait for each other, nor do the 256 folders of packs."""
    repo, tree = repos.quick(tmp / "repo"), tmp / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(os.urandom(20_000_000))
    log, p = tmp / "log", repos.holdfast()
    o = sftpd.bare("--log", log, "--delay", 50) + ["-o", "sftp.connections=1"]
    for least, *command in ((8, "backup", tree), (128, "check"),
                            (8, "restore", "latest", "--target", tmp / "out")):
        p(sftpd.url(repo), *o, *command)
        seen = between_log(log)
        tap.ok(seen["most"] >= least, f"{command} {seen}")


@tap.test
def interrupt_leaves_no_lock(tmp):
    """Ctrl-C goes to the group in the foreground: us. ssh lives on until the lock is given back."""
    repo, tree = repos.quick(tmp / "repo"), tmp / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(os.urandom(30_000_000))
    p = repos.holdfast().start(sftpd.url(repo), *sftpd.bare("--delay", 20), "backup", tree,
                               start_new_session=True)
    while not repos.locks(repo) and p.poll() is None:
        time.sleep(0.05)
    os.killpg(p.pid, signal.SIGINT)
    out, err = p.communicate(timeout=120)
    tap.eq(p.returncode, 130, (out + err).decode())
    tap.eq(repos.locks(repo), [])


@tap.test
def interrupt_does_not_wait_for_a_silent_server(tmp):
    """The session for data never answers again; the lock is given back over the one that does."""
    tree, pids = tmp / "tree", tmp / "pids"
    tree.mkdir()
    (tree / "file").write_bytes(os.urandom(100_000_000))
    server = f"sh -c 'echo $$ >>{pids}; exec {sftpd.sftp_server()}'"
    for number, sessions in ((signal.SIGINT, 2), (signal.SIGTERM, 1)):
        repo = repos.quick(tmp / f"repo{number}")
        pids.unlink(missing_ok=True)
        p = repos.holdfast().start(sftpd.url(repo), "-o", f"sftp.command={server}",
                                   "-o", f"sftp.connections={sessions}", "backup", tree)
        while not repos.stored(repo):
            tap.eq(p.poll(), None)
            time.sleep(0.002)
        servers = [int(x) for x in pids.read_text().split()]
        tap.eq(len(servers), sessions)
        for pid in servers:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(0.5)
        tap.ok(repos.locks(repo), "it was too fast")
        p.send_signal(number)
        time.sleep(4)
        with contextlib.suppress(ProcessLookupError):  # it was cut off with half a request
            os.kill(servers[0], signal.SIGCONT)
        since = time.monotonic()
        out, err = p.communicate(timeout=120)
        tap.eq(p.returncode, 130, (out + err).decode())
        tap.ok(time.monotonic() - since < 15, "it took too long")
        tap.eq(repos.locks(repo), [])


ASKING = """\
exec 3<>/dev/tty
printf 'password: ' >&3
read word <&3
[ "$word" = open ] || exit 255
"""


@tap.test
def ssh_may_ask_on_the_terminal(tmp):
    """It has the foreground while it connects; afterwards that is ours, or we could not read."""
    repo = repos.quick(tmp / "repo")
    env = {**os.environ, **fake_ssh(tmp, ASKING), "RESTIC_PASSWORD": repos.PASSWORD}
    argv = repos.holdfast().argv(f"sftp:host:{repo}", "backup", "--stdin")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], argv, env)
    said = expect(terminal, b"password: ")
    os.write(terminal, b"open\n")
    while not repos.locks(repo):
        time.sleep(0.05)
    os.write(terminal, b"some words\n\x04")
    said += expect(terminal, b"saved")
    _, status = os.waitpid(pid, 0)
    tap.eq(status, 0, said.decode())
    tap.eq(repos.locks(repo), [])


def expect(fd, what):
    said = b""
    while what not in said:
        try:
            chunk = os.read(fd, 1000)
        except OSError:
            chunk = b""
        if not chunk:
            raise AssertionError(f"it ended before it said {what}: {said}")
        said += chunk
    return said


@tap.test
def full_disk_is_called_by_its_name(tmp):
    """On a small file system of our own."""
    place = tmp / "small"
    place.mkdir()
    tree = tmp / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(os.urandom(30_000_000))
    argv = repos.holdfast().argv(sftpd.url(place / "repo"), *sftpd.bare(), "backup", str(tree))
    init = repos.holdfast().argv(sftpd.url(place / "repo"), *sftpd.bare(), "init")
    script = f"mount -t tmpfs -o size=8m none {place} && {shlex.join(init)} && exec {shlex.join(argv)}"
    how = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    r = tap.run(*how, "sh", "-c", script, check=None, env={"RESTIC_PASSWORD": repos.PASSWORD})
    tap.contains(r.stderr, "no space left on the server")
    tap.contains(r.stderr, "data/")
    tap.ok(r.returncode not in (0, 3), str(r))


tap.main()
