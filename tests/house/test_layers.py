# SPDX-License-Identifier: BSD-2-Clause
"""tools/check-layers finds what it is there to find."""

import tap

HEAD = "/* SPDX-License-Identifier: BSD-2-Clause */\n/* A file. */\n"


def header(path, body=""):
    guard = "HF_" + path.upper().replace("/", "_").replace(".", "_")
    return f"{HEAD}#ifndef {guard}\n#define {guard}\n{body}\n#endif\n"


def findings(tmp, files):
    for path, text in files.items():
        f = tmp / "src" / path
        f.parent.mkdir(parents=True, exist_ok=True)
        f.write_text(text)
    r = tap.run(tap.TOP / "tools/check-layers", tmp, check=None)
    tap.eq(r.returncode, 1 if r.stdout else 0, r.stderr)
    return r.stdout.splitlines()


def one(tmp, files, part):
    found = findings(tmp, files)
    tap.eq(len(found), 1, f"findings {found}")
    tap.contains(found[0], part)


@tap.test
def accepts_what_is_right(tmp):
    tap.eq(findings(tmp, {
        "base/err.h": header("base/err.h", "struct hf_err;"),
        "store/store.h": header("store/store.h", '#include "base/err.h"'),
        "store/store.c": HEAD + '#include "store/store.h"\n/* system("x") */\n'
                                'static const char *s = "system(1)";\nint snprintf_(int);\n',
        "cli/out.c": HEAD + '#include <stdio.h>\nvoid f(void)\n{\n\tprintf("x");\n}\n',
    }), [])


@tap.test
def include_upwards(tmp):
    one(tmp, {"repo/key.h": header("repo/key.h"),
              "store/x.c": HEAD + '#include "repo/key.h"\n'},
        "src/store/x.c:3: store/ may not include repo/key.h")


@tap.test
def include_of_a_sibling(tmp):
    one(tmp, {"engine/a.h": header("engine/a.h"),
              "mount/x.c": HEAD + '#include "engine/a.h"\n'}, "mount/ may not include")


@tap.test
def server_that_sees_the_repository(tmp):
    one(tmp, {"repo/key.h": header("repo/key.h"),
              "serve/x.c": HEAD + '#include "repo/key.h"\n'}, "serve/ may not include")


@tap.test
def include_cycle(tmp):
    one(tmp, {"base/a.h": header("base/a.h", '#include "base/b.h"'),
              "base/b.h": header("base/b.h", '#include "base/a.h"')}, "include cycle")


@tap.test
def header_that_needs_another(tmp):
    one(tmp, {"base/a.h": header("base/a.h", "size_t f(void);")}, "does not compile alone")


@tap.test
def banned_functions(tmp):
    one(tmp, {"base/a.c": HEAD + "int f(void)\n{\n\treturn system(0);\n}\n"}, "a.c:5: system()")
    one(tmp, {"base/a.c": HEAD + "x = strtok (a, b);\n"}, "strtok() is banned")


@tap.test
def printing_below_the_command_line(tmp):
    one(tmp, {"repo/a.c": HEAD + 'void f(void)\n{\n\tprintf("x");\n}\n'}, "printf() only in cli/")
    one(tmp, {"repo/a.c": HEAD + 'x = getenv("HOME");\n'}, "getenv() only in cli/")


@tap.test
def file_without_head(tmp):
    one(tmp, {"base/a.h": header("base/a.h").split("\n", 1)[1]}, "SPDX")
    one(tmp, {"base/a.h": header("base/a.h").replace("/* A file. */\n", "")}, "no head comment")


tap.main()
