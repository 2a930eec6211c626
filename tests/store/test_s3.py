# SPDX-License-Identifier: BSD-2-Clause
"""S3 against a server of our own (s3server.py), which goes wrong when it is told to."""

import json
import os

import locking
import repos
import restd
import s3rig
import s3server
import tap

IS_FULL = os.environ.get("STORES") == "full"


def long(fn):
    """A test that is left out where there is little time."""
    return tap.test(fn) if IS_FULL else fn


@tap.test
def keeps_the_contract(tmp):
    for server, options in (({"page": 7}, ""),
                            ({"page": 7, "v1_only": True}, "s3.list-objects-v1=true"),
                            ({"token": "session/+=", "region": "eu-nowhere-1"}, "s3.part-size=5"))[:3 if IS_FULL else 1]:
        with s3server.Server(**server) as s:
            s.buckets["bucket"] = {}
            s3rig.contract(s.url("bucket/a prefix+%"), s.env, options)


@tap.test
def shares_a_repository_with_restic(tmp):
    with s3server.Server(page=5) as s:
        s3rig.interop(s.url("bucket/some%20prefix+/%C3%A4"), tmp, s.env)
        tap.contains(list(s.buckets["bucket"]), "some prefix+/\u00e4/config")


KINDS = ("500", "slowdown", "timeout", "reset", "truncate", "length", "late", "skew") if IS_FULL else ("reset",)


@tap.test
def goes_on_after_what_passes(tmp):
    """Every kind of fault in every kind of request: the backup is whole, and so is the restore."""
    holdfast = repos.holdfast()
    s3rig.fill(tmp / "tree", 4)
    for kind in KINDS:
        with s3server.Server(page=3) as s:
            url = s.url("bucket/x")
            holdfast(url, "init", env=s.env)
            s.fail("PUT", "x/data/", kind)
            s.fail("PUT", "x/snapshots/", kind)
            if kind != "length": # config has no hash in its name to tell
                s.fail("GET", "x/config", kind)
            s.fail("GET", "prefix=x%2Findex", kind)
            holdfast(url, "backup", "tree", cwd=tmp, env=s.env)
            s.fail("GET", "x/data/", kind)
            s.fail("GET", "x/index/", kind)
            out = tmp / f"out-{kind}"
            holdfast(url, "restore", "latest", "--target", out, env=s.env)
            s3rig.same(tmp / "tree", next(out.rglob("tree")))
            tap.eq([f.key.pattern for f in s.faults if f.times], [], f"{kind}: faults that nobody met")
            holdfast(url, "check", "--read-data", env=s.env)


@tap.test
def what_is_not_found_by_somebody_else_is_not_gone(tmp):
    """A proxy that has lost its server answers 404 to everything: no list is empty because of that."""
    holdfast = repos.holdfast()
    s3rig.fill(tmp / "tree", 2)
    soon = "-o", "retry.limit=500ms", "-o", "retry.pause=50ms"
    with s3server.Server(page=2) as s:
        url = s.url("bucket")
        holdfast(url, "init", env=s.env)
        for i in range(4):
            (tmp / "tree/new").write_bytes(os.urandom(1000 + i))
            holdfast(url, "backup", "tree", cwd=tmp, env=s.env)
        before = dict(s.buckets["bucket"])
        for where in "prefix=snapshots", "continuation-token=snapshots":
            s.faults.clear()
            s.fail("GET", where, "404", times=1000)
            s.forget()
            r = holdfast(url, "snapshots", "--no-lock", *soon, env=s.env, check=1)
            tap.contains(r.stderr, "no list, which is not an empty one (404)")
            holdfast(url, "prune", "--max-unused", "0", *soon, env=s.env, check=1)
            tap.eq(s.count("DELETE", "^(data|index|snapshots)/"), 0)
        # Nor are files, of which HEAD has no words.
        for method, where in ("GET", "^snapshots/"), ("GET", "^index/"), ("GET", "prefix=locks"):
            s.faults.clear()
            s.fail(method, where, "404", times=1000)
            holdfast(url, "prune", "--max-unused", "0", "--no-cache", *soon, env=s.env, check=1)
        tap.eq(s.count("DELETE", "^(data|index|snapshots)/"), 0)
        s.faults.clear()
        tap.eq({k: o for k, o in s.buckets["bucket"].items() if not k.startswith("locks/")}, before)
        # It passes.
        s.fail("GET", "prefix=snapshots", "404")
        tap.eq(len(holdfast.json(url, "snapshots", "-o", "retry.pause=50ms", env=s.env)), 4)
        s.fail("HEAD", "^data/", "404")
        r = holdfast(url, "check", "--read-data", "-o", "s3.enable-restore=true", "-o", "retry.pause=50ms",
                     env={**s.env, "RESTIC_FEATURES": "s3-restore"})
        tap.contains(r.stderr, "the file is there, but HEAD does not find it")
        # And a bucket that is gone is no empty one, which is for good.
        s.fail("GET", "prefix=snapshots", "nobucket", times=2)
        r = holdfast(url, "snapshots", "--no-lock", env=s.env, check=1)
        tap.contains(r.stderr, "only init makes a bucket")
        tap.eq(s.faults[-1].times, 1)


