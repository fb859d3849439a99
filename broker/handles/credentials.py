"""An endpoint's keys and access rules: where they come from, and what becomes of them while it runs.

Files are looked at several times a second, and taken up as a whole, when nobody writes them any more, or not at all.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import trio

from broker import keyring
from broker.errors import AccessError, BadKey, KeyFileError
from broker.net.security import UNKNOWN_KEY, Security
from broker.status import AccessRules, Status
from broker.trust.access import Access, is_label
from broker.trust.guard import Guard
from broker.trust.judge import Judge
from broker.trust.keys import PublicKey, SecretKey, curve_of

__all__ = ["Credentials"]

# A file that is written over and over is not waited for any longer: so many looks.
_RESTLESS_MAX: Final = 2


class _Resting:
    """A file that is read again when it has changed, and then been left alone from one look to the next.

    So what is written in several steps is not taken for the whole.  Make it before the file is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._watched = keyring.WatchedFile(path)
        self._restless = 0

    def due(self) -> bool:
        """Whether the file is to be read."""
        if self._watched.changed():
            self._restless += 1
            if self._restless <= _RESTLESS_MAX:
                return False
        due, self._restless = self._restless > 0, 0
        return due


class Credentials:
    """The key of one endpoint and the rules it goes by, as they are now."""

    def __init__(
        self, secret: SecretKey, access: Access, key_file: _Resting | None = None, access_file: _Resting | None = None
    ) -> None:
        self.secret = secret
        self._access = access
        self.judge = Judge.of(access, _now())
        self._key_file = key_file
        self._access_file = access_file
        self._pinned: dict[str, PublicKey | str] = {}
        self._news: list[Status] = []
        self._changed = False
        self._label = ""

    @classmethod
    def of(
        cls, keys: SecretKey | str | os.PathLike[str] | None, access: Access | str | os.PathLike[str] | None
    ) -> Self | None:
        """Read what was given; None without keys.  Raises KeyFileError, BadKey and AccessError."""
        if keys is None:
            if access is not None:
                raise ValueError("access rules need keys, by which others are known: give keys=, too")
            return None
        if not isinstance(keys, SecretKey | str | os.PathLike):
            raise TypeError(f"keys= is a SecretKey, the name of a key, or its file's path, not {type(keys).__name__}")
        if access is not None and not isinstance(access, Access | str | os.PathLike):
            raise TypeError(f"access= is an Access, or the path of a file of access rules, not {type(access).__name__}")
        key_file = access_file = None
        if isinstance(keys, SecretKey):
            secret = keys
        else:
            key_file = _Resting(keyring.key_path(keys))  # before it is read: what changes meanwhile is seen later
            secret = keyring.read_key(key_file.path).secret
        if access is None:
            if key_file is None:
                raise ValueError("whom does it trust? give access=, an Access or the path of a file of access rules")
            access = keyring.access_beside(key_file.path)
        if isinstance(access, Access):
            rules = access
        else:
            access_file = _Resting(Path(access))
            rules = keyring.read_access(access_file.path)
        found = cls(secret, rules, key_file, access_file)
        if key_file is not None:
            found._label = key_file.path.stem
        return found

    # -- asked ---------------------------------------------------------------------------------------------------

    def guard(self) -> Guard:
        """Return a guard that goes by what holds now."""
        return Guard(self.secret, self.judge)

    def security(self) -> Security:
        """Return what connections are secured with now."""
        return Security(self.secret, self.judge, self.keys_for)

    def default_name(self, process: str) -> str:
        """Return how an endpoint with this key is called that was given no name: one that its key may have."""
        holder = self.judge.holder(self.secret.public.raw)
        label = holder.label if holder is not None else self._label
        return f"{label}@{process}" if is_label(label) else process

    def expect(self, address: str, key: PublicKey | str | None) -> None:
        """Take note of whose key is to be expected at an address; raises BadKey, and AccessError for no such name."""
        if key is None:
            return
        if isinstance(key, str) and key not in self._access.trusted:
            if is_label(key) and not key.startswith("bk1"):
                raise AccessError(f"key={key!r}: nobody of that name is in the access rules; give the key itself")
            key = PublicKey.parse(key)
        self._pinned[address] = key

    def keys_for(self, address: str) -> tuple[PublicKey, ...]:
        """Return the keys that are expected at an address: each of them is trusted."""
        key = self._pinned.get(address)
        if key is None:
            return self.judge.keys_at(address)
        return tuple(key for key in self._keys_of(key) if self.judge.holder(key.raw) is not None)

    def _keys_of(self, key: PublicKey | str) -> tuple[PublicKey, ...]:
        """Return the keys that a key, or the name of an entry, stands for."""
        if isinstance(key, PublicKey):
            return (key,)
        entry = self._access.trusted.get(key)
        return entry.keys if entry is not None else ()

    def why_no_key(self, address: str) -> str:
        """Say why there are no keys to be expected at an address."""
        key = self._pinned.get(address)
        if key is None:
            return self.judge.why_nobody or self.judge.why_nobody_at(address) or UNKNOWN_KEY
        keys = self._keys_of(key)
        return self.judge.why_not(keys[0].raw) if keys else f"{key} is not in the access rules any more"

    # -- changes -------------------------------------------------------------------------------------------------

    async def look(self) -> bool:
        """Read what has changed; returns whether there is anything to take up or to tell."""
        if self._access_file is not None and self._access_file.due():
            await self._read_access(self._access_file.path)
        if self._key_file is not None and self._key_file.due():
            await self._read_key(self._key_file.path)
        until = self.judge.until
        if until is not None and _now() >= until:
            self._judge_anew()
            odd = self._what_is_odd()
            if odd:
                self._news.append(AccessRules(self._source, True, odd))
        return self._changed or bool(self._news)

    async def _read_access(self, path: Path) -> None:
        try:
            # Ten thousand keys take a second to read.
            access = await trio.to_thread.run_sync(keyring.read_access, path)
            judge = await trio.to_thread.run_sync(Judge.of, access, _now())
        except (AccessError, KeyFileError, BadKey, OSError) as error:
            self._news.append(AccessRules(str(path), False, str(error)))
            return
        self._access, self.judge, self._changed = access, judge, True
        self._news.append(AccessRules(str(path), True, self._what_is_odd()))

    def _what_is_odd(self) -> str:
        """Say what nobody can have wanted of the rules that hold now."""
        own = self.secret.public
        known = self.judge.key_of_curve(curve_of(own.raw)) is not None
        if self.judge.why_nobody or not known or self.judge.holder(own.raw) is not None:
            return self.judge.why_nobody
        return f"by them our own key is worth nothing, others may refuse us: {self.judge.why_not(own.raw)}"

    async def _read_key(self, path: Path) -> None:
        try:
            secret = (await trio.to_thread.run_sync(keyring.read_key, path)).secret
        except (KeyFileError, BadKey, OSError) as error:
            self._news.append(AccessRules(str(path), False, str(error)))
            return
        if secret != self.secret:
            self.change(secret, None)
            self._news.append(AccessRules(str(path), True, f"the key is {secret.public} from now on"))

    def change(self, secret: SecretKey | None, access: Access | None) -> None:
        """Have another key, or other access rules, from now on; see to it that they are taken up."""
        if secret is not None:
            self.secret, self._changed = secret, True
        if access is not None:
            self._access = access
            self._judge_anew()

    def _judge_anew(self) -> None:
        self.judge = Judge.of(self._access, _now())
        self._changed = True

    @property
    def _source(self) -> str:
        return "access rules" if self._access_file is None else str(self._access_file.path)

    def take_changed(self) -> bool:
        """Whether there is something to take up; it counts as taken up from now on."""
        changed, self._changed = self._changed, False
        return changed

    def take_news(self) -> list[Status]:
        """Return what is to be told, and forget it."""
        news, self._news = self._news, []
        return news


def _now() -> datetime:
    return datetime.now(UTC)
