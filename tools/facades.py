"""Makes ``broker/blocking/handles.py`` and ``broker/aio/handles.py`` from the core's signatures.

The core is written once, for trio.  What its handles offer to blocking and to asyncio programs is the same, method by
method: this reads the core's source and writes a class for each handle, whose methods ask the portal.  What is not the
same (entering, publishing, receiving) is written by hand in the ``base`` module beside each.

``python -m tools.facades`` writes them, ``--check`` tells whether they are as they would be written; a test does, too.
"""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Final

from broker.endpoint import Endpoint
from broker.endpoint_life import EndpointLife
from broker.handles.batch import Batch
from broker.handles.collector import Collector
from broker.handles.log_topic import LogTopic
from broker.handles.log_writer import LogWriter
from broker.handles.rules import Rules
from broker.handles.status_reader import StatusReader
from broker.handles.store import Store
from broker.handles.store_proxy import StoreProxy
from broker.handles.store_roles import StoreClone, StoreMaster
from broker.handles.store_writing import StoreWriting
from broker.handles.subscriber import Subscriber
from broker.handles.watch import Watch

__all__ = ["FACADES", "Facade", "Handle", "main", "written"]

ROOT: Final = Path(__file__).parent.parent


@dataclass(frozen=True)
class Handle:
    """One class of a facade, and what it is made of."""

    core: tuple[type, ...]  # the class, and those of its bases whose methods are its own here
    bases: str
    by_hand: frozenset[str] = frozenset()  # written in the base module
    internal: frozenset[str] = frozenset()  # for the endpoint, not for programs
    attributes: dict[str, str] = field(default_factory=dict)  # plain ones, each with its type
    direct: bool = False  # its methods touch nothing that the portal's thread does

    @property
    def name(self) -> str:
        """Its name, as in the core."""
        return self.core[0].__name__


_RECEIVING: Final = frozenset({"receive", "receive_nowait", "receive_batch"})
_RUNS_INTERNAL: Final = frozenset({"end", "wake", "idle", "fill", "on_wake"})
_STORE_INTERNAL: Final = frozenset({"until", "end", "check_open"})
HANDLES: Final = (
    Handle((Subscriber,), "BaseSubscriber", by_hand=_RECEIVING, internal=_RUNS_INTERNAL),
    Handle((StatusReader,), "BaseStatusReader", by_hand=_RECEIVING, internal=frozenset({"end", "put"})),
    Handle((Batch,), "BaseBatch", attributes={"position": "Position | None", "results": "list[Any]"}, direct=True),
    Handle((Watch,), "BaseWatch", by_hand=_RECEIVING | {"position"}),
    Handle((StoreWriting,), "Handle", internal=_STORE_INTERNAL, attributes={"name": "str"}),
    Handle(
        (Store,),
        "BaseStore, StoreWriting, Mapping[Any, Any]",
        by_hand=frozenset({"get"}),
        internal=_STORE_INTERNAL,
    ),
    Handle((StoreMaster,), "Store"),
    Handle((StoreClone,), "Store"),
    Handle(
        (StoreProxy,),
        "BaseStoreProxy, StoreWriting",
        by_hand=frozenset({"get", "get_index", "size", "expires"}),
        internal=_STORE_INTERNAL,
    ),
    Handle(
        (LogTopic,),
        "BaseLogTopic",
        by_hand=frozenset({"write", "write_nowait", "write_all", "flush"}),
        attributes={"name": "str", "record": "type", "topic": "str"},
    ),
    Handle(
        (LogWriter,),
        "BaseLogWriter",
        by_hand=frozenset({"write_all"}),
        internal=frozenset({"end", "wake"}),
        attributes={"name": "str", "record": "type", "path": "Path"},
    ),
    Handle(
        (Collector,),
        "BaseCollector",
        by_hand=_RECEIVING,
        internal=_RUNS_INTERNAL,
        attributes={"stream": "str"},
    ),
    # Asking for an action says that the one before it is done: they are not taken over in runs.
    Handle((Rules,), "BaseRules", internal=frozenset({"end"}), attributes={"name": "str"}),
    Handle(
        (Endpoint, EndpointLife),
        "BaseEndpoint",
        by_hand=frozenset({"publish", "publish_nowait", "unpeer"}),
        internal=frozenset({"accepted", "turned_away", "received", "flooded", "lost", "round_done", "security"}),
        attributes={"name": "str"},
    ),
)
_NAMES: Final = frozenset(handle.name for handle in HANDLES)
# Arguments of the core's constructor that only tests of the core need.
_UNOFFERED: Final = frozenset({"network", "chance"})


@dataclass(frozen=True)
class Facade:
    """One of the two."""

    package: str
    world: str
    is_async: bool

    @property
    def path(self) -> Path:
        """The file that is made."""
        return ROOT / "broker" / self.package / "handles.py"


FACADES: Final = (
    Facade("blocking", "blocking programs", is_async=False),
    Facade("aio", "asyncio programs", is_async=True),
)


