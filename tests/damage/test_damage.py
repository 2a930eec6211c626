# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of damage, done by hand to small good repositories, one of our own making and one of
restic's: `check` finds it, names it and says so with its exit code, and no command crashes or hangs.

The long form does all of it to both, the short one to each in turn, and uses every third command then.
"""

import hashlib
import itertools
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

import handmade
import tap

# Hundreds of small files that are synced: in memory where there is some.
if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 1 << 30:
    tempfile.tempdir = os.environ["TMPDIR"] = "/dev/shm"

PASSWORD = "geheim"
LIMIT_S = 60
ENV = {"RESTIC_PASSWORD": PASSWORD}
IS_LONG = os.environ.get("TORTURE") == "long"
MAKERS = ("holdfast", "restic")
_turn = itertools.cycle(MAKERS)
_third = itertools.cycle(range(3))
ZERO, ONES = "0" * 64, "1" * 64


def call(repo, *argv):
    """Runs the program; dying of a signal or not ending is a failure of its own."""
    argv = [tap.holdfast(), "--no-cache", "-r", str(repo), *map(str, argv)]
    r = subprocess.run(argv, capture_output=True, timeout=LIMIT_S, env={**os.environ, **ENV},
                       stdin=subprocess.DEVNULL)
    text = (r.stdout + r.stderr).decode(errors="replace")
    if r.returncode < 0 or r.returncode >= 124 or "Sanitizer" in text:
        raise AssertionError(f"{' '.join(argv)}\nended with {r.returncode}\n{text[-4000:]}")
    return r.returncode, text


# ---- the good repositories, made once ----

_made = {}


def source():
    if "source" not in _made:
        top = pathlib.Path(tempfile.mkdtemp(prefix="hf-damage-"))
        _made["source"] = src = top / "src"
        (src / "folder/deeper").mkdir(parents=True)
        (src / "small").write_text("a small file\n")
        (src / "empty").touch()
        (src / "folder/large").write_bytes(b"".join(
            hashlib.sha256(struct.pack("<I", i)).digest() for i in range(100000)))
        (src / "folder/deeper/text").write_text("some text\n" * 1000)
        (src / "link").symlink_to("small")
    return _made["source"]


def good(maker):
    """A repository with two snapshots, a cheap key, data packs and tree packs."""
    if maker not in _made:
        src = source()
        path = src.parent / maker
        if maker == "holdfast":
            argv = [tap.holdfast(), "-r", path]
        else:
            argv = [tap.peer("restic-new"), "--no-cache", "-r", path]
        tap.run(*argv, "init", env=ENV)
        for i in range(2):
            (src / "folder/new").write_text(f"number {i}\n")
            tap.run(*argv, "backup", src, env=ENV)
        handmade.Repo(path, PASSWORD).use_cheap_key()
        _made[maker] = path
    return _made[maker]


class Patient(handmade.Repo):
    """A copy to be damaged, with names for the parts that every repository has."""

    def __init__(self, maker, tmp):
        shutil.copytree(good(maker), tmp / "repo")
        for p in (tmp / "repo").rglob("*"):
            p.chmod(0o700)
        super().__init__(tmp / "repo", PASSWORD)
        self.headers = {id: self.pack_header(id) for id in self.ids("data")}

    def packs(self, type):
        """Ids of the packs of that type, the largest first."""
        ids = [i for i, blobs in self.headers.items() if blobs[0].type == type]
        return sorted(ids, key=lambda i: -self.file("data", i).stat().st_size)

    def flip(self, kind, id, at, bit=1):
        b = bytearray(self.read(kind, id))
        b[at] ^= bit
        self.write(kind, id, bytes(b))
        return id

    def cut(self, kind, id, length):
        self.write(kind, id, self.read(kind, id)[:length])
        return id

    def any(self, kind):
        return self.ids(kind)[0] if kind != "config" else ""

    def change_blob(self, of_type, **changes):
        """Changes the first blob of that type in the index and returns its pack."""
        for id in self.ids("index"):
            index = self.load("index", id)
            for pack in index["packs"]:
                for blob in pack["blobs"]:
                    if blob["type"] == of_type and \
                            not ("uncompressed_length" in changes and len(blob) < 5):
                        blob.update(changes)
                        self.replace("index", id, index)
                        return pack["id"]
        raise AssertionError("no such blob")

    def change_index(self, change):
        """Puts change(index) in the place of one index file. Returns its new name."""
        id = self.any("index")
        return self.replace("index", id, change(self.load("index", id)))

    def change_pack(self, type, change):
        """Stores change(file) under its own name and lets the index say so; returns that."""
        old = self.packs(type)[0]
        new = self.put("data", change(self.read("data", old)))
        self.remove("data", old)
        for id in self.ids("index"):
            index = self.load("index", id)
            for pack in index["packs"]:
                if pack["id"] == old:
                    pack["id"] = new
                    self.replace("index", id, index)
        return new

    def change_key(self, **changes):
        self.remove("keys", self.any("keys"))
        return self.put("keys", handmade.key_file(self.master, PASSWORD, **changes))


# ---- what is done with a damaged one ----

def remove(path):
    """shutil.rmtree() recurses, and gives up in folders that are deep."""
    subprocess.run(["rm", "-rf", path], check=True)


READERS = (
    ("snapshots",),
    ("ls", "latest"),
    ("cat", "config"),
    ("cat", "snapshot", "latest"),
    ("list", "blobs"),
    ("list", "packs"),
    ("list", "snapshots"),
    ("list", "index"),
    ("stats",),
    ("find", "small"),
    ("diff", "latest", "latest"),
)


def known_commands():
    if "commands" not in _made:
        _, text = call("/nonexistent", "help")
        _made["commands"] = set(text.split())
    return _made["commands"]


def use(r, tmp):
    """Every command that the program has: whatever it says, it ends by itself. Without locks, which
    cost a fifth of a second each; but those who write must take them.
    """
    target = tmp / "out"
    every = READERS + (
        ("dump", "latest", source() / "small"),
        ("dump", "latest", source() / "folder/large"),
        ("dump", "latest", "/"),
        ("restore", "latest", "--target", target),
        ("backup", source()),
        ("forget", "--keep-last", "1", "--dry-run"),
        ("prune", "--dry-run"),
    )
    for argv in every if IS_LONG else every[next(_third)::3]:
        if argv[0] in known_commands():
            call(r.path, *argv, *(() if argv[0] == "backup" else ("--no-lock",)))


def damage(code=1, says=(), data=False, readers=True):
    """A kind of damage: a function that does it to a Patient and returns what check must name (a
    text or several). `data`: only --read-data can find it; a plain check must not claim any.
    """
    def wrap(fn):
        makers = MAKERS if IS_LONG else (next(_turn),)

        def run(tmp):
            try:
                apply(tmp)
            finally:
                for place in tmp.iterdir():
                    remove(place)

        def apply(tmp):
            done = 0
            for maker in makers:
                place = tmp / maker
                place.mkdir()
                try:
                    r = Patient(maker, place)
                except tap.Skip:
                    continue
                names = fn(r)
                names = [names] if isinstance(names, str) else list(names or ())
                if data:
                    got, text = call(r.path, "check", "--no-lock")
                    tap.eq(got, 0, f"plain check, {maker}\n{text}")
                got, text = call(r.path, "check", "--read-data", "--no-lock")
                tap.eq(got, code, f"check --read-data, {maker}\n{text}\nexit code")
                for part in names + ([says] if isinstance(says, str) else list(says)):
                    tap.contains(text, part)
                if not data:
                    got, text = call(r.path, "check", "--no-lock")
                    tap.eq(got, code, f"check, {maker}\n{text}\nexit code")
                    for part in names:
                        tap.contains(text, part)
                if readers and done == 0:
                    use(r, place)
                done += 1
            if done == 0:
                tap.skip("no program that makes repositories")
        run.__name__ = fn.__name__
        return tap.test(run)
    return wrap


OK = dict(code=0, says="no errors were found")
DAMAGED = "repository contains errors"


@damage(**OK)
def nothing_is_wrong(r):
    tap.eq(call(r.path, "check")[0], 0, "check with a lock")


# ---- cut files ----

def cuts(r, kind, id):
    size = r.file(kind, id).stat().st_size
    return [n for n in (0, 1, 16, 31, 32, 33, size // 2, size - 1) if n < size]


def damage_each(kind, pick, lengths, **expect):
    """One test for each length of a file that is cut."""
    for which in lengths:
        def fn(r, which=which):
            id = pick(r)
            size = r.file(kind, id).stat().st_size
            r.cut(kind, id, {"half": size // 2, "one less": size - 1}.get(which, which))
            return id[:8] if kind != "config" else "config"
        fn.__name__ = f"{kind}_cut_to_{which}".replace(" ", "_")
        damage(**expect)(fn)


LENGTHS = (0, 1, 31, 33, "half", "one less")
damage_each("snapshots", lambda r: r.any("snapshots"), LENGTHS, says=DAMAGED)
damage_each("index", lambda r: r.any("index"), LENGTHS, says=DAMAGED)
damage_each("config", lambda r: "", LENGTHS)
damage_each("keys", lambda r: r.any("keys"), LENGTHS)
damage_each("data", lambda r: r.packs("data")[0], LENGTHS, says=DAMAGED)


@damage(says=DAMAGED)
def tree_pack_cut(r):
    return r.cut("data", r.packs("tree")[0], 50)


@damage(says=DAMAGED)
def pack_longer_by_a_byte(r):
    id = r.packs("data")[0]
    r.write("data", id, r.read("data", id) + b"x")
    return id, "unexpected file size"


# ---- flipped bits ----

def flips(type, regions, **expect):
    for name, where in regions:
        def fn(r, where=where):
            id = r.packs(type)[0]
            size = len(r.read("data", id))
            n, = struct.unpack("<I", r.read("data", id)[-4:])
            return r.flip("data", id, where(r.headers[id], size, n))
        fn.__name__ = f"{type}_pack_bit_in_{name}"
        damage(**expect)(fn)


BLOB_REGIONS = (
    ("iv", lambda blobs, size, n: blobs[0].offset + 3),
    ("ciphertext", lambda blobs, size, n: blobs[0].offset + 17),
    ("mac", lambda blobs, size, n: blobs[0].offset + blobs[0].length - 1),
    ("last_blob", lambda blobs, size, n: blobs[-1].offset + 20),
)
HEADER_REGIONS = (
    ("header_iv", lambda blobs, size, n: size - 4 - n),
    ("header", lambda blobs, size, n: size - 4 - n + 20),
    ("header_mac", lambda blobs, size, n: size - 5),
    ("header_length", lambda blobs, size, n: size - 4),
    ("header_length_high", lambda blobs, size, n: size - 1),
)
flips("data", BLOB_REGIONS + HEADER_REGIONS, data=True, says=(DAMAGED, "unexpected pack id"))
flips("tree", HEADER_REGIONS, data=True, says=(DAMAGED, "unexpected pack id"))
flips("tree", BLOB_REGIONS, says=DAMAGED)


def bit_tests(kind, **expect):
    for name, where in (("first", 0), ("middle", "half"), ("last", -1)):
        def fn(r, where=where):
            id = r.any(kind)
            at = r.file(kind, id).stat().st_size // 2 if where == "half" else where
            r.flip(kind, id, at)
            return id[:8] if kind != "config" else "config"
        fn.__name__ = f"{kind}_bit_in_{name}_byte"
        damage(**expect)(fn)


bit_tests("snapshots", says=DAMAGED)
bit_tests("index", says=DAMAGED)
bit_tests("config")
bit_tests("keys")


@damage(says=DAMAGED)
def every_kind_of_damage_at_once(r):
    snapshot = r.flip("snapshots", r.any("snapshots"), 40)
    pack = r.flip("data", r.packs("data")[0], 20)
    tree = r.cut("data", r.packs("tree")[0], 50)
    return snapshot, tree


# ---- missing and exchanged files ----

@damage(says=(DAMAGED, "does not exist"))
def data_pack_missing(r):
    id = r.packs("data")[0]
    r.remove("data", id)
    return f"pack {id}", "large"


@damage(says=(DAMAGED, "does not exist"))
def tree_pack_missing(r):
    id = r.packs("tree")[0]
    r.remove("data", id)
    return f"pack {id}"


@damage(says=DAMAGED)
def all_packs_missing(r):
    shutil.rmtree(r.path / "data")
    return [f"pack {id}" for id in r.headers]


@damage(says=DAMAGED)
def index_missing(r):
    for id in r.ids("index"):
        r.remove("index", id)
    return "tree "


@damage(code=10)
def config_missing(r):
    r.remove("config")


@damage(code=10)
def everything_missing(r):
    shutil.rmtree(r.path)
    r.path.mkdir()


@damage(code=12)
def keys_missing(r):
    r.remove("keys", r.any("keys"))


@damage(**OK)
def snapshots_missing(r):
    for id in r.ids("snapshots"):
        r.remove("snapshots", id)


def exchange(r, kind, a, b):
    x, y = r.read(kind, a), r.read(kind, b)
    r.write(kind, a, y)
    r.write(kind, b, x)
    return a[:8], b[:8]


@damage(says=DAMAGED)
def packs_under_each_others_names(r):
    return exchange(r, "data", r.packs("data")[0], r.packs("tree")[0])


@damage(says=DAMAGED)
def snapshots_under_each_others_names(r):
    return exchange(r, "snapshots", *r.ids("snapshots")[:2])


@damage(says=DAMAGED)
def file_in_the_place_of_another_kind(r):
    id = r.any("index")
    r.write("index", id, r.read("snapshots", r.any("snapshots")))
    return id


# ---- pack headers ----

def with_length(n):
    return lambda b: b[:-4] + struct.pack("<I", n(struct.unpack("<I", b[-4:])[0]) & 0xffffffff)


for _name, _n in (("zero", lambda n: 0), ("31", lambda n: 31), ("32", lambda n: 32),
                  ("one_less", lambda n: n - 1), ("one_more", lambda n: n + 1),
                  ("16_MiB", lambda n: 16 << 20), ("huge", lambda n: 2**32 - 1)):
    def _fn(r, n=_n):
        return r.change_pack("data", with_length(n))
    _fn.__name__ = f"header_length_{_name}_in_an_authentic_pack"
    damage(data=True, says=DAMAGED)(_fn)


def rebuilt(r, header):
    """A pack with another header; the index knows it."""
    def change(b):
        n, = struct.unpack("<I", b[-4:])
        h = r.master.seal(header)
        return b[:-4 - n] + h + struct.pack("<I", len(h))
    return change


@damage(says=DAMAGED)
def header_without_entries(r):
    return r.change_pack("data", rebuilt(r, b""))


@damage(data=True, says=DAMAGED)
def header_of_another_type(r):
    h = b"".join(b.entry() for b in r.headers[r.packs("data")[0]])
    return r.change_pack("data", rebuilt(r, b"\x07" + h[1:]))


@damage(data=True, says=DAMAGED)
def header_with_huge_lengths(r):
    h = b"".join(b.entry() for b in r.headers[r.packs("data")[0]])
    return r.change_pack("data", rebuilt(r, h[:1] + b"\xff\xff\xff\xff" + h[5:]))


# ---- index files that are authentic and wrong ----

@damage(says=DAMAGED)
def index_with_huge_length(r):
    return r.change_blob("data", length=2**40) and "error loading index"


@damage(says=DAMAGED)
def index_with_negative_offset(r):
    return r.change_blob("data", offset=-1) and "error loading index"


@damage(says=DAMAGED)
def index_with_fraction(r):
    return r.change_blob("data", length=1.5) and "error loading index"


@damage(says=DAMAGED)
def index_with_length_of_all_bits(r):
    return r.change_blob("data", length=2**32 - 1)


@damage(says=DAMAGED)
def index_with_offset_of_all_bits(r):
    return r.change_blob("data", offset=2**32 - 1)


@damage(says=DAMAGED)
def index_with_length_zero(r):
    return r.change_blob("data", length=0) and "error loading index"


@damage(says=DAMAGED)
def index_with_unknown_type(r):
    return r.change_blob("data", type="date") and "error loading index"


@damage(says=DAMAGED)
def index_with_the_other_type(r):
    r.change_blob("data", type="tree")
    return "not found in index"


@damage(says=DAMAGED)
def index_with_null_pack(r):
    def change(index):
        index["packs"][0]["id"] = ZERO
        return index
    return r.change_index(change)


@damage(says=DAMAGED)
def index_that_is_an_array(r):
    return r.change_index(lambda index: index["packs"])


@damage(says=DAMAGED)
def index_that_is_no_json(r):
    return r.change_index(lambda index: b"{\"packs\":[{]}")


@damage(says=DAMAGED)
def index_nested_deeply(r):
    return r.change_index(lambda index: b"{\"x\":" + b"[" * 10**6)


@damage(says=DAMAGED, readers=False)
def index_that_unpacks_to_gigabytes(r):
    frame = handmade.pack_zstd(b" " * (64 << 20))
    r.remove("index", r.any("index"))
    return r.put("index", r.master.seal(b"\x02" + frame * 40))


@damage(data=True, says=DAMAGED)
def announced_length_too_small(r):
    return r.change_blob("data", uncompressed_length=5)


@damage(data=True, says=DAMAGED)
def announced_length_too_large(r):
    return r.change_blob("data", uncompressed_length=2**32 - 1)


@damage(says=DAMAGED)
def announced_length_of_a_tree_too_large(r):
    return r.change_blob("tree", uncompressed_length=2**32 - 1)


@damage(data=True, says=(DAMAGED, "contains 1 errors"))
def blob_that_unpacks_to_a_gigabyte(r):
    frame = handmade.pack_zstd(b"\0" * (64 << 20))
    _, pack = r.add_blob("data", b"", id=b"\1" * 32, packed=frame * 16, raw_length=100)
    return pack, (b"\1" * 32).hex()


@damage(data=True, says=(DAMAGED, "contains 1 errors"))
def blob_of_another_content(r):
    _, pack = r.add_blob("data", b"something else", id=b"\2" * 32)
    return pack, (b"\2" * 32).hex()


@damage(code=0, says=("no errors were found", "contained in several indexes"))
def pack_in_two_index_files(r):
    index = r.load("index", r.any("index"))
    index["packs"].reverse()
    r.save("index", index)
    return index["packs"][0]["id"]


@damage(says=(DAMAGED, "has different data in indexes"))
def pack_split_over_two_index_files(r):
    pack = r.packs("data")[0]
    for id in r.ids("index"):
        index = r.load("index", id)
        for p in index["packs"]:
            if p["id"] == pack:
                taken = p["blobs"].pop()
                r.replace("index", id, index)
    r.save("index", {"packs": [{"id": pack, "blobs": [taken]}]})
    return pack


@damage(code=0, says="no errors were found")
def pack_without_an_index(r):
    b = handmade.Blob("data", 39, 0, hashlib.sha256(b"orphan!").digest(), 0)
    r.pack(r.master.seal(b"orphan!"), [b])


# ---- snapshots and trees ----

def snapshot(r, **changes):
    s = r.load("snapshots", r.any("snapshots"))
    s.update(changes)
    return r.save("snapshots", {k: v for k, v in s.items() if v is not None})


@damage(says=DAMAGED)
def snapshot_of_a_missing_tree(r):
    return snapshot(r, tree=ONES)[:8], ONES


@damage(says=DAMAGED)
def snapshot_without_a_tree(r):
    return snapshot(r, tree=None)


@damage(says=DAMAGED)
def snapshot_with_a_wrong_time(r):
    return snapshot(r, time="yesterday")


@damage(says=DAMAGED)
def snapshot_that_is_no_json(r):
    return r.save("snapshots", b"[[[[")


def node(name, type, **fields):
    t = "2026-01-02T03:04:05Z"
    return {"name": name, "type": type, "mode": 0o644 if type == "file" else 0o20000000755,
            "mtime": t, "atime": t, "ctime": t, "uid": 0, "gid": 0, "content": None, **fields}


def add_tree(r, nodes):
    """Stores a tree and a newest snapshot of it. `nodes` may be the text itself."""
    import json
    text = nodes if isinstance(nodes, bytes) else \
        json.dumps({"nodes": nodes}, separators=(",", ":")).encode() + b"\n"
    blob, _ = r.add_blob("tree", text)
    snapshot(r, tree=blob.id.hex(), time="2037-01-01T00:00:00Z")
    return blob.id.hex()


@damage(says=DAMAGED)
def tree_that_is_no_json(r):
    return add_tree(r, b"\0\1\2")


@damage(says=DAMAGED)
def tree_that_is_empty(r):
    return add_tree(r, b"")


@damage(says=(DAMAGED, "has nil blob list"))
def file_without_content(r):
    return add_tree(r, [node("f", "file")])


@damage(says=(DAMAGED, "not found in index"))
def file_with_a_blob_that_is_nowhere(r):
    return add_tree(r, [node("f", "file", content=[ONES])])


@damage(says=DAMAGED)
def file_whose_size_is_a_lie_and_blob_missing(r):
    return add_tree(r, [node("f", "file", size=2**63, content=[ONES])])


@damage(says=(DAMAGED, "has no subtree"))
def folder_without_a_tree(r):
    return add_tree(r, [node("d", "dir")])


@damage(says=DAMAGED)
def folder_whose_tree_is_nowhere(r):
    return add_tree(r, [node("d", "dir", subtree=ONES)]) and ONES


@damage(says=(DAMAGED, "invalid type"))
def node_of_an_unknown_type(r):
    return add_tree(r, [node("d", "door")])


@damage(says=DAMAGED)
def node_without_a_name(r):
    return add_tree(r, [node("", "fifo")])


@damage(says=DAMAGED)
def nodes_out_of_order(r):
    return add_tree(r, [node("b", "fifo"), node("a", "fifo")])


@damage(says=DAMAGED)
def nodes_of_the_same_name(r):
    return add_tree(r, [node("a", "fifo"), node("a", "fifo")])


@damage(says=DAMAGED)
def node_with_numbers_too_large(r):
    return add_tree(r, [node("a", "fifo", uid=2**32, inode=2**64)])


@damage(**OK)
def file_whose_size_is_a_lie(r):
    add_tree(r, [node("f", "file", size=2**63, content=[])])


@damage(**OK)
def folders_a_thousand_deep(r):
    tree, blobs = b'{"nodes":[]}\n', []
    import json
    sealed = b""
    for i in range(2000):
        packed = handmade.pack_zstd(tree)
        id = hashlib.sha256(tree).digest()
        blobs.append(handmade.Blob("tree", len(packed) + 32, len(tree), id, len(sealed)))
        sealed += r.master.seal(packed)
        tree = json.dumps({"nodes": [node("d", "dir", subtree=id.hex())]},
                          separators=(",", ":")).encode() + b"\n"
    pack = r.pack(sealed, blobs)
    r.save("index", {"packs": [{"id": pack, "blobs": [b.index() for b in blobs]}]})
    snapshot(r, tree=blobs[-1].id.hex(), time="2037-01-01T00:00:00Z")


@tap.test
def names_cannot_leave_the_target_of_a_restore(tmp):
    r = Patient("holdfast", tmp)
    if "restore" not in known_commands():
        tap.skip("no restore")
    for name in ("..", ".", "../evil", "/evil", "x/evil", "evil\0"):
        blob, _ = r.add_blob("data", b"evil")
        add_tree(r, [node(name, "file", size=4, content=[blob.id.hex()])])
        call(r.path, "restore", "latest", "--target", tmp / "a/b")
        call(r.path, "check", "--read-data")
        sub, _ = r.add_blob("tree", b'{"nodes":[]}\n')
        add_tree(r, [node(name, "dir", subtree=sub.id.hex())])
        call(r.path, "restore", "latest", "--target", tmp / "a/b")
    found = [p for p in tmp.rglob("*evil*")] + [p for p in pathlib.Path("/").glob("evil*")]
    tap.eq(found, [], "files outside of the target")


# ---- key files ----

def key_test(name, code=1, **changes):
    def fn(r):
        id = r.change_key(**changes)
        return id[:8] if code == 1 else ()
    fn.__name__ = f"key_with_{name}"
    damage(code=code)(fn)


key_test("huge_N", N=2**40)
key_test("N_beyond_64_bits", N=2**70)
key_test("N_of_2_to_the_30", N=2**30)
key_test("N_no_power_of_two", N=1000)
key_test("N_of_zero", N=0)
key_test("negative_N", N=-1024)
key_test("huge_r", r=2**30)
key_test("huge_r_and_p", r=2**15, p=2**15)
key_test("huge_p", p=2**31)
key_test("r_of_zero", r=0)
key_test("p_of_zero", p=0)
key_test("another_kdf", kdf="bcrypt")
key_test("short_salt", salt="AAAA")
key_test("no_salt", salt=None)
key_test("salt_not_base64", salt="!" * 88)
key_test("no_data", data=None)
key_test("short_data", data="AAAA")
key_test("huge_data", data="A" * (2 << 20))
key_test("wrong_data", code=12, data="A" * 400)
key_test("N_as_text", N="1024")


@damage()
def key_that_is_no_json(r):
    r.remove("keys", r.any("keys"))
    return r.put("keys", b"garbage" * 100)[:8]


@damage()
def key_nested_deeply(r):
    r.remove("keys", r.any("keys"))
    return r.put("keys", b'{"x":' + b"[" * 10**5)[:8]


@damage(says=DAMAGED)
def second_key_with_a_wrong_name(r):
    id = "ff" * 32
    r.write("keys", id, r.read("keys", r.any("keys"))[:-1])
    return id


# ---- the config ----

@damage()
def config_of_another_version(r):
    r.save("config", {**r.load("config"), "version": 3})


@damage()
def config_with_a_reducible_polynomial(r):
    r.save("config", {**r.load("config"), "chunker_polynomial": "20000000000000"})


@damage()
def config_that_is_no_json(r):
    r.save("config", b"no")


@damage(says=DAMAGED)
def compression_in_version_1(r):
    r.save("config", {**r.load("config"), "version": 1})
    return "error loading index"


def clean_up():
    if "source" in _made:
        remove(_made["source"].parent)


try:
    tap.main()
finally:
    clean_up()
