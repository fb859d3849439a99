"""Access rules are changed in their file as people would: what they wrote there stays."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from broker.cli.keys.edit import Rules
from broker.errors import AccessError
from broker.keyring import read_access, write_access
from broker.trust.access import Access, Trusted
from broker.trust.keys import SecretKey
from broker.trust.rights import LOG_RIGHTS, STORE_RIGHTS, Rights
from broker.trust.toml import format_access

KEYS = [SecretKey(bytes([number]) * 32).public for number in range(4)]
EXPIRES = datetime(2027, 1, 1, tzinfo=UTC)

TEXT = f"""\
# Ours.

[keys.web-01]   # rack 4
key = "{KEYS[0]}"   # since May
groups = [
  "agents",     # for now
]
stores.hosts = ["read"]   # no more

# The others.
[groups.agents]
publish = ["host/{{name}}/"] # '#' is no comment in "#"
"""


def rules_of(tmp_path: Path, text: str) -> Rules:
    write_access(tmp_path / "access.toml", text)
    return Rules(tmp_path / "access.toml")


def test_a_new_entry_comes_behind_the_others(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, TEXT)
    rules.trust("web-02", Trusted(keys=(KEYS[1],), groups=("agents",)))
    assert rules.path.read_text() == f'{TEXT}\n[keys.web-02]\nkey = "{KEYS[1]}"\ngroups = ["agents"]\n'
    assert read_access(rules.path) == rules.access


def test_a_change_leaves_all_else_as_it_was_written(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, TEXT)
    entry = rules.access.trusted["web-01"]
    rules.trust("web-01", msgspec.structs.replace(entry, revoked=True))
    assert rules.path.read_text() == TEXT.replace("# no more\n", "# no more\nrevoked = true\n")
    rules.trust("web-01", msgspec.structs.replace(entry, revoked=False))
    assert rules.path.read_text() == TEXT


def test_values_change_in_their_place_and_keep_their_comments(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, TEXT)
    entry = rules.access.trusted["web-01"]
    own = Rights(stores={"hosts": ("write",), "a.b": ("master",)}, relay=True)
    rules.trust("web-01", msgspec.structs.replace(entry, keys=(KEYS[0], KEYS[1]), groups=(), expires=EXPIRES, own=own))
    rules.define("agents", Rights(publish=("#",), logs={"conn": ("write",)}))
    assert (
        rules.path.read_text()
        == f"""\
# Ours.

[keys.web-01]   # rack 4
keys = ["{KEYS[0]}", "{KEYS[1]}"]   # since May
stores.hosts = ["write"]   # no more
expires = 2027-01-01T00:00:00Z
stores."a.b" = ["master"]
relay = true

# The others.
[groups.agents]
publish = ["#"] # '#' is no comment in "#"
logs.conn = ["write"]
"""
    )


@pytest.mark.parametrize(
    "text",
    [
        f'keys.web-01.key = "{KEYS[0]}"\nkeys.web-01.stores.hosts = ["read"]\n',
        f'[keys]\nweb-01.key = "{KEYS[0]}"\n"web-01".stores.hosts = ["read"]\n',
        f'[keys."web-01"]\nkey = "{KEYS[0]}"\n\n[keys.web-01.stores]\nhosts = ["read"]\n',
        f"[keys.web-01.stores]\nhosts = ['''read''']\n[keys.web-01]\nkey = '{KEYS[0]}'",
    ],
)
def test_other_layouts_are_changed_in_their_manner(tmp_path: Path, text: str) -> None:
    rules = rules_of(tmp_path, text)
    entry = msgspec.structs.replace(
        rules.access.trusted["web-01"],
        keys=(KEYS[1], KEYS[2]),
        revoked=True,
        own=Rights(stores={"hosts": ("write",), "users": ("read",)}, publish=("a",)),
    )
    rules.trust("web-01", entry)
    assert read_access(rules.path).trusted == {"web-01": entry}


def test_what_cannot_be_changed_is_left_and_told(tmp_path: Path) -> None:
    text = f'[keys]\nweb-01 = {{ key = "{KEYS[0]}" }}\n'
    rules = rules_of(tmp_path, text)
    entry = msgspec.structs.replace(rules.access.trusted["web-01"], revoked=True)
    with pytest.raises(AccessError, match=r"(?s)nothing was changed. Write:\n\[keys\.web-01\]\n.*\nrevoked = true\n"):
        rules.trust("web-01", entry)
    assert rules.path.read_text() == text


def test_what_makes_no_sense_is_told_by_its_place(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, TEXT)
    with pytest.raises(AccessError, match=r"^keys\.web-02\.publish\[0\]: .* write \"host/\"$"):
        rules.trust("web-02", Trusted(keys=(KEYS[1],), own=Rights(publish=("host/*",))))
    with pytest.raises(AccessError, match="have the same key"):
        rules.trust("web-02", Trusted(keys=(KEYS[0],)))
    assert rules.path.read_text() == TEXT


def test_a_new_file_has_groups_to_begin_with(tmp_path: Path) -> None:
    rules = Rules(tmp_path / "access.toml")
    assert rules.is_new
    assert sorted(rules.access.groups) == ["agents", "operators", "readers"]
    assert not rules.path.exists()
    rules.trust("web-01", Trusted(keys=(KEYS[0],), groups=("agents",)))
    assert read_access(rules.path) == rules.access


def test_any_rules_can_become_any_others(tmp_path: Path) -> None:
    chance = random.Random(6)

    def some(*values: str) -> tuple[str, ...]:
        return tuple(chance.sample(values, chance.randint(0, len(values))))

    def rights() -> Rights:
        return Rights(
            publish=some("", "a/", "b\\"),
            subscribe=some("#", '"c"'),
            stores={store: (chance.choice(STORE_RIGHTS),) for store in some("hosts", "a.b", "*")},
            logs={stream: (chance.choice(LOG_RIGHTS),) for stream in some("conn", "d*")},
            relay=chance.random() < 0.5,
        )

    def entry(*keys: int) -> Trusted:
        return Trusted(
            keys=tuple(KEYS[number] for number in keys),
            groups=some("agents", "#"),
            own=rights(),
            names=some("x*", "]"),
            addresses=some("tcp://h:1", "ipc://[x"),
            expires=chance.choice([None, EXPIRES]),
            revoked=chance.random() < 0.5,
        )

    for _ in range(30):
        groups = {"agents": rights(), "#": rights()}
        trusted = {"a": entry(0), "b": entry(1, 2)}
        rules = rules_of(tmp_path, format_access(Access(trusted=trusted, groups=groups)))
        changed, group = entry(*chance.choice([(0,), (3,), (0, 3)])), rights()
        rules.trust("a", changed)
        rules.define("#", group)
        wanted = Access(trusted=trusted | {"a": changed}, groups=groups | {"#": group})
        assert read_access(rules.path) == wanted
