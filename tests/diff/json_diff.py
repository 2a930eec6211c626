# SPDX-License-Identifier: BSD-2-Clause
"""holdfast's JSON against Python's, over generated and damaged documents.

Compared are: what is accepted, the value, and the bytes that are written, which must be those
of Go's encoding/json (Python gives the shortest digits of a double, Go's form is put around).

What is known to differ is taken out of Python's answer: it knows NaN and Infinity, keeps the
halves of surrogate pairs, has integers of any size and no limit of depth, and reads text, where
holdfast replaces every byte that is not UTF-8 by U+FFFD. Fields are compared as lists of pairs,
because Python forgets all but the last of several with one name.

    json_diff.py HELPER [part of a test's name...]

SEED in the environment repeats a run.
"""

import codecs
import json
import os
import random
import re
import struct
import subprocess
import sys

import tap

HELPER = sys.argv.pop(1)
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**9))
MAX_DEPTH = 250
MAX_NUMBER = 511
HALVES = re.compile("[\ud800-\udfff]")
print(f"# SEED={SEED}", flush=True)


class Fields(list):
    """The fields of an object, in their order."""


codecs.register_error("each", lambda e: ("\ufffd" * (e.end - e.start), e.end))


def integer(s):
    if s != "-0" and len(s) <= 21 and -(2**63) <= int(s) < 2**64:
        return int(s)
    return double(s)


def double(s):
    if len(s) > MAX_NUMBER or abs(float(s)) == float("inf"):
        raise OverflowError(s[:40])
    return float(s)


def refuse(s):
    raise ValueError(s)


def whole(v):
    """Replaces halves of surrogate pairs, as Go does."""
    if isinstance(v, str):
        return HALVES.sub("\ufffd", v)
    if isinstance(v, Fields):
        return Fields((whole(k), whole(x)) for k, x in v)
    if isinstance(v, list):
        return [whole(x) for x in v]
    return v


def python_reads(doc, to_int=integer, to_float=double):
    text = doc.decode("utf-8", "each")
    return whole(json.loads(text, object_pairs_hook=Fields, parse_int=to_int,
                            parse_float=to_float, parse_constant=refuse))


ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028",
           "\u2029": "\\u2029"}


def go_string(s):
    return re.sub("[<>&\u2028\u2029]", lambda m: ESCAPES[m[0]],
                  json.dumps(s, ensure_ascii=False))


