"""``python -m broker``: the command line."""

from __future__ import annotations

import sys

from broker_mesh import main

if __name__ == "__main__":
    sys.exit(main())