class _Imports:
    """Where names come from, found in the modules that use them."""

    def __init__(self) -> None:
        self._wanted: dict[str, set[str]] = {}
        self._tables: dict[ModuleType, dict[str, tuple[str, str]]] = {}

    def _table(self, module: ModuleType) -> dict[str, tuple[str, str]]:
        found = self._tables.get(module)
        if found is None:
            found = self._tables[module] = {}
            tree = ast.parse(inspect.getsource(module))
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module:
                    for alias in node.names:
                        found[alias.asname or alias.name] = (node.module, alias.name)
                elif isinstance(node, ast.Import):
                    for alias in node.names:
                        found[alias.asname or alias.name] = (alias.name, "")
                elif isinstance(node, ast.ClassDef):
                    found.setdefault(node.name, (module.__name__, node.name))
            for node in tree.body:
                targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
                for target in targets:
                    if isinstance(target, ast.Name):
                        found[target.id] = (module.__name__, target.id)
        return found

    def use(self, module: ModuleType, tree: ast.AST) -> None:
        """Take note of what is used there."""
        for node in ast.walk(tree):
            if not isinstance(node, ast.Name) or node.id in _NAMES or node.id not in self._table(module):
                continue
            origin, name = self._table(module)[node.id]
            text = f"import {origin}" if not name else f"from {origin} import {name}"
            if name and name != node.id:
                text += f" as {node.id}"
            self._wanted.setdefault(text, set()).add(node.id)

    def lines(self) -> list[str]:
        """Return the import statements."""
        return sorted(self._wanted)


def _functions(cls: type) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(inspect.getsource(sys.modules[cls.__module__]))
    node = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__)
    for item in node.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            yield item


