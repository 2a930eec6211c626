# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of S3 share: the contract, and both programs on one repository."""

import datetime
import http.server
import json
import os
import re
import threading
import urllib.parse

import repos
import s3server
import tap


def contract(place, env, options=""):
    """Holds tests/store/contract.c against a place with a `%` in it."""
    r = tap.run(os.environ["STORE_CONTRACT"], env={
        **env, "CONTRACT_PLACE": place, "CONTRACT_OPTIONS": ("s3.hash-uploads=true " + options).strip()},
        check=None, timeout=240)
    failed = re.findall(r"^not ok.*", r.stdout, re.M)
    planned = re.search(r"^1\.\.(\d+)", r.stdout, re.M)
    tap.ok(planned and int(planned[1]) > 15, f"hardly any tests ran:\n{r.stdout}\n{r.stderr}")
    tap.eq(len(re.findall(r"^ok ", r.stdout, re.M)), int(planned[1]),
           f"the contract\n{failed}\n{r.stderr[-3000:]}")


def contract_alone(place, env, test):
    """One test of the contract, as the program is used, which must fail."""
    r = tap.run(os.environ["STORE_CONTRACT"], test, env={**env, "CONTRACT_PLACE": place}, check=None)
    tap.contains(r.stdout, "not ok")
    return r


def fill(tree, files=12, size=300_000):
    """A small tree of files of which no two are alike."""
    for i in range(files):
        d = tree / f"dir{i % 3}"
        d.mkdir(parents=True, exist_ok=True)
        (d / f"file{i}").write_bytes(os.urandom(size) if i % 2 else b"%d\n" % i * 1000)
    return tree


def same(a, b):
    tap.run("diff", "-r", a, b)


def interop(url, tmp, env):
    """Each program reads what the other wrote, and both write at the same time."""
    holdfast, restic = repos.holdfast(), repos.restic("restic-new")
    one, two = fill(tmp / "one"), fill(tmp / "two")
    holdfast(url, "init", env=env)
    holdfast(url, "backup", "one", cwd=tmp, env=env)
    restic(url, "backup", "two", cwd=tmp, env=env)
    # At once, on the same repository, each something new.
    fill(one, 20), fill(two, 20)
    running = [(p.name, p.start(url, "backup", name, cwd=tmp, env=env))
               for p, name in ((holdfast, "one"), (restic, "two"), (restic, "one"), (holdfast, "two"))]
    for name, p in running:
        out, err = p.communicate(timeout=120)
        tap.eq(p.returncode, 0, f"{name}: {out.decode()}\n{err.decode()}")
    tap.eq(len(holdfast.json(url, "snapshots", env=env)), 6)
    holdfast(url, "check", "--read-data", env=env)
    restic(url, "check", "--read-data", env=env)
    for program, path in ((holdfast, "two"), (restic, "one")):
        program(url, "restore", "latest", "--path", tmp / path, "--target", tmp / f"out-{path}", env=env)
        found = next((tmp / f"out-{path}").rglob(path))
        same(tmp / path, found)


class Served:
    """An HTTP server of this process, at `self.url`, for as long as the `with`."""

    def serve(self, handler):
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.http.top = self
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


