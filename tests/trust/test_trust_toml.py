from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import AccessError, TopicError
from broker.topics import normalize_prefix
from broker.trust.access import Access, Trusted
from broker.trust.judge import Judge
from broker.trust.keys import PublicKey, SecretKey
from broker.trust.rights import LOG_RIGHTS, STORE_RIGHTS, Rights
from broker.trust.toml import TEXT_MAX, format_access, parse_access

SECRETS = [SecretKey(bytes([number]) * 32) for number in range(12)]
KEYS = [secret.public for secret in SECRETS]
NOW = datetime(2026, 11, 1, tzinfo=UTC)

WHOLE = f"""\
expires = 2027-06-30T00:00:00Z

[keys.manager]
keys = ["{KEYS[0]}", "{KEYS[1]}"]
groups = ["operators"]
names = ["manager-*"]
addresses = ["tcp://10.0.0.1:9999"]
expires = 2027-01-01T01:00:00+01:00
publish = ["alerts/"]
stores."a.b" = ["write"]
relay = true

[keys.web-01]
key = "{KEYS[2]}"
groups = ["agents"]
revoked = true

[groups.operators]
subscribe = [""]
stores."*" = ["master"]
logs."conn*" = ["collect"]

[groups.agents]
publish = ["host/{{name}}/"]
logs.conn = ["write"]
"""


def test_a_text_says_all_that_rules_can_say() -> None:
    assert parse_access(WHOLE) == Access(
        expires=datetime(2027, 6, 30, tzinfo=UTC),
        trusted={
            "manager": Trusted(
                keys=(KEYS[0], KEYS[1]),
                groups=("operators",),
                names=("manager-*",),
                addresses=("tcp://10.0.0.1:9999",),
                expires=datetime(2027, 1, 1, tzinfo=UTC),
                own=Rights(publish=("alerts/",), stores={"a.b": ("write",)}, relay=True),
            ),
            "web-01": Trusted(keys=(KEYS[2],), groups=("agents",), revoked=True),
        },
        groups={
            "operators": Rights(subscribe=("",), stores={"*": ("master",)}, logs={"conn*": ("collect",)}),
            "agents": Rights(publish=("host/{name}/",), logs={"conn": ("write",)}),
        },
    )


def test_an_empty_text_trusts_nobody() -> None:
    assert parse_access("") == Access()


