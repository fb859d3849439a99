"""The ZeroMQ driver: carries a node's frames over sockets, under trio.  The only importer of zmq.

``address``     what an address is
``sockets``     one owner for a ZeroMQ socket, whose file descriptor is edge-triggered
``network``     listeners (a ROUTER each), dialled wires (a DEALER each), and their numbers
"""
