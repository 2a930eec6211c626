# SPDX-License-Identifier: BSD-2-Clause
"""Both directions with restic: what one program wrote, both check and restore, exactly.

Every pair of programs, for both versions of the format: the first makes the repository, the
second saves into it, both check all data, both restore (but restic not what it saved itself), and
what they restored is compared with the source by tools that belong to neither.

INTEROP=full in the environment adds the sources of Linux to the trees.
"""

import os
import pathlib
import shutil
import subprocess

import compare
import repos
import tap
import tree

NEW, OLD = "restic-new", "restic-0.14"

# What restic 0.14 loses when it saves or restores: the target of a symbolic link that is not UTF-8,
# as it knows no linktarget_raw.
OLD_LOSES = ["target:symlink"]

# A folder with some hundred files of all sizes. Building this program needs it, so it is there.
REAL = pathlib.Path("/usr/include/linux")

# Parts of the nasty tree that say something of chunks and packs and take most of the time.
LARGE = ("sizes", "many")


def linux():
    """The sources of Linux from Debian's package, unpacked once below the build directory."""
    packages = sorted(pathlib.Path("/usr/src").glob("linux-source-*.tar.xz"))
    if not packages:
        tap.skip("the package linux-source-6.1 is not installed (tools/deps full)")
    top = pathlib.Path(tap.holdfast()).parent / "linux"
    if not top.exists():
        new = top.with_name("linux.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        subprocess.run(["tar", "-xf", packages[-1], "-C", new], check=True)
        new.rename(top)
    return top


def restores_alike(program, repo, source, target, **how):
    target.mkdir()
    program(repo, "restore", "latest", "--target", target)
    # The folder itself is no part of the snapshot: `.` stands for what is in it.
    tap.eq(compare.trees(source, target, top=False, **how), [], f"restored by {program.name}")
    tree.remove(target)


def roundtrip(tmp, source, first, second, version, **how):
    """`first` makes the repository, `second` saves, both check, both restore."""
    repo = repos.memory(tmp) / "repo"
    first(repo, "init", "--repository-version", version)
    second(repo, "backup", ".", cwd=source)
    for program in first, second:
        program(repo, "check", "--read-data")
    for program in first, second:
        if program is not second or program.name == "holdfast":
            ignore = how.get("ignore", []) + (OLD_LOSES if OLD in (program.name, second.name) else [])
            restores_alike(program, repo, source, tmp / "restored", **{**how, "ignore": ignore})
    tap.eq(repos.locks(repo), [])
    shutil.rmtree(repo)


def both_ways(tmp, peer, source, versions, **how):
    ours, theirs = repos.holdfast(), repos.restic(peer)
    for version in versions:
        roundtrip(tmp, source, ours, theirs, version, **how)
        roundtrip(tmp, source, theirs, ours, version, **how)


@tap.test
def a_nasty_tree_with_the_newest_restic(tmp):
    tree.make(tmp / "source", without=repos.RESTIC_CANNOT + LARGE)
    both_ways(tmp, NEW, tmp / "source", [1, 2], **repos.FORMAT_CANNOT)
    tree.remove(tmp / "source")


@tap.test
def a_nasty_tree_with_restic_0_14(tmp):
    tree.make(tmp / "source", without=repos.RESTIC_CANNOT + LARGE)
    # It gives the extended attributes of a symbolic link to the file that the link leads to.
    for name in "symlink", "dangling":
        link = tmp / "source/xattrs" / name
        for key in os.listxattr(link, follow_symlinks=False) if link.is_symlink() else ():
            os.removexattr(link, key, follow_symlinks=False)
    both_ways(tmp, OLD, tmp / "source", [1, 2], **repos.FORMAT_CANNOT)
    tree.remove(tmp / "source")


@tap.test
def large_files_and_many_with_the_newest_restic(tmp):
    tmp = repos.memory(tmp)
    tree.make(tmp / "source", parts=LARGE)
    both_ways(tmp, NEW, tmp / "source", [2])
    tree.remove(tmp / "source")


@tap.test
def a_real_tree_with_the_newest_restic(tmp):
    both_ways(tmp, NEW, REAL, [2])


@tap.test
def a_real_tree_with_restic_0_14(tmp):
    both_ways(tmp, OLD, REAL, [1])


@tap.test
def paths_longer_than_the_system_speaks(tmp):
    """Saved by us alone, and sound for restic; a restore says what it cannot do and does the rest."""
    ours, theirs = repos.holdfast(), repos.restic(NEW)
    repo = repos.quick(tmp / "repo")
    tree.make(tmp / "source", parts=repos.RESTIC_CANNOT)
    ours(repo, "backup", ".", cwd=tmp / "source")
    theirs(repo, "check", "--read-data")
    r = ours(repo, "restore", "latest", "--target", tmp / "restored", check=None)
    if r.returncode != 0:
        tap.eq(r.returncode, 1, r.stderr)
        tap.contains(r.stderr, "too long")
    tree.remove(tmp / "restored")
    tree.remove(tmp / "source")


if os.environ.get("INTEROP") == "full":

    @tap.test
    def linux_with_the_newest_restic(tmp):
        both_ways(tmp, NEW, linux(), [1, 2])

    @tap.test
    def linux_with_restic_0_14(tmp):
        both_ways(tmp, OLD, linux(), [1, 2])


tap.main()
