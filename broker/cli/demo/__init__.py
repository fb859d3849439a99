"""``broker demo``: a manager and agents that watch this machine.

``run`` is the manager's process; it starts one process of ``agent`` for each agent and gives it the address it listens
on, and one of ``archive``, the collector of what they log.  ``events``, ``hosts`` and ``processes`` are what they agree
on, ``figures`` where the agents have their figures from, ``tally`` what the manager counts, ``shipping`` its part in
the log stream, ``screen`` what it shows.
"""
