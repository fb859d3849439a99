"""The way from threads and asyncio to the trio core, under :mod:`broker.blocking` and :mod:`broker.aio`.

The core of broker runs under trio.  A program of another kind has it run in one thread beside its own, the **portal**,
as long as any of its endpoints is open.  What the program asks for becomes a **job** there: a task of its own, which is
cancelled when the one who asked gives up (a timeout, Ctrl-C, a cancelled asyncio task), and waited for even then, so
that nothing goes on unseen.  A handle that is entered has a task that enters it and leaves it again, as trio demands.

Going there and back costs some 50 µs, far too much for each event.  So events cross in batches:

- Published events are checked and encoded by whoever publishes them, so that errors are raised there, and wait in an
  :class:`~broker.portal.outbox.Outbox` that the portal empties in one go.
- Received messages are taken by the portal a run at a time; the program reads from the run by itself.  It is the very
  iterator that the core's handle reads from, so that the core knows at any time how much was read: that decides
  what is acknowledged, and how long a queue is.

Modules: ``jobs`` (what is asked), ``thread`` (the portal, fork, the end of the process), ``outbox`` (publishing),
``reading`` (what is received a run at a time), ``parts`` (what handles have in common in both worlds). Nothing here
knows which of the two worlds asks: each brings a function that wakes it up.
"""

from __future__ import annotations

from broker.portal.jobs import Holder, Job
from broker.portal.outbox import Outbox
from broker.portal.reading import Reader, Runs
from broker.portal.thread import Portal

__all__ = ["Holder", "Job", "Outbox", "Portal", "Reader", "Runs"]
