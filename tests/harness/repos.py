# SPDX-License-Identifier: BSD-2-Clause
"""Repositories, and the programs that speak restic's command line, for tests.

	import repos

	holdfast = repos.holdfast()                    # the program under test
	restic = repos.restic("restic-new")            # a peer; skips the test if it is absent
	repo = repos.quick(tmp / "repo", version=2)    # a repository that opens at once
	holdfast(repo, "backup", ".", cwd=tree)        # -r and the password are given
	restic.root_tree(repo)

A repository of quick() has a key and a polynomial that everybody knows, and a key file whose
scrypt takes a millisecond, instead of the half second that programs spend on purpose.
"""

import atexit
import base64
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import tap

PASSWORD = "geheim"

# The parts of the nasty tree (tree.py) that restic cannot do, and why:
#   beyond    restic opens files by their whole path, which the system refuses beyond PATH_MAX
RESTIC_CANNOT = ("beyond",)
# What cannot come back, since the format has no place for it:
#   sockets are not saved; only hard links of files are kept as such
FORMAT_CANNOT = {"without": ["socket"],
                 "ignore": ["links:symlink", "links:fifo", "links:char", "links:block"]}

for _name in list(os.environ):
    if _name.startswith(("RESTIC_", "HOLDFAST_")):
        del os.environ[_name]


class Program:
    def __init__(self, name, path):
        self.name = name
        self.path = path
        self.more = ["--no-cache"]  # or ["--cache-dir", ...], for tests of the cache

    def argv(self, repo, *args):
        return [self.path, "-r", str(repo), *self.more, *(a if isinstance(a, bytes) else str(a) for a in args)]

    def start(self, repo, *args, env=None, cwd=None, **kw):
        """Starts a command and returns the subprocess.Popen."""
        env = {**os.environ, "RESTIC_PASSWORD": PASSWORD, **({"PWD": str(cwd)} if cwd else {}), **(env or {})}
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen(self.argv(repo, *args), env=env, cwd=cwd, **kw)

    def __call__(self, repo, *args, check=0, env=None, timeout=600, cwd=None, **kw):
        """Runs a command as tap.run() does; $PWD says the same as `cwd`, as a shell sees to."""
        env = {"RESTIC_PASSWORD": PASSWORD, **({"PWD": str(cwd)} if cwd else {}), **(env or {})}
        argv = self.argv(repo, *args)
        return tap.run(*argv, check=check, env=env, timeout=timeout, cwd=cwd, **kw)

    def json(self, repo, *args, **kw):
        return json.loads(self(repo, *args, "--json", **kw).stdout)

    def summary(self, repo, *args, **kw):
        """Runs `backup` and returns what its last line says."""
        out = self(repo, "backup", "--json", *args, **kw).stdout.splitlines()
        s = json.loads(out[-1])
        tap.eq(s["message_type"], "summary")
        return s

    def blobs(self, repo):
        """The set of (type, id) of all blobs in the index."""
        return {tuple(x.split()) for x in self(repo, "list", "blobs").stdout.splitlines()}

    def snapshots(self, repo):
        """All snapshots, the oldest first."""
        return sorted(self.json(repo, "snapshots") or [], key=lambda s: s["time"])

    def tree(self, repo, tree):
        """The nodes of a tree, by name."""
        text = self(repo, "cat", "blob", tree).stdout
        return {n["name"]: n for n in json.loads(text)["nodes"]}

    def root_tree(self, repo, snapshot=None):
        """The id of the root tree of a snapshot, or of the newest."""
        found = [s for s in self.snapshots(repo) if not snapshot or s["id"].startswith(snapshot)]
        return found[-1]["tree"]


def holdfast():
    return Program("holdfast", tap.holdfast())


def restic(name):
    return Program(name, tap.peer(name))


def memory(tmp):
    """A new folder in memory, if there is plenty, else in `tmp`; it goes when the process ends.

    Programs wait for the disk after every file of a repository, which is most of the time of a
    test. Not for trees with extended attributes: only new kernels have them there.
    """
    shm = pathlib.Path("/dev/shm")
    if not shm.is_dir() or not os.access(shm, os.W_OK) or shutil.disk_usage(shm).free < 4 << 30:
        return pathlib.Path(tempfile.mkdtemp(dir=tmp))
    top = pathlib.Path(tempfile.mkdtemp(dir=shm, prefix="hf-test-"))
    # Python's own would have to call itself for every level of a tree.
    atexit.register(subprocess.run, ["rm", "-rf", top])
    return top


