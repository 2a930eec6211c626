# SPDX-License-Identifier: BSD-2-Clause
"""The REST store and rclone against the real servers: the contract, restic beside us, and faults."""

import datetime
import os
import pathlib
import re
import shutil
import subprocess
import time

import repos
import restd
import tap

CONTRACT = os.environ.get("STORE_CONTRACT", str(tap.TOP / "build/tests/store/store-contract"))
SECRET = "s3cr3t"
# Pauses between repetitions would be most of the time of these tests.
QUICK = ("-o", "retry.pause=20ms", "-o", "retry.limit=20s")


def contract(place, *words, options="", **env):
    """Runs the contract of stores over a place; `%` in it becomes another name for every test."""
    r = tap.run(CONTRACT, *words, env={"CONTRACT_PLACE": place, "CONTRACT_OPTIONS": options,
                                       "TEST_TAP": "", **env}, timeout=600, check=None)
    tap.ok(r.returncode == 0 and "not ok" not in r.stdout and r.stdout.count("\nok ") > 0,
           r.stdout + r.stderr)


def names_of_tests():
    return tap.run(CONTRACT, "--list").stdout.split()


def small_tree(tmp, files=20, size=3000):
    top = tmp / "tree"
    top.mkdir()
    for i in range(files):
        (top / f"file{i}").write_bytes(os.urandom(size))
    return top


def world(tmp, *flags, **kw):
    """A server over a repository that opens at once, and its name for holdfast."""
    data = repos.memory(tmp) / "served"
    server = restd.Server(data, *flags, **kw)
    repos.quick(data / "repo")
    return server, data / "repo"


# ---- the contract ----

@tap.test
def the_contract_over_rest_server(tmp):
    with restd.Server(repos.memory(tmp) / "served", "--no-verify-upload") as server:
        contract(server.url("%"))


@tap.test
def the_contract_over_tls_with_a_password(tmp):
    tls = restd.Authority(tmp)
    with restd.Server(repos.memory(tmp) / "served", "--no-verify-upload", tls=tls,
                      user=("ann", SECRET)) as server:
        contract(server.url("%"), CONTRACT_CACERT=str(tls.ca))
        contract(server.url("%", credentials=False), "ranges", "large", CONTRACT_CACERT=str(tls.ca),
                 RESTIC_REST_USERNAME="ann", RESTIC_REST_PASSWORD=SECRET)


@tap.test
def the_contract_over_a_unix_socket(tmp):
    with restd.Server(repos.memory(tmp) / "served", "--no-verify-upload",
                      socket_path=tmp / "socket") as server:
        contract(server.url("%"))


@tap.test
def the_contract_over_version_1_of_the_protocol(tmp):
    """rest-server lists in version 1 whoever does not ask for version 2."""
    with restd.Server(repos.memory(tmp) / "served", "--no-verify-upload") as server:
        with restd.Between(server.port) as net:
            for method in ("GET", "HEAD", "POST", "DELETE"):
                net.rules.append(restd.Rule(method, "", "strip", times=None))
            contract(net.url("%"), "list", "every", "empty")
            heads = [p for m, p in net.seen if m == "HEAD"]
            tap.ok(len(heads) > 300, "sizes are asked for one by one")


@tap.test
def the_contract_over_rclone(tmp):
    program = tap.peer("rclone")
    contract("rclone::memory:bucket/%", options=f"rclone.program={program}")
    # On a folder, what is being written can be seen half written: that is rclone's.
    words = [t for t in names_of_tests() if "threads" not in t]
    folder = repos.memory(tmp) / "served"
    contract(f"rclone:{folder}/%", *words, options=f"rclone.program={program}")


