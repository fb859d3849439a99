"""Rules: filters, matches, patterns over sequences, windows and aggregates on the events of an endpoint.

The theory is in DESIGN.md beside this file; the rooms are:

- ``model``: rules as plain data, whatever they were spelt in;
- ``language``, ``tornado``, ``spelling``: the three spellings;
- ``operations``, ``interpreter``, ``compiling``: what an expression means, slowly and fast;
- ``engine``: event time, patterns, windows, state.

No I/O here: no sockets, files, threads, clocks or chance.
"""