@tap.test
def init_takes_no_place_that_is_taken(tmp):
    """Not even by somebody who comes at the same moment; and it leaves nothing else behind."""
    holdfast = repos.holdfast()
    for conditional, fault, exit_code in ((True, None, 0), (True, "late", 0), (True, "conflict", 0), (True, "taken", 1),
                                          (False, None, 0), (None, None, 0)):
        with s3server.Server(conditional=conditional) as s:
            url = s.url("bucket")
            if fault:
                s.fail("PUT", "^config", fault)
            r = holdfast(url, "init", "-o", "retry.pause=20ms", env=s.env, check=exit_code)
            kinds = sorted(k.partition("/")[0] for k in s.buckets["bucket"])
            if exit_code:
                tap.contains(r.stderr, "config file already exists")
                tap.eq((kinds, s.buckets["bucket"]["config"].data), (["config"], b"somebody else's"))
                continue
            tap.eq(kinds, ["config", "keys"], fault)
            if not fault and conditional:
                tap.eq(sorted((m, k.partition("/")[0]) for m, k, q, _, _ in s.requests),
                       [("GET", ""), ("GET", ""), ("GET", "config"), ("HEAD", ""), ("HEAD", "config"), ("PUT", ""), ("PUT", "config"),
                        ("PUT", "keys")])
            holdfast(url, "cat", "config", "--no-lock", env=s.env)


@long
def a_server_that_says_nothing_does_not_hold_us(tmp):
    holdfast = repos.holdfast()
    with s3server.Server() as s:
        url = s.url("bucket")
        holdfast(url, "init", env=s.env)
        s.fail("GET", "^config", "stall")
        holdfast(url, "snapshots", "--stuck-request-timeout", "2s", env=s.env)
        tap.eq([f.times for f in s.faults], [0])


@tap.test
def says_what_is_refused_and_no_secret(tmp):
    holdfast = repos.holdfast()
    with s3server.Server(token="session-token-of-test") as s:
        url = s.url("bucket")
        holdfast(url, "init", env=s.env)
        for env, what in (({"AWS_SECRET_ACCESS_KEY": "wrong-secret-of-test"}, "is AWS_SECRET_ACCESS_KEY right?"),
                          ({"AWS_ACCESS_KEY_ID": "nobody"}, "is AWS_ACCESS_KEY_ID right?"),
                          ({"AWS_SESSION_TOKEN": "wrong-token-of-test"}, "is AWS_SESSION_TOKEN right?"),
                          ({"AWS_ACCESS_KEY_ID": ""}, "there are no keys for S3")):
            # A list has room for the reason, HEAD has not.
            r = holdfast(url, "list", "keys", "--no-lock", env={**s.env, **env}, check=None)
            tap.ok(r.returncode not in (0, 10), r.stderr)
            for secret in "of-test", s.secret:
                tap.ok(secret not in r.stdout + r.stderr, f"a secret is shown:\n{r.stderr}")
            if what.startswith("there"):
                tap.contains(r.stderr, what)
        r = holdfast(s.url("nothing/here"), "snapshots", env=s.env, check=10)


@long
def a_clock_that_is_wrong_is_said_and_put_up_with(tmp):
    holdfast = repos.holdfast()
    for off, words in (3000, "50m0s behind"), (-3000, "50m0s ahead of"):
        with s3server.Server(clock=off, region="eu-nowhere-1") as s:
            r = holdfast(s.url("bucket"), "init", env=s.env)
            tap.eq(r.stderr.count(words), 1, r.stderr)
            tap.eq(s.count("PUT", "^config"), 1)
            for command in ("check",), ("with-lock", "--", "true"):
                r = holdfast(s.url("bucket"), *command, env=s.env)
                tap.eq(r.stderr.count(words), 1, f"{command}: {r.stderr}")


@long
def keys_are_found_where_restic_finds_them(tmp):
    holdfast = repos.holdfast()
    nothing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    with s3server.Server() as s:
        host = {"url": "https://x", "accessKey": s.access, "secretKey": s.secret, "api": "S3v4"}
        (tmp / "mc").write_text(json.dumps({"version": "10", "aliases": {"gcs": {"accessKey": "no"}, "s3": host}}))
        (tmp / ".mc").mkdir()
        (tmp / ".mc/config.json").write_text(json.dumps({"version": "9", "hosts": {"mine": host}}))
        text = (f"[default]\naws_access_key_id = wrong\naws_secret_access_key=wrong\n# no\n[other]\n"
                f"aws_access_key_id={s.access}\naws_secret_access_key = {s.secret}\n")
        (tmp / "keys").write_text(text)
        (tmp / ".aws").mkdir()
        (tmp / ".aws/credentials").write_text(text.replace("[other]", "[x]").replace("[default]", "[y]")
                                              .replace("[x]", "[default]"))
        holdfast(s.url("bucket"), "init", env=s.env)
        for env in ({"AWS_ACCESS_KEY": s.access, "AWS_SECRET_KEY": s.secret},
                    {"MINIO_ROOT_USER": s.access, "MINIO_ROOT_PASSWORD": s.secret},
                    {"MINIO_ACCESS_KEY": s.access, "MINIO_SECRET_KEY": s.secret},
                    {"AWS_SHARED_CREDENTIALS_FILE": str(tmp / "keys"), "AWS_PROFILE": "other"},
                    {"MINIO_SHARED_CREDENTIALS_FILE": str(tmp / "mc")},
                    {"MINIO_ALIAS": "mine", "HOME": str(tmp)},
                    {"AWS_SHARED_CREDENTIALS_FILE": "", "HOME": str(tmp)}):
            for program in holdfast, repos.restic("restic-new"):
                program(s.url("bucket"), "cat", "config", "--no-lock", env={**s.env, **nothing, **env})
        r = holdfast(s.url("bucket"), "snapshots", env={**s.env, "AWS_ACCESS_KEY_ID": ""}, check=1)
        tap.contains(r.stderr, "$AWS_SECRET_ACCESS_KEY is set but $AWS_ACCESS_KEY_ID is empty")
        s.anonymous = True
        holdfast(s.url("bucket"), "snapshots", "-o", "s3.unsafe-anonymous-auth=true", env={**s.env, **nothing})