ENTRY = f'[keys.web-01]\nkey = "{KEYS[0]}"\n'
GROUP = "[groups.agents]\n"


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        # not TOML
        ("a = 1\nb = \n", "line 2, column 5: not TOML", "Invalid value"),
        ("[keys", "end of document: not TOML", "Expected"),
        ("a = " + "[" * 100_000, "", "nested too deep"),
        ("a = " + "1" * 5000, "not TOML", "digits"),
        # unknown words
        ("experes = 2027-06-30T00:00:00Z", "line 1: experes: ", "did you mean 'expires'?"),
        (ENTRY + "\nadresses = []", "line 4: keys.web-01.adresses: ", "did you mean 'addresses'?"),
        (GROUP + "publsh = ['a']", "line 2: groups.agents.publsh: ", "did you mean 'publish'?"),
        (GROUP + "groups = ['a']", "line 2: groups.agents.groups: ", "publish, subscribe, stores, logs, relay are"),
        (ENTRY + "groups = ['agnts']\n" + GROUP, "line 3: keys.web-01.groups[0]: ", "did you mean 'agents'?"),
        (ENTRY + "groups = ['agents']\n", "line 3: keys.web-01.groups[0]: ", "there are no groups"),
        (
            GROUP + "stores.hosts = ['read', 'wriet']",
            "line 2: groups.agents.stores.hosts[1]: ",
            "did you mean 'write'?",
        ),
        (GROUP + "logs.conn = ['master']", "line 2: groups.agents.logs.conn[0]: ", "write, collect"),
        (GROUP + "stores.'ho*st' = ['read']", 'line 2: groups.agents.stores."ho*st": ', "a * at the end"),
        (GROUP + "stores.'' = ['read']", 'line 2: groups.agents.stores."": ', "a name"),
        (GROUP + "stores.a.b = ['read']", "line 2: groups.agents.stores.a: ", 'quoted: stores."a.b"'),
        # values of another kind
        ("keys = 1", "line 1: keys: ", "expected a table, found a number"),
        ("[keys]\nweb-01 = 'bk1'", "line 2: keys.web-01: ", "expected a table, found a text"),
        ("expires = 2027-06-30T00:00:00", "line 1: expires: ", "a time without a zone"),
        ("expires = '2027-06-30T00:00:00Z'", "line 1: expires: ", "without quotes"),
        ("expires = 2027-06-30", "line 1: expires: ", "found a day without"),
        (ENTRY + "revoked = 'no'", "line 3: keys.web-01.revoked: ", "expected true or false, found a text"),
        (ENTRY + "relay = 1", "line 3: keys.web-01.relay: ", "expected true or false, found a number"),
        (ENTRY + "publish = 'a'", "line 3: keys.web-01.publish: ", "expected a list"),
        (ENTRY + "publish = [\n  'a',\n  ['b']]", "line 3: keys.web-01.publish[1]: ", "expected a text"),
        # keys
        ("[keys.web-01]\ngroups = []", "line 1: keys.web-01: ", "it has no key"),
        ("[keys.web-01]\nkeys = []", "line 1: keys.web-01: ", "it has no key"),
        (ENTRY + "keys = []", "line 3: keys.web-01.keys: ", "leave key out"),
        ("[keys.web-01]\nkey = 'bk1a'", "line 2: keys.web-01.key: ", "56 letters"),
        ("[keys.'web 01']\nkey = 'bk1a'", 'line 1: keys."web 01": ', "letters, digits"),
        (ENTRY + ENTRY.replace("01", "02"), "web-0", "have the same key"),
        # topics and addresses
        (GROUP + 'publish = ["a", "b\\nc"]', "line 2: groups.agents.publish[1]: ", "control characters"),
        (GROUP + f"subscribe = ['{'a' * 300}']", "line 2: groups.agents.subscribe[0]: ", "at most 255 bytes"),
        (GROUP + "publish = ['host/*']", "line 2: groups.agents.publish[0]: ", 'write "host/"'),
        (ENTRY + "addresses = ['10.0.0.1:99']", "line 3: keys.web-01.addresses[0]: ", "tcp://10.0.0.1:9999"),
        (
            ENTRY + "publish = ['{name}{name}']".replace("{name}", "{name}" * 40),
            "line 3: keys.web-01.publish[0]: ",
            "255",
        ),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place_and_a_way_out(text: str, place: str, told: str) -> None:
    with pytest.raises(AccessError) as caught:
        parse_access(text)
    assert str(caught.value).startswith(place)
    assert told in str(caught.value)


def test_a_place_is_found_in_the_middle_of_a_long_text() -> None:
    entries = [f'[keys.web-{n:03}] # one of many\n"groups" = []\nkey="{key}"\n' for n, key in enumerate(KEYS)]
    text = "\n".join(entries) + '\n[keys.web-007.stores]\nhosts = ["all"]\n'
    line = text.split("\n").index('hosts = ["all"]') + 1
    with pytest.raises(AccessError, match=rf"^line {line}: keys\.web-007\.stores\.hosts\[0\]: "):
        parse_access(text)


def test_a_prefix_that_becomes_too_long_for_one_of_a_group_is_told() -> None:
    long = "w" * 100
    text = f'[keys.{long}]\nkey = "{KEYS[0]}"\ngroups = ["g"]\n[groups.g]\npublish = ["{"{name}" * 3}"]\n'
    with pytest.raises(AccessError, match=r"groups\.g\.publish\[0\]: a topic has at most 255 bytes"):
        parse_access(text)
    Judge.of(parse_access(text.replace(long, "w" * 85)), NOW)  # 255 bytes


