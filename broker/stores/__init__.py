"""Replicated key-value stores: a master with the authority, clones that follow it, as machines without I/O.

Theory of operation
===================

A **master** takes requests, decides them one after the other, and writes what it has decided, the **operations**, into
a log (:mod:`broker.journaling`) in the same step as their effect.  **Clones** apply operations blindly, in the log's
order.  So there is one order of everything, each clone is always at some **position** of it, and two that are at the
same position have the same contents.

Frames between a master and its clones may be lost, doubled and overtaken (:mod:`broker.stores.wire`).  What makes good
for that is small and everywhere the same: everything is numbered, the receiver knows which number comes next, says
what it has, and is sent again what it lacks; a clone asks twice a second where the log ends, and so hears of a loss
that nothing follows, and knows how stale it is.

=====================  ===============================================================================================
``entries``            keys and values as rows
``elements``           elements as rows; which of them Python takes for the same
``operations``         what was decided: records of the log
``commands``           what is asked: requests
``admission``          commands from elsewhere, checked before they are decided
``draft``              what is decided and not committed, and how operations change rows
``deciding``           from commands to operations, or to an error
``contents``           reading
``changes``            from operations to what watches tell
``master``             the authority: deciding, group commit, expiry, answering
``followers``          its clones: log or snapshot, window, acknowledgements
``writers``            requests that clones forward, each taken once
``clone``              the replica: following, gaps, snapshots, staleness
``forwarding``         its requests on their way to the master
``bareclone``          the log alone, to be watched
``proxy``              requests alone, without a replica
``stores``             all of an endpoint's; who is master of what
``wire``               the frames
=====================  ===============================================================================================

What survives what, for an acknowledged write:

==============  ======================================  ==============================================================
level           acknowledged when                       lost only if
==============  ======================================  ==============================================================
applied         decided                                 the master's process dies, or its disk refuses, in the moment
                                                        before the commit (told as StoreFailing); one in memory: dies
durable         committed and synced to the disk        the master's disk is lost (in memory: the process dies)
replicated(n)   that, and n clones have committed it    that, and the new master is made from a copy older than those
                                                        n clones
==============  ======================================  ==============================================================
"""

from __future__ import annotations