def go_double(v):
    sign, digits, exp = re.fullmatch(
        r"(-?)([0-9.]+)(?:e([-+][0-9]+))?", repr(v)).groups()
    left, _, right = digits.partition(".")
    point = len(left) + int(exp or 0)
    digits = left + right
    point -= len(digits) - len(digits.lstrip("0"))
    digits = digits.strip("0")
    if not digits:
        return sign + "0"
    if abs(v) < 1e-6 or abs(v) >= 1e21:
        rest = "." + digits[1:] if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{point - 1:+d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if len(digits) <= point:
        return sign + digits.ljust(point, "0")
    return f"{sign}{digits[:point]}.{digits[point:]}"


def go_writes(v, indent=None, level=0):
    if isinstance(v, str):
        return go_string(v)
    if isinstance(v, float):
        return go_double(v)
    if not isinstance(v, list):
        return json.dumps(v)
    comma, first, last, colon = ",", "", "", ":"
    if indent:
        first, last = "\n" + indent * (level + 1), "\n" + indent * level
        comma, colon = "," + first, ": "
    if isinstance(v, Fields):
        items = [go_string(k) + colon + go_writes(x, indent, level + 1) for k, x in v]
        brackets = "{}"
    else:
        items = [go_writes(x, indent, level + 1) for x in v]
        brackets = "[]"
    if not items:
        return brackets
    return brackets[0] + first + comma.join(items) + last + brackets[1]


def ask(docs):
    """The helper's answers: (is read, is skipped, written again, indented)."""
    out = subprocess.run([HELPER], input=b"".join(struct.pack("<I", len(d)) + d for d in docs),
                         stdout=subprocess.PIPE, check=True).stdout
    at = 0
    for _ in docs:
        flags, n = struct.unpack_from("<BI", out, at)
        text = out[at + 5:at + 5 + n]
        at += 5 + n
        (n,) = struct.unpack_from("<I", out, at)
        yield bool(flags & 1), bool(flags & 2), text, out[at + 4:at + 4 + n]
        at += 4 + n
    tap.eq(at, len(out))


def depth_of(doc):
    """The deepest nesting up to where the document ends or goes wrong, strings taken out."""
    deepest = depth = 0
    for c in re.sub(rb'"(?:[^"\\]|\\.)*"', b"", doc, flags=re.S):
        depth += (c in b"[{") - (c in b"]}")
        deepest = max(deepest, depth)
    return deepest


def compare(docs):
    accepted = 0
    for doc, (is_read, is_skipped, text, pretty) in zip(docs, ask(docs)):
        try:
            want = python_reads(doc)
            grammar = True
        except (ValueError, OverflowError) as e:
            want, grammar = e, False
            if isinstance(e, OverflowError):
                # Only the size of a number is wrong, or there is more.
                try:
                    python_reads(doc, len, len)
                    grammar = True
                except ValueError:
                    pass
        if grammar and depth_of(doc) > MAX_DEPTH:
            want, grammar = ValueError("depth"), False
        shown = doc if len(doc) < 2000 else doc[:2000] + b"..."
        tap.eq(is_skipped, grammar, f"grammar of {shown!r}")
        tap.eq(is_read, not isinstance(want, Exception), f"acceptance of {shown!r} ({want!r})")
        if is_read:
            accepted += 1
            tap.eq(text, go_writes(want).encode(), f"value of {shown!r}")
            tap.eq(pretty, go_writes(want, "  ").encode(), f"indented form of {shown!r}")
    return accepted


# ---- Documents ----

PIECES = ["a", "id", "nodes", "\\", '"', "/", "<", ">", "&", "\0", "\x07", "\n", "\x1f", "\x7f",
          "\x80", "é", "ÿ", "\u2027", "\u2028", "\u2029", "\ufffd", "\ufeff", "漢", "😀",
          "\U0010ffff", "plain text that is longer than a word of the machine"]
TOKENS = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"\\ud83d", b"\\ude00",
          b"\\u0000", b"\\'", b"true", b"false", b"null", b"NaN", b"-Infinity", b"-", b"+",
          b".", b"e", b"E", b"0", b"1e999", b"01", b"18446744073709551616", b" ", b"\t", b"\n",
          b"\r", b"\v", b"\0", b"\x1f", b"\x7f", b"\x80", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80",
          b"\xf4\x90\x80\x80", b"\xff", b"\xef\xbb\xbf", b"//", b"'"]


def string(r):
    return "".join(r.choices(PIECES, k=r.choice([0, 1, 1, 2, 5])))


def number(r):
    kind = r.randrange(6)
    if kind == 0:
        return str(r.randrange(-100, 1000))
    if kind == 1:
        return str(r.choice([2**31, 2**32, 2**53, 2**63, 2**64, -2**63]) + r.randrange(-2, 3))
    if kind == 2:
        return repr(struct.unpack("<d", struct.pack("<Q", r.getrandbits(64)))[0])
    if kind == 3:  # powers of two, where doubles lie unevenly
        return repr(2.0 ** r.randrange(-1074, 1024))
    if kind == 4:
        return "%s%d.%de%s%d" % (r.choice(["", "-"]), r.randrange(1000), r.randrange(10**6),
                                 r.choice(["", "+", "-"]), r.randrange(330))
    return "%d.%0*d" % (r.randrange(10**r.randrange(1, 18)), r.randrange(1, 20), r.randrange(10**9))


def space(r):
    return r.choice(["", "", "", " ", "\n\t ", "\r\n"])


