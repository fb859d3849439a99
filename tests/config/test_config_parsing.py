"""What a configuration says, and every way in which it can be wrong: plain calls, exact texts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.config.model import (
    LISTS,
    TABLES,
    TOP,
    Collect,
    Config,
    EndpointSettings,
    Listen,
    Logging,
    Peer,
    Security,
    StoreSettings,
    fields_of,
)
from broker.config.overrides import from_arguments
from broker.config.parsing import TEXT_MAX, parse_config
from broker.config.shown import shown
from broker.errors import ConfigError
from broker.protocol.wires import Timing
from broker.trust.keys import SecretKey

KEY = str(SecretKey(b"k" * 32).public)
SECRET = SecretKey(b"k" * 32).text

WHOLE = f"""\
listen = ["tcp://*:9999", "ipc:///run/broker.sock"]
[endpoint]
name = "hub"
forward = false
linger_s = "500 ms"
[security]
keys = "hub"
access = "rules/access.toml"
[timing]
resume_s = "2 min"
redial_max_s = 7
[[peer]]
address = "tcp://10.0.0.1:9999"
key = "{KEY}"
[stores.hosts]
role = "master"
path = "hosts.db"
limit_bytes = "1 GiB"
log_bytes = 0
[stores."a.b"]
role = "clone"
path = "/var/lib/a.db"
stale_after = "5s"
[[collect]]
stream = "conn"
name = "archive"
directory = "logs"
format = "json"
rotate_bytes = "100MB"
rotate_s = "1h"
compress = "gzip"
keep = 24
since = 2026-01-01T00:00:00Z
[logging]
level = "debug"
format = "json"
"""


def parsed(text: str, **options: Any) -> Config:
    return parse_config(text, "b.toml", directory="/etc/broker", **options)


def problems(text: str, **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parsed(text, **options)
    assert str(raised.value) == "\n".join(map(str, raised.value.problems))
    return [str(problem) for problem in raised.value.problems]


def test_a_text_says_all_that_can_be_said() -> None:
    config = parsed(WHOLE)
    assert config.listen == (Listen("tcp://*:9999"), Listen("ipc:///run/broker.sock"))
    assert config.peer == (Peer("tcp://10.0.0.1:9999", KEY),)
    assert config.endpoint == EndpointSettings("hub", forward=False, linger_s=0.5)
    assert config.security == Security("hub", "/etc/broker/rules/access.toml")
    assert config.timing == Timing(resume_s=120.0, redial_max_s=7.0)
    assert config.stores == {
        "hosts": StoreSettings("master", "/etc/broker/hosts.db", limit_bytes=1 << 30, log_bytes=0),
        "a.b": StoreSettings("clone", "/var/lib/a.db", stale_after=5.0),
    }
    since = datetime(2026, 1, 1, tzinfo=UTC)
    archive = Collect("conn", "archive", "/etc/broker/logs", "json", 10**8, 3600.0, "gzip", 24, since=since)
    assert config.collect == (archive,)
    assert config.logging == Logging("debug", "json")


def test_an_empty_text_says_that_all_is_as_it_is_in_python() -> None:
    assert parsed("") == Config()


def test_a_key_file_is_a_name_or_a_path_relative_to_the_configuration() -> None:
    assert [
        parsed(f'[security]\nkeys = "{keys}"').security.keys for keys in ("web-01", "k/web-01", "w.key", "/k/w.key")
    ] == ["web-01", "/etc/broker/k/web-01", "/etc/broker/w.key", "/k/w.key"]


MASTER = '[stores.hosts]\nrole = "master"\n'
CLONE = '[stores.hosts]\nrole = "clone"\n'
COLLECT = '[[collect]]\nstream = "conn"\nname = "archive"\ndirectory = "logs"\n'
HOW = "an address is tcp://HOST:PORT (an IPv6 host in brackets), ipc://PATH or inproc://NAME"
NO_KEYS = 'write keys = "NAME" in [security] (see broker keys), or insecure = true'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # not TOML
        ("a = 1\nb = \n", "line 2, column 5: not TOML: Invalid value: is it a text without quotes?"),
        ("a = " + "[" * 100_000, "no configuration: nested too deep"),
        ("#" * (TEXT_MAX + 1), "a configuration has at most 1,048,576 characters, this one has 1,048,577"),
        # unknown words
        (
            "[endpiont]\n",
            (
                "line 1: endpiont: nothing of that name is known: did you mean 'endpoint'?; listen, peer, endpoint, "
                "security, timing, logging, metrics, stores, collect are"
            ),
        ),
        (
            "[endpoint]\nnmae = 1\n",
            (
                "line 2: endpoint.nmae: nothing of that name is known: did you mean 'name'?; "
                "name, forward, linger_s, report_every are"
            ),
        ),
        (
            "\n[endpoint]\nx = 1\n",
            "line 3: endpoint.x: nothing of that name is known; name, forward, linger_s, report_every are",
        ),
        ("name = 1\n", "line 1: name: it belongs into [endpoint]"),
        ("keyz = 1\n", "line 1: keyz: nothing of that name is known: did you mean 'keys' in [security]?"),
        (
            "[endpoint]\nlisten = []\n",
            "line 2: endpoint.listen: listen stands for itself: write it before all tables, or as a table of its own",
        ),
        (
            '[[listen]]\naddress = "tcp://127.0.0.1:1"\n[[listen]]\naddress = "tcp://127.0.0.1:2"\nkey = 1\n',
            "line 5: listen[1].key: nothing of that name is known; address, insecure are",
        ),
        (
            MASTER + "limit_byte = 1\n",
            (
                "line 3: stores.hosts.limit_byte: nothing of that name is known: did you mean 'limit_bytes'?; "
                "role, path, limit_bytes, log_bytes, stale_after, write_timeout are"
            ),
        ),
        # values of another kind
        ("endpoint = 1\n", "line 1: endpoint: expected a table, found a number"),
        (
            'listen = "a"\n',
            'line 1: listen: expected a list of addresses, such as ["tcp://10.0.0.1:9999"], found a text',
        ),
        ("collect = 1\n", "line 1: collect: expected tables, [[collect]], found a number"),
        ("collect = [1]\n", "line 1: collect[0]: expected a table, found a number"),
        ("stores = 1\n", "line 1: stores: expected a table, found a number"),
        (
            "[stores]\nhosts = 1\n",
            'line 2: stores.hosts: expected a table: [stores.hosts], and below it role = "master"',
        ),
        ("[endpoint]\nname = 1\n", 'line 2: endpoint.name: expected a text in quotes, "...", found a number'),
        ('[endpoint]\nname = ""\n', "line 2: endpoint.name: a name is printable text of 1 to 255 bytes"),
        ('[endpoint]\nforward = "no"\n', "line 2: endpoint.forward: expected true or false, found a text"),
        (
            '[endpoint]\nlinger_s = "2"\n',
            """line 2: endpoint.linger_s: '2' is no time such as "500 ms", "5 s", "2 min", "1h" or 5""",
        ),
        ("[endpoint]\nlinger_s = inf\n", "line 2: endpoint.linger_s: a time is neither negative nor infinite"),
        (
            "[endpoint]\nlinger_s = true\n",
            'line 2: endpoint.linger_s: expected a number of seconds, or a time such as "2 min", found true or false',
        ),
        ("[timing]\nsilence_s = 0\n", "line 2: timing.silence_s: a time longer than 0 is expected"),
        (MASTER + "log_bytes = -1\n", "line 3: stores.hosts.log_bytes: a size is not negative"),
        (
            MASTER + 'log_bytes = "64 MeB"\n',
            """line 3: stores.hosts.log_bytes: '64 MeB' is no size such as "64 MiB", "1GB" or 4096""",
        ),
        (
            MASTER + "log_bytes = 1.5\n",
            'line 3: stores.hosts.log_bytes: expected a number of bytes, or a size such as "64 MiB", found a number',
        ),
        (COLLECT + "keep = 0\n", "line 5: collect[0].keep: expected a number of at least 1, found a number"),
        (
            COLLECT + "since = 2026-01-01\n",
            (
                'line 5: collect[0].since: expected "earliest", "now" or a time with its zone and without quotes, '
                "such as 2027-01-31T12:00:00Z, found a day without a time"
            ),
        ),
        (
            '[logging]\nlevel = "eror"\n',
            "line 2: logging.level: 'eror' is none of debug, info, warning, error: did you mean 'error'?",
        ),
        ("[stores.hosts]\n", "line 1: stores.hosts: it has no role"),
        ('[[peer]]\nkey = "a"\n', "line 1: peer[0]: it has no address"),
        ('[[collect]]\nstream = "a//"\nname = ""\n', "line 1: collect[0]: it has no directory"),
        # addresses, paths and keys
        ('listen = ["tcp://127.0.0.1:1", "x"]\n', f"line 1: listen[1]: 'x' does not name a transport: {HOW}"),
        (
            'peer = ["tcp://*:1"]\n',
            "line 1: peer[0]: 'tcp://*:1' can be listened on, but not dialled: name the host and the port",
        ),
        (
            MASTER + 'path = "~/a.db"\n',
            "line 3: stores.hosts.path: ~ is not expanded: write the whole path, or one that is relative to this file",
        ),
        (MASTER + 'path = ""\n', "line 3: stores.hosts.path: expected the path of a file"),
        (
            f'[security]\nkeys = "{SECRET}"\n',
            "line 2: security.keys: this is a key itself: give the name of its file, such as web-01, or a path",
        ),
        (
            '[security]\nkeys = "a b"\n',
            "line 2: security.keys: neither the name of a key (letters, digits and . _ -, at most 100) nor a path",
        ),
        (
            '[[peer]]\naddress = "tcp://10.0.0.1:1"\nkey = "a b"\n',
            'line 3: peer[0].key: expected a public key, "bk1...", or the name of an entry of the access rules',
        ),
        # what does not go together
        (
            'listen = ["tcp://*:1"]\n',
            f"line 1: listen[0]: tcp://*:1 leads to other machines, and there are no keys: {NO_KEYS}",
        ),
        (
            'peer = ["tcp://lo:1"]\n',
            f"line 1: peer[0]: tcp://lo:1 leads to other machines, and there are no keys: {NO_KEYS}",
        ),
        (
            '[[listen]]\naddress = "tcp://*:1"\ninsecure = true\n[security]\nkeys = "a"\n',
            "line 3: listen[0].insecure: with keys all is encrypted: leave insecure out",
        ),
        (
            '[security]\nkeys = "a"\ninsecure = true\n',
            "line 3: security.insecure: with keys all is encrypted: leave insecure out",
        ),
        (
            'listen = ["inproc://a"]\n[security]\nkeys = "a"\n',
            "line 1: listen[0]: keys cannot be shown over inproc: use ipc://PATH or tcp://127.0.0.1:PORT",
        ),
        (
            '[security]\naccess = "a"\n',
            "line 2: security.access: access rules need keys, by which others are known: write keys, too",
        ),
        (
            '[[peer]]\naddress = "tcp://127.0.0.1:1"\nkey = "a"\n',
            "line 3: peer[0].key: a peer's key is for who has keys: write keys in [security], too",
        ),
        ('listen = ["ipc://a", "ipc://a"]\n', "line 1: listen[1]: ipc://a is listened on already"),
        ('peer = ["ipc://a", "ipc://a"]\n', "line 1: peer[1]: ipc://a is dialled already"),
        (
            MASTER + 'path = "a"\n[stores.b]\nrole = "clone"\npath = "a"\n',
            "line 6: stores.b.path: the store 'hosts' has that file",
        ),
        (MASTER + "limit_bytes = 1000\n", "line 3: stores.hosts.limit_bytes: at least 1 MiB is needed"),
        (
            CLONE + 'limit_bytes = "1 GiB"\n',
            "line 3: stores.hosts.limit_bytes: that is for masters: a clone is as large as its master",
        ),
        ("[endpoint]\nreport_every = 0.01\n", "line 2: endpoint.report_every: reports are made every 0.1 s at most"),
        ('[metrics]\nlisten = "9464"\n', "line 2: metrics.listen: '9464' is not HOST:PORT, such as 127.0.0.1:9464"),
        (MASTER + "stale_after = 1\n", "line 3: stores.hosts.stale_after: that is for clones: a master is never stale"),
        (
            COLLECT + COLLECT.replace("archive", "other"),
            "line 8: collect[1].directory: another collector writes files of 'conn' there",
        ),
        (COLLECT + "rotate_bytes = 0\n", "line 5: collect[0].rotate_bytes: at least 1 byte is expected"),
        (
            COLLECT + 'format = "parquet"\n',
            "line 1: collect[0]: Parquet files count only when they are finished: write rotate_bytes or rotate_s",
        ),
        (
            COLLECT + 'format = "parquet"\nrotate_s = 60\ncompress = "gzip"\n',
            "line 7: collect[0].compress: Parquet files are compressed inside: leave compress out",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_what_to_do(text: str, problem: str) -> None:
    assert problems(text)[0] == f"b.toml: {problem}"
    assert SECRET not in problems(text)[0]


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    text = 'listen = [1]\n[endpoint]\nnmae = "a"\nforward = 1\n[stores.hosts]\nrole = "x"\n'
    told = problems(text, environ={"BROKER_ENDPOINT__LINGER_S": "x"})
    assert [line.partition(":")[0] for line in told] == ["BROKER_ENDPOINT__LINGER_S", *["b.toml"] * 4]
    assert [int(line.split(":")[1].removeprefix(" line ")) for line in told[1:]] == [1, 3, 4, 6]


VALUES = [
    *("1", "-1", "1.5", "nan", "inf", "true", '""', '"x"', '"\\u0000/"', '"tcp://*:1"', '"64 MiB"', '"2 min"'),
    *("[]", "[1]", "[[]]", '["ipc://a"]', "{}", '{address = "ipc://a"}', "[{}]", "2026-01-01", "12:00:00"),
    "2026-01-01T00:00:00Z",
]
HEADERS = [
    *(header for name in TOP for header in (f"[{name}]", f"[[{name}]]", f"[{name}.a]", f"[[{name}.a]]")),
    "[stores.'']",
]
KEYS = sorted({name for kind in (*TABLES.values(), *LISTS.values(), StoreSettings) for name in fields_of(kind)})
LINES = st.sampled_from(HEADERS) | st.builds(
    "{} = {}".format, st.sampled_from([*KEYS, *TOP, "x"]), st.sampled_from(VALUES)
)


@given(st.lists(LINES, max_size=12))
def test_whatever_is_said_is_a_configuration_or_told_to_be_wrong(lines: list[str]) -> None:
    try:
        config = parsed("\n".join(lines), environ={"BROKER_ENDPOINT__NAME": "a", "BROKER_LISTEN": "ipc://b"})
    except ConfigError:
        return
    assert config.endpoint.name == "a"
    assert [each.key for each in shown(config)]


# --- the environment and arguments -----------------------------------------------------------------------------------


def test_variables_come_before_the_file_and_arguments_before_both() -> None:
    variables = {
        "BROKER_LISTEN": "ipc://a, ipc://b",
        "BROKER_ENDPOINT__NAME": "variable",
        "BROKER_ENDPOINT__FORWARD": "yes",
        "BROKER_SECURITY__ACCESS": "here.toml",
        "BROKER_TIMING__RESUME_S": "1.5",
        "BROKER_STORES__HOSTS__LIMIT_BYTES": "2 GiB",
        "BROKER_STORES__A_B__STALE_AFTER": "1 min",
        "BROKER_PEER__0__KEY": "other",
        "BROKER_COLLECT__0__KEEP": "7",
        "BROKER_COLLECT__0__SINCE": "now",
        # others' own
        "BROKER_KEYS": "/keys",
        "BROKER_ACCESS": "a",
        "OTHER__NAME": "b",
    }
    config = parsed(WHOLE, environ=variables, overrides=from_arguments("--{}", {"name": "flag", "keys": None}))
    assert config.listen == (Listen("ipc://a"), Listen("ipc://b"))
    assert config.endpoint == EndpointSettings("flag", forward=True, linger_s=0.5)
    assert config.security.access == "here.toml"  # relative to where the program was started
    assert config.timing.resume_s == 1.5
    assert (config.stores["hosts"].limit_bytes, config.stores["a.b"].stale_after) == (2 << 30, 60)
    assert config.peer[0].key == "other"
    assert (config.collect[0].keep, config.collect[0].since) == (7, "now")
    where = {each.key: str(each.source) for each in shown(config)}
    assert where["endpoint.name"] == "--name"
    assert where["endpoint.forward"] == "BROKER_ENDPOINT__FORWARD"
    assert where["endpoint.linger_s"] == "b.toml, line 5"
    assert where["listen[1].address"] == "BROKER_LISTEN"
    assert where["peer[0].address"] == "b.toml, line 13"
    assert where["logging.format"] == "b.toml, line 36"
    assert where["timing.probe_s"] == "None"


def test_an_address_alone_gets_more_to_it_from_a_variable() -> None:
    config = parsed('listen = ["tcp://*:1"]', environ={"BROKER_LISTEN__0__INSECURE": "1"})
    assert config.listen == (Listen("tcp://*:1", insecure=True),)


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("BROKER_ENDPOINT__NMAE", "a", "there is no such key: did you mean BROKER_ENDPOINT__NAME?"),
        ("BROKER_STORES__OTHER__PATH", "a", "there is no such key: did you mean BROKER_STORES__HOSTS__PATH?"),
        ("BROKER_FOO__BAR", "a", "there is no such key; 'broker config --help' says how they are called"),
        ("BROKER_PEER", "x", f"peer[0]: 'x' does not name a transport: {HOW}"),
        ("BROKER_ENDPOINT__FORWARD", "maybe", "endpoint.forward: expected true or false, found a text"),
        (
            "BROKER_STORES__HOSTS__LIMIT_BYTES",
            "1",
            "stores.hosts.limit_bytes: at least 1 MiB is needed",
        ),
    ],
)
def test_what_is_wrong_in_a_variable_is_told_of_it(variable: str, value: str, problem: str) -> None:
    assert problems(MASTER, environ={variable: value}) == [f"{variable}: {problem}"]
