"""``broker node`` and ``broker config``: an endpoint that a configuration's file says all of.

``program`` is its life and its signals, ``parts`` what it keeps open and tries again, ``telling`` what it says to
whoever started it, ``inspecting`` what ``broker config`` finds.
"""
