# SPDX-License-Identifier: BSD-2-Clause
"""Repositories taken apart and put together by hand: the format once more, independent of the
program, for tests that need files which are authentic and wrong.

    repo = handmade.Repo(path, "password")
    index = repo.load("index", repo.ids("index")[0])    # its JSON, as a Python object
    index["packs"][0]["blobs"][0]["length"] = 2**40
    repo.replace("index", old_id, index)                # sealed again, under its new name

Slow (the MAC is computed in Python) and trusting: only for repositories that the test has made.
"""

import base64
import ctypes
import hashlib
import json
import os
import pathlib
import struct

_crypto = ctypes.CDLL("libcrypto.so.3")
_zstd = ctypes.CDLL("libzstd.so.1")

for _name, _res, _args in (
    ("EVP_aes_256_ctr", ctypes.c_void_p, []),
    ("EVP_aes_128_ecb", ctypes.c_void_p, []),
    ("EVP_CIPHER_CTX_new", ctypes.c_void_p, []),
    ("EVP_CIPHER_CTX_free", None, [ctypes.c_void_p]),
    ("EVP_EncryptInit_ex", ctypes.c_int, [ctypes.c_void_p] * 3 + [ctypes.c_char_p] * 2),
    ("EVP_EncryptUpdate", ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p,
        ctypes.POINTER(ctypes.c_int), ctypes.c_char_p, ctypes.c_int]),
):
    _f = getattr(_crypto, _name)
    _f.restype, _f.argtypes = _res, _args
for _name, _args in (
    ("ZSTD_compressBound", [ctypes.c_size_t]),
    ("ZSTD_isError", [ctypes.c_size_t]),
    ("ZSTD_compress", [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t,
        ctypes.c_int]),
    ("ZSTD_decompress", [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p,
        ctypes.c_size_t]),
):
    _f = getattr(_zstd, _name)
    _f.restype, _f.argtypes = ctypes.c_size_t, _args


def _cipher(kind, key, iv, data):
    ctx = _crypto.EVP_CIPHER_CTX_new()
    out = ctypes.create_string_buffer(len(data) + 32)
    n = ctypes.c_int()
    try:
        ok = _crypto.EVP_EncryptInit_ex(ctx, kind(), None, key, iv)
        ok &= _crypto.EVP_EncryptUpdate(ctx, out, ctypes.byref(n), data, len(data))
        assert ok == 1
    finally:
        _crypto.EVP_CIPHER_CTX_free(ctx)
    return out.raw[:n.value]


def _poly1305(r, s, data):
    r = int.from_bytes(r, "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    acc = 0
    for i in range(0, len(data), 16):
        block = data[i:i + 16] + b"\x01"
        acc = (acc + int.from_bytes(block, "little")) * r % (2**130 - 5)
    return ((acc + int.from_bytes(s, "little")) % 2**128).to_bytes(16, "little")


class Key:
    """Encrypts and authenticates."""

    def __init__(self, encrypt, k, r):
        self.encrypt, self.k, self.r = encrypt, k, r

    def _mac(self, iv, text):
        return _poly1305(self.r, _cipher(_crypto.EVP_aes_128_ecb, self.k, None, iv), text)

    def seal(self, plain, iv=None):
        iv = iv or os.urandom(16)
        text = _cipher(_crypto.EVP_aes_256_ctr, self.encrypt, iv, plain)
        return iv + text + self._mac(iv, text)

    def open(self, sealed):
        iv, text, mac = sealed[:16], sealed[16:-16], sealed[-16:]
        assert self._mac(iv, text) == mac, "wrong MAC"
        return _cipher(_crypto.EVP_aes_256_ctr, self.encrypt, iv, text)

    def json(self):
        def b64(b):
            return base64.b64encode(b).decode()
        return json.dumps({"mac": {"k": b64(self.k), "r": b64(self.r)},
            "encrypt": b64(self.encrypt)}, separators=(",", ":")).encode()


def pack_zstd(plain):
    out = ctypes.create_string_buffer(_zstd.ZSTD_compressBound(len(plain)))
    n = _zstd.ZSTD_compress(out, len(out), plain, len(plain), 3)
    assert not _zstd.ZSTD_isError(n)
    return out.raw[:n]


def unpack_zstd(packed, limit=64 << 20):
    out = ctypes.create_string_buffer(limit)
    n = _zstd.ZSTD_decompress(out, limit, packed, len(packed))
    assert not _zstd.ZSTD_isError(n), "not zstd"
    return out.raw[:n]


def _scrypt(password, salt, n, r, p):
    return Key(*_split(hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p,
        maxmem=256 << 20, dklen=64)))


def _split(b):
    return b[:32], b[32:48], b[48:64]


