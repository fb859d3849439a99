"""Tornado's directories: a mapping of relative paths to contents becomes a configuration.

There are two layouts.  In the older one a folder is a node of its name: with folders in it a filter (of one JSON file
at most, which says the condition), otherwise a ruleset whose rules are its JSON files, ordered by their names, such as
``0010_disk_full.json``: what is behind the first ``_`` is the rule's name.  In the newer one the root has a
``version.json`` (``{"version": "2.0"}``), every folder a ``filter.json``, ``iterator.json`` or ``ruleset.json`` that
says its name, and a ruleset's rules are in its folder ``rules``.  Files that are not JSON do not matter.

Nothing is read from a disk here.  A problem names the file, and the path to it inside the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from broker.errors import RuleProblem
from broker.rules.tornado.forms import NESTED_MAX

__all__ = ["ROOT", "Files", "configuration"]

ROOT: Final = "root"
"""The name of the outermost node."""

Files = Mapping[str, str | bytes]

_VERSION: Final = "version.json"
_KINDS: Final = {"filter.json": "filter", "iterator.json": "iterator", "ruleset.json": "ruleset"}
_OPEN: Final = {"description": "An implicit filter that allows all events", "active": True, "filter": {}}


class Origin:
    """A configuration that was made of files, and which of its paths is in which file."""

    def __init__(self) -> None:
        self.config: dict[str, Any] = {}
        self.problems: list[RuleProblem] = []
        self._places: dict[str, tuple[str, str]] = {}

    def put(self, path: str, file: str, inside: str = "") -> None:
        """What is below ``path`` of the configuration is in the file, below ``inside``."""
        self._places[path.removeprefix(".")] = file, inside

    def wrong(self, file: str, what: str, line: int = 0, column: int = 0) -> None:
        """Note a problem of a file."""
        self.problems.append(RuleProblem(file, line, column, "", what))

    def unread(self, problem: RuleProblem) -> bool:
        """Whether it is of a file that could not be read, so that what it lacks is no news."""
        return any(problem.source == known.source for known in self.problems)

    def located(self, problem: RuleProblem) -> RuleProblem:
        """A problem of the configuration as one of a file."""
        path = problem.path
        for known in sorted(self._places, key=len, reverse=True):
            rest = path[len(known) :]
            if path.startswith(known) and (not rest or rest[0] in ".[" or not known):
                file, inside = self._places[known]
                return problem._replace(source=file, path=(inside + rest).removeprefix("."))
        return problem


def configuration(files: Files) -> Origin:
    """The configuration of a directory: its ``problems`` say what is no JSON, or stands where nothing is read."""
    origin = Origin()
    tree = _tree(origin, files)
    if _VERSION in tree:
        version = _parsed(origin, _VERSION, tree[_VERSION])
        if version is not None and version != {"version": "2.0"}:
            origin.wrong(_VERSION, 'expected {"version": "2.0"}')
        nodes = _children(origin, tree, "", "", _VERSION, 0)
        origin.config = {"Filter": {"name": ROOT, "filter": dict(_OPEN), "nodes": nodes}}
    else:
        origin.config = _older(origin, tree, ROOT, "", "", 0)
    return origin


def _tree(origin: Origin, files: Files) -> dict[str, Any]:
    """Folders within folders: contents, and maps for folders, in the order of their names."""
    root: dict[str, Any] = {}
    for path in sorted(files):
        *folders, name = [part for part in path.split("/") if part not in ("", ".")] or [""]
        place: Any = root
        for folder in folders:
            place = place.setdefault(folder, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict) or not name:
            origin.wrong(path, "is no path of a file in a folder")
        else:
            place[name] = files[path]
    return root


def _parsed(origin: Origin, file: str, content: str | bytes) -> Any:
    """What a JSON file says; None, and a problem, if it is none."""
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        return json.loads(text, object_pairs_hook=_pairs, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        origin.wrong(file, f"is no text in UTF-8: byte {error.start + 1}")
    except json.JSONDecodeError as error:
        origin.wrong(file, f"is no JSON: {error.msg}", error.lineno, error.colno)
    except RecursionError:
        origin.wrong(file, "is nested too deep")
    except ValueError as error:
        origin.wrong(file, str(error))
    return None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"has a field {twice!r:.80} twice in one map")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"is no JSON: {name} is no number of JSON")


def _folders(tree: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, content) for name, content in tree.items() if isinstance(content, dict))


def _json_files(tree: dict[str, Any]) -> list[str]:
    return [name for name, content in tree.items() if name.endswith(".json") and not isinstance(content, dict)]


def _too_deep(origin: Origin, folder: str, depth: int) -> bool:
    if depth > NESTED_MAX:
        origin.wrong(folder, f"folders within folders, more than {NESTED_MAX} deep")
    return depth > NESTED_MAX


# -- the older layout ------------------------------------------------------------------------------------------------


def _older(origin: Origin, tree: dict[str, Any], name: str, folder: str, path: str, depth: int) -> dict[str, Any]:
    files = _json_files(tree)
    inner = list(_folders(tree))
    parsed = {file: _parsed(origin, folder + file, tree[file]) for file in files}
    if not inner and not (len(files) == 1 and _is_filter(parsed[files[0]])):
        return _older_ruleset(origin, parsed, name, folder, path)
    if len(files) > 1:
        origin.wrong(folder or ".", f"has folders and {len(files)} JSON files: a filter has one JSON file at most")
    if _too_deep(origin, folder, depth):
        return {"Ruleset": {"name": name, "rules": []}}
    condition: Any = dict(_OPEN)
    for file in files[:1]:
        condition = parsed[file]
        for field in ("filter", "iterator"):
            origin.put(f"{path}.{field}", folder + file)
    nodes = [
        _older(origin, content, each, f"{folder}{each}/", f"{path}.nodes[{place}]", depth + 1)
        for place, (each, content) in enumerate(inner)
    ]
    origin.put(f"{path}.name", folder or ".")
    if type(condition) is dict and "target" in condition:
        return {"Iterator": {"name": name, "iterator": condition, "nodes": nodes}}
    return {"Filter": {"name": name, "filter": condition, "nodes": nodes}}


def _is_filter(content: Any) -> bool:
    return type(content) is dict and "constraint" not in content and ("filter" in content or "target" in content)


def _older_ruleset(origin: Origin, parsed: dict[str, Any], name: str, folder: str, path: str) -> dict[str, Any]:
    rules = []
    for place, (file, content) in enumerate(parsed.items()):
        origin.put(f"{path}.rules[{place}]", folder + file)
        _, sign, rule_name = file.removesuffix(".json").partition("_")
        if not sign:
            origin.wrong(
                folder + file, "its name has no _ before the rule's name: 0010_disk_full.json is the rule disk_full"
            )
        rules.append({**content, "name": rule_name} if type(content) is dict else content)
    origin.put(f"{path}.name", folder or ".")
    return {"Ruleset": {"name": name, "rules": rules}}


# -- the newer layout ------------------------------------------------------------------------------------------------


def _children(
    origin: Origin, tree: dict[str, Any], folder: str, path: str, own: str, depth: int
) -> list[dict[str, Any]]:
    for file in _json_files(tree):
        if file != own:
            origin.wrong(folder + file, f"does not belong here: beside {own} are folders")
    if _too_deep(origin, folder, depth):
        return []
    return [
        _newer(origin, content, f"{folder}{name}/", f"{path}.nodes[{place}]", depth + 1)
        for place, (name, content) in enumerate(_folders(tree))
    ]


def _newer(origin: Origin, tree: dict[str, Any], folder: str, path: str, depth: int) -> dict[str, Any]:
    file = next((name for name in _KINDS if name in _json_files(tree)), None)
    if file is None:
        origin.wrong(folder, f"is no node: it has none of {', '.join(_KINDS)}")
        return {"Ruleset": {"name": ROOT, "rules": []}}
    kind = _KINDS[file]
    content = _parsed(origin, folder + file, tree[file])
    if type(content) is not dict:
        if content is not None:
            origin.wrong(folder + file, "expected a map")
        content = {}
    elif content.get("type") != kind:
        origin.wrong(folder + file, f"expected the field type to be {kind!r}, found {content.get('type')!r:.80}")
    inside = {name: value for name, value in content.items() if name not in ("type", "name")}
    node = {"name": content["name"]} if "name" in content else {}
    origin.put(path, folder + file)
    origin.put(f"{path}.{kind}", folder + file)
    if kind == "ruleset":
        return {"Ruleset": {**node, **inside, "rules": _rules(origin, tree.get("rules", {}), f"{folder}rules/", path)}}
    nodes = _children(origin, tree, folder, path, file, depth)
    return {kind.capitalize(): {**node, kind: inside, "nodes": nodes}}


def _rules(origin: Origin, tree: Any, folder: str, path: str) -> list[Any]:
    rules = []
    for place, file in enumerate(_json_files(tree) if isinstance(tree, dict) else []):
        origin.put(f"{path}.rules[{place}]", folder + file)
        rules.append(_parsed(origin, folder + file, tree[file]))
    return rules