class Metadata(Served):
    """The service of a virtual machine or a container that hands out the keys of an S3 server.

    `asked` has the requests; each time keys are asked for, the server gets a new session token, and
    they end after `lives` seconds. `fails`: so many requests get the answer 500 first.
    """

    ROLE = "a role/of test"

    def __init__(self, server, lives=3600, auth=None):
        self.server, self.lives, self.auth, self.asked, self.fails = server, lives, auth, [], 0
        top = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def handle_one(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                top.asked.append((self.command, self.path))
                status, text = top.answer(self.command, self.path, self.headers)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_PUT = handle_one

        self.serve(Handler)

    def answer(self, method, path, headers):
        roles = "/latest/meta-data/iam/security-credentials/"
        if self.fails:
            self.fails -= 1
            return 500, "not now"
        if path == "/container":
            return (200, self.keys()) if headers.get("Authorization") == self.auth else (403, "who?")
        if (method, path) == ("PUT", "/latest/api/token"):
            if "X-aws-ec2-metadata-token-ttl-seconds" not in headers:
                return 400, "for how long?"
            return 200, "token-of-machine=="
        if headers.get("X-aws-ec2-metadata-token") != "token-of-machine==":
            return 401, "no token"
        if path == roles:
            return 200, self.ROLE + "\n"
        if path == roles + "a%20role%2Fof%20test":
            return 200, self.keys()
        return 404, "nothing there"

    def keys(self):
        self.server.token = f"session-of-test-{len(self.asked)}"
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.lives)
        return json.dumps({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": self.server.access,
                           "SecretAccessKey": self.server.secret, "Token": self.server.token,
                           "Expiration": f"{end:%Y-%m-%dT%H:%M:%SZ}"})


class Sts(Served):
    """The Security Token Service, which gives everybody who may have them keys of a role for an S3 server.

    Who signs must have the keys that `server` had at first; who brings a token, `web_token`. Both must
    ask for `ROLE`. Each time, the server gets new keys, which end after `lives` seconds, and those before
    end at once (server.ended). `asked` has the fields of each request; `fails` says what the next ones get.
    """

    ROLE = "arn:aws:iam::123456789012:role/of test"

    def __init__(self, server, region="us-east-1", lives=3600, clock=0.0, web_token="web.identity/of+test=="):
        self.server, self.region, self.lives, self.clock, self.web_token = server, region, lives, clock, web_token
        self.access, self.secret, self.token = server.access, server.secret, server.token
        self.anonymous, self.ended, self.asked, self.fails, self.given = False, set(), [], [], 0
        top = self

        class Handler(s3server.Handler):
            service = "sts"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fields = dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True))
                top.asked.append(fields)
                try:
                    if top.fails:
                        raise s3server.Refused(*top.fails.pop(0))
                    if fields["Action"] == "AssumeRole":
                        self.verify(body)
                    self.answer(200, top.answer(self, fields))
                except s3server.Refused as e:
                    self.answer(e.status, f"<ErrorResponse><Error><Type>Sender</Type><Code>{e.code}</Code><Message>"
                                f"{e.message}</Message></Error><RequestId>1</RequestId></ErrorResponse>", e.headers)

            do_GET = do_PUT = do_DELETE = do_HEAD = None

        self.serve(Handler)

    def now(self):
        return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.clock)

    def answer(self, handler, fields):
        action = fields["Action"]
        if handler.path != "/" or handler.headers["Content-Type"] != "application/x-www-form-urlencoded":
            raise s3server.Refused(404, "InvalidAction", "not here")
        if fields["Version"] != "2011-06-15" or not fields.get("RoleSessionName"):
            raise s3server.Refused(400, "ValidationError", "a field is missing")
        if action == "AssumeRoleWithWebIdentity" and fields.get("WebIdentityToken") != self.web_token:
            raise s3server.Refused(400, "InvalidIdentityToken", "The token is not ours.")
        if fields["RoleArn"] != self.ROLE:
            raise s3server.Refused(403, "AccessDenied", "You may not have this role.")
        with self.server.lock:
            if self.server.access != self.access:
                self.server.ended.add(self.server.token)
            self.given += 1
            n = self.given
            self.server.access, self.server.secret = f"ROLE{n}", f"secret-of-test-{n}+/"
            self.server.token = f"session/of+test=={n}"
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.lives)
        return (f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>'
                f"<AssumedRoleUser><Arn>{self.ROLE}</Arn><AssumedRoleId>1:x</AssumedRoleId></AssumedRoleUser>"
                f"<Credentials><AccessKeyId>{self.server.access}</AccessKeyId>"
                f"<SecretAccessKey>{self.server.secret}</SecretAccessKey>"
                f"<SessionToken>{self.server.token}</SessionToken>"
                f"<Expiration>{end:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials></{action}Result>"
                f"<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>")
