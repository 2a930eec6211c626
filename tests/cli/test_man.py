# SPDX-License-Identifier: BSD-2-Clause
"""The manual: every command has a page, and what pages say about options is true."""

import importlib.machinery
import importlib.util
import re
import shutil
import subprocess

import tap

MAN = tap.TOP / "man"

loader = importlib.machinery.SourceFileLoader("page", str(MAN / "page"))
spec = importlib.util.spec_from_loader("page", loader)
page = importlib.util.module_from_spec(spec)
loader.exec_module(page)


def help_of(*command):
    return tap.run(tap.holdfast(), "help", *command).stdout


def commands():
    names = re.findall(r"^  ([a-z][a-z -]*?)  ", help_of().split("Global flags")[0], re.M)
    tap.ok(len(names) >= 8, names)
    return names


def options_in(text):
    return set(re.findall(r"^  (?:-\w, |    )(--[a-z0-9-]+)", text, re.M))


def source(name):
    return (MAN / f"holdfast-{name.replace(' ', '-')}.1.scd").read_text()


@tap.test
def every_command_has_a_page_in_the_build(tmp):
    listed = re.findall(r"'(holdfast[a-z-]*)'", (MAN / "meson.build").read_text())
    want = ["holdfast"] + [f"holdfast-{n.replace(' ', '-')}" for n in commands()]
    tap.eq(sorted(listed), sorted(want))
    for name in want:
        tap.ok((MAN / f"{name}.1.scd").exists(), name)
        if name != "holdfast":
            tap.contains((MAN / "holdfast.1.scd").read_text(), f"*{name}*(1)")


@tap.test
def pages_include_the_options_of_their_command(tmp):
    tap.contains((MAN / "holdfast.1.scd").read_text(), "\n@OPTIONS@\n")
    for name in commands():
        has_own = "\nFlags:\n" in help_of(*name.split())
        own = options_in(help_of(*name.split()).split("\nGlobal flags:")[0]) if has_own else set()
        tap.eq(f"\n@OPTIONS {name}@\n" in source(name), bool(own), name)


@tap.test
def prose_names_only_options_that_exist(tmp):
    of_tar = {"--xattrs", "--xattrs-include", "--acls"}
    all_options = options_in(help_of())
    for name in commands():
        all_options |= options_in(help_of(*name.split()))
    for f in sorted(MAN.glob("*.scd")):
        text = f.read_text()
        used = set(re.findall(r"(?<![\w-])(--[a-z][a-z0-9-]*)", text)) - of_tar
        tap.eq(used - all_options, set(), f.name)


@tap.test
def mandoc_finds_nothing_to_say(tmp):
    scdoc, mandoc = shutil.which("scdoc"), shutil.which("mandoc")
    if not scdoc or not mandoc:
        tap.skip("scdoc or mandoc is absent")
    for f in sorted(MAN.glob("*.scd")):
        text = page.page(tap.holdfast(), f.read_text())
        tap.ok("@OPTIONS" not in text, f.name)
        r = subprocess.run([scdoc], input=text.encode(), capture_output=True)
        tap.eq(r.stderr, b"", f.name)
        out = tmp / f.stem
        out.write_bytes(r.stdout)
        lint = subprocess.run([mandoc, "-Tlint", "-Wwarning", str(out)], capture_output=True,
                              text=True)
        # scdoc puts a paragraph mark before every heading and list, which is harmless.
        said = [x for x in (lint.stdout + lint.stderr).splitlines()
                if "skipping paragraph macro" not in x]
        tap.eq(said, [], f.name)


tap.main()
