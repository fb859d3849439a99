"""An engine whose every call is in a journal before what comes of it is seen by anybody: recovery is replay.

**How.**  An engine is a function of its calls: the same ``receive`` and ``tick``, with the same times, give the same
state and the same outcomes.  So a call is made at once, and written down (``calls``) with all others
that were made while the disk was busy; when that commit is done, its outputs may be carried out, not before.  From time
to time, and at the end, a commit has the engine's whole state, and the log before it is trimmed.  After a crash the
state is restored and the calls behind it are made again, with the program that they were made with; then today's
program replaces that one, which keeps the state of what has not changed.

**What is promised.**  A call whose commit was not done has never been: nobody has seen anything of it.  What was
committed is never lost, and counts once.  Outputs are carried out in order; how far that is, once it is known to have
arrived, is written with the next commit, or by itself :data:`MARK_S` later.  After a crash they go on from there: none
is missing, and those that were carried out since are carried out once more.  Outputs that were dropped because nobody
took them stay dropped.

Without a journal, calls pass through.
"""

from __future__ import annotations

from broker.rules.recording.calls import Output
from broker.rules.recording.parts import joined, split
from broker.rules.recording.recorder import MARK_S, PENDING_BYTES, TABLES, Driven, Recorder

__all__ = ["MARK_S", "PENDING_BYTES", "TABLES", "Driven", "Output", "Recorder", "joined", "split"]
