"""What two endpoints say to each other: state machines without I/O.  DESIGN.md beside this file is the theory.

``frames``         the bytes of a frame, and its payloads
``link``           one session: sequence numbers, acknowledgements, window, credit
``wires``          the records of wishes and connections
``peerings``       what becomes of them: dialling, heartbeats, losses
``handshake``      how a connection gets its link
``routes``         who wants what
``subscriptions``  the queues of what was delivered
``outbox``         the batch of what was published
``exchange``       events out and in
``actions``        what the driver is to do

It imports no trio, zmq, lmdb, threading, time, random, logging.
"""
