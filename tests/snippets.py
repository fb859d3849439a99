"""Code in Markdown, run as a reader would run it: the README's and that of ``docs/``.

What a fence holds is told by its language, and where that is not enough by a comment before it, which readers do not
see::

    <!-- within: hosts -->      a part of a program, run in the context of that name (CONTEXTS), after those before it
    <!-- pytest -->             a file of tests
    <!-- access -->             (toml) access rules
    <!-- config -->             (toml) a configuration
    <!-- file: NAME -->         a file that the programs of the page find in their directory
    <!-- not run: REASON -->    what cannot run here: it is only compiled

A ``python`` fence without one is a whole program.  What a program or a part prints stands in a ``text`` fence right
behind it, all of it.
In ``sh`` fences each ``broker`` line is parsed by the command line itself, without being carried out, unless it is::

    <!-- run -->                (sh) a shell runs it in the page's directory; what a terminal shows stands behind it

All of a page runs in one process, and the parts of a program in one loop: they share their names, as in a notebook.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import attrs
import click
from processes import in_terminal

from broker import events

ROOT = Path(__file__).parent.parent

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[a-z ]+)(?:: (?P<what>[^\n]*))? -->\n)?"
    r"^(?P<fence>```+)(?P<language>[^`\n]*)\n(?P<text>.*?)^(?P=fence)$"
    r"(?:\n\n```text\n(?P<output>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)


@attrs.frozen
class Snippet:
    """A fence of a page."""

    page: Path
    line: int
    language: str
    text: str
    mark: str = ""
    what: str = ""
    output: str | None = None

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def snippets(page: str, language: str | None = None) -> list[Snippet]:
    """The fences of a page, given by its path in the project, of one language or of all."""
    path = ROOT / page
    text = path.read_text()
    found = [
        Snippet(
            path,
            text.count("\n", 0, match.start("text")),
            match["language"],
            match["text"],
            match["mark"] or "",
            match["what"] or "",
            match["output"],
        )
        for match in _FENCE.finditer(text)
    ]
    return [snippet for snippet in found if language in {None, snippet.language}]


# --- Python ----------------------------------------------------------------------------------------------------------

_TWO_ENDPOINTS = """
import math
import broker, trio

@broker.event
class DiskUsage:
    host: str
    mount: str
    used: float

async def main():
    async with broker.Endpoint("manager") as manager, broker.Endpoint("web-01") as agent:
        address = await manager.listen("tcp://127.0.0.1:0")
        await agent.peer(address)
        {parts}

trio.run(main)
"""

_LOGINS = """
import pathlib
import broker, trio

@broker.log_record
class Login:
    user: str
    seconds: float

async def main():
    async with broker.Endpoint("manager") as manager, broker.Endpoint("web-01") as agent:
        await agent.peer(await manager.listen("tcp://127.0.0.1:0"))
        async with agent.log("logins", Login, path="logins.spool", collectors=["archive"]) as log:
            {body}