@long
def keys_of_a_machine_are_asked_for_when_that_is_wanted(tmp):
    holdfast = repos.holdfast()
    asks = "-o", "s3.instance-metadata=true"
    s3rig.fill(tmp / "tree", 4)
    with s3server.Server() as s, s3rig.Metadata(s) as meta:
        url = s.url("bucket")
        env = {**s.env, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
               "AWS_EC2_METADATA_SERVICE_ENDPOINT": meta.url + "/", "HTTP_PROXY": "http://127.0.0.1:1"}
        r = holdfast(url, "init", env=env, check=1)
        tap.contains(r.stderr, "s3.instance-metadata=true")
        holdfast(url, "init", *asks, env=s.env)
        tap.eq(meta.asked, [], "there were keys, or nobody wanted them to be asked for")
        holdfast(url, "backup", "tree", *asks, cwd=tmp, env=env)
        tap.eq([m for m, _ in meta.asked], ["PUT", "GET", "GET"], "once for the whole command")
        # Keys that end: the server says so, or their time is near; and the service has its moods.
        meta.lives, meta.fails = 30, 2
        s.fail("PUT", "^data/|^snapshots/", "expired")
        (tmp / "tree/more").write_bytes(os.urandom(100_000))
        r = holdfast(url, "backup", "tree", *asks, "-o", "retry.pause=20ms", cwd=tmp, env=env)
        tap.contains(r.stderr, "asking for keys for S3")
        tap.eq(s.faults[0].times, 0)
        holdfast(url, "check", "--read-data", *asks, env=env)
        meta.ROLE = ""
        r = holdfast(url, "snapshots", *asks, env=env, check=1)
        tap.contains(r.stderr, "this machine has no role")
        tap.ok("of-test" not in r.stderr and "token-of" not in r.stderr, r.stderr)


@long
def keys_of_a_container_are_asked_for_when_that_is_wanted(tmp):
    holdfast = repos.holdfast()
    asks = "-o", "s3.instance-metadata=true"
    with s3server.Server() as s, s3rig.Metadata(s, auth="auth-of-test") as meta:
        url = s.url("bucket")
        (tmp / "token").write_text("auth-of-test\n")
        env = {**s.env, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
               "AWS_CONTAINER_CREDENTIALS_FULL_URI": meta.url + "/container"}
        holdfast(url, "init", *asks, env={**env, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "auth-of-test"})
        holdfast(url, "snapshots", *asks, env={**env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp / "token")})
        tap.eq(meta.asked, [("GET", "/container")] * 2)
        r = holdfast(url, "snapshots", *asks, env={**env, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "of-test"}, check=1)
        tap.contains(r.stderr, "who?")
        for place in "http://192.0.2.1/container", "http://localhost.example.org/", "file:///etc/passwd":
            r = holdfast(url, "snapshots", *asks, env={**env, "AWS_CONTAINER_CREDENTIALS_FULL_URI": place}, check=1)
            tap.contains(r.stderr, "neither https:// nor this machine")
        tap.ok("of-test" not in r.stderr, r.stderr)


def end_keys(sts):
    """As when their hour is over: the server refuses them from now on."""
    with sts.server.lock:
        sts.server.ended.add(sts.server.token)
        sts.server.access = "NOBODY"


@long
def a_role_is_assumed_as_restic_does(tmp):
    holdfast, restic = repos.holdfast(), repos.restic("restic-new")
    s3rig.fill(tmp / "tree", 4)
    with s3server.Server() as s, s3rig.Sts(s, region="eu-test-1") as sts:
        url = s.url("bucket")
        env = {**s.env, "RESTIC_AWS_ASSUME_ROLE_ARN": sts.ROLE, "RESTIC_AWS_ASSUME_ROLE_REGION": "eu-test-1",
               "RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT": sts.url}
        holdfast(url, "init", env={**env, "RESTIC_AWS_ASSUME_ROLE_EXTERNAL_ID": "an id/&", "HOLDFAST_AWS_ASSUME_ROLE_POLICY":
                                   '{"Version": "2012-10-17"}', "RESTIC_AWS_ASSUME_ROLE_SESSION_NAME": "me"})
        tap.eq(sts.asked, [{"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": sts.ROLE, "RoleSessionName": "me",
                            "ExternalId": "an id/&", "Policy": '{"Version": "2012-10-17"}', "DurationSeconds": "3600"}])
        named = {**env, "RESTIC_AWS_ASSUME_ROLE_SESSION_NAME": "me"}
        asked = []
        for program in holdfast, restic:
            sts.asked.clear()
            program(url, "backup", "tree", cwd=tmp, env=named)
            asked.append(sts.asked[:])
        tap.eq(asked[0], asked[1])
        # The hour ends in the middle of a backup, and the service has its moods; HEAD has no body to say so.
        sts.asked.clear()
        sts.lives, sts.fails = 30, [(503, "Throttling", "not now")]
        s.fail("PUT", "^data/|^snapshots/", "expired", times=2)
        (tmp / "tree/more").write_bytes(os.urandom(100_000))
        r = holdfast(url, "backup", "tree", "-o", "retry.pause=20ms", cwd=tmp, env=env)
        tap.contains(r.stderr, "asking for keys for S3 (RESTIC_AWS_ASSUME_ROLE_ARN)")
        tap.eq(s.faults[0].times, 0)
        tap.ok(len(sts.asked) >= 3, sts.asked)
        holdfast(url, "check", "--read-data", env=env)
        # What is wrong is said, without a secret.
        for more, what in (({"RESTIC_AWS_ASSUME_ROLE_ARN": "arn:other"}, "AccessDenied: You may not have this role."),
                           ({"AWS_SECRET_ACCESS_KEY": "wrong-of-test"}, "SignatureDoesNotMatch"),
                           ({"RESTIC_AWS_ASSUME_ROLE_REGION": "a/b"}, "a region cannot have this name"),
                           ({"RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT": "ftp://x"}, "RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT")):
            r = holdfast(url, "snapshots", env={**env, **more}, check=1)
            tap.contains(r.stderr, what)
            tap.ok("of-test" not in r.stderr and s.secret not in r.stderr, r.stderr)
        # A clock that is wrong is for this service what it is for the other.
        sts.clock = s.clock = 3000
        holdfast(url, "snapshots", env=env)


