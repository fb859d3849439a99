"""Exit codes: the one table of what they mean, for the commands and for ``broker help exit-codes``."""

from __future__ import annotations

from typing import Final

__all__ = ["DONE", "EXIT_CODES", "FAILED", "INPUT_WRONG", "STOPPED"]

DONE: Final = 0
FAILED: Final = 1
INPUT_WRONG: Final = 2
STOPPED: Final = 130

EXIT_CODES: Final[dict[int | str, str]] = {
    DONE: "all is well",
    FAILED: "the mesh or the machine said no: a peer that is not there, a port in use, messages lost, a journal that "
    "is damaged, a peering that 'broker doctor' finds wrong",
    INPUT_WRONG: "the command line, or what was read in, is wrong: nothing was done from there on",
    STOPPED: "stopped with Ctrl-C; 'demo', 'node' and 'top', which end no other way, give 0",
    "128 + N": "stopped by another signal, of the number N: 143 is SIGTERM's",
}
"""What each exit code says.  A reader of standard output who goes away (``| head``) ends a command, which gives 0."""
