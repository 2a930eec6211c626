# SPDX-License-Identifier: BSD-2-Clause
"""The flags of restic, as its help lists them, are flags here: name, letter, whether an argument follows.

docs/compatibility.md says so flag by flag; it is what tools/compat prints.  After a change: make compat
"""

import difflib
import importlib.machinery
import importlib.util
import re
import shlex
import sys

import flags
import tap

sys.path.insert(0, str(tap.TOP / "tools"))
import compat_borg  # noqa: E402

loader = importlib.machinery.SourceFileLoader("compat", str(tap.TOP / "tools/compat"))
spec = importlib.util.spec_from_loader("compat", loader)
compat = importlib.util.module_from_spec(spec)
loader.exec_module(compat)


def both():
    return flags.restic(tap.peer("restic-new")), flags.ours(tap.holdfast())


@tap.test
def help_is_understood(tmp):
    """The parsing, on lines of both programs as they are."""
    found = flags.parse("""Flags:
  -n, --dry-run                 do not upload or write any data
      --exclude-file file       read patterns from a file
  -o, --option key=value        set extended option (key=value, can be specified multiple times)
      --exclude-if-present filename[:header]   takes filename[:header]
      --password-command command
                                command that prints
  -v, --verbose                 be verbose (specify multiple times or a level using --verbose=n)
""")
    tap.eq([repr(f) for f in found.values()], ["-n, --dry-run", "--exclude-file ARG", "-o, --option ARG", "--exclude-if-present ARG",
                                               "--password-command ARG", "-v, --verbose"])
    theirs, ours = both()
    tap.ok(len(theirs) >= 30 and len(theirs["backup"][1]) > 25 and len(theirs[""][1]) > 20, theirs)
    tap.ok(len(ours) >= 25 and len(ours["backup"][1]) > 25 and len(ours[""][1]) > 20, ours)


@tap.test
def every_flag_is_there(tmp):
    theirs, ours = both()
    wrong = []
    for command, (_, known) in theirs.items():
        for name, flag in known.items():
            if command not in ours or (command, name) in compat.LACKS:
                continue
            what = flags.differences(flag, ours[command][1].get(name))
            if what:
                wrong.append(f"{command} {flag!r}: {what}")
    tap.eq(wrong, [])


@tap.test
def flags_are_taken(tmp):
    """Not in the help alone: the parser knows them. --help behind them shows that it got so far."""
    theirs, ours = both()
    values = {"archive": "tar", "compression": "auto", "overwrite": "always", "sort": "name", "stuck-request-timeout": "5m", "retry-lock": "5m"}
    for command, (_, known) in theirs.items():
        if command not in ours:
            continue
        argv = []
        for name, flag in known.items():
            if (command, name) in compat.LACKS:
                continue
            value = [values.get(name, "1d" if name.startswith("keep-within") else "1")] if flag.takes else []
            argv += [f"--{name}", *value] + ([f"-{flag.letter}", *value] if flag.letter else [])
        r = tap.run(tap.holdfast(), *command.split(), *argv, "--help", check=None)
        tap.eq((r.returncode, r.stderr), (0, ""), f"{command} {shlex.join(argv)}")


@tap.test
def what_is_said_about_differences_is_about_something(tmp):
    theirs, ours = both()
    for command, name in [*compat.DIFFERS, *compat.LACKS]:
        tap.ok(command in theirs and command in ours, command)
        tap.ok(not name or name in theirs[command][1], f"{command} --{name}")
    for command, name in compat.LACKS:
        tap.ok(flags.differences(theirs[command][1][name], ours[command][1].get(name)), f"{command} --{name} is there")


@tap.test
def everything_of_borg_has_an_answer(tmp):
    """And what the answer names is there."""
    theirs, ours = flags.borg(tap.peer("borg-1.4")), flags.ours(tap.holdfast())
    tap.eq(sorted(compat_borg.COMMANDS), sorted(theirs))
    everywhere = ours[""][1]
    for command, known in theirs.items():
        own, text = compat_borg.COMMANDS[command]
        for flag in known:
            tap.ok(compat_borg.of(command, flag), f"nothing is said of {command} --{flag}")
        if not own:
            continue
        tap.ok(any(c == own or c.startswith(own + " ") for c in ours), f"there is no command {own}")
        for words in [text, *(compat_borg.of(command, f) for f in known)]:
            for name in re.findall(r"`--([a-z-]+)`", words):
                if not words.startswith("no") and own in ours:
                    tap.ok(name in ours[own][1] or name in everywhere, f"{command}: {own} has no --{name}")
    for command, flag in compat_borg.FLAGS:
        tap.ok(flag in theirs[command], f"{command} has no --{flag}")


@tap.test
def the_document_is_up_to_date(tmp):
    with open(compat.DOCUMENT, encoding="utf-8") as f:
        changed = list(difflib.unified_diff(f.read().splitlines(), compat.document().splitlines(), "as it is", "as it should be", n=0, lineterm=""))
    tap.ok(not changed, "docs/compatibility.md is old; `make compat` makes it new:\n" + "\n".join(changed[:20]))


tap.main()
