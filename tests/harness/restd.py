# SPDX-License-Identifier: BSD-2-Clause
"""Real REST servers on loopback for tests, and what stands between them and their clients.

	import restd

	with restd.Server(tmp / "data") as server:      # restic's own, of tools/peers
	    holdfast(server.url("repo"), "init")        # "rest:http://127.0.0.1:PORT/repo/"
	    server.requests()                           # [("GET", "/repo/config", 200), ...]
	    with restd.Between(server.port) as net:     # the same with faults
	        net.rules.append(restd.Rule("GET", "/data/", "cut", times=1))
	        holdfast(net.url("repo"), "check")
"""

import base64
import hashlib
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import threading
import time

import tap


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until_up(address, process, said):
    """Until something listens at a port, or at the path of a socket."""
    for _ in range(3000):
        with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as s:
            try:
                s.connect(address)
                return
            except OSError:
                tap.ok(process.poll() is None, f"the server ended\n{said.read_text()}")
                time.sleep(0.02)
    raise AssertionError(f"nobody listens at {address}")


class Server:
    """restic-rest-server over a folder; `flags` are its own."""

    def __init__(self, folder, *flags, user=None, tls=None, socket_path=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.log = self.folder.with_suffix(".log")
        self.said = self.folder.with_suffix(".said")
        self.port = free_port()
        self.user, self.tls, self.socket_path = user, tls, socket_path
        argv = [tap.peer("rest-server", "restic-rest-server"), "--path", self.folder, "--log", self.log,
                "--listen", f"unix:{socket_path}" if socket_path else f"127.0.0.1:{self.port}", *flags]
        if user:
            name, password = user
            digest = base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
            (self.folder / ".htpasswd").write_text(f"{name}:{{SHA}}{digest}\n")
        else:
            argv.append("--no-auth")
        if tls:
            argv += ["--tls", "--tls-cert", tls.cert, "--tls-key", tls.key]
        self.argv = [str(a) for a in argv]
        self.start()

    def start(self):
        with self.said.open("ab") as out:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_until_up(str(self.socket_path) if self.socket_path else ("127.0.0.1", self.port),
                      self.process, self.said)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def url(self, repo, credentials=True):
        if self.socket_path:
            return f"rest:http+unix://{self.socket_path}:/{repo}/"
        who = ":".join(self.user) + "@" if self.user and credentials else ""
        # A certificate is made out to a name.
        host = "localhost" if self.tls else "127.0.0.1"
        return f"rest:http{'s' if self.tls else ''}://{who}{host}:{self.port}/{repo}/"

    def requests(self):
        """What was asked so far, as (method, path, status)."""
        found = re.findall(r'"([A-Z]+) (\S+) HTTP/[\d.]+" (\d+) ', self.log.read_text())
        return [(method, path, int(status)) for method, path, status in found]


class Authority:
    """A certificate authority, a server's certificate for localhost and one for a client."""

    def __init__(self, tmp):
        self.ca, self.cert, self.key = tmp / "ca.pem", tmp / "server.pem", tmp / "server.key"
        self.client = tmp / "client.both"  # certificate and key in one file
        self._make(tmp, "ca", "/CN=Test CA", ["-x509"])
        self._make(tmp, "server", "/CN=localhost",
                   ["-x509", "-CA", self.ca, "-CAkey", tmp / "ca.key", "-addext",
                    "subjectAltName=DNS:localhost"])
        self._make(tmp, "client", "/CN=client", ["-x509", "-CA", self.ca, "-CAkey", tmp / "ca.key"])
        self.client.write_bytes((tmp / "client.pem").read_bytes() + (tmp / "client.key").read_bytes())

    def _make(self, tmp, name, subject, more):
        subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", subject, "-keyout", str(tmp / f"{name}.key"), "-out",
                        str(tmp / f"{name}.pem"), *(str(m) for m in more)],
                       check=True, capture_output=True)