def _decorated(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> bool:
    return any(isinstance(item, ast.Name) and item.id == name for item in function.decorator_list)


class _Writer:
    """Writes one facade."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade
        self._imports = _Imports()
        self._lines: list[str] = []

    def text(self) -> str:
        for handle in HANDLES:
            self._class(handle)
        bases = sorted({base.strip() for handle in HANDLES for base in handle.bases.split(",")})
        bases = [base for base in bases if base.startswith("Base") or base == "Handle"]
        head = [
            f'"""The core\'s handles for {self._facade.world}: made by ``tools/facades.py``, not to be edited.',
            "",
            "It is long because it is the whole of what there is to be asked; what each does is told by the core.",
            '"""',
            "",
            "from __future__ import annotations",
            "",
            "from collections.abc import Mapping",
            "from pathlib import Path",
            "from typing import Any, Self",
            "from broker.journaling import Position",
            *self._imports.lines(),
            "from broker import endpoint as core",
            f"from broker.{self._facade.package}.base import {', '.join(bases)}",
            "",
            f"__all__ = {sorted(_NAMES - {'StoreWriting'})!r}",
            "",
        ]
        return _formatted("\n".join([*head, *self._lines]) + "\n", self._facade.path)

    def _class(self, handle: Handle) -> None:
        cls, add = handle.core[0], self._lines.append
        add(f"\n\nclass {handle.name}({handle.bases}):")
        add(f'    """{self._summary(inspect.getdoc(cls) or "")}')
        add(f'\n    See :class:`broker.{handle.name}`.\n    """' if handle.name != "StoreWriting" else '    """')
        for source in reversed(handle.core):
            module = sys.modules[source.__module__]
            for function in _functions(source):
                if function.name == "__init__" and cls is Endpoint:
                    self._constructor(function, module)
                if function.name.startswith("_") or function.name in handle.by_hand | handle.internal:
                    continue
                if function.name in handle.attributes:
                    continue
                self._method(handle, function, module)
        for name, kind in handle.attributes.items():
            add(f"\n    @property\n    def {name}(self) -> {kind}:")
            add(f'        """As the core has it."""\n        return self._core.{name}')

    def _constructor(self, function: ast.FunctionDef | ast.AsyncFunctionDef, module: ModuleType) -> None:
        arguments = _without(function.args, _UNOFFERED)
        self._imports.use(module, arguments)
        self._lines.append(f"\n    def __init__({ast.unparse(arguments)}) -> None:")
        self._lines.append(f"        self._begin(core.Endpoint({_passed(arguments)}))")

    def _method(self, handle: Handle, function: ast.FunctionDef | ast.AsyncFunctionDef, module: ModuleType) -> None:
        add, asynchronous = self._lines.append, isinstance(function, ast.AsyncFunctionDef)
        arguments = function.args
        assert function.returns is not None
        self._imports.use(module, arguments)
        self._imports.use(module, function.returns)
        returns = ast.unparse(function.returns)
        doc = self._doc(handle, function)
        if _decorated(function, "property"):
            add(f"\n    @property\n    def {function.name}(self) -> {returns}:\n{doc}")
            add(f"        return self._get({function.name!r})")
            return
        has_timeout = any(item.arg == "timeout" for item in (*arguments.args, *arguments.kwonlyargs))
        given = ast.unparse(arguments)
        awaited = asynchronous and self._facade.is_async
        if asynchronous and not self._facade.is_async and not has_timeout:
            named = bool(arguments.kwonlyargs or arguments.vararg)
            given += ", timeout: float | None = None" if named else ", *, timeout: float | None = None"
        if _decorated(function, "classmethod"):
            given = ast.unparse(arguments)
            add(f"\n    @classmethod\n    def {function.name}({given}) -> Self:\n{doc}")
            add(f"        return cls._of(core.Endpoint.{function.name}({_passed(arguments)}))")
            return
        if _decorated(function, "overload"):
            self._imports.use(module, ast.Name("overload"))
            add("\n    @overload")
            add(f"    {'async ' if awaited else ''}def {function.name}({given}) -> {returns}: ...")
            return
        add(f"\n    {'async ' if awaited else ''}def {function.name}({given}) -> {returns}:\n{doc}")
        passed = _passed(arguments)
        if asynchronous and not self._facade.is_async and not has_timeout:
            passed += f"{', ' if passed else ''}_timeout=timeout"
        self._body(handle, function, passed, returns, asynchronous=asynchronous)

    def _body(self, handle: Handle, function: ast.AST, passed: str, returns: str, *, asynchronous: bool) -> None:
        name = getattr(function, "name")  # noqa: B009 - of either kind of function
        core = f"self._core.{name}"
        if asynchronous:
            kept = "" if returns == "None" else "return "
            awaited = "await " if self._facade.is_async else ""
            self._lines.append(f"        {kept}{awaited}self._call({core}{', ' if passed else ''}{passed})")
        elif handle.direct:
            self._lines.append(f"        {core}({passed})")
        elif name == "log":
            self._lines.append(f"        made = {core}({passed})")
            self._lines.append("        return LogTopic(made, self) if path is None else LogWriter(made, self)")
        elif returns in _NAMES:
            made = f"{core}({passed})"
            if handle.core[0] is not Endpoint and returns == "Watch":  # it looks at the store
                made = f"self._ask({core}{', ' if passed else ''}{passed})"
            owner = "self" if handle.core[0] is Endpoint else "self._endpoint"
            self._lines.append(f"        return {returns}({made}, {owner})")
        else:
            kept = "" if returns == "None" else "return "
            self._lines.append(f"        {kept}self._ask({core}{', ' if passed else ''}{passed})")

    def _doc(self, handle: Handle, function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        summary = self._summary(ast.get_docstring(function) or "")
        owner = "Store" if handle.name == "StoreWriting" else handle.name
        pointer = f"See :meth:`broker.{owner}.{function.name}`."
        indent = " " * 8
        return "\n".join([f'{indent}"""{summary}', "", f"{indent}{pointer}", f'{indent}"""'])

    def _summary(self, doc: str) -> str:
        """Return a docstring's first paragraph, in this world's words."""
        text = doc.strip().partition("\n\n")[0]
        if not self._facade.is_async:
            text = text.replace("async with", "with").replace("async for", "for")
        return "\n        ".join(text.splitlines())


def _without(arguments: ast.arguments, names: frozenset[str]) -> ast.arguments:
    kept = [
        (argument, default)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if argument.arg not in names
    ]
    return ast.arguments(
        arguments.posonlyargs,
        arguments.args,
        arguments.vararg,
        [argument for argument, _ in kept],
        [default for _, default in kept],
        arguments.kwarg,
        arguments.defaults,
    )


def _passed(arguments: ast.arguments) -> str:
    """Return how arguments are passed on."""
    parts = [
        argument.arg for argument in (*arguments.posonlyargs, *arguments.args) if argument.arg not in {"self", "cls"}
    ]
    if arguments.vararg is not None:
        parts.append(f"*{arguments.vararg.arg}")
    parts += [f"{argument.arg}={argument.arg}" for argument in arguments.kwonlyargs]
    return ", ".join(parts)


def _formatted(text: str, path: Path) -> str:
    """Return it as ruff formats it, with imports in order."""
    ruff = [sys.executable, "-m", "ruff"]
    name = ["--stdin-filename", str(path), "-"]
    lint = [*ruff, "check", "--quiet", "--select", "I,F401", "--fix", *name]
    for command in (lint, [*ruff, "format", "--quiet", *name]):
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode:
            raise SystemExit(f"{path}: {done.stdout}{done.stderr}")
        text = done.stdout
    return text


def written(facade: Facade) -> str:
    """Return what a facade's file has to be."""
    return _Writer(facade).text()


def main(arguments: list[str]) -> int:
    """Write them, or tell which are not as they would be written."""
    stale = 0
    for facade in FACADES:
        text = written(facade)
        if arguments == ["--check"]:
            if facade.path.read_text() != text:
                print(
                    f"{facade.path.relative_to(ROOT)} is not what tools/facades.py makes: run python -m tools.facades"
                )
                stale = 1
        else:
            facade.path.write_text(text)
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
