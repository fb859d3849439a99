"""What an endpoint gives out: subscribers, readers of status events, stores; and what drives their disks.

Handles are thin: they turn what a program asks into requests to the node's machines, and wait with trio for what comes
of them.  They are the endpoint's own, in files of their own, and know its inside.
"""
