"""Run a peer's server for as long as standard input is open: ``python -m benchmarks.guard COMMAND...``.

The benchmark holds the other end.  When it ends in whatever way, killed included, the server ends too.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys


def main() -> int:
    """Start the command, wait for the end of standard input or of the command, and leave nothing behind."""
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:
        try:
            with contextlib.suppress(KeyboardInterrupt):
                sys.stdin.buffer.read()
        finally:
            server.terminate()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
