#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Stands between an SFTP client and a server, and lets things go otherwise.

	sftp_between.py [options] -- SERVER ARG...

	--delay MS	every byte is late by so much, in both directions: a long line
	--without EXT,..	the server seems not to have these extensions; "all" of them
	--log FILE	at the end, what went through, as JSON: "requests" by type, "depth" (the longest
			chain of requests each of which was made after the answer to the one before; those
			for which nobody waits, to close a file or to set its mode, do not count; of all
			sessions with this FILE), "most" (under way at once)
	--fault KIND@N:TYPE	happens at request number N (from 1) of that type (a number, or "any"):
		kill	the server is killed and everything ends, the request is not passed on
		lost	the request is carried out, but everything ends instead of an answer
		stall	nothing is passed on any more
		id	the answer has a number that nobody asked for
		junk	the answer makes no sense
		fail	the request is not passed on, the answer is "Failure"
		deny	the same with "Permission denied"
	--once FILE	the fault happens only if FILE can be created: once, in all processes
	--short N	no answer has more than N bytes of a file
"""

import argparse
import fcntl
import json
import os
import queue
import struct
import subprocess
import sys
import threading
import time

VERSION, READ, STATUS, DATA = 2, 5, 101, 103
UNAWAITED = (4, 9)  # CLOSE, SETSTAT


def u32(n):
    return struct.pack(">I", n)


def string(b):
    return u32(len(b)) + b


class Late:
    """Writes what it is given, `delay` seconds later, in order."""

    def __init__(self, fd, delay):
        self.fd, self.delay = fd, delay
        self.q = queue.Queue()
        if delay:
            threading.Thread(target=self.run, daemon=True).start()

    def put(self, data):
        if self.delay:
            self.q.put((time.monotonic() + self.delay, data))
        else:
            self.write(data)

    def run(self):
        while True:
            when, data = self.q.get()
            time.sleep(max(0, when - time.monotonic()))
            self.write(data)

    def write(self, data):
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.fd, view):]
        except OSError:
            pass


def packets(fd):
    """The packets that come from `fd`, without their lengths."""
    f = os.fdopen(fd, "rb", 1 << 20, closefd=False)
    while True:
        head = f.read(4)
        if len(head) < 4:
            return
        packet = f.read(struct.unpack(">I", head)[0])
        yield packet


class Depth:
    """How long the longest chain of answered requests is, in a file that all sessions share."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def reached(self, n=0):
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        n = max(n, int(os.pread(self.fd, 20, 0) or b"0"))
        os.pwrite(self.fd, b"%020d" % n, 0)
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        return n


class Between:
    def __init__(self, args):
        self.args = args
        self.lock = threading.Lock()
        self.under_way, self.requests, self.most, self.number = {}, {}, 0, 0
        self.depth = Depth(args.log + ".depth" if args.log else "/dev/null")
        self.marked = None  # the request whose answer the fault is about
        self.kind = self.n = self.type = None
        self.stalled = threading.Event()
        if args.fault:
            self.kind, rest = args.fault.split("@")
            n, _, t = rest.partition(":")
            self.n, self.type = int(n), t or "any"
        self.server = subprocess.Popen(args.server, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.up = Late(self.server.stdin.fileno(), args.delay / 1000)
        self.down = Late(1, args.delay / 1000)

    def end(self, kill=False):
        if kill:
            self.server.kill()
        with self.lock:
            if self.args.log:
                with open(self.args.log + ".new", "w") as f:
                    json.dump({"requests": self.requests, "depth": self.depth.reached(), "most": self.most}, f)
                os.rename(self.args.log + ".new", self.args.log)
        os._exit(0)

    def strikes(self, kind):
        """Whether the fault is this request's."""
        if self.kind is None or self.type not in ("any", str(kind)):
            return False
        self.number += 1
        if self.number != self.n:
            return False
        if self.args.once:
            try:
                os.close(os.open(self.args.once, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                return False
        return True

    def answer(self, packet):
        self.down.put(u32(len(packet)) + packet)

    def request(self, packet):
        kind, number = packet[0], packet[1:5]
        with self.lock:
            if kind != 1:
                self.under_way[number] = self.depth.reached() + (kind not in UNAWAITED)
                self.most = max(self.most, len(self.under_way))
            self.requests[str(kind)] = self.requests.get(str(kind), 0) + 1
        if self.strikes(kind):
            if self.kind == "kill":
                self.end(kill=True)
            if self.kind == "stall":
                self.stalled.set()
            if self.kind in ("fail", "deny"):
                code, text = (4, b"Failure") if self.kind == "fail" else (3, b"Permission denied")
                self.answer(bytes([STATUS]) + number + u32(code) + string(text) + string(b""))
                return
            self.marked = number
        if self.stalled.is_set():
            return
        if kind == READ and self.args.short:
            packet = packet[:-4] + u32(min(struct.unpack(">I", packet[-4:])[0], self.args.short))
        self.up.put(u32(len(packet)) + packet)

    def reply(self, packet):
        if packet[0] == VERSION:
            packet = self.without(packet)
        else:
            with self.lock:
                self.depth.reached(self.under_way.pop(packet[1:5], 0))
            if packet[1:5] == self.marked:
                if self.kind == "lost":
                    self.end(kill=True)
                if self.kind == "id":
                    packet = packet[:1] + b"\x7f\x01\x02\x03" + packet[5:]
                if self.kind == "junk":
                    packet = packet[:5] + b"\xff" * 20
        if not self.stalled.is_set():
            self.answer(packet)

    def without(self, packet):
        gone = (self.args.without or "").split(",")
        out, rest = packet[:5], packet[5:]
        while rest:
            pair = []
            for _ in range(2):
                n = struct.unpack(">I", rest[:4])[0]
                pair.append(rest[4:4 + n])
                rest = rest[4 + n:]
            if gone != ["all"] and pair[0].decode() not in gone:
                out += string(pair[0]) + string(pair[1])
        return out

    def replies(self):
        for packet in packets(self.server.stdout.fileno()):
            self.reply(packet)
        self.end()

    def run(self):
        threading.Thread(target=self.replies, daemon=True).start()
        for packet in packets(0):
            self.request(packet)
        if self.args.delay:
            time.sleep(self.args.delay / 1000)
        self.server.stdin.close()
        self.server.wait()
        self.end()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--delay", type=float, default=0)
    p.add_argument("--without")
    p.add_argument("--log")
    p.add_argument("--fault")
    p.add_argument("--once")
    p.add_argument("--short", type=int, default=0)
    p.add_argument("server", nargs="+")
    Between(p.parse_args()).run()


if __name__ == "__main__":
    sys.exit(main())
