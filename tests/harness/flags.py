# SPDX-License-Identifier: BSD-2-Clause
"""What the help of restic, and ours, say of commands and their flags."""

import json
import pathlib
import re

import tap

FLAG = re.compile(r"^  (?:-(\w), |    )--([\w-]+)(?: (\S+(?: \S+)*))?(?:  +.*)?$", re.M)


class Flag:
    """One flag of a command: its letter or "", its name, and whether it takes an argument."""

    def __init__(self, letter, name, arg):
        self.letter, self.name, self.takes = letter or "", name, bool(arg)

    def __repr__(self):
        return f"{'-' + self.letter + ', ' if self.letter else ''}--{self.name}{' ARG' if self.takes else ''}"


def parse(text):
    """The flags in the lines of a help, by name."""
    return {m.group(2): Flag(*m.groups()) for m in FLAG.finditer(text)}


def _run(program, *argv):
    return tap.run(program, *argv, env={"RESTIC_PASSWORD": ""}).stdout


def _restic_groups(text):
    """The names and summaries of commands in an overview of restic."""
    part = text.split("\nUsage:")[1].split("\nFlags:")[0]
    return dict(re.findall(r"^  ([a-z][a-z-]+) {2,}(\S.*)$", part, re.M))


def restic(program):
    """All commands of restic ("key add"; "" stands for those of all): summary and flags of each."""
    top = _run(program, "--help")
    out = {"": ("", parse(top.split("\nFlags:")[1]))}
    for name, summary in _restic_groups(top).items():
        text = _run(program, name, "--help")
        inner = _restic_groups(text) if "\nAvailable Commands:" in text else {}
        for word, text2 in inner.items():
            out[f"{name} {word}"] = text2, parse(own_part(_run(program, name, word, "--help")))
        if not inner:
            out[name] = summary, parse(own_part(text))
    for _, flags in out.values():
        flags.pop("help", None)
    return out


# What Borg's own parser knows, without what is common to all commands, as JSON.
_BORG = """
import argparse, json, os, sys
sys.path.insert(0, sys.argv[1])
from borg.archiver import Archiver
out = {}
def walk(words, parser):
    for a in parser._actions:
        if isinstance(a, argparse._SubParsersAction):
            for name, inner in a.choices.items():
                walk([*words, name], inner)
            return
    own = [a for g in parser._action_groups if g.title != "Common options" for a in g._group_actions]
    names = [next((o[2:] for o in a.option_strings if o.startswith("--")), "") for a in own]
    out[" ".join(words)] = [n for n in names if n and n != "help"]
walk([], Archiver().build_parser())
print(json.dumps(out))
"""


def borg(program):
    """All commands of Borg ("key export") and the names of their flags. It comes with its own Python."""
    top = pathlib.Path(program).parents[2]
    loader = next(top.glob("usr/lib/*/ld-linux-*.so.*"))
    python = next(p for p in (top / "usr/bin").iterdir() if re.fullmatch(r"python3\.\d+", p.name))
    text = tap.run(loader, "--argv0", python, "--library-path", loader.parent, python, "-I", "-B", "-c", _BORG,
                   top / "usr/lib/python3/dist-packages").stdout
    return json.loads(text)


def own_part(text):
    return text.split("\nFlags:")[-1].split("\nGlobal Flags:")[0] if "\nFlags:" in text else ""


def ours(program):
    """The same of holdfast."""
    top = _run(program, "help")
    own, _, everywhere = top.partition("\nGlobal flags:")
    out = {"": ("", parse(everywhere))}
    for name, summary in re.findall(r"^  ([a-z][a-z -]*?) {2,}(\S.*)$", own.split("\nCommands:")[1], re.M):
        text = _run(program, "help", *name.split()).split("\nGlobal flags:")[0]
        out[name] = summary, parse(text.split("\nFlags:")[1] if "\nFlags:" in text else "")
    out[""][1].pop("help", None)
    return out


def differences(theirs, own):
    """What a flag of restic is that ours is not: None if nothing."""
    if own is None:
        return "missing"
    if own.letter != theirs.letter:
        return f"letter -{own.letter or '(none)'} instead of -{theirs.letter or '(none)'}"
    if own.takes != theirs.takes:
        return "takes no argument" if theirs.takes else "takes an argument"
    return None
