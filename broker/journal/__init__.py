"""The journal on disk: an ordered log and tables that change with it, in LMDB.  No other package knows LMDB.

:func:`open_journal` gives a :class:`DiskJournal`, which is a :class:`broker.journaling.Journal`; :func:`verify` and
:func:`dump` look at a file that may be in use elsewhere; :func:`rescue` saves what is intact of a damaged spool.

**On disk** there is one file, and LMDB's lock file beside it.  It is LMDB 0.9's data format, and no other is read or
written: LMDB 1.0 has another one, and an update of a package must not turn files into what the version before cannot
read.  In it are named databases:

    facts     ``identity``: what the file is (magic, format, kind, name, role, tables, LMDB's version), written once;
              ``state``: where it stands (journal id, epoch, sequence, checksum; sequence and checksum before the first
              kept record; bytes of the log), written at each commit
    log       sequence, 8 bytes big-endian -> checksum, 8 bytes, and body
    table.*   one for each table, keys and values as :mod:`broker.journal.keys` tells

**What is checked.**  LMDB has no checksums.  Records have their chain, rows and facts a CRC-32 each: about 0.4 µs a
row, of some 4 µs that a durable row costs in all, and the only way to tell a disk's error from a value.  A row is
checked whenever it is read.  Opening looks at the pages' count before LMDB maps the file (a truncated one would kill
the process), and at the end of the log, which is where a crash could have struck; :func:`verify` checks everything.

LMDB's own pages have no checksum, and LMDB trusts them: a bit that flipped in one can hide an entry that is there, give
an error of LMDB, or kill a process that reads it (SIGBUS).  So a handle that opens its file has the pages in use looked
at first, by plain reading, with what leads to them and the order of their keys (:mod:`broker.journal.pages`): the first
500 of a store, tables before the log, and 50,000 of a spool.  A larger file from a disk that is in doubt is to be
verified before it is opened: :func:`verify` looks at all.

**One commit** is one LMDB transaction with its fsync: records, rows and state change together or not at all.

**A state that is loaded** goes to ``*.incoming``, without syncing; swapping makes it last and renames it over the file.
A crash leaves the old file or the new one, and the next opening removes what is left of the other.

**Old pages.**  LMDB uses a page again when no reader can see it any more, so a reader that stays makes the file grow
by all that is written.  Here none stays: see :mod:`broker.journal.home` for reading and
:mod:`broker.journal.snapshots` for snapshots.  Slots of readers that died are freed when a journal is opened.

**One writer.**  The owner holds an flock on the file itself, which ends with its process and says whose it is.

**Room.**  The file may grow to the map's size, which is address space and costs nothing: 1 TiB is reserved, less where
there is less, and doubled at need.  With a limit the map is that large; a commit that makes room may go over it by an
eighth, since LMDB copies what it changes.
"""

from __future__ import annotations

from broker.journal.checking import Contents, JournalReport, TableRow, dump, verify
from broker.journal.disk import DiskJournal, JournalInfo
from broker.journal.opening import open_journal
from broker.journal.rescuing import RescueReport, rescue

__all__ = [
    "Contents",
    "DiskJournal",
    "JournalInfo",
    "JournalReport",
    "RescueReport",
    "TableRow",
    "dump",
    "open_journal",
    "rescue",
    "verify",
]
