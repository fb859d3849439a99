"""Durable log streams: records that reach every collector once, whatever dies in between.  No I/O.

**What there is.**  A *writer* takes records and keeps them in its spool, a journal (:mod:`broker.journaling`).  A
*collector* has a name; all collectors of one name, wherever they are, are *members* of it and share the work.  There
is no third party: each writer keeps, in its own spool, how far each name is with its records (a *cursor*), and
coordinates that name's members for itself.  So a collector needs no disk, can move, and knows no more than its writers.

**How far a name is.**  At the writer each record is, for each name, in one of three states::

    free ----given to a member----> held ----acknowledged by it----> done
      ^                              |
      +--- the member died or left --+

Everything up to the *floor* is done.  What is given out next is the first record that is free; to hand records back is
to forget that they are held.  :class:`~broker.logs.groups.Group` is that table, in ranges of numbers.  The floor, what
is done beyond it, and who is a member are written down; who holds what is not, because members know it themselves.

**What each side remembers.**  The collector keeps, for each spool, what it holds and what it has done until the writer
says that it has written that down.  When either side may have missed something for good (a restart, silence, another
way through the mesh), the collector asks anew (COLLECT), with both lists; the writer takes what it says, answers with
what it may keep, and goes on.  Frames between two such questions are numbered; missing ones are asked for again, and
kept at the writer until they have come.  Nothing here relies on links, flows or their order.

**Why nothing is lost.**  A record is acknowledged to its writer's program when it is on disk, and sent only then.  It
leaves the spool only when every registered name has it done, by the same commit that writes this down, or by a limit,
which counts it.  It is done for a name only when a member said so.

**Why nothing comes twice.**  A record is given to one member at a time.  A writer that begins anew does not know who
holds what, and gives nothing out until each member that it had written down has come back and told, or its lease is
over, or its endpoint has begun anew, which ends what its former process held.  Since members are written down before
they are given anything, none is overlooked.  What a member had and did not live to acknowledge comes again, marked:
nobody can know whether it was handled.  A program that keeps the collector's *checkpoint* (which member it is, and what
it has done) together with its results, in one transaction, tells the writer after a restart what was handled: then each
record's effect is there exactly once.

**Leases.**  A member that is not heard of for :data:`~broker.logs.groups.LEASE_S` loses what it holds to others of its
name, if there are any; alone it keeps it.  A member of several that has not heard of its writer for most of that time
gives nothing of its queue to its program before it has asked anew.  So two members have a record only if one was cut
off in the middle of handling it.

**Numbers, epochs, marks.**  Records are numbered in one order as long as the spool lives.  An epoch begins when a
writer opens the spool, with a mark of chance; positions and claims name both, so that a spool restored from a backup,
which gives numbers again, does not take word about other records for word about its own.

**Bytes.**  The unit on disk and on the wire is the *chunk*: the records of one commit, up to 64 KiB, with a checksum
of its own (:mod:`broker.logs.chunks`).  It goes from disk to wire as it is, and only its receiver looks into it.  A
damaged one is passed over and counted.

Where to read on: :mod:`~broker.logs.wire` (what is said), :mod:`~broker.logs.writer` (taking and writing records),
:mod:`~broker.logs.serving` and :mod:`~broker.logs.groups` (giving them out), :mod:`~broker.logs.retention` (what
goes), :mod:`~broker.logs.collector` and :mod:`~broker.logs.source` (the other end), :mod:`~broker.logs.logs` (all of
an endpoint's).
"""
