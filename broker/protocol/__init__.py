"""What two endpoints say to each other: state machines without I/O.  DESIGN.md beside this file is the theory.

one hop
    ``frames``         the bytes of a frame, and its payloads
    ``link``           one session: sequence numbers, acknowledgements, window
    ``wires``          the records of wishes and connections
    ``peerings``       what becomes of them: dialling, heartbeats, ends; ``deadlines`` keeps what is due
    ``handshake``      how a connection gets its link

the mesh
    ``member``         an endpoint as we know it
    ``members``        who is in it, and how linked: flooding; ``apart`` keeps those out of reach
    ``announcements``  what they tell of themselves
    ``topology``       shortest ways
    ``interests``      who wants what, announced and acknowledged; ``wishes``: how that travels
    ``routes``         who wants events of a topic; ``predicates``: and which of them
    ``addresses``      for whom a frame is; ``transit`` sends and passes on by it
    ``survey``         all of that as a value for programs

events
    ``flows``          end to end: numbers, room, what is lost
    ``outbox``         the batch of what was published
    ``exchange``       publishing; ``courier`` what leaves by flows, ``delivery`` what comes by them
    ``subscriptions``  the queues of what was delivered
    ``losses``         the books of what was lost

``actions``            what the driver is to do

It imports no trio, zmq, lmdb, threading, time, random, logging.
"""