@tap.test
def a_web_identity_is_exchanged_for_keys(tmp):
    holdfast = repos.holdfast()
    s3rig.fill(tmp / "tree", 4)
    (tmp / "web").write_text("web.identity/of+test==\n")
    with s3server.Server() as s, s3rig.Sts(s) as sts:
        url = s.url("bucket")
        env = {**s.env, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_ENDPOINT_URL_STS": sts.url,
               "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp / "web"), "AWS_ROLE_ARN": sts.ROLE}
        # As well where the machine could be asked: this comes first.
        holdfast(url, "init", "-o", "s3.instance-metadata=true", env={**env, "AWS_ROLE_SESSION_NAME": "pod"})
        tap.eq(sts.asked, [{"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": sts.ROLE,
                            "RoleSessionName": "pod", "WebIdentityToken": sts.web_token}])
        holdfast(url, "backup", "tree", cwd=tmp, env=env)
        tap.eq(len(sts.asked), 2, "once for the whole command")
        # Both services say when to come again.
        sts.fails = [(503, "Throttling", "not now", "", {"Retry-After": 1})]
        s.fail("GET", "^config", "later")
        r = holdfast(url, "cat", "config", "--no-lock", "-o", "retry.pause=20ms", env=env)
        tap.eq(r.stderr.count("retrying after 1s:"), 2, r.stderr)
        # The token is read anew each time: whoever writes it does so before it ends.
        sts.asked.clear()
        s.fail("PUT", "^snapshots/", "expired")
        (tmp / "tree/more").write_bytes(os.urandom(100_000))
        holdfast(url, "backup", "tree", cwd=tmp, env=env)
        tap.eq(len(sts.asked), 2)
        # One role for another: what restic does as well.
        chain = {**env, "RESTIC_AWS_ASSUME_ROLE_ARN": sts.ROLE, "RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT": sts.url}
        sts.asked.clear()
        r = holdfast(url, "snapshots", env=chain, check=1)  # here, nobody but the first keys may
        tap.eq([f["Action"] for f in sts.asked], ["AssumeRoleWithWebIdentity", "AssumeRole"])
        tap.contains(r.stderr, "asking for keys for S3 (RESTIC_AWS_ASSUME_ROLE_ARN)")
        for more, what in (({"AWS_ROLE_ARN": ""}, "AWS_ROLE_ARN, the role that it is for, is not"),
                           ({"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp / "nothing")}, "(AWS_WEB_IDENTITY_TOKEN_FILE)"),
                           ({"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp / "tree/dir0/file0")}, "InvalidIdentityToken"),
                           ({"AWS_ENDPOINT_URL_STS": "http://192.0.2.1"}, "neither https:// nor this machine")):
            r = holdfast(url, "snapshots", env={**env, **more}, check=1)
            tap.contains(r.stderr, what)
            tap.ok("of-test" not in r.stderr and "of+test" not in r.stderr, r.stderr)


@tap.test
def the_keys_that_a_role_is_had_with_may_end_as_well(tmp):
    """They are in a file, into which somebody writes new ones."""
    holdfast = repos.holdfast()
    with s3server.Server() as s, s3rig.Sts(s) as sts:
        url, profile = s.url("bucket"), tmp / "credentials"
        env = {**s.env, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SHARED_CREDENTIALS_FILE": str(profile),
               "RESTIC_AWS_ASSUME_ROLE_ARN": sts.ROLE, "RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT": sts.url}

        def keys(token):
            profile.write_text(f"[default]\naws_access_key_id={sts.access}\naws_secret_access_key={sts.secret}\n"
                               f"aws_session_token={token}\n")
            sts.token = token
        keys("first-of-test")
        holdfast(url, "init", env=env)
        locks = s.count("PUT", "^locks/")
        run = holdfast.start(url, "with-lock", "--", "sh", "-c", f"until [ -e {tmp}/go ]; do sleep 0.05; done", env=env)
        locking.until("a lock", lambda: s.count("PUT", "^locks/") > locks)
        sts.ended.add("first-of-test")
        keys("second-of-test")
        end_keys(sts)
        (tmp / "go").touch()
        out, err = run.communicate(timeout=60)
        tap.eq(run.returncode, 0, err.decode())
        tap.eq([k for k in s.buckets["bucket"] if k.startswith("locks/")], [])


@long
def keys_that_end_are_asked_for_again_by_whom_head_does_not_tell(tmp):
    """Hours of waiting for an archive are answers without a body, and the keys end meanwhile."""
    holdfast = repos.holdfast()
    s3rig.fill(tmp / "tree", 4)
    (tmp / "web").write_text("web.identity/of+test==\n")
    with s3server.Server(thaw=2) as s, s3rig.Sts(s) as sts:
        url = s.url("bucket")
        env = {**s.env, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_ENDPOINT_URL_STS": sts.url,
               "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp / "web"), "AWS_ROLE_ARN": sts.ROLE, "RESTIC_FEATURES": "s3-restore"}
        holdfast(url, "init", env=env)
        holdfast(url, "backup", "tree", "-o", "s3.storage-class=GLACIER", cwd=tmp, env=env)
        run = holdfast.start(url, "check", "--read-data", *COLD, env=env)
        locking.until("an order", lambda: s.count("POST") > 0)
        before = len(sts.asked)
        end_keys(sts)
        out, err = run.communicate(timeout=60)
        tap.eq(run.returncode, 0, err.decode())
        tap.eq(len(sts.asked), before + 1)


@long
def a_process_hands_out_keys(tmp):
    """credential_process, and a file that somebody writes anew while a backup runs."""
    holdfast, restic = repos.holdfast(), repos.restic("restic-new")
    s3rig.fill(tmp / "tree", 4)
    script, count = tmp / "keys of test", tmp / "count"
    with s3server.Server(token="session-of-test") as s:
        url = s.url("bucket")
        script.write_text(f"""#!/bin/sh
echo >>"{count}"
echo "what is said on standard error" >&2
echo '{{"Version": 1, "AccessKeyId": "{s.access}", "SecretAccessKey": "{s.secret}",'
echo '"SessionToken": "session-of-test", "Expiration": "2999-01-01T00:00:00Z"}}'
""")
        script.chmod(0o755)
        os.symlink(script, tmp / "short")
        profile = tmp / "credentials"
        profile.write_text(f'[default]\ncredential_process = {tmp}/short "an argument"\n')
        env = {**s.env, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "",
               "AWS_SHARED_CREDENTIALS_FILE": str(profile)}
        holdfast(url, "init", env=env)
        tap.eq(count.read_text(), "\n", "once")
        restic(url, "backup", "tree", cwd=tmp, env=env)
        count.unlink()
        s.fail("PUT", "^snapshots/", "expired")
        holdfast(url, "backup", "tree", cwd=tmp, env=env)
        tap.eq(count.read_text(), "\n" * 2)
        for command, what in ("false", "exit status 1"), ("/nothing/here", "credential_process"), ("echo []", "credential_process"):
            profile.write_text(f"[default]\ncredential_process = {command}\n")
            r = holdfast(url, "snapshots", env=env, check=1)
            tap.contains(r.stderr, what)
        # Keys in a file: they have ended for the server, and the file has new ones by then.
        def keys(token):
            profile.write_text(f"[default]\naws_access_key_id={s.access}\naws_secret_access_key={s.secret}\n"
                               f"aws_session_token={token}\n")
        keys("session-of-test")
        locks = s.count("PUT", "^locks/")
        run = holdfast.start(url, "with-lock", "--", "sh", "-c", f"until [ -e {tmp}/go ]; do sleep 0.05; done", env=env)
        locking.until("a lock", lambda: s.count("PUT", "^locks/") > locks)
        with s.lock:
            s.ended.add("session-of-test")
            s.token = "another-of-test"
        keys("another-of-test")
        (tmp / "go").touch()
        out, err = run.communicate(timeout=60)
        tap.eq(run.returncode, 0, err.decode())
        tap.eq([k for k in s.buckets["bucket"] if k.startswith("locks/")], [])


@long
def options(tmp):
    holdfast = repos.holdfast()
    with s3server.Server(region="eu-nowhere-1") as s:
        url = s.url("bucket")
        holdfast(url, "init", "-o", "s3.region=eu-nowhere-1", env=s.env)
        tap.eq([r for r in s.requests if r[3] == 400], [], "the region was known")
        for option in ("s3.storage-class=A B", "s3.bucket-lookup=no", "s3.nothing=1", "s3.part-size=1",
                       "s3.layout=s3legacy", "s3.connections=0"):
            r = holdfast(url, "snapshots", "-o", option, env=s.env, check=1)
            tap.contains(r.stderr, "option " + option.partition("=")[0])
        for place in "s3:", "s3:host", "s3:host/", "s3:http://u:geheim2@host/bucket", "s3:host/.b/x":
            r = holdfast(place, "snapshots", env=s.env, check=1)
            tap.ok("geheim2" not in r.stderr, r.stderr)


def classes(server, places):
    """The storage classes below each of `places`."""
    return {place: {o.storage_class for k, o in server.buckets["bucket"].items() if k.startswith(place)}
            for place in places}


@long
def a_storage_class_goes_where_restic_puts_it(tmp):
    """Archives are for packs of data alone, whichever way they are uploaded; other classes for everything."""
    holdfast, restic = repos.holdfast(), repos.restic("restic-new")
    s3rig.fill(tmp / "tree", 2)
    for name, is_archive in (("GLACIER", True), ("DEEP_ARCHIVE", True), ("GLACIER_IR", False), ("STANDARD_IA", False)):
        with s3server.Server() as s:
            url, own = s.url("bucket"), s.url("bucket/restics")
            option = ("-o", f"s3.storage-class={name}")
            for program, place in (holdfast, url), (restic, own):
                program(place, "init", *option, env=s.env)
                program(place, "backup", "tree", *option, cwd=tmp, env=s.env)
            if name == "GLACIER": # and in parts
                (tmp / "tree/more").write_bytes(os.urandom(9_000_000))
                holdfast(url, "backup", "tree", *option, "-o", "s3.part-size=5", cwd=tmp, env=s.env)
                tap.ok(any("uploadId" in q for _, _, q, _, _ in s.requests), "no upload in parts")
            got = classes(s, ("config", "keys/", "index/", "snapshots/", "data/"))
            tap.eq({k.removeprefix("restics/"): v for k, v in classes(
                s, [f"restics/{k}" for k in got]).items()}, got, f"{name}: as restic does it")
            data = got.pop("data/")
            for what, found in got.items():
                tap.eq(found, {"STANDARD" if is_archive else name}, f"{name}: {what}")
            tap.eq(data, {"STANDARD", name} if is_archive else {name}, name)


@long
def what_is_in_an_archive_is_not_needed_until_it_is_restored(tmp):
    holdfast = repos.holdfast()
    s3rig.fill(tmp / "tree", 4)
    with s3server.Server() as s:
        url, option = s.url("bucket"), ("-o", "s3.storage-class=DEEP_ARCHIVE")
        holdfast(url, "init", *option, env=s.env)
        holdfast(url, "backup", "tree", *option, cwd=tmp, env=s.env)
        (tmp / "tree/more").write_text("more")
        holdfast(url, "backup", "tree", *option, cwd=tmp, env=s.env)
        holdfast(url, "ls", "latest", env=s.env)
        holdfast(url, "check", env=s.env)
        r = holdfast(url, "restore", "latest", "--target", tmp / "out", env=s.env, check=None)
        tap.ok(r.returncode != 0, "restored from an archive")
        tap.contains(r.stderr, "it is in an archive: order it back")
        for o in s.buckets["bucket"].values():  # somebody does
            o.storage_class = "STANDARD"
        holdfast(url, "restore", "latest", "--target", tmp / "out", env=s.env)
        s3rig.same(tmp / "tree", next((tmp / "out").rglob("tree")))


COLD = ("-o", "s3.enable-restore=true", "-o", "s3.restore-pause=50ms")


def orders(server, prefix=""):
    """How often each pack was ordered out of the archive; then they forget it."""
    got = {}
    for k, o in server.buckets["bucket"].items():
        if k.startswith(f"{prefix}data/") and o.storage_class in s3server.ARCHIVES:
            got[k] = o.orders
            o.orders, o.comes, o.goes = 0, None, None
    return got


@long
def what_is_in_an_archive_is_ordered_back_by_whom_needs_it(tmp):
    """All packs at once, each once, and waited for; the flag of restic's that allows it must be on."""
    holdfast = repos.holdfast()
    s3rig.fill(tmp / "tree", 8)
    (tmp / "tree/some").mkdir()
    with s3server.Server(thaw=0.4) as s:
        url, on = s.url("bucket"), {**s.env, "RESTIC_FEATURES": "s3-restore"}
        archive = "-o", "s3.storage-class=GLACIER", "--pack-size", "4"
        holdfast(url, "init", *archive, env=s.env)
        holdfast(url, "backup", "tree", *archive, cwd=tmp, env=s.env)
        (tmp / "tree/some/file").write_bytes(os.urandom(700_000))
        (tmp / "tree/dir1/file1").unlink()  # so that the first pack is worth repacking in the end
        holdfast(url, "backup", "tree", *archive, cwd=tmp, env=s.env)
        packs = len(orders(s))
        tap.ok(packs >= 2, f"{packs} packs")
        r = holdfast(url, "snapshots", *COLD, env=s.env, check=1)
        tap.contains(r.stderr, "feature flag `s3-restore` is required to use `-o s3.enable-restore=true`")

        r = holdfast(url, "restore", "latest", *COLD, "--target", tmp / "out", env=on)
        tap.contains(r.stdout, f"warming up {packs} packs from cold storage, this may take a while...")
        s3rig.same(tmp / "tree", next((tmp / "out").rglob("tree")))
        tap.eq(set(orders(s).values()), {1}, "each pack once")
        # Only what is needed, which costs money: one file, and then one that is there already.
        r = holdfast(url, "restore", "latest", *COLD, "--include", "some", "--target", tmp / "one", env=on)
        tap.eq(sorted(orders(s).values()), [0] * (packs - 1) + [1])
        r = holdfast(url, "restore", "latest", *COLD, "--target", tmp / "out", env=on)
        tap.eq(set(orders(s).values()), {0}, "all is there")

        r = holdfast(url, "check", "--read-data", *COLD, env=on)
        tap.contains(r.stdout, f"warming up {packs} packs")
        tap.eq(set(orders(s).values()), {1}, "check")
        other = s.url("bucket/other")
        holdfast(other, "init", env=s.env)
        r = holdfast(other, "copy", *COLD, env={**on, "RESTIC_FROM_REPOSITORY": url, "RESTIC_FROM_PASSWORD": repos.PASSWORD})
        tap.eq(r.stdout.count("warming up"), 1, "for both snapshots at once")
        tap.eq(set(orders(s).values()), {1}, "copy")
        tar = tmp / "out.tar"
        holdfast(url, "export-tar", "latest", str(tar), *COLD, env=on)
        tap.eq(set(orders(s).values()), {1}, "export-tar")
        before = set(orders(s))
        holdfast(url, "forget", "--keep-last", "1", *archive, env=s.env)
        r = holdfast(url, "prune", "--max-unused", "0", *archive, *COLD, env=on)
        tap.contains(r.stdout, "warming up")
        tap.ok(set(orders(s)) != before, "nothing was repacked")
        r = holdfast(url, "dump", "latest", "/tree/some/file", *COLD, env=on, text=False)
        tap.eq(r.stdout, (tmp / "tree/some/file").read_bytes())
        holdfast(url, "check", "--read-data", *COLD, env=on)


@long
def what_does_not_come_is_not_waited_for_for_ever(tmp):
    """And who comes again orders nothing twice; a copy that is about to go is kept for longer."""
    holdfast = repos.holdfast()
    s3rig.fill(tmp / "tree", 4)
    with s3server.Server(thaw=60) as s:
        url, on = s.url("bucket"), {**s.env, "RESTIC_FEATURES": "s3-restore=true"}
        archive = "-o", "s3.storage-class=DEEP_ARCHIVE"
        holdfast(url, "init", *archive, env=s.env)
        holdfast(url, "backup", "tree", *archive, cwd=tmp, env=s.env)
        check = "check", "--read-data", *COLD, "-o", "s3.restore-timeout=300ms"
        for _ in range(2):
            r = holdfast(url, *check, env=on, check=1)
            tap.contains(r.stderr, "did not come within 300ms")
        cold = [o for o in s.buckets["bucket"].values() if o.storage_class in s3server.ARCHIVES]
        tap.eq([o.orders for o in cold], [1] * len(cold))
        # The network's moods in the meantime; and keys that end, of which HEAD says nothing.
        s.thaw = 0.5
        for o in cold:
            o.comes = None
        s.fail("HEAD", "data/", "500", skip=2)
        s.fail("POST", "data/", "slowdown")
        holdfast(url, *check[:-1], "s3.restore-days=3", "-o", "retry.pause=20ms", env=on)
        tap.eq([f.times for f in s.faults], [0, 0])
        tap.eq([o.orders for o in cold], [2] * len(cold))
        holdfast(url, *check, "-o", "s3.restore-days=3", env=on)
        tap.eq([o.orders for o in cold], [2] * len(cold), "they stay for longer than that")
        holdfast(url, *check, "-o", "s3.restore-days=30", env=on)
        tap.eq([o.orders for o in cold], [3] * len(cold), "they would have gone before")
        for option in "s3.restore-days=0", "s3.restore-tier=slow", "s3.restore-timeout=-1s", "s3.enable-restore=x":
            r = holdfast(url, "snapshots", "-o", option, env=on, check=1)
            tap.contains(r.stderr, "option " + option.partition("=")[0])


@tap.test
def orders_as_restic_does(tmp):
    """The same packs, by the same rules, when both restore the same snapshot."""
    s3rig.fill(tmp / "tree", 6)
    with s3server.Server() as s:
        url, on = s.url("bucket"), {**s.env, "RESTIC_FEATURES": "s3-restore"}
        archive = "-o", "s3.storage-class=GLACIER"
        repos.holdfast()(url, "init", *archive, env=s.env)
        repos.holdfast()(url, "backup", "tree", *archive, cwd=tmp, env=s.env)
        seen = []
        s.accepted = 200  # what restic 0.19.1 takes 202 for is a failure
        for program in repos.holdfast(), repos.restic("restic-new"):
            r = program(url, "restore", "latest", "-o", "s3.enable-restore=true", "--target", tmp / program.name, env=on)
            tap.contains(r.stdout, "packs from cold storage, this may take a while...")
            s3rig.same(tmp / "tree", next((tmp / program.name).rglob("tree")))
            seen.append(orders(s))
        tap.eq(seen[0], seen[1])


@long
def tls_trusts_whom_it_is_told_to(tmp):
    holdfast, restic = repos.holdfast(), repos.restic("restic-new")
    ours, other = tmp / "ours", tmp / "other"
    ours.mkdir(), other.mkdir()
    tls, others = restd.Authority(ours), restd.Authority(other)
    s3rig.fill(tmp / "tree", 3)
    with s3server.Server(tls=tls) as s:
        url = s.url("bucket/x")
        for more in (), ("--cacert", others.ca):
            r = holdfast(url, "init", *more, env=s.env, check=1)
            tap.contains(r.stderr, "ertificate")
            tap.eq(s.requests, [], "something was sent to a stranger")
        holdfast(url, "init", "--cacert", tls.ca, env=s.env)
        holdfast(url, "backup", "tree", cwd=tmp, env={**s.env, "RESTIC_CACERT": str(tls.ca)})
        restic(url, "check", "--read-data", "--cacert", tls.ca, env=s.env)
        holdfast(url, "check", "--read-data", "--insecure-tls", env=s.env)
        # The name must be right as well.
        r = holdfast(url.replace("localhost", "127.0.0.1"), "snapshots", "--cacert", tls.ca, env=s.env, check=1)
        tap.contains(r.stderr, "ertificate")


@long
def opening_takes_few_requests(tmp):
    """Config, list of keys, key; restic asks for the region and whether there is a config before."""
    with s3server.Server() as s:
        repos.holdfast()(s.url("bucket"), "init", env=s.env)
        asked = []
        for program in repos.holdfast(), repos.restic("restic-new"):
            s.forget()
            # Nothing is remembered of the last time.
            program(s.url("bucket"), "cat", "config", "--no-lock",
                    env={**s.env, "XDG_STATE_HOME": str(tmp / "new")})
            asked.append([(m, k.partition("/")[0] or q.get("prefix")) for m, k, q, _, _ in s.requests])
        tap.eq(sorted(asked[0]), [("GET", "config"), ("GET", "keys"), ("GET", "keys/")])
        tap.ok(len(asked[0]) < len(asked[1]), f"restic asks less: {asked[1]}")


@long
def what_is_dumped_is_read_with_its_neighbours(tmp):
    """Files come in the order of their names, and lie in packs in the order in which they were saved."""
    holdfast, restic = repos.holdfast(), repos.restic("restic-new")
    for i in range(1500):
        d = tmp / f"tree/d{i % 7}"
        d.mkdir(parents=True, exist_ok=True)
        (d / f"f{i}").write_bytes(os.urandom(300) * (1 + i % 20))
    with s3server.Server() as s:
        url = s.url("bucket")
        restic(url, "init", env=s.env)
        restic(url, "backup", "tree", cwd=tmp, env=s.env)
        asked, tars = [], []
        for program in holdfast, restic:
            s.forget()
            tars.append(program(url, "dump", "latest", "/", env=s.env, text=False).stdout)
            asked.append(s.count("GET", "data/"))
        tap.ok(asked[0] < 100 < asked[1], f"requests for 1500 files: {asked}")
        for name, tar in zip("ab", tars):
            (tmp / name).mkdir()
            tap.run("tar", "xf", "-", "-C", tmp / name, input=tar, text=False)
            s3rig.same(tmp / "tree", next((tmp / name).rglob("tree")))


@long
def a_bucket_is_found_by_its_name(tmp):
    """localhost and all names below it are this machine, to everybody who makes connections."""
    holdfast = repos.holdfast()
    with s3server.Server(domain="localhost") as s:
        url = f"s3:http://localhost:{s.port}/my.bucket/x"
        holdfast(url, "init", "-o", "s3.bucket-lookup=dns", env=s.env)
        tap.eq(list(s.buckets), ["my.bucket"])
        tap.contains(list(s.buckets["my.bucket"]), "x/config")


@tap.test
def buckets_of_other_regions_are_reached_by_path(tmp):
    """Amazon's general host sends away who does not come by name, and says to which region."""
    with s3server.Server(region="eu-nowhere-1") as s:
        s.buckets["my.bucket"] = {}
        env = {**s.env, "HTTP_PROXY": f"http://127.0.0.1:{s.port}"}
        by_path = "-o", "s3.bucket-lookup=path"
        repos.holdfast()("s3:http://s3.amazonaws.com/my.bucket/x", "init", *by_path, env=env)
        tap.contains(list(s.buckets["my.bucket"]), "x/config")
        tap.eq(sum(1 for r in s.requests if r[3] == 301), 1, "learned once")
        s.forget()
        repos.holdfast()("s3:http://s3.amazonaws.com/my.bucket/x", "cat", "config", "--no-lock", *by_path,
                         "-o", "s3.region=eu-nowhere-1", env=env)
        tap.eq([r for r in s.requests if r[3] == 301], [], "the region was known")


@long
def large_files_go_in_parts(tmp):
    holdfast = repos.holdfast()
    (tmp / "tree").mkdir()
    s3rig.fill(tmp / "tree", 2, 9_000_000)
    with s3server.Server() as s:
        url, parts = s.url("bucket"), ("-o", "s3.part-size=5", "--compression", "off")
        holdfast(url, "init", env=s.env)
        s.complete_fails = 1
        s.fail("PUT", "data/.*", "500", skip=1)
        holdfast(url, "backup", "tree", *parts, cwd=tmp, env=s.env)
        tap.ok(any("uploadId" in q for _, _, q, _, _ in s.requests), "no upload in parts")
        tap.eq(s.uploads, {}, "uploads that nobody ended")
        holdfast(url, "check", "--read-data", env=s.env)


@tap.test
def a_bucket_with_object_lock_gets_what_it_wants(tmp):
    """MD5 of what is uploaded, from the second upload on; restic sends it always."""
    holdfast, restic = repos.holdfast(), repos.restic("restic-new")
    s3rig.fill(tmp / "tree", 2, 6_000_000)
    with s3server.Server(object_lock=True) as s:
        url = s.url("bucket")
        for command in ("init",), ("backup", "tree", "-o", "s3.part-size=5", "--compression", "off"):
            s.forget()
            holdfast(url, *command, cwd=tmp, env=s.env)
            tap.eq([(m, size < 1000) for m, _, _, status, size in s.requests if status == 400], [("PUT", True)])
        tap.ok(any("uploadId" in q for _, _, q, _, _ in s.requests), "no upload in parts")
        restic(url, "backup", "tree", cwd=tmp, env=s.env)
        holdfast(url, "check", "--read-data", env=s.env)


@long
def what_is_not_what_its_name_says_is_refused(tmp):
    """By the server: the name is the hash that it is told."""
    with s3server.Server() as s:
        s.buckets["bucket"] = {}
        # The contract's names are made up, and here nothing excuses it.
        r = s3rig.contract_alone(s.url("bucket/%"), s.env, "put_replaces")
        tap.contains(r.stderr, "the bytes are not those that the file is named after")
        tap.eq(s.buckets["bucket"], {})


if __name__ == "__main__":
    tap.main()