class Rule:
    """What happens to the first `times` requests (None: all) with that method and a path that `part` fits to.

    cut      the answer ends with a reset after half of its bytes, or the request after half of its
    drop     the server gets the request and answers, but the answer is lost with the connection
    stall    nothing comes any more
    short    the end of the answer is missing, and the connection ends in order
    status   the answer is `status`, with `header`; the server is not asked
    strip    goes through without its line `Accept`
    """

    def __init__(self, method, part, what, times=1, status=500, header=""):
        self.method, self.part, self.what, self.times = method, part, what, times
        self.status, self.header, self.hits = status, header, 0


class Between:
    """A proxy on loopback that knows enough of HTTP to do harm at the right moment.

    With `tls`, an Authority, it speaks TLS to clients, and only to those with its certificate.
    Answers are `late` by so many seconds. `depth` is the longest chain of requests each of which
    was made after the answer to the one before: how many round trips there were.
    """

    def __init__(self, port, tls=None, late=0):
        self.late, self.depth = late, 0
        self.to = port
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(tls.cert, tls.key)
            self.tls.load_verify_locations(tls.ca)
            self.tls.verify_mode = ssl.CERT_REQUIRED
        self.rules = []
        self.seen = []  # (method, path)
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for s in self.sockets:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def url(self, repo):
        where = f"https://localhost:{self.port}" if self.tls else f"http://127.0.0.1:{self.port}"
        return f"rest:{where}/{repo}/"

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _rule(self, method, path):
        with self.lock:
            self.seen.append((method, path))
            for rule in self.rules:
                if rule.method == method and re.search(rule.part, path) and (
                        rule.times is None or rule.hits < rule.times):
                    rule.hits += 1
                    return rule
        return None

    @staticmethod
    def _reset(s):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    @staticmethod
    def _head(f):
        lines = []
        while True:
            line = f.readline()
            if not line:
                return None
            lines.append(line)
            if line == b"\r\n":
                return lines

    @staticmethod
    def _length(lines):
        for line in lines:
            m = re.match(rb"(?i)content-length: *(\d+)", line)
            if m:
                return int(m[1])
        return 0

    def _answer(self, f, method):
        """A whole answer: its header, and its body as it was framed."""
        lines = self._head(f)
        if lines is None:
            return None
        head = b"".join(lines)
        if method == "HEAD":
            return head
        if b"chunked" not in head.lower():
            return head + f.read(self._length(lines))
        body = b""
        while True:
            size = f.readline()
            body += size + f.read(int(size, 16) + 2)
            if int(size, 16) == 0:
                return head + body

    def _serve(self, client):
        if self.tls:
            try:
                client = self.tls.wrap_socket(client, server_side=True)
            except OSError:
                return client.close()
        server = socket.create_connection(("127.0.0.1", self.to))
        with self.lock:
            self.sockets += [client, server]
        try:
            self._talk(client, server)
        except (OSError, ValueError):
            pass
        finally:
            client.close()
            server.close()

    def _talk(self, client, server):
        fc, fs = client.makefile("rb"), server.makefile("rb")
        with fc, fs:
            while (lines := self._head(fc)) is not None:
                method, path, _ = lines[0].decode().split(" ")
                depth = self.depth + 1
                rule = self._rule(method, path)
                what = rule.what if rule else None
                length = self._length(lines)
                if what == "cut" and length:
                    fc.read(length // 2)
                    return self._reset(client)
                body = fc.read(length)
                if what == "status":
                    client.sendall(f"HTTP/1.1 {rule.status} Fault\r\n{rule.header}"
                                   f"Content-Length: 0\r\n\r\n".encode())
                    continue
                if what == "strip":
                    lines = [x for x in lines if not x.lower().startswith(b"accept:")]
                if what == "stall":
                    fc.read(1)  # until the client has had enough
                    return None
                server.sendall(b"".join(lines) + body)
                answer = self._answer(fs, method)
                if answer is None:
                    return None
                if what == "drop":
                    return self._reset(client)
                if what in ("cut", "short"):
                    # At least one byte of a body is missing, whatever its length.
                    head = answer.index(b"\r\n\r\n") + 4
                    client.sendall(answer[:head + (len(answer) - head) // 2])
                    if what == "cut":
                        time.sleep(0.05)
                        self._reset(client)
                    return None
                time.sleep(self.late)
                with self.lock:
                    self.depth = max(self.depth, depth)
                client.sendall(answer)