trio.run(main)
"""

CONTEXTS = {
    "two endpoints": _TWO_ENDPOINTS,
    # A master and a clone of it.
    "hosts": _TWO_ENDPOINTS.format(
        parts="""async with manager.master("hosts") as hosts, agent.clone("hosts") as replica:
            {parts}"""
    ),
    # A log stream with three records in its spool.
    "logins": _LOGINS.replace(
        "{body}",
        """for user in ("ada", "bob", "eve"):
                await log.write(Login(user, 0.2))
            {parts}""",
    ),
    # What collects until it is cancelled; then its file is looked at.
    "archive": _LOGINS.replace(
        "{body}",
        """async def collect():
                {parts}

            async with trio.open_nursery() as nursery:
                nursery.start_soon(collect)
                await log.write(Login("ada", 0.2))
                await log.collected("archive")
                nursery.cancel_scope.cancel()
            lines = pathlib.Path("logs/logins.log").read_text().splitlines()
            assert [line.split("\\t")[1] for line in lines if line[0] != "#"] == ["ada"]
            part_ends()""",
    ),
}
"""Programs with a place for what a page shows of them; the names that they have are told on the page."""


@contextlib.contextmanager
def _no_event_classes() -> Iterator[None]:
    """As in a new process: pages and other tests may have classes of the same names."""
    tables: tuple[dict[Any, Any], ...] = (events._classes, events._encoders, events._decoders)
    kept = [dict(table) for table in tables]
    for table in tables:
        table.clear()
    # broker's own are made when broker.reports is imported, which may be long ago.
    events._classes.update({name: kind for name, kind in kept[0].items() if name.startswith("broker::")})
    try:
        yield
    finally:
        for table, former in zip(tables, kept, strict=True):
            table.clear()
            table.update(former)


def _run(program: str, where: str, names: dict[str, object] | None = None) -> str:
    """What a program prints that runs in this process."""
    printed = io.StringIO()
    with _no_event_classes(), contextlib.redirect_stdout(printed):
        exec(compile(program, where, "exec", dont_inherit=True), {"__name__": "__main__"} | (names or {}))  # noqa: S102 - it is ours
    return printed.getvalue()


def run_program(snippet: Snippet) -> str:
    """What a snippet prints that is a whole program."""
    return _run("\n" * snippet.line + snippet.text, snippet.where)


def _run_parts(context: str, parts: list[Snippet]) -> list[str]:
    """What each of the parts of one program prints."""
    template = CONTEXTS[context]
    (indent,) = re.findall(r"^( *)\{parts\}$", template, re.MULTILINE)
    ended: list[str] = []

    def part_ends() -> None:
        assert isinstance(sys.stdout, io.StringIO)
        ended.append(sys.stdout.getvalue())
        sys.stdout.seek(0)
        sys.stdout.truncate()

    body = "\n".join(part.text + "part_ends()" for part in parts)
    program = template.replace(indent + "{parts}", textwrap.indent(body, indent))
    _run(program, f"{parts[0].where} and on, within {context!r}", {"part_ends": part_ends})
    assert len(ended) == len(parts), f"{parts[len(ended)].where}: not reached"
    return ended


def _run_pytest(snippet: Snippet, directory: Path) -> None:
    """Have pytest run a file of tests."""
    name = f"test_line_{snippet.line}.py"
    (directory / name).write_text(snippet.text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", name]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=directory, env=environment
    )
    assert done.returncode == 0, f"{snippet.where}:\n{done.stdout}{done.stderr}"


def check_python(page: str, directory: Path) -> int:
    """Run all Python of a page, in a directory, and compare what it prints with what it says; returns how many ran."""
    ran = 0
    write_files(page, directory)
    with contextlib.chdir(directory):
        for (mark, what), group in groupby(_in_order(page), key=lambda snippet: (snippet.mark, snippet.what)):
            found = list(group)
            if mark == "within":
                outputs = _run_parts(what, found)
            elif mark == "pytest":
                for snippet in found:
                    _run_pytest(snippet, directory)
                outputs = [""] * len(found)
            elif mark == "not run":
                assert what, f"{found[0].where}: say why it is not run"
                outputs = [
                    ""
                    for each in found
                    if compile(each.text, each.where, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
                ]
            else:
                assert not mark, f"{found[0].where}: {mark!r} is not known"
                outputs = [run_program(snippet) for snippet in found]
            for snippet, output in zip(found, outputs, strict=True):
                assert output == (snippet.output or ""), f"{snippet.where}: it prints\n{output}"
            ran += len(found)
    return ran


def write_files(page: str, directory: Path) -> None:
    """Write the files that a page has its readers save."""
    for snippet in snippets(page):
        if snippet.mark == "file":
            path = directory / snippet.what
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(snippet.text)


def _in_order(page: str) -> list[Snippet]:
    """The Python of a page, parts of one context together."""
    return sorted(snippets(page, "python"), key=lambda snippet: (snippet.mark, snippet.what))


# --- the shell -------------------------------------------------------------------------------------------------------


async def run_shell(snippet: Snippet, directory: Path) -> str:
    """What a terminal shows of a snippet's lines, carried out one after the other; ``broker`` is this one."""
    (directory / "commands").write_text(f'broker() {{ {shlex.quote(sys.executable)} -m broker "$@"; }}\n{snippet.text}')
    async with in_terminal("commands", columns=120, term="dumb", executable="bash", cwd=directory) as program:
        await program.end()
        return "".join(f"{line.rstrip()}\n" for line in await program.out.rest())


def broker_lines(page: str) -> list[str]:
    """The lines of a page's shell snippets that call ``broker``, without what comes after a pipe or a redirection."""
    text = "\n".join(snippet.text for snippet in snippets(page, "sh"))
    lines = re.findall(r"^broker [^\n]*$", text.replace("\\\n", " "), re.MULTILINE)
    return [re.split(r" [<>|&] ?", line, maxsplit=1)[0] for line in lines]


def understood(line: str, app: click.Group) -> list[str]:
    """Parse a line with the command line that it calls; returns the commands that it names."""
    words = shlex.split(line, comments=True)[1:]
    context, command, path = click.Context(app, info_name="broker"), app, []
    while True:
        found = command.get_command(context, words[0]) if words else None
        assert found is not None, f"{line}: {words[:1]} is no command"
        path.append(words.pop(0))
        if not isinstance(found, click.Group):
            found.make_context(path[-1], words, parent=context)
            return path
        command = found
