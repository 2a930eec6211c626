# SPDX-License-Identifier: BSD-2-Clause
"""Each protection of the cache is taken out once, and a test must notice.

A mutant is the program with one place of its source changed. Only that file is compiled anew; the rest
is taken from the build. Tests that pass all the same do not test what they claim to."""

import json
import os
import pathlib
import shlex
import subprocess
import sys

import tap

BUILD = pathlib.Path(tap.holdfast()).parent
HERE = pathlib.Path(__file__).parent

# What is taken out: file, text, what stands there instead; then the test that must fail: of
# tests/unit/test_cache.c, or of a file here.
MUTANTS = {
    "the repository is listed first, the cache afterwards": (
        "store/cache.c",
        "	struct hf_err *e = hf_store_list_op(c->inner, kind, pass_on, &l, no_sizes);\n",
        "	struct hf_err *e = hf_store_list_op(c->inner, kind, pass_on, &l, no_sizes);\n"
        "	names_clear(&cached);\n	(void)names_take(c, kind, &cached);\n",
        "listing_clears_what_is_gone_and_nothing_newer"),
    "a listing that failed clears": (
        "store/cache.c", "	if (e == NULL)\n		names_drop_rest(", "	names_drop_rest(",
        "nothing_is_cleared_by_a_listing_that_failed_or_cannot_be"),
    "an empty folder that is not mounted clears": (
        "store/cache.c", "	return e == NULL && size > 0;", "	return true;",
        "nothing_is_cleared_by_a_listing_that_failed_or_cannot_be"),
    "packs of a running backup go": (
        "store/cache.c", "	YOUNG_PACK_S = 3600,", "	YOUNG_PACK_S = -1,",
        "packs_in_no_index_go_when_they_are_old"),
    "packs that came later go": (
        "store/cache.c", "	if (is_whole)\n		names_drop_rest(",
        "	names_clear(&p->names);\n	(void)names_take(p->c, HF_PACK, &p->names);\n"
        "	if (is_whole)\n		names_drop_rest(",
        "packs_in_no_index_go_when_they_are_old"),
    "what is not what its name says is kept": (
        "store/cache.c", "	return hf_id_eq(&id, &name->id);\n}\n\n/* Makes a copy",
        "	(void)id;\n	return true;\n}\n\n/* Makes a copy",
        "damage_of_the_store_is_not_kept"),
    "damage is not dropped": (
        "store/cache.c", "	if (again) {\n		hf_cache_drop(c->cache, name);",
        "	if (again) {",
        "damaged_copy_goes_once"),
    "damage is dropped for ever": (
        "store/cache.c", "s->is_forgotten ? MAX_FETCHES : 0;", "0;",
        "damaged_copy_goes_once"),
    "nobody waits for another's fetch": (
        "store/cache.c", "	while (s != NULL && s->is_coming) {",
        "	while (s != NULL && s->is_coming && c == NULL) {",
        "threads_share_a_fetch"),
    "half a copy is taken for a whole one": (
        "store/cache_dir.c", "	if (off > size || want > size - off) {",
        "	if (off < size && want > size - off)\n		want = (size_t)(size - off);\n"
        "	if (off > size) {",
        "half_a_copy_is_a_miss"),
    "a copy is written under its name": (
        "store/cache_put.c", "	int en = put->shard < 0 ? errno : open_temp(c, put);\n",
        "	int en = put->shard < 0 ? errno : 0;\n	if (en == 0)\n"
        "		put->fd = openat(put->shard, t.file.s, O_RDWR | O_CREAT, 0600);\n",
        "unfinished_copy_has_no_name"),
    "copies that are links are followed": (
        "store/cache_dir.c", "	hf_autofd int fd = TEMP_FAILURE_RETRY(hf_root_openat(\n"
        "		&cache_place_of(c)->repo, t.path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0));",
        "	hf_autofd int fd = openat(cache_place_of(c)->repo.fd, t.path, O_RDONLY);",
        "links_lead_nowhere"),
    "folders that are links are followed": (
        "store/cache_put.c", "		int fd = hf_root_openat(&p->repo, t->shard, O_RDONLY | O_DIRECTORY, 0);",
        "		int fd = openat(p->repo.fd, t->shard, O_RDONLY | O_DIRECTORY, 0);",
        "links_lead_nowhere"),
    "a folder that was removed is not made again": (
        "store/cache_dir.c", "	if (!is_there && n < CACHE_MAX_PLACES)\n		e = open_place",
        "	if (!is_there && n > CACHE_MAX_PLACES)\n		e = open_place",
        "folder_removed_under_us_is_made_again"),
    "a version that is none ends it": (
        "store/cache_dir.c", "	if (!is_good)\n		write_version(&p->repo);",
        "	if (!is_good)\n		return hf_err(HF_EFATAL, \"version\");",
        "version_that_is_none_is_mended"),
    "the folder of somebody else is used": (
        "store/cache_base.c", "	if (st.st_uid != geteuid()) {",
        "	if (st.st_uid != geteuid() && fd < 0) {", "folder_that_is_not_ours_alone"),
    "a folder that others write to is used": (
        "store/cache_base.c", "	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)",
        "	if ((st.st_mode & S_ISVTX) != 0)", "folder_that_is_not_ours_alone"),
    "what is in use is removed": (
        "store/cache_walk.c", "	if (mark < 0)\n		return NULL;\n", "", "removal_spares_what_is_in_use"),
    "the newest goes first": (
        "store/cache_evict.c", "		return age > l->cut_age;", "		return age < l->cut_age;",
        "least_recently_used_goes_first"),
    "files of living processes go": (
        "store/cache_evict.c", "(life == HF_LIFE_DEAD ||", "(life != HF_LIFE_UNKNOWN ||",
        "leftovers_go_by_death_or_age"),
    "the last bytes of a disk are taken": (
        "store/cache_put.c", "	failed(c, ENOSPC);\n	return false;", "	return true;",
        "full_disk_is_said_once"),
    "what vanished is an error": (
        "store/cache_walk.c", "	return en == ENOENT || en == ENOTDIR || en == ELOOP;", "	return en < 0;",
        "folders_that_vanish_are_passed_over"),
}


