# SPDX-License-Identifier: BSD-2-Clause
"""One empty repository on each of the remote stores, for tests that are the same over all of them.

	with rigs.each(tmp, lambda rig: ...):          # runs it over every store, at the same time
	rig.ours("backup", tree)                       # the program, on that repository
	rig.restic("snapshots")                        # the newest restic, on the same one
	rig.locks(), rig.names("data")                 # what is there, seen from the server's side
	rig.hold(); rig.go_on()                        # nothing comes or goes any more, until it does
	rig.cut(); rig.heal()                          # connections are reset and refused, until healed

The servers are real: restic's rest-server, OpenSSH's sshd, rclone, and for S3 the one of s3server.py.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import struct
import threading
import time

import locking
import repos
import restd
import s3server
import sftpd
import tap


# Of all times of leases, for ours. Over a store whose listings may lag each lock takes ten seconds, unscaled.
SCALE = 0.005


class Wire:
    """A connection to a port that can be held and cut."""

    def __init__(self, to):
        self.to = to
        self.lock = threading.Lock()
        self.flows = threading.Event()
        self.flows.set()
        self.is_cut = False
        self.pairs = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = None if self.is_cut else socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                if self.listener.fileno() < 0:
                    return
                server = None
            with self.lock:
                if server is None or self.is_cut:
                    self._reset(client)
                    continue
                self.pairs.append((client, server))
            for a, b in (client, server), (server, client):
                a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, a, b):
        try:
            while data := a.recv(65536):
                self.flows.wait()
                b.sendall(data)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            b.shutdown(socket.SHUT_WR)

    @staticmethod
    def _reset(s):
        with contextlib.suppress(OSError):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.shutdown(socket.SHUT_RD)
            s.close()

    def cut(self):
        with self.lock:
            self.is_cut = True
            for pair in self.pairs:
                for s in pair:
                    # Another thread may be in recv(), which close() alone does not end.
                    with contextlib.suppress(OSError):
                        s.shutdown(socket.SHUT_RDWR)
                    s.close()
            self.pairs.clear()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.flows.set()
        self.cut()


class Over(repos.Program):
    """A program on the repository of one rig."""

    def __init__(self, rig, base):
        super().__init__(base.name, base.path)
        self.rig = rig
        self.cache = ["--no-cache"]
        self.scale = SCALE if base.name == "holdfast" else None

    def argv(self, *args):
        self.more = [*self.rig.options, *self.cache, *(locking.scale(self.scale) if self.scale else ())]
        return super().argv(self.rig.url, *args[1:] if args and args[0] == self.rig.url else args)

    def start(self, *args, env=None, **kw):
        return super().start(self.rig.url, *args, env={**self.rig.env, **(env or {})}, **kw)

    def __call__(self, *args, env=None, **kw):
        kw.setdefault("timeout", locking.PATIENCE)
        args = args[1:] if args and args[0] == self.rig.url else args
        return super().__call__(self.rig.url, *args, env={**self.rig.env, **(env or {})}, **kw)

    def run(self, *args, env=None, **kw):
        """As locking.Run, which dies with the `with`."""
        return locking.Run(self, self.rig.url, *args, env={**self.rig.env, **(env or {})}, **kw)

    def cached(self, folder):
        other = Over(self.rig, self)
        other.cache = ["--cache-dir", str(folder)]
        return other


class Rig:
    """A store on which all that lies there is in a local folder, `self.repo`."""

    name = ""
    wire = None

    def __init__(self, tmp):
        self.tmp = tmp
        tmp.mkdir()
        self.env = {"XDG_STATE_HOME": str(tmp / "state")}
        self.options = []
        self.url = ""
        self.ours = Over(self, repos.holdfast())
        self.restic = Over(self, repos.restic("restic-new"))
        self.top = repos.memory(tmp)
        self.repo = self.top / "repo"

    def names(self, kind):
        return repos.files(self.repo, kind)

    def locks(self):
        """Those that are not about to be written or deleted."""
        return sorted(n for n in self.names("locks") if len(n) == 64)

    def remove(self, kind, name):
        (self.repo / kind / name).unlink(missing_ok=True)

    def asked(self):
        """What the server was asked, as (method, path), or None if it keeps no log."""
        return None

    def cut(self):
        self.wire.cut()

    def heal(self):
        self.wire.is_cut = False

    def hold(self):
        self.wire.flows.clear()

    def go_on(self):
        self.wire.flows.set()

    def close(self):
        if self.wire:
            self.wire.close()


class Rest(Rig):
    name = "rest"

    def __init__(self, tmp):
        super().__init__(tmp)
        self.server = restd.Server(self.top)
        self.wire = Wire(self.server.port)
        self.url = f"rest:http://127.0.0.1:{self.wire.port}/repo/"
        repos.quick(self.repo)

    def asked(self):
        return [(method, path) for method, path, _ in self.server.requests()]

    def hold(self):
        self.server.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.server.process.send_signal(signal.SIGCONT)

    def close(self):
        super().close()
        self.server.stop()


class Sftp(Rig):
    name = "sftp"

    def __init__(self, tmp):
        super().__init__(tmp)
        self.server = sftpd.Sshd(self.top)
        self.repo = repos.quick(self.server.home / "repo")
        if self.server.user:
            for folder, _, names in os.walk(self.repo):
                for path in (folder, *(os.path.join(folder, n) for n in names)):
                    shutil.chown(path, self.server.user)
        self.wire = Wire(self.server.port)
        key = (self.server.top / "host.pub").read_text()
        with (self.server.top / "known_hosts").open("a") as known:
            known.write(f"[127.0.0.1]:{self.wire.port} {key}")
        user = f"{self.server.user}@" if self.server.user else ""
        self.url = f"sftp://{user}127.0.0.1:{self.wire.port}/{self.repo}"
        self.options = self.server.options

    def close(self):
        super().close()
        self.server.stop()


class S3(Rig):
    name = "s3"

    def __init__(self, tmp):
        super().__init__(tmp)
        self.server = s3server.Server()
        self.wire = Wire(self.server.port)
        self.url = f"s3:http://127.0.0.1:{self.wire.port}/bucket/repo"
        self.env.update(self.server.env)
        made = repos.quick(self.repo)
        self.server.buckets["bucket"] = self.objects = {
            f"repo/{f.relative_to(made)}": s3server.Object(f.read_bytes(), self.server.now(), "STANDARD")
            for f in made.rglob("*") if f.is_file()}

    def names(self, kind):
        with self.server.lock:
            return {k.rsplit("/", 1)[1] for k in self.objects if k.startswith(f"repo/{kind}/")}

    def remove(self, kind, name):
        with self.server.lock:
            self.objects.pop(f"repo/{kind}/{name}", None)

    def asked(self):
        with self.server.lock:
            return [(r[0], "/" + r[1]) for r in self.server.requests]

    def close(self):
        super().close()
        self.server.__exit__()


class Rclone(Rig):
    """rclone is a child of its client, and there is no wire between them: it is stopped instead."""

    name = "rclone"

    def __init__(self, tmp):
        super().__init__(tmp)
        repos.quick(self.repo)
        self.pids = tmp / "pids"
        script = tmp / "rclone.sh"
        script.write_text(f'#!/bin/sh\necho $$ >>{self.pids}\nexec {tap.peer("rclone")} "$@"\n')
        script.chmod(0o755)
        self.options = ["-o", f"rclone.program={script}"]
        self.url = f"rclone:{self.repo}"
        self.env["RCLONE_CONFIG"] = "/dev/null"

    def _signal(self, number):
        for pid in self.pids.read_text().split():
            # Numbers are used again: it must be one that serves our folder.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if os.fsencode(self.repo) in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(int(pid), number)

    def hold(self):
        self._signal(signal.SIGSTOP)

    def go_on(self):
        self._signal(signal.SIGCONT)

    def close(self):
        if self.pids.exists():
            self._signal(signal.SIGKILL)


ALL = (Rest, Sftp, S3, Rclone)
WIRED = (Rest, Sftp, S3)


def each(tmp, fn, kinds=ALL, at_once=2):
    """Runs fn(rig) over a repository on each store, and fails with all that failed."""
    def one(kind):
        begin = time.monotonic()
        with contextlib.closing(kind(tmp / kind.name)) as rig:
            fn(rig)
        print(f"# {kind.name}: {time.monotonic() - begin:.1f} s", flush=True)

    locking.together([(kind.name, one, kind) for kind in kinds], at_once)
