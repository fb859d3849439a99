"""Files of rules: texts of the Event Language (``*.ev``), and Tornado's configurations, in files or directories.

What is wrong is told with file and line, all of it at once.  What is read is bounded: so many files, of so many bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from broker.errors import EventDefinitionError, RuleError, RuleProblem
from broker.events import class_named
from broker.rules.language.texts import load_texts
from broker.rules.model import EventType

__all__ = ["FILES_MAX", "FILE_BYTES_MAX", "TOTAL_BYTES_MAX", "RuleFiles", "known_type", "read_text"]

FILE_BYTES_MAX: Final = 1 << 20
"""Bytes of one file: some ten thousand rules."""
FILES_MAX: Final = 10_000
"""Files in all; Tornado has a file for each rule."""
TOTAL_BYTES_MAX: Final = 16 << 20
"""Bytes in all."""
_DEPTH_MAX: Final = 32  # directories in directories

AnyPath = str | os.PathLike[str]
Stamp = tuple[tuple[str, int, int, int], ...]


class RuleFiles:
    """Files and directories that rules stand in.

    A name that ends in ``.json``, and a directory with such files in it, is a configuration of Tornado's, which stands
    alone; everything else, and a directory with ``.ev`` files, are texts of one program.
    """

    def __init__(self, *paths: AnyPath) -> None:
        if not paths:
            raise ValueError("rules stand in a file at least: name one")
        self.paths = tuple(map(Path, paths))

    def __str__(self) -> str:
        return ", ".join(map(str, self.paths))

    def load(self) -> Any:
        """Read them: a :class:`broker.rules.model.Program`, or a tree of Tornado's.

        Takes a disk's time, and a processor's.  Raises RuleError with everything that is wrong.
        """
        return _Reading(self.paths).loaded()

    def stamp(self) -> Stamp:
        """Return what is another one when a file has changed, has come or has gone."""
        found = []
        for path in self.paths:
            try:
                files = [file for file, _ in _files_in(path)] if path.is_dir() else [path]
                for file in files:
                    stat = file.stat()
                    found.append((str(file), stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except OSError:
                found.append((str(path), 0, 0, 0))
        return tuple(found)


def _files_in(directory: Path, depth: int = 0) -> Iterator[tuple[Path, int]]:
    """Give the files of rules below a directory, in the order of their names; hidden ones are none."""
    for entry in sorted(directory.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if depth >= _DEPTH_MAX:
                raise OSError(0, f"more than {_DEPTH_MAX} directories inside each other", str(entry))
            yield from _files_in(entry, depth + 1)
        elif entry.suffix in {".ev", ".json"}:
            yield entry, depth


class _Reading:
    """One reading: what is wrong so far."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._problems: list[RuleProblem] = []
        self._files = 0
        self._bytes = 0
        self._texts: list[tuple[str, str]] = []  # of the Event Language: name, text
        self._trees: list[tuple[Path, dict[str, str]]] = []  # Tornado's: of each path, by the file's name in it
        for path in paths:
            self._read(path)

    def _wrong(self, path: Path, what: str, line: int = 0) -> None:
        self._problems.append(RuleProblem(str(path), line, 0, "", what))

    def _read(self, path: Path) -> None:
        try:
            if not path.is_dir():
                text = self._text(path)
                if path.suffix == ".json":
                    self._trees.append((path, {path.name: text}))
                else:
                    self._texts.append((str(path), text))
                return
            files = []
            for file, _ in _files_in(path):
                files.append(file)
                if self._files + len(files) > FILES_MAX:
                    self._wrong(path, f"more than {FILES_MAX:,} files of rules")
                    return
        except (_Unread, OSError) as error:
            self._wrong(path, _reason(error), getattr(error, "line", 0))
            return
        self._read_directory(path, files)

    def _read_directory(self, path: Path, files: list[Path]) -> None:
        suffixes = {file.suffix for file in files}
        if len(suffixes) != 1:
            found = "both *.ev and *.json: they are two languages" if suffixes else "no files of rules (*.ev, *.json)"
            self._wrong(path, f"there are {found}")
            return
        texts = {}
        for file in files:
            try:
                texts[file] = self._text(file)
            except (_Unread, OSError) as error:
                self._wrong(file, _reason(error), getattr(error, "line", 0))
        if suffixes == {".ev"}:
            self._texts += [(str(file), text) for file, text in texts.items()]
        else:
            self._trees.append((path, {file.relative_to(path).as_posix(): text for file, text in texts.items()}))

    def _text(self, path: Path) -> str:
        raw = _raw(path)
        self._files += 1
        self._bytes += len(raw)
        if self._bytes > TOTAL_BYTES_MAX:
            raise _Unread(f"with it the rules are larger than {TOTAL_BYTES_MAX:,} bytes")
        return _decoded(raw)

    def loaded(self) -> Any:
        """Return what the texts are; raises RuleError."""
        if self._trees and (self._texts or len(self._trees) > 1):
            what = "a configuration of Tornado's stands alone: name no other file or directory with it"
            self._wrong(self._trees[0][0], what)
        if self._problems:
            raise RuleError(self._problems)
        if self._trees:
            return _tree_of(*self._trees[0])
        return load_texts(self._texts, known_type)


