"""The ZeroMQ driver: carries a node's frames over sockets, under trio.  The only importer of zmq.

``address``     what an address is
``security``    keys of connections, and who is let in
``sockets``     what all sockets have in common; how an edge-triggered descriptor is waited for
``dialled``     a wire that we dialled: a DEALER
``listener``    a listening address: a ROUTER, and the wires on it
``connections`` what TCP connections a listening address has, and which have to go
``turns``       how wires share the endpoint's time
``network``     all of an endpoint's, by the numbers that its node gives the wires
``interface``   what an endpoint and its network ask of each other
"""
