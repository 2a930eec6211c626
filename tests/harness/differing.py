# SPDX-License-Identifier: BSD-2-Clause
"""Files that change in all ways that a comparison tells apart, for tests of diff."""

import copy
import json
import os
import shutil

import handmade
import repos
from pair import Pair


def fill(d):
    for f in ("a/one", "a/two", "b/deep/er/x", "same/dir/y", "gone/far/z", "typed/inside/z", "plain", "linked", "100%s"):
        (d / f).parent.mkdir(parents=True, exist_ok=True)
        (d / f).write_text(f"this is {f}\n")
    (d / "big").write_bytes(os.urandom(3 << 20))
    (d / "copy").write_bytes((d / "big").read_bytes())
    (d / os.fsdecode(b"latin\xe9")).write_text("latin")
    (d / "<&>\u2028").write_text("angles")
    (d / "a/empty").touch()
    (d / "to-file").symlink_to("nowhere")
    (d / "pipe").symlink_to("x")


def change(d):
    (d / "a/one").write_text("changed\n")
    (d / "a/two").unlink()
    (d / "a/three").write_text("this is a/two\n")
    (d / "a-").mkdir()
    (d / "a-/new").write_text("new")
    shutil.copytree(d / "b", d / "b2")
    shutil.rmtree(d / "gone")
    shutil.rmtree(d / "typed")
    (d / "typed").write_text("now a file")
    (d / "plain").unlink()
    (d / "plain").mkdir()
    (d / "plain/below").touch()
    os.chmod(d / "linked", 0o600)
    (d / "to-file").unlink()
    (d / "to-file").write_text("a file")
    (d / "pipe").unlink()
    os.mkfifo(d / "pipe")
    (d / "copy").unlink()
    with open(d / "big", "ab") as f:
        f.write(b"more")
    os.utime(d / "same/dir/y", (1_600_000_000,) * 2)


def snapshots(p):
    return sorted(json.loads(p.one(p.restic, "snapshots", "--json", "--no-lock").stdout), key=lambda s: s["time"])


class Made:
    """Two snapshots out of nodes; `change` makes the nodes of the second out of the first's."""

    def __init__(self, tmp):
        self.p = Pair(repos.memory(tmp))
        d = self.p.tmp / "data"
        fill(d)
        repos.quick(self.p.tmp / "repo")
        self.p.setup("backup", "-q", ".", cwd=d)
        self.first = snapshots(self.p)[0]
        self.repo = handmade.Repo(self.p.tmp / "repo", repos.PASSWORD)
        text = self.p.one(self.p.restic, "cat", "tree", self.first["id"]).stdout
        self.nodes = {n["name"]: n for n in json.loads(text)["nodes"]}

    def second(self, change):
        nodes = copy.deepcopy(self.nodes)
        change(nodes)
        text = json.dumps({"nodes": list(nodes.values())}, separators=(",", ":")) + "\n"
        blob, _ = self.repo.add_blob("tree", text.encode())
        value = {k: v for k, v in self.first.items() if k not in ("id", "short_id")}
        value["tree"] = blob.id.hex()
        return self.repo.save("snapshots", value)