def escaped(r, s):
    """One of the many ways to write a string."""
    out = []
    for c in s:
        way = r.randrange(4)
        if way == 0 or (c < " " or c in '"\\') and way < 3:
            out.append(json.dumps(c)[1:-1])
        elif c < " " or c in '"\\' or way == 1:
            out.append("".join("\\u" + (h.upper() if r.random() < 0.5 else h) for h in
                               re.findall("....", c.encode("utf-16-be").hex())))
        else:
            out.append(c)
    return '"' + "".join(out) + '"'


def value(r, depth):
    kind = r.randrange(8 if depth < 5 else 5)
    if kind <= 1:
        return escaped(r, string(r))
    if kind <= 3:
        s = number(r)
        return s if "n" not in s else "0"
    if kind == 4:
        return r.choice(["true", "false", "null", "[]", "{}", "[ ]"])
    n = r.choice([0, 1, 2, 3, 3, 6])
    sp = space(r)
    if kind == 5:
        return "[" + sp + ("," + sp).join(value(r, depth + 1) + sp for _ in range(n)) + "]"
    return "{" + sp + ("," + sp).join(
        escaped(r, string(r)) + sp + ":" + sp + value(r, depth + 1) + sp for _ in range(n)) + "}"


def document(r):
    return (space(r) + value(r, 0) + space(r)).encode()


def damaged(r, doc):
    doc = bytearray(doc)
    for _ in range(r.choice([1, 1, 1, 2, 4])):
        at = r.randrange(len(doc) + 1)
        way = r.randrange(6)
        if way == 0:
            doc[at:at] = r.choice(TOKENS)
        elif way == 1 and at < len(doc):
            doc[at] = r.randrange(256)
        elif way == 2 and at < len(doc):
            doc[at] ^= 1 << r.randrange(8)
        elif way == 3:
            del doc[at:at + r.choice([1, 1, 2, 8])]
        elif way == 4:
            doc[at:at] = doc[at - 5 if at > 5 else 0:at]
        else:
            doc[at:at + r.randrange(3)] = r.choice(TOKENS)
    return bytes(doc)


@tap.test
def generated_documents(tmp):
    r = random.Random(SEED)
    docs = [document(r) for _ in range(8000)]
    tap.ok(compare(docs) > 7000, "most generated documents should be valid")


@tap.test
def damaged_documents(tmp):
    r = random.Random(SEED + 1)
    docs = [damaged(r, document(r)) for _ in range(30000)]
    accepted = compare(docs)
    tap.ok(3000 < accepted < 25000, f"{accepted} of {len(docs)} are valid")


@tap.test
def token_soup(tmp):
    r = random.Random(SEED + 2)
    docs = [b"".join(r.choices(TOKENS, k=r.randrange(1, 6))) for _ in range(10000)]
    docs += [b'"' + b"".join(r.choices(TOKENS, k=r.randrange(1, 8))) + b'"' for _ in range(10000)]
    compare(docs)


@tap.test
def every_short_document(tmp):
    one = [bytes([a]) for a in range(256)]
    alphabet = b'[]{},:"\\ -+.eE019tn'
    docs = one + [bytes([a, b]) for a in alphabet for b in alphabet]
    docs += [bytes([a, b, c]) for a in alphabet for b in alphabet for c in alphabet]
    docs += [b'"' + bytes([a]) + b'"' for a in range(256)]
    docs += [b'"\\' + bytes([a]) + b'"' for a in range(256)]
    compare(docs)


@tap.test
def every_number_of_the_grammar(tmp):
    parts = [["", "-", "+"], ["", "0", "00", "01", "1", "10"],
             ["", ".", ".0", ".05", "5"], ["", "e", "E1", "e+0", "e-07", "e+", "e400"]]
    docs = [""]
    for p in parts:
        docs = [d + x for d in docs for x in p]
    compare([d.encode() for d in docs])


@tap.test
def deep_documents(tmp):
    docs = []
    for n in (1, 100, 249, 250, 251, 300):
        docs += [b"[" * n + b"]" * n, b'{"a":' * n + b"0" + b"}" * n, b"[" * n, b"[{" * n,
                 b'[{"x":' * (n // 2) + b"[]" + b"}]" * (n // 2)]
    compare(docs)


tap.main()
