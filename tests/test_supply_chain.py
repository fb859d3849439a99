"""Nothing that comes from outside is ever run as code, and no dependency with a known vulnerability is let in.

Run as a program this file is the other half of two of its own tests: it writes down every source text that is compiled
while names and bytes from outside go through the package.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import pytest
import zmq
from packaging.version import Version

from tools.audit import lowest, pinned

ROOT = Path(__file__).parent.parent

# -- code --------------------------------------------------------------------------------------------------------------

# Modules whose readers run what they read, or code by name; multiprocessing pickles.
FORBIDDEN_MODULES = {
    "_pickle", "cloudpickle", "code", "codeop", "copyreg", "ctypes", "dbm", "dill", "imp", "joblib", "jsonpickle",
    "marshal", "multiprocessing", "pickle", "runpy", "shelve", "xmlrpc", "yaml", "zipimport",
}  # fmt: skip
# Functions that run text as code, import by name, or hand a line to a shell.
FORBIDDEN_NAMES = {"__import__", "compile", "eval", "exec"}
FORBIDDEN_ATTRIBUTES = {"exec_module", "import_module", "load_module", "popen", "system"}

# Where the package does so, function by function, with what.  The text that source.py compiles is made of the names in
# classes of this process's own (see the tests below); the names of modules are this package's and the command line's.
ALLOWED = {
    ("__init__.py", "", "import_module"),
    ("cli/lazy.py", "_imported", "import_module"),
    ("cli/options.py", "import_all", "import_module"),
    ("rules/__init__.py", "", "import_module"),
    # Of the shapes of rules, without their constants, and of names of members that were checked to be names.
    ("rules/compiling/functions.py", "_built", "compile"),
    ("rules/compiling/functions.py", "_built", "exec"),
    ("rules/regex/__init__.py", "", "compile"),  # the name of a function of its own
    ("rules/regex/patterns.py", "", "compile"),
    ("schema/source.py", "compile_function", "compile"),
    ("schema/source.py", "compile_function", "exec"),
}


RELEVANT = (ast.Import, ast.ImportFrom, ast.Name, ast.Attribute, ast.keyword, ast.Constant)


def uses(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What is forbidden and used: the function that does, and what."""
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, function = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, RELEVANT):
            yield from ((function, name) for name in used(node))
        waiting += ((child, function) for child in ast.iter_child_nodes(node))


def used(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (name.name for name in names if name.name.partition(".")[0] in FORBIDDEN_MODULES)
        case ast.ImportFrom(module=str(module), names=names):
            if module.partition(".")[0] in FORBIDDEN_MODULES:
                yield module
            yield from (name.name for name in names if name.name in FORBIDDEN_NAMES | FORBIDDEN_ATTRIBUTES)
        case ast.Name(id=name) if name in FORBIDDEN_NAMES | {"__builtins__", "__loader__"}:
            yield name
        case ast.Attribute(value=owner, attr=name) if name in FORBIDDEN_ATTRIBUTES or (
            # Regular expressions are no code.
            name in FORBIDDEN_NAMES and not (isinstance(owner, ast.Name) and owner.id in ("re", "re2", "regex"))
        ):
            yield name
        case ast.keyword(arg="shell"):
            yield "shell"
        case ast.Constant(value=str(text)) if text in FORBIDDEN_MODULES - {"code", "imp"} or text in FORBIDDEN_NAMES:
            # For getattr and the like.
            yield text


def test_the_package_runs_nothing_as_code_but_what_it_wrote_itself() -> None:
    found = set()
    for path in sorted((ROOT / "broker").rglob("*.py")):
        tree = ast.parse(path.read_bytes())
        found |= {(path.relative_to(ROOT / "broker").as_posix(), *use) for use in uses(tree)}

    assert found == ALLOWED


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import os, marshal as m",
        "from shelve import open",
        "from yaml import load",
        "import multiprocessing.connection",
        "eval(text)",
        "run = exec",
        "builtins.eval(text)",
        "getattr(builtins, 'exec')",
        "__import__(name)",
        "importlib.import_module(name)",
        "from importlib import import_module",
        "importlib.import_module('pickle')",
        "os.system(line)",
        "subprocess.run(line, shell=True)",
        "async def f():\n    def g():\n        return __builtins__",
    ],
)
def test_the_check_finds_each_way_to_run_code(line: str) -> None:
    assert list(uses(ast.parse(line)))


@pytest.mark.parametrize(
    "line", ["re.compile('x')", "regex.compile('x')", "import msgpack", "cursor.execute()", "json.loads(text)"]
)
def test_the_check_leaves_the_rest_alone(line: str) -> None:
    assert not list(uses(ast.parse(line)))


# Valid Python, and invalid; as an expression, a line, in a string, in an f-string; a name that means something.
HOSTILE = [
    "evil()", "x=evil()", "'+evil()+'", '"+evil()+"', "{evil()}", "x\n    evil()", "x:evil()", "lambda: evil()",
    "import", "None", "v0", "instance", "schema", "made", "'", '"', "\\", "{", "\0",
]  # fmt: skip


