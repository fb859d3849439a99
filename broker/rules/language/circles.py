"""Circles: what is defined by itself, and rules that see what they make.

Both are walked without recursion: a program may define a chain of ten thousand functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["circles", "order"]


def order(uses: Mapping[str, Iterable[str]]) -> tuple[list[str], list[list[str]]]:
    """The names, each behind those that it uses, and the circles among them, as ``a, b, a``.

    Names in circles come in some order.  Each circle is told once, from the first of its names in the given order.
    """
    ordered: list[str] = []
    found: list[list[str]] = []
    done: set[str] = set()
    for start in uses:
        if start in done:
            continue
        path = [start]
        on_path = {start}
        waiting = [iter(uses[start])]
        while path:
            following = next(waiting[-1], None)
            if following is None:
                waiting.pop()
                name = path.pop()
                on_path.discard(name)
                done.add(name)
                ordered.append(name)
            elif following in on_path:
                found.append([*path[path.index(following) :], following])
            elif following in uses and following not in done:
                path.append(following)
                on_path.add(following)
                waiting.append(iter(uses[following]))
    return ordered, found


def circles(uses: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The circles among names, as ``a, b, a``."""
    return order(uses)[1]
