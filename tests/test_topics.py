from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from broker.errors import TopicError
from broker.topics import TOPIC_BYTES_MAX, TopicTable, normalize_prefix, normalize_topic

# Few characters, so that prefixes meet topics often; one is composed by NFC, one is beyond the BMP.
alphabet = st.sampled_from(["a", "b", "/", "e", "\N{COMBINING ACUTE ACCENT}", "é", "\N{PILE OF POO}"])
short = st.text(alphabet, max_size=8)


def is_topic(text: str) -> bool:
    try:
        normalize_prefix(text)
    except TopicError:
        return False
    return True


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("host/web-01/disk", "host/web-01/disk"),
        ("host//web-01///disk", "host/web-01/disk"),
        ("//host", "/host"),
        ("host/", "host/"),
        ("/", "/"),
        ("e\N{COMBINING ACUTE ACCENT}", "é"),
        ("Ａ", "Ａ"),  # what only looks alike stays apart: NFC, not NFKC
        (" a ", " a "),
    ],
)
def test_what_looks_the_same_is_the_same_topic(given_: str, kept: str) -> None:
    assert normalize_topic(given_) == normalize_prefix(given_) == kept


@pytest.mark.parametrize(
    "text", ["a\nb", "\0", "a\x7f", "a\x85", "a\u2028b", "a\u2029", "\ud800", "a" * 256, "é" * 128]
)
def test_what_is_no_topic_is_refused_with_its_text(text: str) -> None:
    for normalize in (normalize_topic, normalize_prefix):
        with pytest.raises(TopicError, match="a topic"):
            normalize(text)


@pytest.mark.parametrize("thing", [None, 3, b"host", ["host"]])
def test_only_text_is_a_topic(thing: object) -> None:
    with pytest.raises(TopicError, match="a topic is a str, not"):
        normalize_topic(thing)  # type: ignore[arg-type]


def test_the_empty_prefix_is_one_and_the_empty_topic_is_none() -> None:
    assert normalize_prefix("") == ""
    with pytest.raises(TopicError, match="not empty"):
        normalize_topic("")


def test_the_longest_topic_has_its_limit_in_bytes_after_normalising() -> None:
    assert normalize_topic("a" * TOPIC_BYTES_MAX) == "a" * TOPIC_BYTES_MAX
    assert normalize_topic("/" * 1000 + "a") == "/a"
    assert normalize_topic("é" * (TOPIC_BYTES_MAX // 2)) == "é" * (TOPIC_BYTES_MAX // 2)


def test_reserved_topics_are_not_given_to_publish() -> None:
    for topic in ("$broker/x", "$broker//x", "$broker/"):
        with pytest.raises(TopicError, match="broker's own"):
            normalize_topic(topic)
        assert normalize_topic(topic, reserved=True) == normalize_prefix(topic)
    assert normalize_topic("$broker") == "$broker"
    assert normalize_topic("$other/x") == "$other/x"


def test_the_empty_prefix_does_not_bring_reserved_topics() -> None:
    table: TopicTable[str, int] = TopicTable()
    for prefix in ("", "$", "$broker/", "$broker/x/", "host/"):
        table.set(prefix, prefix, 0)
    assert [key for key, _ in table.match("$broker/x/status")] == ["$", "$broker/", "$broker/x/"]
    assert [key for key, _ in table.match("$other")] == ["", "$"]
    assert [key for key, _ in table.match("host/x")] == ["", "host/"]


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    if is_topic(text):
        once = normalize_prefix(text)
        assert normalize_prefix(once) == once
        assert unicodedata.is_normalized("NFC", once)
        assert "//" not in once
        assert len(once.encode()) <= TOPIC_BYTES_MAX


@given(st.dictionaries(st.tuples(short, st.integers(0, 3)), st.integers()), short)
def test_the_table_finds_what_a_look_at_every_prefix_finds(held: dict[tuple[str, int], int], topic: str) -> None:
    table: TopicTable[int, int] = TopicTable()
    for (prefix, key), value in held.items():
        table.set(prefix, key, value)
    expected = [(key, value) for (prefix, key), value in held.items() if topic.startswith(prefix)]
    assert sorted(table.match(topic)) == sorted(expected)
    assert len(table) == len({prefix for prefix, _ in held})


class Table(RuleBasedStateMachine):
    """Any sequence of set and remove leaves the table equal to a plain dict."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.table: TopicTable[int, int] = TopicTable()
        self.model: dict[tuple[str, int], int] = {}

    @rule(target=held, prefix=short, key=st.integers(0, 3), value=st.integers(0, 9))
    def set(self, prefix: str, key: int, value: int) -> tuple[str, int]:
        self.table.set(prefix, key, value)
        self.model[prefix, key] = value
        return prefix, key

    @rule(place=consumes(held))
    def remove(self, place: tuple[str, int]) -> None:
        if place in self.model:
            self.table.remove(*place)
            del self.model[place]
        else:
            with pytest.raises(KeyError):
                self.table.remove(*place)

    @rule(topic=short)
    def match(self, topic: str) -> None:
        found = self.table.match(topic)
        assert sorted(found) == sorted((key, v) for (prefix, key), v in self.model.items() if topic.startswith(prefix))

    @rule(prefix=short, key=st.integers(0, 3))
    def get(self, prefix: str, key: int) -> None:
        assert self.table.get(prefix, key) == self.model.get((prefix, key))

    @invariant()
    def keeps_nothing_of_what_was_removed(self) -> None:
        assert self.table._lengths == sorted({len(prefix) for prefix, _ in self.model})
        assert set(self.table._prefixes) == {prefix for prefix, _ in self.model}


test_any_changes_leave_the_table_equal_to_a_dict = Table.TestCase


def test_shorter_prefixes_are_found_first() -> None:
    table: TopicTable[str, None] = TopicTable()
    for prefix in ("abc", "", "ab", "abcd", "a"):
        table.set(prefix, prefix, None)
    assert [key for key, _ in table.match("abc")] == ["", "a", "ab", "abc"]


def test_a_look_up_touches_only_the_lengths_that_occur() -> None:
    looked_at: list[str] = []

    class Counting(dict[str, dict[int, None]]):
        def get(self, prefix: str, default: object = None) -> dict[int, None] | None:  # type: ignore[override]
            looked_at.append(prefix)
            return super().get(prefix)

    table: TopicTable[int, None] = TopicTable()
    table._prefixes = Counting()
    for number in range(10_000):
        table.set(f"host/{number:05}/", number, None)
    looked_at.clear()
    assert table.match("host/00042/cpu/user") == [(42, None)]
    assert looked_at == ["host/00042/"]