def from_outside() -> dict[str, list[str]]:
    """Take hostile names and bytes through the package; the texts compiled meanwhile, by what was done."""
    from broker import EventDefinitionError
    from broker.cli.log.records import record_class
    from broker.events import decoder_for
    from broker.log_records import Column, columns_of
    from broker.sinks.jsonlines import JsonLines
    from broker.sinks.tsv import Tsv

    texts: list[str] = []

    def hook(event: str, arguments: Sequence[object]) -> None:
        if event == "compile" and isinstance(arguments[0], str | bytes):
            texts.append(arguments[0] if isinstance(arguments[0], str) else arguments[0].decode())

    def taken() -> list[str]:
        found = texts[:]
        texts.clear()
        return found

    sys.addaudithook(hook)
    # A record's columns, as a writer of logs tells them; their types, their descriptions and their stream's name.
    columns = [Column(name, kind, name, name) for name in HOSTILE for kind in ("str", "time", "vector[enum]", name)]
    Tsv("evil()", columns).begin(0)
    JsonLines(columns)
    files = taken()
    # The columns of a file, of which the command line makes a class: most of these are no names of columns at all.
    names = []
    for number, name in enumerate([*HOSTILE, "evil.evil", "evil-evil"]):
        # A stream's name is the class's; no class has one with a null character.
        with suppress(ValueError):
            record_class(f"{number} {name}", [Column("column", "str")])
        with suppress(EventDefinitionError):
            record_class(f"hostile{number}", [Column(name, "str", "evil()", "evil()")])
            names.append(name)
    made = record_class("all", [Column(name, "str", "evil()", "evil()") for name in names])
    assert [column.name for column in columns_of(made)] == names
    classes = taken()
    # Events of a name that nobody here knows, in whatever bytes.
    for name in HOSTILE:
        decoder_for(name)(b"\x91\x92\x01\xa6evil()", 1, name, name)
    events = taken()
    for name in HOSTILE:
        compile_hostile_rules(name)
    return {"files": files, "classes": classes, "events": events, "rules": taken()}


def compile_hostile_rules(name: str) -> None:
    """Compile predicates and expressions that have the name wherever there is one, and wherever there is a value."""
    from broker.errors import RuleError
    from broker.rules import model
    from broker.rules.compiling import EventClasses, Variable, compile_expression, compile_where

    for member, variable, type_name, operator in (
        (name, "event", "T", "str.eq"),
        ("v0", name, "T", "str.eq"),
        ("v0", "event", name, "str.eq"),
        ("v0", "event", "T", name),
        ("v0", "event", "T", "str.contains"),
    ):
        kind = model.EventType(type_name, (model.MemberType(member, "string"),))
        asked = model.Apply(operator, (model.Member(model.Name(variable), member), model.Constant(name)))
        among = model.Apply("str.in", (model.Member(model.Name(variable), member), model.Constant((name, "a"))))
        with suppress(RuleError):
            compile_where(model.Where(kind, model.Apply("bool.or", (asked, among))))
        with suppress(RuleError):
            program = model.Program((kind,))
            made = model.Make(type_name, ((member, model.Constant(name)),))
            for expression in (asked, among, made):
                compile_expression(program, expression, (Variable(variable, type_name),), EventClasses(program))


@pytest.fixture(scope="module")
def compiled() -> dict[str, list[str]]:
    command = [sys.executable, "-m", "tests.test_supply_chain"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60, cwd=ROOT)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("way", ["files", "classes", "rules"])
def test_no_name_from_outside_gets_into_source_text(compiled: dict[str, list[str]], way: str) -> None:
    assert len(compiled[way]) >= 2
    # What an identifier was made of is one: evil.evil makes evil_evil.
    assert not [text for text in compiled[way] if "evil" in text.replace("evil_evil", "")]


def test_events_that_come_in_compile_nothing(compiled: dict[str, list[str]]) -> None:
    assert compiled["events"] == []


# -- dependencies ------------------------------------------------------------------------------------------------------

# The first version without it.  `make audit` asks for all that is known; these are why the minimums are what they are.
CLOSED = {
    ("click", "CVE-2026-7246"): "8.3.3",
    ("grpcio", "CVE-2024-7246"): "1.65.4",
    ("idna", "CVE-2026-45409"): "3.15",
    ("lmdb", "CVE-2019-16224"): "2.1.0",
    ("msgpack", "CVE-2026-57585"): "1.2.1",
    ("pyarrow", "CVE-2023-47248"): "14.0.1",
    ("pyarrow", "CVE-2026-25087"): "23.0.1",
    ("pygments", "CVE-2026-4539"): "2.20.0",
    ("pynacl", "CVE-2025-69277"): "1.6.2",
    ("pytest", "CVE-2025-71176"): "9.0.3",
    ("redis", "CVE-2023-28859"): "4.5.4",
}
# libzmq's own; a pyzmq that was built against the system's library has that one's.
LIBZMQ_CLOSED = {"CVE-2019-13132": (4, 3, 2), "CVE-2020-15166": (4, 3, 3), "CVE-2021-20236": (4, 3, 3)}


@pytest.mark.parametrize(("name", "vulnerability"), CLOSED)
def test_no_version_with_a_known_vulnerability_is_let_in(name: str, vulnerability: str) -> None:
    closed = Version(CLOSED[name, vulnerability])

    assert Version(lowest()[name]) >= closed
    assert Version({key.lower(): exact for key, exact in pinned().items()}[name]) >= closed


@pytest.mark.parametrize("vulnerability", LIBZMQ_CLOSED)
def test_the_libzmq_in_use_is_free_of_a_known_vulnerability(vulnerability: str) -> None:
    assert zmq.zmq_version_info() >= LIBZMQ_CLOSED[vulnerability]


def test_every_lowest_version_is_pinned_at_it_or_above() -> None:
    exact = {name.lower().replace("_", "-"): Version(number) for name, number in pinned().items()}

    assert not [name for name, number in lowest().items() if exact[name] < Version(number)]


def test_what_runs_here_is_not_below_the_lowest() -> None:
    assert not [name for name, number in lowest().items() if Version(version(name)) < Version(number)]


if __name__ == "__main__":
    print(json.dumps(from_outside()))  # noqa: T201 - to the test that started it
