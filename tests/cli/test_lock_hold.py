# SPDX-License-Identifier: BSD-2-Clause
"""lock hold: a lock for the time between two steps of a script."""

import contextlib
import json
import os
import signal
import subprocess

import repos
import tap
from underlock import QUICK, Place, ending, finish, hf, is_alive, stat, until


def held(p):
    """The id that `held` tells."""
    words = until("held", p.stdout.readline).decode().split()
    tap.eq(words[0], "held")
    return words[1]


@tap.test
def until_a_descriptor_is_closed(tmp):
    place = Place(tmp)
    with ending(place.start("lock", "hold", "--until-fd", "0", "--note", "my note", stdin=subprocess.PIPE)) as p:
        tap.eq([held(p)], place.locks())
        tap.contains(place.run("with-lock", "--shared", "--", "true", check=11).stderr, "my note")
        p.stdin.write(b"what is written means nothing\n")
        p.stdin.flush()
        place.run("with-lock", "--", "true", check=11)
        p.stdin.close()
        p.stdin = None
        finish(p, 0)
    tap.eq(place.locks(), [])
    place.run("with-lock", "--", "true")


@tap.test
def until_a_process_ends(tmp):
    place = Place(tmp)
    other = subprocess.Popen(["sleep", "600"])
    try:
        with ending(place.start("lock", "hold", "--shared", "--until-pid", str(other.pid))) as p:
            tap.eq([held(p)], place.locks())
            place.run("with-lock", "--shared", "--", "true")
            place.run("with-lock", "--", "true", check=11)
            other.kill()
            finish(p, 0)
    finally:
        other.kill()
        other.wait()
    tap.eq(place.locks(), [])
    place.run("lock", "hold", "--until-pid", str(other.pid), check=1)


@tap.test
def in_json_it_is_an_object(tmp):
    place = Place(tmp)
    with ending(place.start("--json", "lock", "hold", "--until-fd", "0", stdin=subprocess.PIPE)) as p:
        line = json.loads(p.stdout.readline())
        tap.eq(line["message_type"], "held")
        tap.eq([line["id"]], place.locks())
        tap.eq(line["pid"], p.pid)
        tap.eq(len(line["holder"]), 32)
        p.send_signal(signal.SIGTERM)
        until("it ends", lambda: p.poll() is not None)
        finish(p, 130)
    tap.eq(place.locks(), [])


@tap.test
def in_the_background_it_returns_when_the_lock_is_held(tmp):
    place = Place(tmp)
    other = subprocess.Popen(["sleep", "600"])
    try:
        # As in $(...): whoever reads its output comes to an end although it goes on.
        r = place.run("lock", "hold", "--background", "--until-pid", str(other.pid), timeout=60)
        word, lock, pid = r.stdout.split()
        tap.eq(word, "held")
        tap.eq([lock], place.locks())
        tap.ok(is_alive(int(pid)), "it is not there")
        tap.eq(stat(pid)[3], pid, "it has a session of its own")
        tap.contains(place.run("lock", "hold", "--background", "--until-pid", str(other.pid), check=11).stderr,
                     "already locked")
        other.kill()
        until("it ends", lambda: not is_alive(int(pid)))
    finally:
        other.kill()
        other.wait()
    tap.eq(place.locks(), [])


@tap.test
def a_shell_script_can_do_it(tmp):
    place = Place(tmp)
    script = """
set -e
coproc LOCK { "$HF" lock hold --until-fd 0; }
pid=$LOCK_PID
read -r word id <&"${LOCK[0]}"
test "$word" = held
ls "$RESTIC_REPOSITORY/locks"
eval "exec ${LOCK[1]}>&-"
wait "$pid"
ls "$RESTIC_REPOSITORY/locks"
echo "$id"
"""
    out = tap.run("bash", "-c", script, env={**place.env, "HF": tap.holdfast(), "RESTIC_REPOSITORY": str(place.repo),
                                             "RESTIC_PASSWORD": repos.PASSWORD}).stdout.split()
    tap.eq(len(out), 2)
    tap.eq(out[0], out[1])


def remove_locks(place):
    for name in place.locks():
        with contextlib.suppress(FileNotFoundError):
            (place.repo / "locks" / name).unlink()


@tap.test
def a_loss_ends_it_and_nobody_else(tmp):
    place = Place(tmp)
    other = subprocess.Popen(["sleep", "600"])
    try:
        with ending(place.start(*QUICK, "lock", "hold", "--until-pid", str(other.pid))) as p:
            held(p)
            until("loss", lambda: (remove_locks(place), p.poll() is not None)[1])
            _, err = finish(p, 13)
            tap.contains(err, "lost")
        tap.ok(other.poll() is None, "the process was ended")
        with ending(place.start(*QUICK, "lock", "hold", "--on-lost=ignore", "--until-pid", str(other.pid))) as p:
            held(p)
            remove_locks(place)
            until("refresh tried", lambda: not place.locks())
            other.kill()
            finish(p, 13)
    finally:
        other.kill()
        other.wait()
    tap.eq(place.locks(), [])


@tap.test
def what_makes_no_sense_is_refused(tmp):
    place = Place(tmp)
    for argv, text in [
        ([], "--until-fd and --until-pid"),
        (["--until-fd", "0", "--until-pid", "1"], "--until-fd and --until-pid"),
        (["--until-fd", "77"], "descriptor 77 is not open"),
        (["--until-pid", "999999999999"], "no process"),
        (["--until-fd", "0", "word"], "no arguments"),
        (["--until-fd", "0", "--no-lock"], "--no-lock"),
    ]:
        tap.contains(place.run("lock", "hold", *argv, check=1).stderr, text)
    hf(tmp / "none", "lock", "hold", "--until-fd", "0", check=10)
    hf(tmp / "none", "lock", "hold", "--background", "--until-fd", "0", check=10)
    place.run("lock", "hold", "--background", "--until-fd", "0", check=12, env={"RESTIC_PASSWORD": "wrong"})
    tap.eq(place.locks(), [])


tap.main()