@pytest.mark.parametrize("template", ['[keys.a]\nkey = "{}"', "[keys.a]\nkey = {{ {} = 1 }}", '{} = "x"', "x = {}"])
def test_a_secret_key_that_was_pasted_by_mistake_is_not_repeated(template: str) -> None:
    secret = SECRETS[0].text
    with pytest.raises(AccessError) as caught:
        parse_access(template.format(secret))
    if template != '{} = "x"':  # as the name of something it is
        assert secret not in str(caught.value)
    if "key =" in template and "{{" not in template:
        assert "this is a secret key, which nobody else may have" in str(caught.value)


def test_a_text_beyond_the_limit_is_refused_before_it_is_read() -> None:
    assert parse_access("#" + "x" * (TEXT_MAX - 1)) == Access()
    with pytest.raises(AccessError, match="at most 8,388,608 characters, these have 8,388,609"):
        parse_access("[" * (TEXT_MAX + 1))


def test_keys_nested_by_dots_are_an_unknown_word_like_another() -> None:
    with pytest.raises(AccessError, match=r"^a: nothing of that name is known"):
        parse_access(".".join("a" * 2000) + " = 1")


# -- both ways ---------------------------------------------------------------------------------------------------------


def is_prefix(text: str) -> bool:
    try:
        normalize_prefix(text)
    except TopicError:
        return False
    return not text.endswith("*")


# As TOML writes them: a time within the fold of a named zone is equal to none of another's (PEP 495).
zones = st.integers(-720, 720).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=zones)  # noqa: DTZ001  # given by timezones
names = st.text(min_size=1, max_size=20).filter(lambda name: "*" not in name) | st.sampled_from(["*", "host*"])
prefixes = st.lists(st.text(max_size=30).filter(is_prefix) | st.just("host/{name}/"), max_size=3).map(tuple)
rights = st.builds(
    Rights,
    publish=prefixes,
    subscribe=prefixes,
    stores=st.dictionaries(names, st.lists(st.sampled_from(STORE_RIGHTS), max_size=3).map(tuple), max_size=2),
    logs=st.dictionaries(names, st.lists(st.sampled_from(LOG_RIGHTS), max_size=2).map(tuple), max_size=2),
    relay=st.booleans(),
)
labels = st.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,15}"), fullmatch=True)


@st.composite
def accesses(draw: st.DrawFn) -> Access:
    groups = draw(st.dictionaries(st.text(max_size=10), rights, max_size=3))
    keys = draw(st.permutations(KEYS))
    trusted = {}
    for label in draw(st.lists(labels, max_size=3, unique=True)):
        shown = tuple(keys.pop() for _ in range(draw(st.integers(1, 3))))
        trusted[label] = Trusted(
            keys=shown,
            groups=draw(st.lists(st.sampled_from(sorted(groups)), unique=True).map(tuple)) if groups else (),
            own=draw(rights),
            names=draw(st.lists(st.text(max_size=9), max_size=2).map(tuple)),
            addresses=draw(st.lists(st.text(max_size=9).map("ipc://{}".format), max_size=2).map(tuple)),
            expires=draw(st.none() | times),
            revoked=draw(st.booleans()),
        )
    return Access(trusted=trusted, groups=groups, expires=draw(st.none() | times))


@given(accesses())
def test_rules_come_back_from_their_text_as_they_were(access: Access) -> None:
    assert parse_access(format_access(access)) == access


@given(st.text() | st.lists(st.sampled_from([*WHOLE.split("\n"), "x = 1", "[", '"', "= [", "}"])).map("\n".join))
def test_any_text_is_rules_or_a_plain_refusal(text: str) -> None:
    try:
        access = parse_access(text)
    except AccessError:
        return
    Judge.of(access, NOW)


def test_a_text_is_short_where_little_is_said() -> None:
    access = Access(trusted={"web-01": Trusted(keys=(PublicKey.parse(str(KEYS[0])),))})
    assert format_access(access) == ENTRY