def key_file(master, password, **changes):
    """A key file that costs little to open. `changes` replaces fields of the JSON as they are, or
    removes those that are None.
    """
    salt = os.urandom(64)
    user = _scrypt(password, salt, 1024, 8, 1)
    fields = {"created": "2026-01-02T03:04:05Z", "username": "u", "hostname": "h",
        "kdf": "scrypt", "N": 1024, "r": 8, "p": 1,
        "salt": base64.b64encode(salt).decode(),
        "data": base64.b64encode(user.seal(master.json())).decode()}
    fields.update(changes)
    return json.dumps({k: v for k, v in fields.items() if v is not None}).encode()


class Blob:
    def __init__(self, type, length, raw_length, id, offset):
        self.type, self.length, self.raw_length = type, length, raw_length
        self.id, self.offset = id, offset

    def entry(self):
        t = {"data": 0, "tree": 1}[self.type]
        if self.raw_length:
            return struct.pack("<BII", t + 2, self.length, self.raw_length) + self.id
        return struct.pack("<BI", t, self.length) + self.id

    def index(self):
        d = {"id": self.id.hex(), "type": self.type, "offset": self.offset,
            "length": self.length}
        if self.raw_length:
            d["uncompressed_length"] = self.raw_length
        return d


class Repo:
    def __init__(self, path, password):
        self.path = pathlib.Path(path)
        self.password = password
        self.master = None
        for id in self.ids("keys"):
            f = json.loads(self.read("keys", id))
            user = _scrypt(password, base64.b64decode(f["salt"]), f["N"], f["r"], f["p"])
            m = json.loads(user.open(base64.b64decode(f["data"])))
            self.master = Key(*(base64.b64decode(x) for x in
                (m["encrypt"], m["mac"]["k"], m["mac"]["r"])))
            break

    # ---- files ----

    def file(self, kind, id):
        if kind == "config":
            return self.path / "config"
        return self.path / kind / (id[:2] if kind == "data" else "") / id

    def ids(self, kind):
        return sorted(p.name for p in (self.path / kind).rglob("*")
            if p.is_file() and len(p.name) == 64)

    def read(self, kind, id=""):
        return self.file(kind, id).read_bytes()

    def write(self, kind, id, data):
        """Under that name, right or wrong."""
        p = self.file(kind, id)
        p.parent.mkdir(exist_ok=True)
        p.unlink(missing_ok=True)
        p.write_bytes(data)

    def remove(self, kind, id=""):
        self.file(kind, id).unlink()

    def put(self, kind, data):
        """Under its own name, which is returned."""
        id = hashlib.sha256(data).hexdigest()
        self.write(kind, id, data)
        return id

    # ---- JSON in sealed files ----

    def load(self, kind, id=""):
        plain = self.master.open(self.read(kind, id))
        if plain[:1] == b"\x02":
            plain = unpack_zstd(plain[1:])
        return json.loads(plain)

    def save(self, kind, value):
        """Seals JSON (an object, or the bytes as they are) and stores it."""
        if not isinstance(value, bytes):
            value = json.dumps(value, separators=(",", ":")).encode() + b"\n"
        if kind == "config":
            return self.write("config", "", self.master.seal(value))
        return self.put(kind, self.master.seal(b"\x02" + pack_zstd(value)))

    def replace(self, kind, id, value):
        self.remove(kind, id)
        return self.save(kind, value)

    # ---- packs ----

    def pack_header(self, id):
        """The blobs of a pack, by its own header."""
        data = self.read("data", id)
        n, = struct.unpack("<I", data[-4:])
        plain = self.master.open(data[-4 - n:-4])
        blobs, at, offset = [], 0, 0
        while at < len(plain):
            t, length = struct.unpack_from("<BI", plain, at)
            raw, at = (struct.unpack_from("<I", plain, at + 5)[0], at + 9) \
                if t & 2 else (0, at + 5)
            blobs.append(Blob(("data", "tree")[t & 1], length, raw, plain[at:at + 32],
                offset))
            at += 32
            offset += length
        return blobs

    def pack(self, sealed, blobs, header=None):
        """Stores a pack of these sealed bytes with a header of these blobs."""
        h = self.master.seal(header if header is not None else
            b"".join(b.entry() for b in blobs))
        return self.put("data", sealed + h + struct.pack("<I", len(h)))

    def add_blob(self, type, plain, id=None, packed=None, raw_length=None):
        """A pack of one blob and an index for it; wrong in whatever is given."""
        stored = packed if packed is not None else pack_zstd(plain)
        raw = raw_length if raw_length is not None else len(plain)
        blob = Blob(type, len(stored) + 32, raw, id or hashlib.sha256(plain).digest(), 0)
        pack = self.pack(self.master.seal(stored), [blob])
        self.save("index", {"packs": [{"id": pack, "blobs": [blob.index()]}]})
        return blob, pack

    def use_cheap_key(self):
        """Replaces all keys by one that costs nothing to open."""
        for id in self.ids("keys"):
            self.remove("keys", id)
        return self.put("keys", key_file(self.master, self.password))
