# SPDX-License-Identifier: BSD-2-Clause
"""Ceph with its S3 gateway for tests: one node on loopback, with everything in memory.

	with ceph.Gateway(tmp) as c:
	    holdfast(c.url("bucket/prefix"), "init", env=c.env)

A monitor, a manager, one OSD with a memory store and radosgw, with Ceph's own authentication
between them, all of this user and below one folder. `python3 ceph.py FOLDER` serves until it is
killed. Debian's packages: tools/deps ceph.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

PROGRAMS = ("ceph-authtool", "monmaptool", "ceph-mon", "ceph-mgr", "ceph-osd", "ceph", "radosgw",
            "radosgw-admin")


def missing():
    """The programs that are not installed."""
    return [p for p in PROGRAMS if not shutil.which(p)]


def free_ports(n):
    held = [socket.socket() for _ in range(n)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


CONF = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail crit = 1
mon data avail warn = 1
run dir = {top}
log file = {top}/$name.log
admin socket = {top}/$name.asok
public addr = 127.0.0.1
cluster addr = 127.0.0.1
osd objectstore = memstore
memstore device bytes = {bytes}
mon data = {top}/mon
mgr data = {top}/mgr
osd data = {top}/osd
keyring = {top}/keyring
osd class load list = *
osd class default list = *
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw enable usage log = false
rgw ops log rados = false
"""


class Gateway:
    def __init__(self, tmp, size=4 << 30):
        self.top = pathlib.Path(tmp) / "ceph"
        self.access, self.secret = "HFTESTKEY", "geheimergeheimnis"
        self.running, self.size = [], size
        self.home = tempfile.TemporaryDirectory()

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # The gateway first: it writes to the others.
        for p in reversed(self.running):
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.running.clear()
        self.home.cleanup()

    def run(self, *argv):
        r = subprocess.run(argv, env=self.ceph_env, capture_output=True, text=True, timeout=60,
                           stdin=subprocess.DEVNULL)
        if r.returncode:
            raise AssertionError(f"{' '.join(argv)}: {r.returncode}\n{r.stdout}{r.stderr}")
        return r.stdout

    def spawn(self, *argv):
        log = open(self.top / f"{argv[0]}.out", "wb")
        self.running.append(subprocess.Popen([*argv, "-f"], env=self.ceph_env, stdout=log, stderr=log,
                                             stdin=subprocess.DEVNULL, start_new_session=True))

    def wait(self, what, is_so, seconds=60):
        end = time.monotonic() + seconds
        while not is_so():
            for p in self.running:
                if p.poll() is not None:
                    raise AssertionError(f"{p.args[0]} ended with {p.returncode}\n{self.logs()}")
            if time.monotonic() > end:
                raise AssertionError(f"{what} did not come\n{self.logs()}")
            time.sleep(0.1)

    def logs(self):
        return "".join(f"--- {p.name}\n{p.read_text(errors='replace')[-1500:]}\n"
                       for p in [*self.top.glob("*.out"), *self.top.glob("*.log")])

    def start(self):
        for d in "mon", "mgr", "osd":
            (self.top / d).mkdir(parents=True)
        v2, v1, self.port = free_ports(3)
        fsid, conf, ring = str(uuid.uuid4()), self.top / "ceph.conf", str(self.top / "keyring")
        conf.write_text(CONF.format(fsid=fsid, v1=v1, v2=v2, port=self.port, top=self.top, bytes=self.size))
        self.ceph_env = {**os.environ, "CEPH_CONF": str(conf)}
        self.run("ceph-authtool", "--create-keyring", ring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        for name in "client.admin", "mgr.x", "osd.0", "client.rgw.a":
            self.run("ceph-authtool", ring, "--gen-key", "-n", name, "--cap", "mon", "allow *", "--cap",
                     "osd", "allow *", "--cap", "mgr", "allow *", "--cap", "mds", "allow *")
        monmap = str(self.top / "monmap")
        self.run("monmaptool", "--create", "--clobber", "--addv", "a",
                 f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]", "--fsid", fsid, monmap)
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", ring)
        self.spawn("ceph-mon", "-i", "a")
        self.spawn("ceph-mgr", "-i", "x")
        osd = self.run("ceph", "osd", "create").strip()
        self.run("ceph-osd", "-i", osd, "--mkfs")
        self.spawn("ceph-osd", "-i", osd)
        self.wait("the OSD", lambda: "1 up" in self.run("ceph", "osd", "stat"))
        self.spawn("radosgw", "-n", "client.rgw.a")
        self.wait("the gateway", self.answers, 120)
        self.run("radosgw-admin", "user", "create", "--uid=test", "--display-name=test",
                 f"--access-key={self.access}", f"--secret-key={self.secret}")

    def answers(self):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def url(self, place):
        return f"s3:http://127.0.0.1:{self.port}/{place}"

    @property
    def env(self):
        """For programs: the keys, and nothing of the user's own."""
        return {"AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret,
                "AWS_SESSION_TOKEN": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "",
                "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "HOME": self.home.name}


if __name__ == "__main__":
    with Gateway(sys.argv[1]) as gateway:
        print(" ".join(f"{k}={v}" for k, v in gateway.env.items() if v), gateway.url("bucket"), flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass
