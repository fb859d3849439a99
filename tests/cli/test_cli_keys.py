"""``broker keys``: keys and whose are trusted, from the first key to a changed and a revoked one.

It is long because it goes through all subcommands, each with what it is given wrongly.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio
from processes import TIMEOUT_S, broker, finished, started

from broker import AccessRules, Endpoint, Event, PeerResumed, StatusReader
from broker.cli.app import run_app
from broker.keyring import read_access, read_key, write_access, write_key
from broker.trust.access import Trusted
from broker.trust.keys import PublicKey, SecretKey
from broker.trust.rights import Rights

SECRETS = [SecretKey(bytes([number]) * 32) for number in range(4)]
KEYS = [str(secret.public) for secret in SECRETS]

Keys = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of keys, which is not there yet."""
    monkeypatch.setenv("BROKER_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("BROKER_ACCESS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "keys"


@pytest.fixture
def keys(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Keys:
    """Run ``broker keys``: its exit code, standard output and standard error; no secret is ever in them."""

    def run(*arguments: str, terminal: bool = False, stdin: str = "") -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(os, "isatty", lambda _: terminal)
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = run_app(["keys", *arguments])
        out, err = capsys.readouterr()
        assert "bks1" not in out + err
        return code, out, err

    return run


def rules(folder: Path) -> Any:
    return read_access(folder / "access.toml")


# -- new and show -----------------------------------------------------------------------------------------------------


def test_a_new_key_is_in_its_file_and_its_public_half_alone_on_standard_output(keys: Keys, folder: Path) -> None:
    code, out, err = keys("new", "web-01")
    key = read_key(folder / "web-01.key")
    assert (code, out) == (0, f"{key.secret.public}\n")
    assert key.name == "web-01"
    assert f"broker keys trust {key.secret.public} --name web-01" in err
    assert "--keys web-01" in err
    assert keys("show", "web-01", "--public") == (0, out, "")


def test_a_new_key_may_be_put_elsewhere(keys: Keys, folder: Path, tmp_path: Path) -> None:
    code, out, err = keys("new", "web-01", "--dir", str(tmp_path / "other"))
    path = tmp_path / "other" / "web-01.key"
    assert (code, PublicKey.parse(out)) == (0, read_key(path).secret.public)
    assert f"--keys {path}" in err
    assert not folder.exists()


def test_a_key_that_is_there_is_kept_even_when_another_is_forced(keys: Keys, folder: Path) -> None:
    first = keys("new", "web-01")[1]
    code, out, err = keys("new", "web-01")
    assert (code, out) == (2, "")
    assert "is there already: 'broker keys rotate web-01'" in err
    code, second, err = keys("new", "web-01", "--force")
    assert code == 0
    assert "the key that was there is" in err
    assert str(read_key(folder / "web-01.key").secret.public) == second.strip() != first.strip()
    assert str(read_key(folder / "web-01.key.old").secret.public) == first.strip()
    code, _, err = keys("new", "web-01", "--force")
    assert code == 2
    assert "an earlier key is there: move it away" in err
    assert str(read_key(folder / "web-01.key").secret.public) == second.strip()


def test_keys_are_shown_by_name_by_path_and_all_together(keys: Keys, folder: Path) -> None:
    for name, secret in zip(("a", "b"), SECRETS, strict=False):
        write_key(folder / f"{name}.key", name, secret)
    code, out, _ = keys("show")
    assert code == 0
    first, second = map(json.loads, out.splitlines())
    assert first == {"name": "a", "key": KEYS[0], "path": str(folder / "a.key"), "created": first["created"]}
    assert datetime.fromisoformat(first["created"]).tzinfo is not None
    assert second["key"] == KEYS[1]
    assert keys("show", str(folder / "b.key"), terminal=True)[1] == f"b  {KEYS[1]}  {folder / 'b.key'}\n"
    assert json.loads(keys("show", "b", "--json", terminal=True)[1]) == second


# -- trust and group --------------------------------------------------------------------------------------------------


def test_the_first_trust_makes_a_file_with_groups_and_says_what_is_given(keys: Keys, folder: Path) -> None:
    code, out, err = keys("trust", KEYS[0], "--name", "web-01", "--group", "agents")
    assert (code, out) == (0, "")
    assert f"wrote {folder / 'access.toml'}, with the groups agents, readers, operators" in err
    assert "web-01 may: publish host/{name}/, subscribe command/{name}/ command/all/" in err
    assert rules(folder).trusted == {"web-01": Trusted(keys=(SECRETS[0].public,), groups=("agents",))}


def test_all_that_rules_can_say_of_a_key_can_be_said(keys: Keys, folder: Path) -> None:
    options = [
        *("--group", "readers", "--address", "tcp://10.0.0.1:9999", "--alias", "web-*", "--expires", "2027-01-31"),
        *(
            "--publish",
            "host/",
            "--publish",
            "x",
            "--subscribe",
            "",
            "--store",
            "hosts=read,write",
            "--store",
            "a=b=read",
        ),
        *("--log", "conn*=write", "--relay"),
    ]
    assert keys("trust", "-", "--name", "web-01", *options, stdin=f"{KEYS[0]}\n")[0] == 0
    assert rules(folder).trusted["web-01"] == Trusted(
        keys=(SECRETS[0].public,),
        groups=("readers",),
        addresses=("tcp://10.0.0.1:9999",),
        names=("web-*",),
        expires=datetime(2027, 1, 31, tzinfo=UTC),
        own=Rights(
            publish=("host/", "x"),
            subscribe=("",),
            stores={"hosts": ("read", "write"), "a=b": ("read",)},
            logs={"conn*": ("write",)},
            relay=True,
        ),
    )


def test_who_may_do_nothing_is_told_how_to_change_that(keys: Keys) -> None:
    code, _, err = keys("trust", KEYS[0], "--name", "web-01")
    assert code == 0
    assert "web-01 may do nothing yet: give it rights with --group GROUP (there are: agents, readers, operators)" in err


def test_what_is_said_again_of_a_key_takes_the_place_of_that_part(keys: Keys, folder: Path) -> None:
    keys("trust", KEYS[0], "--name", "a", "--group", "agents", "--publish", "x", "--store", "s=read", "--relay")
    keys("trust", KEYS[0], "--name", "a", "--publish", "y", "--store", "t=write", "--no-relay")
    entry = rules(folder).trusted["a"]
    assert entry.groups == ("agents",)
    assert entry.own == Rights(publish=("y",), stores={"s": ("read",), "t": ("write",)})


def test_another_key_of_a_name_has_to_be_meant(keys: Keys, folder: Path) -> None:
    keys("trust", KEYS[0], "--name", "a")
    code, _, err = keys("trust", KEYS[1], "--name", "a")
    assert code == 2
    assert "a is there with another key" in err
    assert "--add trusts this one beside it" in err
    assert keys("trust", KEYS[1], "--name", "a", "--add")[0] == 0
    assert rules(folder).trusted["a"].keys == (SECRETS[0].public, SECRETS[1].public)
    code, _, err = keys("trust", KEYS[1], "--name", "b")
    assert code == 2
    assert "a has that key already" in err


def test_groups_are_defined_and_changed(keys: Keys, folder: Path) -> None:
    code, _, err = keys("trust", KEYS[0], "--name", "a", "--group", "mine")
    assert code == 2
    assert (
        "there is no group 'mine' (there are: agents, operators, readers): define it with broker keys group mine" in err
    )
    code, _, err = keys("group", "mine", "--publish", "m/{name}/", "--log", "conn=write,collect")
    assert code == 0
    assert "each of the group mine may: publish m/{name}/, log conn: write collect" in err
    keys("trust", KEYS[0], "--name", "a", "--group", "mine")
    assert "it has 1 member: a" in keys("group", "mine", "--subscribe", "x")[2]
    wanted = Rights(publish=("m/{name}/",), subscribe=("x",), logs={"conn": ("write", "collect")})
    assert rules(folder).groups["mine"] == wanted


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["new", "a b"], "cannot be a key's name"),
        (["new"], "Missing argument"),
        (["show"], "there are no keys in"),
        (["show", "a"], "make a key with broker keys new a"),
        (["show", "a b"], "neither the name of a key"),
        (["trust", "bk1x", "--name", "a"], "56 letters"),
        (["trust", SECRETS[0].text, "--name", "a"], "this is a secret key, which nobody else may have"),
        (["trust", KEYS[0]], "Missing option '--name'"),
        (["trust", KEYS[0], "--name", "a b"], "the name of a key has letters, digits"),
        (["trust", KEYS[0], "--name", "a", "--store", "hosts"], "is not NAME=RIGHT"),
        (["trust", KEYS[0], "--name", "a", "--store", "hosts=raed"], "keys.a.stores.hosts[0]: 'raed' is no such right"),
        (["trust", KEYS[0], "--name", "a", "--log", "conn=read"], "the rights are: write, collect"),
        (["trust", KEYS[0], "--name", "a", "--publish", "x*"], 'write "x"'),
        (["trust", KEYS[0], "--name", "a", "--address", "10.0.0.1"], "an address is tcp://HOST:PORT"),
        (["trust", KEYS[0], "--name", "a", "--address", "tcp://manager:"], "is not tcp://HOST:PORT"),
        (["trust", KEYS[0], "--name", "a", "--address", "tcp://*:9999"], "can be listened on, but not dialled"),
        (["trust", KEYS[0][:-1], "--name", "a"], "55 are there; copy it once more"),
        (["show", KEYS[0]], "keys: this is a key itself: give the name of its file"),
        (["trust", KEYS[0], "--name", "a", "--expires", "2027-01-31T12:00:00"], "lacks its zone"),
        (["trust", KEYS[0], "--name", "a", "--expires", "soon"], "is no time"),
        (["revoke", "a"], "there are no access rules"),
        (["list"], "there are no access rules"),
        (["rotate", "a"], "make a key with broker keys new a"),
        (["rotate", "a", "--finish"], "make a key with broker keys new a"),
        (["rotate", "a", "--forget-old"], "make a key with broker keys new a"),
    ],
)
def test_what_is_wrong_is_told_in_a_line_and_nothing_is_written(
    keys: Keys, folder: Path, arguments: list[str], told: str
) -> None:
    code, out, err = keys(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert not list(folder.glob("*"))


def test_who_names_no_key_is_told_which_there_are_and_never_sees_one_that_is_secret(keys: Keys, folder: Path) -> None:
    for name in ("a", "b"):
        keys("new", name)
    assert "the keys there are a, b; make a key with broker keys new c" in keys("show", "c")[2]
    secret = read_key(folder / "a.key").secret.text
    code, out, err = keys("show", secret)  # the fixture looks for it in what is said
    assert (code, out) == (2, "")
    assert "this is a key itself: give the name of its file" in err


def test_who_changes_the_rules_is_told_that_others_have_files_of_their_own(keys: Keys) -> None:
    for arguments in (
        ("trust", KEYS[0], "--name", "a", "--group", "agents"),
        ("group", "agents", "--publish", "x/"),
        ("revoke", "a"),
    ):
        assert "where others go by the same rules, copy the file to them" in keys(*arguments)[2]


def test_trust_that_is_over_when_it_is_given_is_not_told_as_trust(keys: Keys) -> None:
    given = ("trust", KEYS[0], "--name", "a", "--group", "agents", "--expires")
    code, _, err = keys(*given, "2020-01-01")
    assert (code, "but its trust has expired: --expires TIME says until when" in err) == (0, True)
    assert "expired" not in keys(*given, "2999-01-01")[2]


def test_a_key_is_changed_where_its_file_is(keys: Keys) -> None:
    keys("trust", KEYS[0], "--name", "a", "--group", "agents")
    code, _, err = keys("rotate", "a")
    assert (code, "a key is changed on the host that has its file, a's" in err) == (2, True)
    assert "make a key with broker keys new b" in keys("rotate", "b")[2]


# -- list, revoke, check ----------------------------------------------------------------------------------------------


def test_the_list_tells_who_may_do_what_and_who_no_longer(keys: Keys) -> None:
    keys("trust", KEYS[0], "--name", "a", "--group", "readers", "--store", "*=write", "--expires", "2020-01-01")
    keys("trust", KEYS[1], "--name", "b")
    keys("revoke", "b")
    keys("trust", KEYS[2], "--name", "c", "--group", "operators", "--address", "tcp://h:1")
    code, out, _ = keys("list")
    assert code == 0
    forms = [json.loads(line) for line in out.splitlines()]
    assert forms[0] == {
        "name": "a",
        "state": "expired",
        "keys": [KEYS[0]],
        "groups": ["readers"],
        "names": [],
        "addresses": [],
        "expires": "2020-01-01T00:00:00+00:00",
        "publish": [],
        "subscribe": [""],
        "stores": {"*": ["write", "read"]},
        "logs": {"*": ["collect"]},
        "relay": False,
    }
    assert [(form["name"], form["state"]) for form in forms] == [("a", "expired"), ("b", "revoked"), ("c", "trusted")]
    table = keys("list", terminal=True)[1].splitlines()
    assert table[0].split() == ["name", "state", "key", "groups", "may"]
    assert table[2].split() == ["b", "revoked", f"{KEYS[1][:13]}...", "none"]
    assert "publish everything, subscribe everything, store *: master, log *: write collect, relay" in table[3]


def test_who_is_revoked_stays_so_until_the_file_is_changed(keys: Keys, folder: Path) -> None:
    keys("trust", KEYS[0], "--name", "a", "--group", "agents")
    code, _, err = keys("revoke", "a")
    assert code == 0
    assert "a is revoked: endpoints that use this file cut it off within a second" in err
    assert rules(folder).trusted["a"].revoked
    assert keys("revoke", "a")[0] == 0
    code, _, err = keys("trust", KEYS[0], "--name", "a", "--group", "agents")
    assert code == 2
    assert "a has been revoked" in err
    code, _, err = keys("revoke", "b")
    assert code == 2
    assert "there is no 'b' (there are: a)" in err


def test_a_check_tells_problems_and_what_may_not_be_meant(keys: Keys, folder: Path) -> None:
    keys("trust", keys("new", "a")[1].strip(), "--name", "a")
    keys("new", "b")
    code, out, _ = keys("check")
    form = json.loads(out)
    assert (code, form["problems"], form["trusted"], form["key_files"]) == (0, [], 1, 2)
    assert form["remarks"] == [
        "a may do nothing: it has no rights, of its own or of a group",
        f"{folder / 'b.key'}: its key is not in the rules",
    ]
    (folder / "b.key").chmod(0o644)
    (folder / "access.toml").write_text("[keys.a]\n")
    folder.chmod(0o777)
    code, out, _ = keys("check", terminal=True)
    assert code == 1
    assert f"problem: {folder / 'access.toml'}: line 1: keys.a: it has no key" in out
    assert f"problem: {folder / 'b.key'}: others could read or write it (its mode is 644): chmod 600" in out
    assert f"problem: {folder}: others can put files there: chmod go-w {folder}" in out


# -- another key ------------------------------------------------------------------------------------------------------


def test_a_key_is_changed_without_a_moment_in_which_it_is_not_trusted(keys: Keys, folder: Path) -> None:
    old = keys("new", "a")[1].strip()
    keys("trust", old, "--name", "alpha", "--group", "agents")
    path = folder / "a.key"

    def trusted() -> list[str]:
        return [str(key) for key in rules(folder).trusted["alpha"].keys]

    code, out, err = keys("rotate", "a")
    new = out.strip()
    assert code == 0
    assert "copy the access rules to all who trust it; then: broker keys rotate a --finish" in err
    assert (trusted(), str(read_key(path).secret.public)) == ([old, new], old)
    assert keys("rotate", "a")[1] == out  # as often as it is begun
    assert trusted() == [old, new]
    code, _, err = keys("rotate", "a", "--forget-old")
    assert code == 2
    assert "first broker keys rotate a --finish" in err

    code, out, err = keys("rotate", "a", "--finish")
    assert (code, out.strip()) == (0, new)
    assert "broker keys rotate a --forget-old" in err
    assert (trusted(), str(read_key(path).secret.public)) == ([old, new], new)
    assert sorted(file.name for file in folder.iterdir()) == ["a.key", "access.toml"]
    code, _, err = keys("rotate", "a", "--finish")
    assert code == 2
    assert "nothing was prepared; begin with broker keys rotate a" in err

    assert keys("rotate", "a", "--forget-old")[0] == 0
    assert trusted() == [new]
    assert "has this key alone, as before" in keys("rotate", "a", "--forget-old")[2]


def test_a_new_key_is_not_used_before_it_is_trusted(keys: Keys, folder: Path) -> None:
    old = keys("new", "a")[1].strip()
    keys("trust", old, "--name", "a")
    keys("rotate", "a")
    write_access(folder / "access.toml", f'[keys.a]\nkey = "{old}"\n')
    code, _, err = keys("rotate", "a", "--finish")
    assert code == 2
    assert "does not have the new key beside the old" in err
    assert str(read_key(folder / "a.key").secret.public) == old


def test_a_key_is_changed_where_its_own_rules_lack_it(keys: Keys, folder: Path) -> None:
    keys("new", "a")
    code, out, err = keys("rotate", "a")
    assert code == 0
    assert f"broker keys trust {out.strip()} --name NAME --add" in err
    assert keys("rotate", "a", "--finish")[:2] == (0, out)


# -- who else uses keys -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sub", "x", "--listen", "tcp://0.0.0.0:0"], "with commands: --keys NAME, or --insecure"),
        (["sub", "x", "--listen", "tcp://127.0.0.1:0", "--keys", "none"], "make a key with broker keys new none"),
        (["sub", "x", "--listen", "tcp://127.0.0.1:0", "--keys", "a", "--insecure"], "leave --insecure out"),
        (["mesh", "--connect", "tcp://127.0.0.1:1", "--access", "x"], "--access needs keys"),
        (["store", "list", "--connect", "tcp://127.0.0.1:1", "--peer-key", "x"], "--peer-key needs a key of our own"),
        (
            ["log", "tail", "x", "--listen", "tcp://127.0.0.1:0", "--keys", "a", "--access", "no.toml"],
            "no access rules",
        ),
    ],
)
def test_commands_with_an_endpoint_tell_what_is_wrong_with_keys(
    folder: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    write_key(folder / "a.key", "a", SECRETS[0])
    assert run_app(arguments) == 2
    assert told in capfd.readouterr().err


async def test_two_commands_with_keys_talk_and_are_held_to_their_rights(keys: Keys) -> None:
    keys("trust", keys("new", "manager")[1].strip(), "--name", "manager", "--group", "operators")
    keys("trust", keys("new", "web-01")[1].strip(), "--name", "web-01", "--group", "agents")
    sub = broker("sub", "host/", "--listen", "tcp://127.0.0.1:0", "--keys", "manager", "--count", "1")
    async with started(*sub) as manager:
        dial: tuple[str, ...] = ("--connect", await manager.listening(), "--keys", "web-01", "--timeout", "20")
        # Nobody says whose key is to be expected there; the name of another host is not ours to use.
        code, _, err = await finished(*broker("pub", "host/web-01/up", "Up", *dial))
        assert (code, "not known which key is to be expected there" in err) == (1, True)
        dial += ("--peer-key", "manager")
        code, _, err = await finished(*broker("pub", "host/web-02/up", "Up", "1", *dial))
        assert (code, "web-01 has no right to publish 'host/web-02/up'" in err) == (1, True)
        code, _, err = await finished(*broker("pub", "host/web-01/up", "Up", "2", *dial))
        assert code == 0, err
        message = json.loads(await manager.out.next())
        assert (message["topic"], message["args"]) == ("host/web-01/up", [2])
        assert message["origin"].startswith("web-01@")
        assert await manager.end() == 0


async def taken_up(*readers: StatusReader) -> None:
    """Wait until each end has read the access rules anew."""
    for reader in readers:
        async for status in reader:
            if isinstance(status, AccessRules) and status.source.endswith("access.toml"):
                break


async def test_both_ends_change_their_keys_while_they_run_and_no_event_is_lost(keys: Keys) -> None:
    keys("trust", keys("new", "manager")[1].strip(), "--name", "manager", "--group", "operators")
    keys("trust", keys("new", "web-01")[1].strip(), "--name", "web-01", "--group", "agents")
    manager, agent = Endpoint(keys="manager"), Endpoint(keys="web-01")
    with trio.fail_after(TIMEOUT_S):
        async with manager, agent, manager.status() as here, agent.status() as there, manager.subscribe("") as messages:
            await agent.peer(await manager.listen("tcp://127.0.0.1:0"), key="manager")
            for number, name in enumerate(("manager", "web-01")):
                new = keys("rotate", name)[1]
                await taken_up(here, there)  # copied, and taken up
                assert keys("rotate", name, "--finish")[1] == new
                await agent.publish("host/web-01/up", Event("Up", (number,)))
                while not isinstance(await there.receive(), PeerResumed):
                    pass
                assert (await messages.receive()).event.args == (number,)
                assert keys("rotate", name, "--forget-old")[1] == new
                await taken_up(here, there)
            await agent.publish("host/web-01/up", Event("Up", ("last",)))
            assert (await messages.receive()).event.args == ("last",)