@tap.test
def the_contract_over_rclone_as_a_rest_server(tmp):
    port = restd.free_port()
    said = tmp / "said"
    with said.open("wb") as out:
        p = subprocess.Popen([tap.peer("rclone"), "serve", "restic", "--addr", f"127.0.0.1:{port}",
                              ":memory:bucket"], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        restd.wait_until_up(("127.0.0.1", port), p, said)
        contract(f"rest:http://127.0.0.1:{port}/%/")
    finally:
        p.kill()
        p.wait()


# ---- the program, and restic beside it ----

def both_ways(tmp, url, env=None, options=(), flags=()):
    """holdfast and restic make, use and check one repository in turn, and at the same time."""
    holdfast, restic = repos.holdfast(), repos.restic("restic-new")
    tree = small_tree(tmp)
    more = (*options, *flags)
    kw = {"env": env or {}}
    restic(url, "init", *more, **kw)
    restic(url, "backup", tree, *more, **kw)
    holdfast(url, "backup", tree, *more, **kw)
    (tree / "new").write_bytes(os.urandom(100_000))
    both = [p.start(url, "backup", tree, *more, env=env) for p in (holdfast, restic)]
    for p in both:
        out, err = p.communicate(timeout=300)
        tap.eq(p.returncode, 0, f"{out}\n{err}")
    for program in (holdfast, restic):
        program(url, "check", "--read-data", *more, **kw)
        tap.eq(len(program.json(url, "snapshots", *more, **kw)), 4)
        target = tmp / f"restored-{program.name}"
        program(url, "restore", "latest", "--target", target, *more, **kw)
        for f in tree.iterdir():
            tap.eq((target / str(f)[1:]).read_bytes(), f.read_bytes(), f.name)
    tap.eq(holdfast(url, "list", "locks", "--no-lock", *more, **kw).stdout, "")


@tap.test
def restic_and_holdfast_over_rest(tmp):
    with restd.Server(repos.memory(tmp) / "served") as server:
        both_ways(tmp, server.url("a/b"))


@tap.test
def urls_are_read_as_by_restic(tmp):
    """A blank in the path and an @ in the password, as they are typed."""
    holdfast, restic = repos.holdfast(), repos.restic("restic-new")
    with restd.Server(repos.memory(tmp) / "served", user=("ann", "p@ss")) as server:
        repos.quick(server.folder / "my repo")
        restic(server.url("my repo"), "backup", small_tree(tmp))
        tap.eq(len(holdfast.json(server.url("my repo"), "snapshots")), 1)


@tap.test
def restic_and_holdfast_over_tls(tmp):
    tls = restd.Authority(tmp)
    with restd.Server(repos.memory(tmp) / "served", "--private-repos", tls=tls,
                      user=("ann", SECRET)) as server:
        url = server.url("ann/repo", credentials=False)
        both_ways(tmp, url, flags=("--cacert", tls.ca),
                  env={"RESTIC_REST_USERNAME": "ann", "RESTIC_REST_PASSWORD": SECRET})


@tap.test
def restic_and_holdfast_over_rclone(tmp):
    place = repos.memory(tmp) / "served"
    both_ways(tmp, f"rclone:{place}", options=("-o", f"rclone.program={tap.peer('rclone')}", "-o", "lock.settle=1s"))


@tap.test
def who_knows_how_long_lists_lag_says_so(tmp):
    repo = repos.quick(repos.memory(tmp) / "served")
    holdfast = repos.holdfast()
    words = (f"rclone:{repo}", "-o", f"rclone.program={tap.peer('rclone')}")
    for bad in ("0", "-1s", "soon", "601s"):
        tap.contains(holdfast(*words, "-o", f"lock.settle={bad}", "snapshots", check=1).stderr, f"lock.settle={bad}")
    holdfast(*words, "-o", "lock.settle=700ms", "-o", f"trace.file={tmp}/trace", "backup", small_tree(tmp))
    calls = [line.split() for line in (tmp / "trace").read_text().splitlines()]
    put = next(i for i, c in enumerate(calls) if c[1] == "put" and c[2].startswith("locks/"))
    looked = next(c for c in calls[put:] if c[1:3] == ["list", "locks"])
    written, seen = (datetime.datetime.fromisoformat(c[0][:23]) for c in (calls[put], looked))
    tap.ok(0.69 < (seen - written).total_seconds() < 9, f"{written} {seen}")


@tap.test
def holdfast_on_a_server_that_only_appends(tmp):
    server, repo = world(tmp, "--append-only")
    holdfast = repos.holdfast()
    with server:
        url = server.url("repo")
        holdfast(url, "backup", small_tree(tmp))
        holdfast(url, "check", "--read-data")
        tap.eq(repos.locks(repo), [], "locks may be deleted")
        tap.eq(len(repos.files(repo, "snapshots")), 1)


@tap.test
def foreign_files_are_not_listed(tmp):
    server, repo = world(tmp)
    holdfast = repos.holdfast()
    with server:
        holdfast(server.url("repo"), "backup", small_tree(tmp))
        want = holdfast(server.url("repo"), "list", "packs").stdout
        name = next(iter(repos.files(repo, "data")))
        folder = repo / "data" / name[:2]
        for foreign in ("README", name + ".rest-server-temp123", name[:-1], name.upper() + "0"):
            (folder / foreign).write_text("?")
        tap.eq(holdfast(server.url("repo"), "list", "packs").stdout, want)


@tap.test
def opening_takes_few_requests(tmp):
    """Config, list of keys, key; then what the command is about."""
    server, repo = world(tmp)
    with server:
        r = repos.holdfast()(server.url("repo"), "cat", "config", "--no-lock",
                             env={"XDG_STATE_HOME": str(tmp / "state")})
        tap.contains(r.stdout, '"version"')
        asked = [(m, re.sub("[0-9a-f]{64}", "ID", p)) for m, p, _ in server.requests()]
        tap.eq(sorted(asked), OPENING)


# How many round trips a command takes. What is in brackets is asked for at once.
DEPTHS = (
    # (config, list of keys), key
    (2, "cat", "config", "--no-lock"),
    # It is known now which key it was: (config, key)
    (1, "cat", "config", "--no-lock"),
    # (config, key, list of locks), our lock, (locks, snapshots), list of index files; packs,
    # index file, snapshot, locks; our lock
    (9, "backup", "tree"),
    # ..., (snapshots, list of index files), index files; trees, snapshot, (locks, index); our lock
    (9, "backup", "tree"),
    # ..., (snapshots, list of index files), index files; trees, packs; locks, our lock
    (9, "restore", "latest", "--target", "out"),
    # Locks twice, then the snapshots; (index files, list of packs, list of keys), trees, data
    (11, "check", "--read-data"),
    (6, "snapshots"),
)


@tap.test
def commands_take_few_round_trips(tmp):
    data = repos.memory(tmp) / "served"
    small_tree(tmp, files=3)
    holdfast, restic = repos.holdfast(), repos.restic("restic-new")
    want = [depth for depth, *_ in DEPTHS]
    # So late that what is asked for at once has been asked for before there is an answer. A thread
    # that gets no processor for so long seems to have waited for it all the same.
    with restd.Server(data) as server, restd.Between(server.port, late=0.1) as net:
        def depth(program, *words):
            net.depth = 0
            program(net.url(repo.name), *words, cwd=tmp, env={"XDG_STATE_HOME": str(tmp / "state")})
            return net.depth

        for i in range(3):
            repo = repos.quick(data / f"repo{i}")
            got = [depth(holdfast, *words) for _, *words in DEPTHS]
            if got == want:
                break
        tap.eq(got, want)
        tap.ok(depth(restic, "backup", "tree") >= 12)


@tap.test
def a_key_that_went_is_looked_for(tmp):
    """What is remembered of the last time may be wrong, and a whole ID as a hint as well."""
    server, repo = world(tmp)
    holdfast = repos.holdfast()
    env = {"XDG_STATE_HOME": str(tmp / "state")}
    (tmp / "new").write_text("another password")
    with server:
        url = server.url("repo")
        holdfast(url, "key", "passwd", "--new-password-file", tmp / "new", env=env)
        new, = (p.name for p in (repo / "keys").iterdir())
        env["RESTIC_PASSWORD"] = "another password"
        for words, opening in (([], ["keys/ID", "keys/", "keys/ID"]), ([], ["keys/ID"]),
                               (["--key-hint", "0" * 64], ["keys/ID", "keys/", "keys/ID"]),
                               (["--key-hint", new], ["keys/ID"])):
            before = len(server.requests())
            holdfast(url, "cat", "config", "--no-lock", *words, env=env)
            asked = [re.sub("[0-9a-f]{64}", "ID", p)[len("/repo/"):] for _, p, _ in server.requests()[before:]]
            tap.eq([p for p in asked if p != "config"], opening)


@tap.test
def a_first_backup_takes_fewer_requests_than_restics(tmp):
    """All of it, from opening to the end, by the program that made the repository."""
    small_tree(tmp, files=3)
    asked = []
    with restd.Server(repos.memory(tmp) / "served") as server:
        for program in (repos.holdfast(), repos.restic("restic-new")):
            program(server.url(program.name), "init", env={"XDG_STATE_HOME": str(tmp / "state")})
            before = len(server.requests())
            program(server.url(program.name), "backup", "tree", cwd=tmp,
                    env={"XDG_STATE_HOME": str(tmp / "state")})
            asked.append(len(server.requests()) - before)
    tap.ok(asked[0] < asked[1], f"{asked[0]} requests, restic {asked[1]}")


@tap.test
def an_index_file_in_between_is_one_request(tmp):
    """The lock is looked for behind the last of them only; refreshes tell of the others."""
    top = repos.memory(tmp) / "many"
    server, _ = world(tmp)
    holdfast = repos.holdfast()
    looks = []
    with server:
        url = server.url("repo")
        for first, end in ((0, 10), (10, 70_000)):
            for i in range(first, end):
                folder = top / str(i // 1000)
                if i % 1000 == 0:
                    folder.mkdir(parents=True)
                (folder / str(i)).write_bytes(os.urandom(500))
            before = len(server.requests())
            # Times are ten times as long, so that no refresh and no other look comes in between.
            holdfast(url, "backup", "-o", "lock.scale=10", "--pack-size", "4", top)
            asked = [(m, p) for m, p, _ in server.requests()[before:]]
            looks.append(asked.count(("GET", "/repo/locks/")))
    tap.ok(sum(m == "POST" and "/index/" in p for m, p in asked) >= 2, asked)
    tap.eq(looks[1], looks[0])


@tap.test
def what_is_restored_takes_few_requests(tmp):
    """One for 4 MiB at least, and one for the rest of a pack; and no key is read twice."""
    server, _ = world(tmp)
    holdfast = repos.holdfast()
    with server:
        url = server.url("repo")
        small_tree(tmp, files=8, size=5_000_000)
        holdfast(url, "backup", "tree", cwd=tmp)
        data = [p for p in (server.folder / "repo/data").glob("*/*") if p.stat().st_size > 1_000_000]
        tap.ok(len(data) > 1, "more than one pack")
        before = len(server.requests())
        holdfast(url, "restore", "latest", "--no-cache", "--target", tmp / "out")
        asked = [p for m, p, _ in server.requests()[before:] if m == "GET"]
        for pack in data:
            tap.ok(1 <= sum(p.endswith(pack.name) for p in asked) <= pack.stat().st_size / (4 << 20) + 1,
                   pack.name)
        before = len(server.requests())
        holdfast(url, "check", "--no-cache")
        asked = [p for m, p, _ in server.requests()[before:] if "/keys/" in p and len(p) > 60]
        tap.eq(len(asked), len(set(asked)), asked)


@tap.test
def trees_are_read_with_their_neighbours(tmp):
    """Without a copy on this machine, so that 300 folders do not cost 300 requests."""
    server, _ = world(tmp)
    holdfast = repos.holdfast()
    for i in range(300):
        folder = tmp / f"tree/{i // 20}/{i}"
        folder.mkdir(parents=True)
        (folder / "file").write_text(str(i))
    with server:
        url = server.url("repo")
        holdfast(url, "backup", "tree", cwd=tmp)
        for words in (["ls", "latest"], ["backup", "tree"], ["restore", "latest", "--target", tmp / "out"],
                      ["check"], ["find", "nothing"]):
            before = len(server.requests())
            holdfast(url, *words, "--no-cache", cwd=tmp)
            asked = server.requests()[before:]
            tap.ok(len(asked) < 30, f"{words}: {len(asked)} requests")
    tap.eq(sorted(p.name for p in (tmp / "out/tree").rglob("*")), sorted(p.name for p in (tmp / "tree").rglob("*")))


OPENING = sorted([("GET", "/repo/config"), ("GET", "/repo/keys/"), ("GET", "/repo/keys/ID")])


# ---- what goes wrong ----

def fails(url, *args, env=None, parts=(), code=1):
    r = repos.holdfast()(url, *args, check=None, env=env)
    tap.ok(r.returncode == code, f"exit code {r.returncode}\n{r.stderr}")
    for part in parts:
        tap.contains(r.stderr, part)
    tap.ok(SECRET not in r.stdout + r.stderr, f"a secret in\n{r.stdout}{r.stderr}")
    return r


@tap.test
def a_wrong_password_or_certificate_is_no_reason_to_try_again(tmp):
    tls = restd.Authority(tmp)
    with restd.Server(tmp / "served", tls=tls, user=("ann", SECRET)) as server:
        url = server.url("repo")
        before = time.monotonic()
        fails(url, "snapshots", parts=["certificate is not trusted", "--cacert"])
        wrong = url.replace(SECRET, SECRET + "x")
        fails(wrong, "--cacert", tls.ca, "snapshots", parts=["user name or password", "401"])
        fails(url, "--insecure-tls", "snapshots", parts=["repository does not exist"], code=10)
        other = url.replace("localhost", "127.0.0.1")
        fails(other, "--cacert", tls.ca, "snapshots", parts=["certificate"])
        plain = url.replace("https:", "http:")
        fails(plain, "snapshots", parts=["400"])
        tap.ok(time.monotonic() - before < 60, "nothing was repeated for long")


@tap.test
def certificates_of_the_system_may_be_elsewhere(tmp):
    """Go's programs and OpenSSL's look at the same two variables; --cacert goes before them."""
    tls = restd.Authority(tmp)
    other = tmp / "other"
    other.mkdir()
    by_hash = tap.run("openssl", "x509", "-noout", "-subject_hash", "-in", tls.ca).stdout.strip()
    (other / f"{by_hash}.0").write_bytes(tls.ca.read_bytes())
    with restd.Server(tmp / "served", tls=tls) as server:
        url = server.url("repo")
        for env in ({"SSL_CERT_FILE": str(tls.ca)}, {"SSL_CERT_DIR": f"/nonexistent:{other}"}):
            fails(url, "snapshots", env=env, parts=["repository does not exist"], code=10)
            fails(url, "--cacert", tls.client, "snapshots", env=env, parts=["certificate is not trusted"])
        fails(url, "snapshots", env={"SSL_CERT_FILE": "/nonexistent"}, parts=["CA certificates cannot be used"])


@tap.test
def a_client_certificate(tmp):
    server, _ = world(tmp)
    tls = restd.Authority(tmp)
    with server, restd.Between(server.port, tls=tls) as net:
        holdfast = repos.holdfast()
        holdfast(net.url("repo"), "--cacert", tls.ca, "--tls-client-cert", tls.client, "snapshots")
        fails(net.url("repo"), "--cacert", tls.ca, "snapshots", parts=["/repo/config: "])


FAULTS = [
    restd.Rule("GET", "/keys/", "cut"), restd.Rule("GET", "/config", "short"),
    restd.Rule("GET", "/keys/", "drop"), restd.Rule("POST", "/data/", "cut", times=2),
    restd.Rule("POST", "/data/", "drop", times=3), restd.Rule("POST", "/index/", "drop"),
    restd.Rule("POST", "/snapshots/", "drop"), restd.Rule("POST", "/locks/", "drop"),
    restd.Rule("DELETE", "/locks/", "drop"), restd.Rule("GET", "/locks/", "short"),
    restd.Rule("POST", "/data/", "status", status=503, header="Retry-After: 1\r\n"),
    restd.Rule("POST", "/index/", "status", status=500), restd.Rule("GET", "/index/", "status", status=429),
    restd.Rule("POST", "/snapshots/", "status", status=502),
]


@tap.test
def a_backup_goes_on_whatever_breaks(tmp):
    server, repo = world(tmp)
    holdfast = repos.holdfast()
    tree = small_tree(tmp, files=60, size=400_000)
    with server, restd.Between(server.port) as net:
        net.rules = FAULTS
        # Small packs, so that there are enough of them for each of the faults.
        holdfast(net.url("repo"), "backup", "--pack-size", "4", tree, *QUICK)
        for rule in FAULTS:
            tap.ok(rule.hits > 0, f"{rule.what} of {rule.method} {rule.part} did not happen")
        repos.restic("restic-new")(repo, "check", "--read-data")
        tap.eq(len(repos.files(repo, "snapshots")), 1)
        tap.eq(repos.locks(repo), [])


@tap.test
def what_cannot_be_looked_at_is_not_deleted(tmp):
    """The answer to a file is lost, and who looks for it meets a server that is busy for a moment.

    libcurl makes the request again by itself, on another connection, and gets 403. So the file is
    looked for by the store, then by who repeats, by the store again, and is read.
    """
    server, repo = world(tmp, "--append-only")
    busy = {"what": "status", "status": 503}
    with server, restd.Between(server.port) as net:
        net.rules = [restd.Rule("POST", "/index/", "drop"), restd.Rule("HEAD", "/index/", times=2, **busy),
                     restd.Rule("POST", "/snapshots/", "drop"), restd.Rule("HEAD", "/snapshots/", times=2, **busy),
                     restd.Rule("GET", "/snapshots/.", **busy)]
        repos.holdfast()(net.url("repo"), "backup", small_tree(tmp), *QUICK)
        tap.eq([r.hits for r in net.rules], [1, 2, 1, 2, 1])
        tap.eq([p for m, p in net.seen if m == "DELETE" and "/locks/" not in p], [])
        tap.eq(len(repos.files(repo, "snapshots")), 1)


@tap.test
def a_server_that_is_away_has_no_empty_repository(tmp):
    """A proxy says 404 for all that it gets while the server is being started anew."""
    server, repo = world(tmp)
    holdfast = repos.holdfast()

    def away(times):
        return [restd.Rule("GET", "/snapshots/$", "status", times, status=404),
                restd.Rule("HEAD", "/config", "status", times, status=404)]
    with server, restd.Between(server.port) as net:
        holdfast(server.url("repo"), "backup", small_tree(tmp))
        before = repos.files(repo, "data")
        net.rules = away(None)
        for words in (["snapshots"], ["prune"], ["check"]):
            r = holdfast(net.url("repo"), *words, "-o", "retry.pause=20ms", "-o", "retry.limit=300ms", check=1)
            tap.contains(r.stderr, "neither is the config")
        tap.eq(repos.files(repo, "data"), before)
        net.rules = away(2)  # and is back soon
        tap.contains(holdfast(net.url("repo"), "prune", *QUICK).stdout, "still in use for 1 snapshots")
        tap.eq(repos.files(repo, "data"), before)
        shutil.rmtree(repo / "snapshots")
        tap.eq(holdfast.json(net.url("repo"), "snapshots"), [], "a folder that is missing in a repository is empty")


@tap.test
def a_restore_goes_on_whatever_breaks(tmp):
    server, _ = world(tmp)
    holdfast = repos.holdfast()
    tree = small_tree(tmp, files=60, size=400_000)
    with server, restd.Between(server.port) as net:
        holdfast(server.url("repo"), "backup", tree)
        net.rules = [restd.Rule("GET", "/data/", "cut", times=3),
                     restd.Rule("GET", "/data/", "short", times=3),
                     restd.Rule("GET", "/snapshots/", "short"), restd.Rule("GET", "/index/", "cut")]
        holdfast(net.url("repo"), "restore", "latest", "--target", tmp / "out", *QUICK)
        tap.eq([r.hits for r in net.rules], [3, 3, 1, 1])
        for f in tree.iterdir():
            tap.eq((tmp / "out" / str(f)[1:]).read_bytes(), f.read_bytes(), f.name)


@tap.test
def a_server_that_says_nothing_more_is_given_up(tmp):
    server, _ = world(tmp)
    with server, restd.Between(server.port) as net:
        net.rules = [restd.Rule("GET", "/config", "stall", times=None)]
        fails(net.url("repo"), "--stuck-request-timeout", "1s", "-o", "retry.limit=0", "snapshots",
              parts=["GET http://127.0.0.1", "/repo/config", "not one byte came or went for 1 s"])
        net.rules = [restd.Rule("GET", "/config", "stall", times=1)]
        repos.holdfast()(net.url("repo"), "--stuck-request-timeout", "1s", *QUICK, "snapshots")


@tap.test
def a_server_that_comes_back_is_waited_for(tmp):
    server, repo = world(tmp)
    holdfast = repos.holdfast()
    tree = small_tree(tmp, files=60, size=400_000)
    with server:
        p = holdfast.start(server.url("repo"), "backup", tree, "--limit-upload", "8192", *QUICK)
        while not any(m == "POST" and "/data/" in path for m, path, _ in server.requests()):
            tap.ok(p.poll() is None, "it ended too early")
            time.sleep(0.01)
        server.stop()
        time.sleep(2)
        server.start()
        out, err = p.communicate(timeout=120)
        tap.eq(p.returncode, 0, f"{out}{err}")
        repos.restic("restic-new")(repo, "check", "--read-data")


@tap.test
def rclone_ends_with_us_and_its_end_is_told(tmp):
    rclone = tap.peer("rclone")
    place = repos.quick(repos.memory(tmp) / "repo")
    option = ("-o", f"rclone.program={rclone}", "-o", "lock.settle=1s")
    holdfast = repos.holdfast()
    r = holdfast(f"rclone:{place}", *option, "snapshots")
    tap.contains(r.stderr, "rclone: ")  # that it has no configuration
    r = fails("rclone:nowhere:x", *option, "snapshots", parts=["ended (exit status 1)", "rclone: "])
    fails("rclone:x", "-o", "rclone.program=/nonexistent/rclone", "snapshots",
          parts=["/nonexistent/rclone: No such file", "rclone.program"])
    fails("rclone:x", "-o", "rclone.program=cat", "-o", "rclone.args=/dev/zero", "snapshots",
          parts=["cat"])
    # Killed in the middle: an error, no hang, and nothing of it is left.
    pid = tmp / "pid"
    script = tmp / "rclone.sh"
    script.write_text(f'#!/bin/sh\necho $$ >{pid}\nexec {rclone} "$@"\n')
    script.chmod(0o755)
    p = holdfast.start(f"rclone:{place}", "-o", f"rclone.program={script}", "-o", "lock.scale=0.1", "backup",
                       small_tree(tmp, 40, 1_000_000), "--limit-upload", "2048")
    while not any((place / "locks").iterdir()):
        tap.ok(p.poll() is None, "it ended too early")
        time.sleep(0.01)
    os.kill(int(pid.read_text()), 9)
    _, err = p.communicate(timeout=120)
    tap.ok(p.returncode not in (0, None), "it failed")
    tap.contains(err, b"the program at the other end is gone")
    tap.ok(not pathlib.Path(f"/proc/{int(pid.read_text())}").exists(), "rclone is gone")


tap.main()
