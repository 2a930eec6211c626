# SPDX-License-Identifier: BSD-2-Clause
"""What the help of restic, and ours, say of commands and their flags."""

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
