"""``examples/broker.toml`` shows every key there is, and makes sense as it is and with all that is said in comments."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from broker.config.model import LISTS, TABLES, StoreSettings, fields_of
from broker.config.parsing import parse_config
from broker.config.shown import shown
from broker.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = (ROOT / "examples/broker.toml").read_text()


def with_comments(*, without: str) -> str:
    """The text with what stands in comments said, but for some lines."""
    lines = [line.removeprefix("#:") for line in EXAMPLE.splitlines()]
    return "\n".join(line for line in lines if not re.match(without, line))


def test_it_is_fine_as_it_is_and_says_what_the_defaults_are() -> None:
    config = parse_config(EXAMPLE)
    defaults = {each.key: each.value for each in shown(parse_config(""))}
    said = {each.key: each.value for each in shown(config) if each.source is not None and each.key in defaults}
    different = [key for key in said if said[key] != defaults[key]]
    assert different == ["endpoint.name"]
    assert len(said) > 10


def test_it_has_every_key_of_every_table() -> None:
    table = ""
    seen: dict[str, set[str]] = {}
    for line in EXAMPLE.splitlines():
        found = re.match(r"(?:#:)?(?:\[{1,2}(\w+)[^]]*\]|(\w+) = )", line)
        if found and found[1]:
            table = found[1]
        elif found:
            seen.setdefault(table, set()).add(found[2])
    assert seen.pop("") == {"listen", "peer"}
    kinds = {**TABLES, **LISTS, "stores": StoreSettings}
    assert seen == {name: set(fields_of(kind)) for name, kind in kinds.items()}


def test_what_it_says_in_comments_can_be_said() -> None:
    # Keys go without insecure, a master is never stale, a list and tables of one name are one too many.
    text = with_comments(without=r"insecure = true|stale_after|listen = \[|peer = ")
    config = parse_config(text)
    assert (config.listen[0].address, config.peer[0].key) == ("tcp://192.0.2.1:9999", "manager")
    assert (config.metrics.listen, config.endpoint.report_every) == ("127.0.0.1:9464", 10)
    assert (config.stores["hosts"].limit_bytes, config.collect[0].keep) == (1 << 30, 168)
    without_keys = with_comments(without=r"key = |keys|access|limit_bytes|listen = \[|peer = ")
    assert parse_config(without_keys.replace("master", "clone")).stores["hosts"].stale_after == 30
    with pytest.raises(ConfigError):
        parse_config(with_comments(without=r"listen = \[|peer = "))