def apart():
    """A new folder where other tests come and go in none of the folders above; it goes when the process ends.

    For snapshots of absolute paths that are compared: the times of /tmp and of /dev/shm change all the time.
    """
    top = pathlib.Path(tempfile.mkdtemp(dir="/var/tmp", prefix="hf-test-"))
    atexit.register(subprocess.run, ["rm", "-rf", top])
    return top


# ---- a repository of known keys ----

AES_KEY, MAC_K, MAC_R = bytes(range(32)), bytes(range(32, 48)), bytes(range(48, 64))
KEY_FILE = (
    b'{"created":"2026-01-02T03:04:05.6Z","username":"u","hostname":"h","kdf":"scrypt","N":1024,'
    b'"r":8,"p":1,"salt":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ'
    b'1Njc4OTo7PD0+Pw==","data":"QEFCQ0RFRkdISUpLTE1OTzKEkHkNzeJ35Ps9szdfYZ186kn/loR3GjEMQ6mNCFoU'
    b'Cwxzgp1vDBA36DIk55K8aOg1cKD7PFUQjZZQnNqmJTzVhJe0Rt2B1RU0FijV6UQ1EjsxGBAHY5/Kt49WIF6+nT25EoAp'
    b'NrjXvVSr2UZmD5mjFvit6go+Cl8x5diCj2LP1u+fGVHNV0cILvtOyBdkGA=="}')


def _openssl(cipher, key, data, *more):
    return subprocess.run(["openssl", "enc", cipher, "-K", key.hex(), *more], input=data, check=True,
                          capture_output=True).stdout


def _poly1305(r, s, data):
    r = int.from_bytes(r, "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    acc = 0
    for i in range(0, len(data), 16):
        acc = (acc + int.from_bytes(data[i:i + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((acc + int.from_bytes(s, "little")) & ((1 << 128) - 1)).to_bytes(16, "little")


def seal(plain, iv=bytes(range(64, 80)), key=AES_KEY + MAC_K + MAC_R):
    """Encrypts as restic does, under the key of quick()."""
    data = _openssl("-aes-256-ctr", key[:32], plain, "-iv", iv.hex())
    s = _openssl("-aes-128-ecb", key[32:48], iv, "-nopad")
    return iv + data + _poly1305(key[48:], s, data)


def _key_file(password):
    """KEY_FILE, for another password."""
    def text(b):
        return base64.b64encode(b).decode()

    if password == PASSWORD:
        return KEY_FILE
    doc = json.loads(KEY_FILE)
    of_user = hashlib.scrypt(password.encode(), salt=base64.b64decode(doc["salt"]), n=doc["N"], r=doc["r"],
                             p=doc["p"], dklen=64)
    keys = {"mac": {"k": text(MAC_K), "r": text(MAC_R)}, "encrypt": text(AES_KEY)}
    doc["data"] = text(seal(json.dumps(keys).encode(), key=of_user))
    return json.dumps(doc).encode()


def quick(path, version=2, password=PASSWORD):
    """Makes a repository that opens without delay, with fixed keys; for tests only."""
    path = pathlib.Path(path)
    for d in ("keys", "snapshots", "index", "locks", "data"):
        (path / d).mkdir(parents=True, exist_ok=True)
    for i in range(256):
        (path / f"data/{i:02x}").mkdir()
    key_file = _key_file(password)
    (path / "keys" / hashlib.sha256(key_file).hexdigest()).write_bytes(key_file)
    config = {"version": version, "id": "ab" * 32, "chunker_polynomial": "3da3358b4dc173"}
    (path / "config").write_bytes(seal(json.dumps(config, separators=(",", ":")).encode()))
    return path


def locks(repo):
    """Names of the lock files in a local repository."""
    d = pathlib.Path(repo) / "locks"
    return sorted(os.listdir(d)) if d.exists() else []


def files(repo, kind):
    """Names of files of one kind in a local repository: "data", "index", "snapshots", "keys"."""
    top = pathlib.Path(repo) / kind
    return {f for _, _, names in os.walk(top) for f in names}


def stored(repo):
    """Bytes of all packs."""
    return sum(f.stat().st_size for f in (pathlib.Path(repo) / "data").rglob("*") if f.is_file())
