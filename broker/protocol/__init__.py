"""What two endpoints say to each other: state machines without I/O.  DESIGN.md beside this file is the theory.

``frames``         the bytes of a frame, and its payloads
``link``           one session: sequence numbers, acknowledgements, window, credit
``peerings``       wishes, wires, the handshake, heartbeats
``routes``         who wants what
``subscriptions``  the queues of what was delivered
``outbox``         the batch of what was published
``exchange``       events out and in
``actions``        what the driver is to do

It imports no trio, zmq, lmdb, threading, time, random, logging.
"""
