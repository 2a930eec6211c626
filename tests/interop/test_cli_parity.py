# SPDX-License-Identifier: BSD-2-Clause
"""The same command line given to restic and to holdfast saves the same things.

Every case runs `backup` with both programs and wants the same exit code, the same paths and
excludes in the snapshot, the same counts, and the same root tree: names, attributes and contents
of everything that was chosen.
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import subprocess

import repos
import tap

NEW = "restic-new"
# Of the summary; the others are times, and bytes that depend on the packs.
COUNTS = ("files_new", "files_changed", "files_unmodified", "dirs_new", "dirs_changed", "dirs_unmodified",
          "total_files_processed", "total_bytes_processed")
# Of the snapshot; the others say when and by whom it was made.
FIELDS = ("paths", "excludes", "hostname", "username", "uid", "gid", "tags")

Case = collections.namedtuple("Case", "cwd args kw")


class Cases:
    """A list of command lines for one repository, which run() gives to both programs."""

    def __init__(self, tmp):
        self.tmp = tmp
        self.list = []
        self.programs = repos.restic(NEW), repos.holdfast()
        self.repo = repos.quick(repos.memory(tmp) / "repo")

    def add(self, cwd, *args, **kw):
        self.list.append(Case(cwd, [str(a) if isinstance(a, pathlib.Path) else a for a in args], kw))

    def one(self, case, program):
        r = program(self.repo, "backup", "--json", "--force", *case.args, cwd=case.cwd, check=None, **case.kw)
        lines = r.stdout.splitlines()
        last = json.loads(lines[-1]) if lines else {}
        return r.returncode, last if last.get("message_type") == "summary" else None, r.stderr

    def run(self):
        # Most of the time each sleeps, to see other locks than its own; no two cases share files.
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            jobs = [[pool.submit(self.one, c, p) for p in self.programs] for c in self.list]
            results = [[j.result() for j in pair] for pair in jobs]
        snapshots = {s["id"]: s for s in self.programs[0].snapshots(self.repo)}
        wrong = []
        for case, pair in zip(self.list, results):
            if text := self.compare(pair, snapshots):
                wrong.append(f"backup {' '.join(map(str, case.args))}  (in {case.cwd})\n{text}")
        tap.ok(not wrong, f"{len(wrong)} of {len(self.list)} differ:\n" + "\n".join(wrong))

    def compare(self, pair, snapshots):
        """What differs between restic and holdfast, as text."""
        (a_code, a, a_err), (b_code, b, b_err) = pair
        if a_code != b_code or bool(a) != bool(b):
            return f"  exit codes {a_code} and {b_code}\n  restic: {a_err}  holdfast: {b_err}"
        if not a:
            return ""
        out = [f"  {k}: {a.get(k)} and {b.get(k)}" for k in COUNTS if a.get(k) != b.get(k)]
        x, y = snapshots[a["snapshot_id"]], snapshots[b["snapshot_id"]]
        out += [f"  {k}: {x.get(k)} and {y.get(k)}" for k in FIELDS if x.get(k) != y.get(k)]
        return "\n".join(out + list(self.differences(x["tree"], y["tree"], self.tmp.parts[1:])))

    def differences(self, a, b, outer, path=""):
        """Lines for nodes that differ; the times of the folders that lead to the test's own do not
        count, as others make files in them: `outer` are their names."""
        if a == b:
            return
        read = self.programs[0].tree
        x, y = read(self.repo, a), read(self.repo, b)
        for name in sorted(x.keys() | y.keys()):
            m, n, here = x.get(name), y.get(name), f"{path}/{name}"
            if m == n:
                continue
            if not m or not n or m["type"] != n["type"]:
                yield f"  {here}: {m and m['type']} and {n and n['type']}"
                continue
            is_outer = bool(outer) and outer[0] == name
            passed = {"subtree"} | ({"mtime", "atime", "ctime"} if is_outer else set())
            for k in sorted(m.keys() | n.keys()):
                if k not in passed and m.get(k) != n.get(k):
                    yield f"  {here}: {k}: {m.get(k)} and {n.get(k)}"
            if m["type"] == "dir":
                yield from self.differences(m["subtree"], n["subtree"], outer[1:] if is_outer else (), here)


def fill(top, *paths):
    """Files with something of their own in them; folders for names that end in a slash."""
    for p in paths:
        path = top / p
        if p.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"this is {p}\n")


@tap.test
def targets(tmp):
    base = tmp / "outer/base"
    fill(base, "q/a", "q/b", "q/sub/deep/x", "q/sub/y", "d/q/a", "d/q/inner/z", "d/e/q/a", "d/e/f/", "d/file",
         "-odd", "with space/a", "q-1/mine", "d/q-1", "empty/")
    (base / "to-q").symlink_to("q")
    (base / "to-a").symlink_to("q/a")
    (base / "to-nowhere").symlink_to("nowhere")
    (base / "d/up").symlink_to("..")
    d = base / "d"
    c = Cases(tmp)
    for args in (
            ["q"], ["./q"], ["q/"], ["q//"], ["./q/./inner"], ["q/inner/.."], ["q/../q"], ["file"], ["file", "q"],
            ["../q"], ["../q/"], ["../q/sub/deep"], ["../d/q"], ["../../base/q"], ["../d"], [".."], ["../"], ["../.."],
            ["."], ["./"], [".", ".."], ["..", "."], [".", "q"], ["q", "."], [".", "../q"], ["e/.."], ["../q/."],
            ["q", "q"], ["q", "./q"], ["q", d / "q"], [d / "q", "q"], ["q", "../q"], ["../q", "q"],
            ["q", "../q", "e/q"], ["e/q", "../q", "q"], ["../q/a", "q/a"], ["../q/sub", "q/inner"], ["../q", "q", "../q-1"],
            ["q", "q/inner"], ["q/inner", "q"], ["../q/sub/deep", "../q/sub", "../q/a"], ["../q/sub/y", "../q/sub/deep/x"],
            [base / "q"], [base / "q/"], [f"{base}//q/../q/sub/"], [base / "q/a"], [base / "q", base / "d/q"],
            [base / "q/sub", base / "q"], [base / "q/sub/deep/x", base / "q/a"], [base, base / "q"], [base / "q", base],
            [base / "."], [f"{base}/q/.."], [base / "q", "../q"], ["../q", base / "q"],
            ["../to-q"], ["../to-q/"], ["../to-q/sub"], ["../to-q/."], ["../to-a"], ["../to-nowhere"], [base / "to-q"],
            [base / "to-q/sub"], ["up"], ["up/q"], ["up/d/up/q", "q"], ["../to-q", "../q"],
            ["../with space"], ["--", "../-odd"], ["../empty"], ["../empty/"], ["e/f", "../empty"],
            ["nowhere"], ["nowhere", "q"], ["q", "q/nowhere"], ["file/"], ["file/x"], [], [""], ["", "q"],
            ["q", "../q/nowhere/x", "file"], [base / "nowhere", base / "q"],
    ):
        c.add(d, *args)
    c.add(base, "--", "-odd", "q")
    c.add(base, "q", "-v", "d", "--tag", "a,b", "--tag", "c", "to-q")
    c.add("/", str(base)[1:])
    c.add(base / "to-q", ".")
    c.add(base / "to-q", "..", "sub")
    c.run()


# Patterns of --exclude; {top} is the absolute path of the tree.
EXCLUDES = [
    ["foo"], ["bar"], ["*.c"], ["test.*"], ["foo/*"], ["{top}/foo"], ["/foo"], ["{top}/foo/*"], ["{top}/*"],
    ["foo/*/baz"], ["foo/**/bar/*.go"], ["**/test.*"], ["/**/test.*"], ["{top}/**/test.*"], ["**/foo/**"], ["foo/**"],
    ["**"], ["*"], ["*", "!*.go"], ["foo", "!foo/keep"], ["foo/*", "!foo/keep"], ["!foo"], ["*.go", "!main.go", "x.go"],
    ["{top}/**", "!{top}/foo"], ["[ab]*"], ["[^ab]*"], ["?.go"], ["??.go"], ["*\u00e4*"], ["?\u00e4.go"], ["foo/"],
    ["foo//bar"], ["./foo"], ["foo/../bar"], ["{top}/foo/../bar"], ["a/b"], ["b/c/d"], ["{top}/a/b"], ["a/*/c"],
    ["a/**/d"], ["a/**b"], ["\\*star"], ["[*]star"], ["x[*]y"], ["with space"], [" foo"], ["FOO"], ["Test.C"], ["."], [".."],
    ["/"], ["{top}"], ["{top}/"], ["$HOME"], ["#comment"], [""], ["!"], ["caf\\xe9"], ["{{a,b}}"], ["a", "b", "c"],
    ["["], ["foo", "[a-"], ["a["], ["\\"], ["foo\\"], ["[a-]"], ["[]a]"], ["[-x]"],
]


@tap.test
def excludes(tmp):
    x = tmp / "x"
    fill(x, "foo/bar/baz", "foo/keep", "foo/a/baz", "foo/a/b/baz", "foo/bar/x.go", "foo/work/special/bar/main.go",
         "a/b/test.c", "a/b/c/d", "a.cpp", "a.c", "main.go", "x.go", "\u00e4.go", "b\u00e4.go", "bar", "a/foo/b", "FOO/x", "Test.C",
         "*star", "xstar", "x*y", "x+y", "with space/a", "#comment", "c", "home/$HOME", "-x", "]a", "{a,b}")
    (x / "link").symlink_to("foo")
    (pathlib.Path(os.fsdecode(os.fsencode(x) + b"/caf\xe9"))).write_text("latin")
    c = Cases(tmp)
    for patterns in EXCLUDES:
        args = [a for p in patterns for a in ("--exclude", p.format(top=x))]
        c.add(x, *args, ".")
    # A target that is named is there whatever a pattern says; what is in it is not.
    c.add(x, "-e", "foo", "foo")
    c.add(x, "-e", "foo", "foo/bar", "a")
    c.add(x, "-e", "*", "foo", "bar")
    c.add(x, "-e", "*.go", "main.go", "foo")
    c.add(x, "-e", "x", x)
    c.add(x, "-e", tmp, "foo")
    c.add(x, "-e", "foo", "link", "foo/keep")
    for p in "foo", "FOO", "TEST.*", "*.GO", "\u00c4.go", "B\u00c4*", "!foo", "{top}/FOO":
        c.add(x, "--iexclude", p.format(top=x), ".")
    c.add(x, "-e", "*.go", "--iexclude", "!MAIN.go", ".")
    c.add(x, "--iexclude", "foo", "-e", "!foo/keep", "-e", "bar", ".")
    lists = {
        "plain": "foo\n*.go\n", "comments": "# foo\n\n  bar  \n\t*.c\t\n#\n", "crlf": "foo\r\nbar\r\n", "no-end": "foo\nbar",
        "negation": "foo/*\n!foo/keep\n", "variables": "$FOO\n${{FOO}}r\n{top}/$BAR\nhome/$$HOME\n$NOTSET\n", "empty": "",
        "bom": "\ufefffoo\nbar\n", "invalid": "foo\n[a-\n", "spaces": "with space\n#comment\n",
    }
    for name, text in lists.items():
        (tmp / name).write_text(text.format(top=x) if "{" in text else text)
        c.add(x, "--exclude-file", tmp / name, ".", env={"FOO": "ba", "BAR": "a.c"})
    (tmp / "utf16").write_bytes("foo\n\u00e4.go\n".encode("utf-16"))
    c.add(x, "--exclude-file", tmp / "utf16", ".")
    c.add(x, "--exclude-file", tmp / "plain", "--exclude-file", tmp / "crlf", "-e", "!foo", ".")
    c.add(x, "--iexclude-file", tmp / "plain", ".")
    c.add(x, "--exclude-file", tmp / "nowhere", ".")
    c.run()


@tap.test
def what_else_is_left_out(tmp):
    y = tmp / "y"
    fill(y, "a/x", "a/.nobackup", "a/sub/y", "b/.nobackup", "b/z", "c/.nobackup/inner", "c/x", "d/CACHEDIR.TAG", "d/cached",
         "e/CACHEDIR.TAG", "e/not", "f/x", "top")
    (y / "d/CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n# more\n")
    (y / "e/CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc5")
    (y / "b/.nobackup").write_text("yes, please")
    (y / "f/.nobackup").symlink_to("nowhere")
    for size in 0, 1, 1023, 1024, 1025, 2048:
        (y / f"size-{size}").write_bytes(b"x" * size)
    (y / "link").symlink_to("size-2048")
    c = Cases(tmp)
    for value in ".nobackup", ".nobackup:", ".nobackup:yes", ".nobackup:yes, please", ".nobackup:yes, please!", "x", "nothing", "top":
        c.add(y, "--exclude-if-present", value, ".")
    c.add(y, "--exclude-if-present", ".nobackup", "a", "b/z", "c")
    c.add(y, "--exclude-if-present", ".nobackup", y / "a/sub")
    c.add(y, "--exclude-if-present", ".nobackup", "--exclude-if-present", "x", ".")
    c.add(y / "a", "--exclude-if-present", ".nobackup", ".")
    c.add(y, "--exclude-caches", ".")
    c.add(y, "--exclude-caches", "d/cached", "d")
    for size in "0", "1", "1023", "1k", "1K", "1024b", "1025", "2k", "1M", "1T", "x", "-1", "", "1.5k":
        c.add(y, f"--exclude-larger-than={size}", ".")
    c.add(y, "--exclude-larger-than", "1k", "size-2048", "size-1")
    c.run()


@tap.test
def one_file_system(tmp):
    z = tmp / "z"
    fill(z, "a/x", "a/mnt/", "b/y", "mnt/")
    mounts = z / "a/mnt", z / "mnt"
    made = []
    try:
        for m in mounts:
            r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", m], capture_output=True, text=True)
            if r.returncode != 0:
                tap.skip(f"nothing can be mounted here: {r.stderr.strip()}")
            made.append(m)
            fill(m, "inside", "sub/more")
        c = Cases(tmp)
        c.add(z, ".")
        c.add(z, "-x", ".")
        c.add(z, "-x", z)
        c.add(z, "-x", "a", "b")
        c.add(z, "-x", "a", "mnt")
        c.add(z, "-x", "a/mnt", "b")
        c.add(z, "-x", "mnt/sub", "a")
        c.add(z, "-x", ".", "a/mnt/sub")
        c.add(z / "mnt", "--one-file-system", ".")
        c.add(z / "mnt", "--one-file-system", "sub", "../b")
        c.run()
    finally:
        for m in made:
            subprocess.run(["umount", m], check=True)


@tap.test
def lists_of_files(tmp):
    w = tmp / "w"
    fill(w, "a1", "a2", "b1", "b/c1", "b/c2", "[x]", "x", "sp ace", " lead", "#hash", "star*", "trail ", "new\nline", "cr")
    texts = {
        "plain": b"a1\nb\n", "glob": b"a*\nb/c?\n", "comment": b"# a1\n\n  a2  \n#\nb1", "class": b"[x]\n", "quoted": b"\\[x]\nstar\\*\n",
        "spaces": b"sp ace\n lead\ntrail \n", "hash": b"#hash\na1\n", "missing": b"a1\nnowhere\nnothing*\n", "none": b"nothing*\n",
        "empty": b"", "crlf": b"a1\r\na2\r\n", "dot": b".\n", "up": b"../w/a1\na1\n", "absolute": b"%s/a1\n%s/b*\n" % ((os.fsencode(w),) * 2),
        "bad": b"a1\n[\n", "bom": b"\xef\xbb\xbfa1\n", "double": b"a1\na1\na*\n", "slash": b"b/\nb\n",
    }
    raw = {"raw": b"a1\0new\nline\0 lead\0", "raw-open": b"a1\0a2", "raw-empty-name": b"a1\0\0a2\0", "raw-none": b"",
           "raw-missing": b"a1\0nowhere\0", "raw-glob": b"a*\0star*\0"}
    c = Cases(tmp)
    for name, text in {**texts, **raw}.items():
        (tmp / name).write_bytes(text)
    for name in texts:
        c.add(w, "--files-from", tmp / name)
        c.add(w, "--files-from-verbatim", tmp / name)
    for name in raw:
        c.add(w, "--files-from-raw", tmp / name)
    c.add(w, "--files-from", tmp / "plain", "--files-from-verbatim", tmp / "spaces", "--files-from-raw", tmp / "raw", "x")
    c.add(w, "--files-from", tmp / "plain", "--files-from", tmp / "glob", "-e", "a1")
    c.add(w, "--files-from", tmp / "nowhere")
    c.add(w, "--files-from", "-", input="a1\nb*\n")
    c.add(w, "--files-from-raw", "-", input="a1\0x\0")
    c.add(w, "--files-from-verbatim", "-", input="sp ace\n")
    c.run()


@tap.test
def standard_input(tmp):
    c = Cases(tmp)
    at = ["--time", "2024-02-03 04:05:06"]
    big = "".join(f"line {i}\n" for i in range(200_000))
    for text in "hello", big, "":
        c.add(tmp, "--stdin", *at, input=text)
        c.add(tmp, "--stdin", "--stdin-filename", "name", *at, input=text)
    for name in "a/b/c.sql", "/abs/x", "./x", "a//b", "\u00e4", "sp ace", "", ".", "/", "a/", "../x", "a/../b":
        c.add(tmp, "--stdin", f"--stdin-filename={name}", *at, input="x")
    c.add(tmp, "--stdin", "extra", *at, input="x")
    c.add(tmp, "--stdin", "--exclude", "stdin", *at, input="x")
    c.add(tmp, "--stdin", "--tag", "t", "--host", "other", *at, input="x")
    for script in "printf data", "true", "false", "printf data; exit 3", "kill -9 $$", "cat", "printf x; printf err >&2":
        c.add(tmp, "--stdin-from-command", *at, "--", "sh", "-c", script)
    c.add(tmp, "--stdin-from-command", "--stdin-filename", "dump/x", *at, "--", "printf", "%s", "-x")
    c.add(tmp, "--stdin-from-command", *at, "--", "/nowhere/program")
    c.add(tmp, "--stdin-from-command", *at)
    c.run()


@tap.test
def times_and_hosts(tmp):
    v = tmp / "v"
    fill(v, "a")
    c = Cases(tmp)
    for more in (["--host", "h"], ["-H", "\u00e4"], ["--host", ""], ["--tag", ""], ["--tag", "a", "--tag", "b,c"], ["--tag", "a,a"], ["--with-atime"],
                 ["--ignore-inode"], ["--ignore-ctime"], ["--read-concurrency", "3"], ["--no-scan"], ["--time", "2024-13-01 00:00:00"],
                 ["--time", "yesterday"], ["--parent", "nothing"], ["--parent", "ffffffff"], ["--group-by", "host"], ["--group-by", "nothing"]):
        c.add(v, *more, "a")
    c.add(v, "a", env={"RESTIC_HOST": "from-environment", "RESTIC_READ_CONCURRENCY": "3"})
    c.add(v, "a", env={"TZ": "Asia/Kathmandu"})
    c.run()


@tap.test
def a_snapshot_has_the_same_fields(tmp):
    """The file itself, but for what must differ: names of the program and times."""
    u = tmp / "u"
    fill(u, "a", "b/c")
    c = Cases(tmp)
    at = ["--time", "2024-02-03 04:05:06", "--tag", "x,y", "--host", "h", "-e", "nothing", "--iexclude", "no"]
    texts = []
    for program in c.programs:
        program(c.repo, "backup", *at, "--force", ".", cwd=u)
        program(c.repo, "backup", *at, ".", cwd=u)
    for s in c.programs[0].json(c.repo, "snapshots"):
        text = json.loads(c.programs[0](c.repo, "cat", "snapshot", s["id"]).stdout)
        text["program_version"] = "?"
        for k in "backup_start", "backup_end", "data_added", "data_added_packed", "data_blobs", "tree_blobs":
            text["summary"][k] = "?"
        texts.append((text.pop("parent", "") != "", json.dumps(text)))
    for has_parent in False, True:
        own = {t for p, t in texts if p == has_parent}
        tap.eq(len(own), 1, own)


tap.main()
