"""How Sphinx makes the documentation: ``make docs``.  Nothing is fetched; a warning is an error."""

from __future__ import annotations

import builtins
import inspect
import re

import click
from docutils import nodes
from pygments.lexer import RegexLexer
from pygments.token import Comment, Keyword, Name, Number, String, Text
from sphinx import addnodes
from sphinx.application import Sphinx

import broker
from broker import public
from broker.cli.app import app as command_line

project = "broker"
copyright = "The broker authors"  # noqa: A001 - Sphinx's name
version = release = broker.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = f"broker {broker.__version__}"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]

myst_heading_anchors = 3
# The languages of fences that Pygments has no name for are shown as they are.
highlight_language = "none"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
toc_object_entries = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

# What is not ours has its documentation elsewhere, and nothing is fetched from there; what is inside has no page.
nitpick_ignore_regex = [
    ("py:.*", rf"(?!broker\b|({'|'.join(public.__all__)})\b).*"),
    (
        "py:.*",
        r"broker\.(endpoint_life|net|node|protocol|stores|logs\.writer|handles\.store_writing|rules\.(explaining|language|model)|sinks\.\w+|testing\.\w+)\..*",
    ),
    ("py:.*", r"broker\..*\._?T"),
    ("py:mod", r"broker.*"),
    ("py:class", r"broker\..*\._\w+"),
]


def _unlink_builtins(_app: object, tree: nodes.document) -> None:
    """Let ``bytes`` in a signature be a type, and not an attribute of that name of some class."""
    for reference in list(tree.findall(addnodes.pending_xref)):
        if reference.get("reftarget") in _BUILTINS:
            reference.replace_self(nodes.Text(reference["reftarget"]))


def _hide_construction(
    _app: object, what: str, name: str, item: type, _options: object, _signature: str, _result: str
) -> tuple[str, None] | None:
    """A handle is what an endpoint gives, and a simulated one what a cluster does: how is their own affair."""
    if what != "class" or name.endswith((".Endpoint", ".SimulatedNetwork")):
        return None
    return ("", None) if ".handles" in item.__module__ or name.startswith("broker.testing.Simulated") else None


def _tell_fields(_app: object, what: str, _name: str, item: type, _options: object, lines: list[str]) -> None:
    """Show what stands behind the fields of a class of values, as comments."""
    if what != "class" or not (hasattr(item, "__struct_fields__") or "__attrs_attrs__" in vars(item)):
        return
    fields = filter(None, map(_FIELD.match, inspect.getsource(item).splitlines()))
    lines.extend(f"- ``{field['name']}``: {field['comment']}" for field in fields)
    lines.append("")


_FIELD = re.compile(r"    (?P<name>[a-z]\w*): [^#]+#:? (?P<comment>.+)")


def _skip(_app: object, _what: str, name: str, item: object, _skip: object, _options: object) -> bool | None:
    """Leave out what drivers and the endpoint itself call, and nobody else."""
    return True if (name, "handles" in (getattr(item, "__module__", None) or "")) in _INSIDE else None


# By name, and whether it is a handle's: StoreMaster.put is for programs, StatusReader's is not, and is left out there.
_INSIDE = frozenset((name, True) for name in ("end", "wake", "fill", "idle", "check_open", "until"))
_BUILTINS = frozenset(dir(builtins))


def _commands(group: click.Group, path: str) -> list[str]:
    """The help of every command, as Markdown."""
    context = click.Context(group, info_name=path, max_content_width=110, terminal_width=110)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if command.hidden:
            continue
        if isinstance(command, click.Group):
            found += _commands(command, f"{path} {name}")
        else:
            text = command.get_help(click.Context(command, info_name=f"{path} {name}", terminal_width=110))
            found.append(f"### {path} {name}\n\n```text\n{text}\n```\n")
    return found


def _fill_in(_app: object, _page: str, source: list[str]) -> None:
    """Put what the command line says of itself into the page about it."""
    source[0] = re.sub(
        r"^<!-- every command -->$",
        lambda _match: "\n".join(_commands(command_line, "broker")),
        source[0],
        flags=re.MULTILINE,
    )


class EventLanguage(RegexLexer):  # type: ignore[misc]  # Pygments has no types
    """Colours for the Event Language."""

    tokens = {  # noqa: RUF012 - as Pygments wants it
        "root": [
            (r"/\*.*?\*/|//.*?$", Comment),
            (r'"(?:\\.|[^"\\])*"', String),
            (r"(?:event|extends|predicate|within|per|last|every|each|first|consume|limit|on|to|do)\b(?!\()", Keyword),
            (r"(?:and|or|not|in|contains|matches|true|false)\b", Keyword),
            (r"[A-Z]\w*", Name.Class),
            (r"\d[\d.]*(?:ns|us|ms|s|m|h|d)?", Number),
            (r"\w+|\s+|.", Text),
        ]
    }
    flags = re.MULTILINE | re.DOTALL


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what is above; pages can be read and written side by side."""
    app.add_lexer("ev", EventLanguage)
    app.connect("source-read", _fill_in)
    app.connect("autodoc-process-docstring", _tell_fields)
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-signature", _hide_construction)
    app.connect("doctree-read", _unlink_builtins)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