def command(kind, match):
    """The command by which the build made one thing."""
    if kind == "compile":
        for c in json.loads((BUILD / "compile_commands.json").read_text()):
            if c["file"].endswith("/src/" + match):
                return shlex.split(c["command"])
    out = tap.run("ninja", "-C", BUILD, "-t", "commands", match).stdout.splitlines()
    return shlex.split(out[-1])


def build(tmp, source, old, new):
    """Links tests/unit/test_cache with one file changed; returns its path."""
    path = tap.TOP / "src" / source
    text = path.read_text()
    tap.eq(text.count(old), 1, f"{source}: the place\n{old}")
    mutant = tmp / path.name
    mutant.write_text(text.replace(old, new))
    argv = command("compile", source)
    for flag in ("-o", "-MF", "-MQ", "-c"):
        argv[argv.index(flag) + 1] = {"-o": str(tmp / "m.o"), "-MF": str(tmp / "m.d"),
                                      "-MQ": "m", "-c": str(mutant)}[flag]
    argv += ["-I", str(path.parent), "-w", "-O1"]
    tap.run(*argv, cwd=BUILD)
    own = f"src/libstore.a.p/store_{path.name}.o"
    members = [m for m in tap.run("ar", "t", "src/libstore.a", cwd=BUILD).stdout.split()
               if not m.endswith(os.path.basename(own))]
    members = [m if m.startswith("src/") else f"src/libstore.a.p/{os.path.basename(m)}" for m in members]
    tap.run("ar", "rcsT", tmp / "m.a", tmp / "m.o", *[BUILD / m for m in members], cwd=BUILD)
    argv = command("link", "tests/unit/test_cache")
    argv[argv.index("-o") + 1] = str(tmp / "test_cache")
    argv = [str(tmp / "m.a") if a == "src/libstore.a" else a for a in argv]
    tap.run(*argv, cwd=BUILD)
    return tmp / "test_cache"


def add(what, source, old, new, test):
    def mutant(tmp):
        program = build(tmp, source, old, new)
        r = tap.run(program, test, check=None)
        tap.ok(f" - {test}" in r.stdout, f"there is no test {test}\n{r.stdout}")
        tap.ok("not ok" in r.stdout, f"{test} does not notice")

    mutant.__name__ = what.replace(" ", "_").replace("'", "")
    tap.test(mutant)


@tap.test
def without_a_change_all_pass(tmp):
    r = tap.run(BUILD / "tests/unit/test_cache", *sorted({m[3] for m in MUTANTS.values()}))
    tap.ok("not ok" not in r.stdout, r.stdout)


for _what, _rest in MUTANTS.items():
    add(_what, *_rest)
tap.main()
