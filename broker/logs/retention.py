"""What a spool keeps: up to its limits in bytes and age, and not what every collector has.

The oldest chunks go first, whole.  What all registered collectors have goes quietly, as far as the spool is to keep
none of it; what the limits take is counted for each collector that lacked it, and told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from broker.errors import Malformed
from broker.logs.chunks import read_chunk
from broker.logs.groups import Group
from broker.logs.spool import Spool
from broker.status import RecordsDropped, Status

if TYPE_CHECKING:
    from broker.logs.writer import Options

__all__ = ["Retention"]

_NEVER: Final = float("inf")
_LOOK_BYTES: Final = 256 << 10
# Drops are told of together, at most so often.
_TELL_NS: Final = 1_000_000_000
_HAIR_NS: Final = 1000


class _Head(NamedTuple):
    """One of the oldest chunks."""

    sequence: int
    first: int
    last: int
    time_ns: int
    size: int


class Retention:
    """Decides what is trimmed."""

    def __init__(
        self, spool: Spool, groups: dict[str, Group], options: Options, tell: Callable[[Status], None], stream: str
    ) -> None:
        self._spool = spool
        self._groups = groups
        self._options = options
        self._tell = tell
        self._stream = stream
        self._heads: deque[_Head] = deque()  # the oldest chunks, from the first that is to be kept
        self._going: deque[tuple[int, int]] = deque()  # chunks that are to go, and are still there: sequence, bytes
        self._going_bytes = 0
        self._upto = 0  # the last chunk that is to go
        self.shedding = False  # there is no room on the disk: the next commit only trims
        self._untold: dict[str, tuple[int, frozenset[str]]] = {}
        self._told_ns = 0

    def _head(self) -> _Head | None:
        """Return the oldest chunk that is to be kept."""
        journal = self._spool.journal
        start = max(journal.first, self._upto + 1)
        if self._heads and self._heads[0].sequence >= start:
            return self._heads[0]
        self._heads.clear()
        while not self._heads and start <= journal.position.sequence:
            for record in journal.read(start - 1, _LOOK_BYTES):
                start = record.sequence + 1
                try:
                    chunk = read_chunk(record.body)
                except Malformed:  # what it had is missed when the next one goes, or is given out
                    continue
                self._heads.append(_Head(record.sequence, chunk.first, chunk.last, chunk.time_ns, len(record.body)))
        return self._heads[0] if self._heads else None

    def _kept_bytes(self) -> int:
        journal, going = self._spool.journal, self._going
        while going and going[0][0] < journal.first:
            self._going_bytes -= going.popleft()[1]
        return journal.log_bytes - self._going_bytes

    @property
    def oldest(self) -> int:
        """The oldest record that is to be kept; the next one's number when there is none."""
        head = self._head()
        return self._spool.state.next if head is None else head.first

    @property
    def watermark(self) -> int:
        """Up to which record all registered collectors have everything."""
        return min((group.floor for group in self._groups.values()), default=0)

    @property
    def trimming(self) -> bool:
        """Whether chunks that are to go are still there: a journal drops a long log in steps."""
        return self._spool.journal.first <= self._upto

    def due(self, wall_ns: int) -> bool:
        """Whether something has to go, or to be told, though nothing else is written."""
        if self._untold and wall_ns >= self._told_ns + _TELL_NS:
            self._say(wall_ns)
        if self.shedding or self.trimming:
            return True
        if self._options.limit_age_s == _NEVER and not self._options.drop_oldest:
            return False
        head = self._head()
        return head is not None and self._must_go(head, wall_ns, 0) != ""

    def _must_go(self, head: _Head, wall_ns: int, excess: int) -> str:
        """Return why a chunk must go though it may be wanted; empty: it need not."""
        options = self._options
        if options.limit_age_s != _NEVER and head.time_ns + round(options.limit_age_s * 1e9) <= wall_ns:
            return f"they were older than {options.limit_age_s:g} s"
        if options.drop_oldest and self._kept_bytes() + excess > options.limit_bytes:
            return f"the spool has its limit of {options.limit_bytes} bytes"
        if self.shedding:
            return "there is no room on the disk"
        return ""

    def no_room(self) -> bool:
        """Take note that the disk is full: with the next commit some of the oldest go, if they may; whether they do."""
        self.shedding = self._options.drop_oldest and self._head() is not None
        return self.shedding

    def trim(self, wall_ns: int, coming: int) -> int:
        """Return up to which chunk the journal is to be trimmed, when so many bytes are added."""
        watermark = self.watermark
        shed = self._kept_bytes() // 8
        keep = min(self._options.keep_bytes, self._options.limit_bytes // 2)  # else writers would wait for ever
        if self.trimming:
            self.shedding = False  # what was to make room has not gone yet
        while (head := self._head()) is not None:
            reason = self._must_go(head, wall_ns, coming)
            if not reason and not (head.last <= watermark and self._kept_bytes() - head.size >= keep):
                break
            if reason:
                self._drop(head, reason)
            self._heads.popleft()
            self._upto = head.sequence
            self._going.append((head.sequence, head.size))
            self._going_bytes += head.size
            shed -= head.size
            if shed <= 0:
                self.shedding = False
        self._say(wall_ns)
        self.shedding = False
        return self._upto

    def _drop(self, head: _Head, reason: str) -> None:
        """Count a chunk's records as lost for each name that lacked them.

        Where it is not known yet who had what, as members have not come back since the writer began, it is found out
        when the records would be given out.
        """
        known = [(name, group) for name, group in self._groups.items() if not group.unknown]
        lost = {name: group.skip(1, head.last) for name, group in known}
        names = {name for name, count in lost.items() if count}
        count = max(lost.values(), default=0) if self._groups else head.last - head.first + 1
        if count:
            self.note(reason, count, names)

    def note(self, reason: str, count: int, names: set[str]) -> None:
        """Count records that are gone, to be told of."""
        self._spool.state.dropped += count
        before, known = self._untold.get(reason, (0, frozenset()))
        self._untold[reason] = (before + count, known | names)

    def _say(self, wall_ns: int) -> None:
        if self._untold and wall_ns >= self._told_ns + _TELL_NS:
            self._told_ns = wall_ns
            for reason, (count, names) in self._untold.items():
                self._tell(RecordsDropped(self._stream, count, reason, tuple(sorted(names))))
            self._untold.clear()

    def say_all(self) -> None:
        """Tell what has not been told."""
        self._say(self._told_ns + _TELL_NS)

    def next_deadline(self, clock_ns: int) -> float:
        """Return when :meth:`due` is true of itself, on the clock whose zero is at ``clock_ns``."""
        if self.shedding or self.trimming:
            return float("-inf")
        due: list[int] = []
        if self._untold:
            due.append(self._told_ns + _TELL_NS)
        if self._options.limit_age_s != _NEVER:
            head = self._head()
            if head is not None:
                due.append(head.time_ns + round(self._options.limit_age_s * 1e9))
        # Not a hair before it is due: as seconds of a float it is a little more or less.
        return (min(due) + _HAIR_NS - clock_ns) / 1e9 if due else _NEVER
