# SPDX-License-Identifier: BSD-2-Clause
"""Debian's Linux source tree, which several benchmarks save."""
import os
import subprocess
import sys

TAR = "/usr/src/linux-source-6.1.tar.xz"


def unpack(folder):
    """Into a folder that is there."""
    if not os.path.exists(TAR):
        sys.exit(f"{TAR} is missing: tools/deps bench")
    subprocess.run(["tar", "-C", folder, "-xf", TAR], check=True)
