#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the oracle's command line from anywhere; see cli.py for the verbs."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM = "/usr/bin/python3"


def run() -> int:
    # the package's parent instead of the package itself, whose `oracle.py` would hide the package
    sys.path[0] = os.path.dirname(HERE)
    try:
        import cryptography  # noqa: F401
        import zstandard  # noqa: F401
    except ImportError:  # another interpreter came first on PATH
        if sys.executable == SYSTEM or not os.path.exists(SYSTEM):
            raise
        os.execv(SYSTEM, [SYSTEM, os.path.join(HERE, "oracle.py"), *sys.argv[1:]])
    from oracle.cli import main
    return main()


if __name__ == "__main__":
    sys.exit(run())
