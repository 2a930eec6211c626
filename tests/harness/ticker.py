# SPDX-License-Identifier: BSD-2-Clause
"""A command for tests to look at: writes its pid and then, many times a second, a line into a file.

	ticker.py FILE [ignore=TERM,INT] [as=session|daemon] [exit=7]

It ends when FILE.end appears.  No shell does this: a shell starts programs with vfork(), and one that
is stopped between that and exec() leaves the shell in a sleep which no signal interrupts.
"""

import os
import signal
import sys
import time


def main():
    path = sys.argv[1]
    options = dict(x.split("=", 1) for x in sys.argv[2:])
    for name in filter(None, options.get("ignore", "").split(",")):
        signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_IGN)
    if options.get("as") == "daemon":
        if os.fork():
            os._exit(0)
        os.setsid()
        if os.fork():
            os._exit(0)
    elif options.get("as") == "session":
        os.setsid()
    with open(path, "a", encoding="ascii") as f:
        f.write(f"{os.getpid()}\n")
        f.flush()
        while not os.path.exists(path + ".end"):
            f.write("x\n")
            f.flush()
            time.sleep(0.005)
    os._exit(int(options.get("exit", 0)))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main()