def _tree_of(path: Path, files: dict[str, str]) -> Any:
    """A tree of a file that has all of it, or of a directory; raises RuleError, which names files as they are here."""
    from broker.rules import tornado  # it brings the regular expressions with it

    if path.is_dir():
        try:
            return tornado.from_files(files)
        except RuleError as error:
            raise RuleError(
                [problem._replace(source=str(path / problem.source)) for problem in error.problems]
            ) from None
    (text,) = files.values()
    try:
        return tornado.load(json.loads(text))
    except RuleError as error:
        raise RuleError([problem._replace(source=str(path)) for problem in error.problems]) from None
    except json.JSONDecodeError as error:
        raise RuleError([RuleProblem(str(path), error.lineno, error.colno, "", f"not JSON: {error.msg}")]) from None
    except (RecursionError, ValueError) as error:  # nested too deep; an integer of thousands of digits
        raise RuleError([RuleProblem(str(path), 0, 0, "", f"not JSON: {error}")]) from None


def read_text(file: AnyPath | int) -> str:
    """Return the text of one file, or of a descriptor such as that of standard input; raises RuleError."""
    name = "standard input" if isinstance(file, int) else os.fspath(file)
    try:
        if not isinstance(file, int):
            return _decoded(_raw(Path(file)))
        with os.fdopen(file, "rb", closefd=False) as stream:
            return _decoded(_bounded(stream.read(FILE_BYTES_MAX + 1)))
    except (_Unread, OSError) as error:
        raise RuleError([RuleProblem(name, getattr(error, "line", 0), 0, "", _reason(error))]) from None


def _raw(path: Path) -> bytes:
    if not path.exists():
        is_text = ";" in path.name or "\n" in path.name
        raise _Unread("there is no such file" + ("; rules as text: broker.rules.language.load(...)" if is_text else ""))
    if not path.is_file():  # it may never end
        raise _Unread("it is no regular file")
    with path.open("rb") as file:
        return _bounded(file.read(FILE_BYTES_MAX + 1))


def _bounded(raw: bytes) -> bytes:
    if len(raw) > FILE_BYTES_MAX:
        raise _Unread(f"larger than {FILE_BYTES_MAX:,} bytes")
    return raw


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _Unread(f"not a text in UTF-8: {error.reason} at byte {error.start}", line) from None


class _Unread(Exception):
    """Why a file was not read, and in which of its lines."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    return str(error)


def known_type(name: str) -> EventType | None:
    """Return the event type of the class that this program knows by that name, if there is one."""
    from broker.rules.event_types import event_type

    cls = class_named(name)
    try:
        return None if cls is None else event_type(cls)
    except EventDefinitionError:  # it refers to what is not defined yet
        return None
