"""Keys and their texts, rights, and the judge: each against what it should be, worked out simply."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trust_mesh import secret_of

from broker.errors import AccessError, BadKey
from broker.topics import normalize_prefix
from broker.trust.access import Access, Trusted
from broker.trust.judge import Judge
from broker.trust.keys import PublicKey, SecretKey, curve_of, text_of, verify
from broker.trust.rights import LOG_RIGHTS, STORE_RIGHTS, Grants, Rights

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LETTERS = string.ascii_lowercase + "234567"
SECRET = secret_of("a")

# -- keys --------------------------------------------------------------------------------------------------------------


def test_texts_are_read_as_they_were_written_with_blanks_around_them() -> None:
    assert PublicKey.parse(f"  {SECRET.public}\n") == SECRET.public
    assert SecretKey.parse(f" {SECRET.text} ") == SECRET
    assert str(SECRET.public).startswith("bk1")
    assert SECRET.text.startswith("bks1")
    assert str(SECRET.public)[:13] == SECRET.public.short
    assert text_of(b"") == "no key"


@given(place=st.integers(3, 58), letter=st.sampled_from(LETTERS))
def test_each_slip_of_the_finger_is_found(place: int, letter: str) -> None:
    text = str(SECRET.public)
    slipped = text[:place] + letter + text[place + 1 :]
    if slipped != text:
        with pytest.raises(BadKey, match="mistyped"):
            PublicKey.parse(slipped)


@given(place=st.integers(3, 57))
def test_two_letters_that_have_changed_places_are_found(place: int) -> None:
    text = str(SECRET.public)
    swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    if swapped != text:
        with pytest.raises(BadKey, match="mistyped"):
            PublicKey.parse(swapped)


@given(text=st.text(max_size=80))
def test_no_other_text_is_a_key(text: str) -> None:
    for begin in ("", "bk1", "bks1"):
        with pytest.raises(BadKey):
            PublicKey.parse(begin + text)
        with pytest.raises(BadKey):
            SecretKey.parse(begin + text)


@pytest.mark.parametrize("text", [SECRET.text[:-1], SECRET.text + "a", SECRET.text.replace("bks1", "bks1a")])
def test_what_is_wrong_with_a_secret_is_said_without_it(text: str) -> None:
    with pytest.raises(BadKey) as caught:
        SecretKey.parse(text)
    assert text[4:20] not in str(caught.value)
    assert SECRET.text not in repr(SECRET)
    assert str(SECRET.public) in repr(SECRET)


def test_a_secret_and_a_public_key_are_told_apart() -> None:
    with pytest.raises(BadKey, match="secret"):
        PublicKey.parse(SECRET.text)
    with pytest.raises(BadKey, match="public"):
        SecretKey.parse(str(SECRET.public))


@pytest.mark.parametrize("raw", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32, b"short", b"l" * 33])
def test_what_is_no_point_of_the_curve_is_no_key(raw: bytes) -> None:
    """Of the first two everybody has the secret: they are of small order."""
    with pytest.raises(BadKey):
        PublicKey(raw)


@given(message=st.binary(max_size=100), at=st.integers(0, 63), bit=st.integers(0, 7))
def test_a_signature_is_of_its_message_by_its_key_alone(message: bytes, at: int, bit: int) -> None:
    signature, public = SECRET.sign(message), SECRET.public.raw
    assert verify(public, message, signature)
    assert not verify(public, message + b"x", signature)
    assert not verify(secret_of("b").public.raw, message, signature)
    changed = bytearray(signature)
    changed[at] ^= 1 << bit
    assert not verify(public, message, bytes(changed))
    assert not verify(public, message, signature + b"x")
    assert not message or not verify(public, message[1:], signature + message[:1])


@pytest.mark.parametrize("signature", [b"", b"x", bytes(63), bytes(64), bytes(65)])
@pytest.mark.parametrize("key", [b"", b"short", bytes(32), b"\xff" * 32, SECRET.public.raw])
def test_nothing_that_is_no_signature_passes_for_one(key: bytes, signature: bytes) -> None:
    assert not verify(key, b"message", signature)


def test_two_agree_on_what_nobody_else_does() -> None:
    one, two, three = secret_of("1"), secret_of("2"), secret_of("3")
    assert one.agree(two.public.raw) == two.agree(one.public.raw)
    assert len({one.agree(two.public.raw), one.agree(three.public.raw), two.agree(three.public.raw)}) == 3
    assert curve_of(one.public.raw) != curve_of(two.public.raw)


# -- rights ------------------------------------------------------------------------------------------------------------

words = st.text("ab/", max_size=5)
prefixes = st.lists(words, max_size=5)


@given(granted=prefixes, topic=words)
def test_topics_are_permitted_by_any_prefix(granted: list[str], topic: str) -> None:
    normal = [normalize_prefix(prefix) for prefix in granted]
    grants = Grants([Rights(publish=tuple(granted)), Rights(subscribe=tuple(granted))], "n")
    expected = any(topic.startswith(prefix) for prefix in normal)
    for _ in range(2):  # from memory, too
        assert grants.may_publish(topic) == grants.may_subscribe(topic) == grants.covers(topic) == expected
    touched = any(topic.startswith(prefix) or prefix.startswith(topic) for prefix in normal)
    assert grants.touches(topic) == touched


names = st.text("ab*", min_size=1, max_size=4)


@given(
    stores=st.dictionaries(names, st.lists(st.sampled_from(STORE_RIGHTS), max_size=2).map(tuple), max_size=4),
    logs=st.dictionaries(names, st.lists(st.sampled_from(LOG_RIGHTS), max_size=2).map(tuple), max_size=4),
    name=st.text("ab", min_size=1, max_size=4),
)
def test_stores_and_logs_are_permitted_by_name_and_by_how_it_begins(
    stores: dict[str, tuple[str, ...]], logs: dict[str, tuple[str, ...]], name: str
) -> None:
    grants = Grants([Rights(stores=stores), Rights(logs=logs)], "n")  # type: ignore[arg-type]

    def fits(pattern: str) -> bool:
        return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern

    for right in STORE_RIGHTS:
        given_ = [given for pattern, given in stores.items() if fits(pattern)]
        expected = any(right in given or "master" in given for given in given_)
        assert grants.may("store " + right, name) == grants.may_use_store(right, name) == expected
    for right in LOG_RIGHTS:
        expected = any(right in given for pattern, given in logs.items() if fits(pattern))
        assert grants.may("log " + right, name) == grants.may_use_log(right, name) == expected  # type: ignore[arg-type]


def test_a_name_in_a_rule_is_the_holders_own() -> None:
    rights = Rights(publish=("host/{name}/",), stores={"{name}": ("master",)}, logs={"{name}-*": ("write",)})
    one, two = Grants([rights], "web-01"), Grants([rights], "web-02")
    assert one.may_publish("host/web-01/cpu")
    assert not two.may_publish("host/web-01/cpu")
    assert one.may_use_store("read", "web-01")
    assert not two.may_use_store("read", "web-01")
    assert one.may_use_log("write", "web-01-conn")
    assert not two.may_use_log("write", "web-01-conn")
    assert not one.relay


def test_answers_beyond_what_is_remembered_are_right() -> None:
    grants = Grants([Rights(publish=("a/",))], "n")
    for _ in range(2):
        assert [grants.may_publish(f"{'ab'[n % 2]}/{n}") for n in range(9000)] == [n % 2 == 0 for n in range(9000)]


# -- the judge ---------------------------------------------------------------------------------------------------------


def judge(*, rules_expire: datetime | None = None, **entry: object) -> Judge:
    given = {"keys": (secret_of("a").public, secret_of("a2").public), **entry}
    trusted = {"a": Trusted(**given), "b": Trusted(keys=(secret_of("b").public,))}  # type: ignore[arg-type]
    return Judge.of(Access(trusted=trusted, expires=rules_expire), NOW)


def test_each_key_of_an_entry_is_its_holders_and_no_other() -> None:
    found = judge()
    for name, label in (("a", "a"), ("a2", "a"), ("b", "b")):
        holder = found.holder(secret_of(name).public.raw)
        assert holder is not None
        assert holder.label == label
    assert found.holder(secret_of("c").public.raw) is None
    assert found.holder(b"") is None
    assert str(secret_of("c").public) in found.why_not(secret_of("c").public.raw)
    assert set(found.keys_of(secret_of("a").public.raw)) == {secret_of(name).public.raw for name in ("a", "a2")}


@pytest.mark.parametrize(
    ("entry", "why"),
    [({"revoked": True}, "revoked"), ({"expires": NOW}, "expired"), ({"expires": NOW - timedelta(1)}, "expired")],
)
def test_who_is_revoked_or_expired_is_not_trusted_by_any_key(entry: dict[str, Any], why: str) -> None:
    found = judge(**entry)
    for name in ("a", "a2"):
        assert found.holder(secret_of(name).public.raw) is None
        assert why in found.why_not(secret_of(name).public.raw)
    assert found.holder(secret_of("b").public.raw) is not None


def test_it_says_when_it_is_to_be_asked_anew() -> None:
    soon, later = NOW + timedelta(hours=1), NOW + timedelta(days=1)
    assert judge().until is None
    assert judge(rules_expire=later).until == later
    assert judge(expires=soon, rules_expire=later).until == soon
    access = Access(trusted={"a": Trusted(keys=(secret_of("a").public,), expires=soon)}, expires=later)
    assert Judge.of(access, NOW).until == soon
    assert Judge.of(access, soon).until == later
    over = Judge.of(access, later)
    assert over.until is None
    assert "expired" in over.why_nobody
    assert over.holder(secret_of("a").public.raw) is None


def test_rules_that_have_expired_trust_nobody() -> None:
    found = judge(rules_expire=NOW)
    for name in ("a", "a2", "b"):
        assert found.holder(secret_of(name).public.raw) is None
        assert "expired" in found.why_not(secret_of(name).public.raw)


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("a", True), ("a@", True), ("a@2", True), ("a@b@c", True), ("web-7", True), ("web-", True),
        ("b", False), ("ab", False), ("", False), ("A", False), ("@a", False), ("xweb-7", False), ("a\n", False),
    ],
)  # fmt: skip
def test_an_endpoint_is_called_as_its_key_or_as_the_rules_say(name: str, may: bool) -> None:
    holder = judge(names=("web-*",)).holder(secret_of("a").public.raw)
    assert holder is not None
    assert holder.may_be_called(name) is may


def test_a_key_shows_itself_in_curve() -> None:
    found = judge(revoked=True)
    for name in ("a", "b"):
        key = secret_of(name).public.raw
        assert found.key_of_curve(curve_of(key)) == key
    assert found.key_of_curve(curve_of(secret_of("c").public.raw)) is None


def test_keys_are_expected_at_the_addresses_of_those_who_are_trusted() -> None:
    found = judge(addresses=("tcp://a:1",))
    assert {key.raw for key in found.keys_at("tcp://a:1")} == {secret_of(name).public.raw for name in ("a", "a2")}
    assert found.keys_at("tcp://a:2") == ()
    revoked = judge(addresses=("tcp://a:1",), revoked=True)
    assert revoked.keys_at("tcp://a:1") == ()
    assert revoked.why_nobody_at("tcp://a:1") == "the key of a has been revoked"
    assert revoked.why_nobody_at("tcp://a:2") == ""


@pytest.mark.parametrize(
    "trusted",
    [
        {"a": Trusted(keys=(SECRET.public,)), "b": Trusted(keys=(SECRET.public,))},
        {"a b": Trusted(keys=(SECRET.public,))},
        {"a@b": Trusted(keys=(SECRET.public,))},
        {"": Trusted(keys=(SECRET.public,))},
        {"a": Trusted(keys=())},
        {"a": Trusted(keys=(SECRET.public,), groups=("none",))},
        {"a": Trusted(keys=(SECRET.public,), expires=datetime(2026, 1, 1))},  # noqa: DTZ001 - that is what is wrong
        {"a": Trusted(keys=(SECRET.public,), own=Rights(publish=("x\n",)))},
    ],
    ids=["same key", "blank", "at", "no name", "no key", "no group", "no zone", "no topic"],
)
def test_rules_that_make_no_sense_are_refused(trusted: dict[str, Trusted]) -> None:
    with pytest.raises(AccessError):
        Access(trusted=trusted)
