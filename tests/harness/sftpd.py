# SPDX-License-Identifier: BSD-2-Clause
"""SFTP servers on this machine for tests: OpenSSH's sftp-server alone, and a whole sshd.

	server = sftpd.Sshd(tmp)                  # on loopback, with keys of its own
	holdfast(server.url(path), *server.options, "init")
	sftpd.bare("--delay", "25")               # options for a sftp-server behind sftp_between.py

The sshd runs as an ordinary user: as ours, or as nobody when we are root, so that nothing of the
system's configuration is used or needed.
"""

import atexit
import os
import pathlib
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
import time

import tap

BETWEEN = pathlib.Path(__file__).with_name("sftp_between.py")


def sftp_server():
    for p in ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server",
              "/usr/lib/ssh/sftp-server"):
        if os.path.exists(p):
            return p
    tap.skip("sftp-server is absent (package openssh-sftp-server)")


def command(*between, server=None):
    """A command that speaks SFTP: sftp-server, behind sftp_between.py if that has anything to do."""
    server = server or [sftp_server()]
    if not between:
        return shlex.join(server)
    return shlex.join([sys.executable, str(BETWEEN), *map(str, between), "--", *server])


def bare(*between):
    return ["-o", "sftp.command=" + command(*between)]


def url(path):
    return f"sftp:nowhere:{path}"


class Sshd:
    def __init__(self, tmp):
        sshd = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if not sshd:
            tap.skip("sshd is absent (package openssh-server)")
        self.top = pathlib.Path(tmp) / "sshd"
        self.top.mkdir()
        self.user = "nobody" if os.getuid() == 0 else None
        self.port = self.free_port()
        for key in ("host", "user"):
            tap.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.top / key)
        shutil.copy(self.top / "user.pub", self.top / "authorized_keys")
        (self.top / "known_hosts").write_text(
            f"[127.0.0.1]:{self.port} {(self.top / 'host.pub').read_text()}")
        (self.top / "config").write_text(f"""\
Port {self.port}
ListenAddress 127.0.0.1
HostKey {self.top}/host
PidFile none
UsePAM yes
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile {self.top}/authorized_keys
MaxStartups 100
Subsystem sftp internal-sftp
""")
        self.home = self.top / "home"
        self.home.mkdir()
        if self.user:
            self.let_in(self.home)
            for p in self.top.iterdir():
                if p.name != "user":
                    shutil.chown(p, self.user)
        with open(self.top / "log", "wb") as log:
            self.process = subprocess.Popen([sshd, "-D", "-e", "-f", self.top / "config"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            **self.as_user())
        atexit.register(self.stop)
        self.wait()

    def as_user(self):
        """Without our groups: sshd is not to see what only root may read."""
        return {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []} if self.user else {}

    @staticmethod
    def free_port():
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]

    def let_in(self, path):
        """The other user may go to `path`."""
        for p in pathlib.Path(path).parents:
            if p.stat().st_mode & 0o001 == 0:
                p.chmod(p.stat().st_mode | 0o011)

    def wait(self):
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        raise AssertionError("sshd does not run:\n" + (self.top / "log").read_text())

    def args(self):
        return ["-F", "none", "-o", f"UserKnownHostsFile={self.top}/known_hosts",
                "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i", f"{self.top}/user"]

    @property
    def options(self):
        """For a client that starts ssh itself."""
        return ["-o", "sftp.args=" + shlex.join(self.args())]

    def command(self):
        """The same as a command of its own."""
        user = ["-l", self.user] if self.user else []
        return shlex.join(["ssh", "127.0.0.1", "-p", str(self.port), *user, *self.args(), "-s", "sftp"])

    def url(self, name):
        """A place below the folder for repositories."""
        user = f"{self.user}@" if self.user else ""
        return f"sftp://{user}127.0.0.1:{self.port}/{self.home / name}"

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
