"""The guard: what it lets in, what is signed and sealed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trust_mesh import NOW, secret_of

from broker.protocol import frames
from broker.protocol.announcements import merged, whole
from broker.protocol.frames import MemberUpdate, Neighbour
from broker.trust.access import Access, Trusted
from broker.trust.guard import SEAL_BYTES, Guard, digest_of, seal
from broker.trust.judge import EVERYTHING, NOTHING, Judge
from broker.trust.keys import PublicKey

A, P, OTHER = (bytes((number,)) * 16 for number in range(3))


def guard(name: str, *revoked: str) -> Guard:
    keys: dict[str, tuple[PublicKey, ...]] = {
        "a": (secret_of("a").public,),
        "p": (secret_of("p").public, secret_of("p2").public),
    }
    trusted = {label: Trusted(keys=given, revoked=label in revoked) for label, given in keys.items()}
    return Guard(secret_of(name), Judge.of(Access(trusted=trusted), NOW))


def key_of(name: str) -> bytes:
    return secret_of(name).public.raw


def test_without_keys_everything_is_permitted_to_those_without_keys() -> None:
    open_ = Guard()
    assert not open_.closed
    assert open_.refusal(b"", "anybody") is None
    assert open_.grants(b"") is EVERYTHING
    assert open_.own_may("store master", "s")
    refusal = open_.refusal(key_of("a"), "a")
    assert refusal is not None
    assert refusal[0] == "authentication"


@pytest.mark.parametrize(
    ("key", "name", "code"),
    [
        ("p", "p", None), ("p2", "p@2", None), ("p", "a", "authorisation"), ("p", "", "authorisation"),
        ("stranger", "p", "authentication"), ("", "p", "authentication"),
    ],
)  # fmt: skip
def test_who_has_a_trusted_key_and_its_name_is_let_in(key: str, name: str, code: str | None) -> None:
    refusal = guard("a").refusal(key_of(key) if key else b"", name)
    assert (None if refusal is None else refusal[0]) == code


def test_two_keys_of_one_entry_are_the_same_holders() -> None:
    one = guard("a")
    assert one.is_same(key_of("p"), key_of("p2"))
    assert one.is_same(key_of("stranger"), key_of("stranger"))
    assert not one.is_same(key_of("p"), key_of("a"))
    assert not one.is_same(key_of("p"), key_of("stranger"))
    assert not one.is_same(key_of("stranger"), key_of("stranger 2"))
    revoked = guard("a", "p")
    assert not revoked.is_same(key_of("p"), key_of("p2"))
    assert revoked.grants(key_of("p")) is NOTHING


def seal_of(sender: Guard, receiver: str, own: bytes, other: bytes, kind: int, body: bytes, place: bytes) -> bytes:
    return seal(sender.seal_keys(key_of(receiver), own, other)[0], digest_of(kind, body), place)


def test_a_seal_is_of_one_frame_from_one_process_to_one_other() -> None:
    a, p = guard("a"), guard("p")
    place = b"place".ljust(12)
    made = seal_of(p, "a", P, A, 32, b"body", place)
    assert len(made) == SEAL_BYTES
    check = a.seal_keys(key_of("p"), A, P)[1]
    assert seal(check, digest_of(32, b"body"), place) == made
    assert a.seal_keys(key_of("p"), A, P)[0] != check  # the other way is another one
    others = {
        "another kind": seal(check, digest_of(33, b"body"), place),
        "another body": seal(check, digest_of(32, b"bodx"), place),
        "another place": seal(check, digest_of(32, b"body"), b"elsewhere".ljust(12)),
        "another process of it": seal(a.seal_keys(key_of("p"), A, OTHER)[1], digest_of(32, b"body"), place),
        "another process of ours": seal(a.seal_keys(key_of("p"), OTHER, P)[1], digest_of(32, b"body"), place),
        "another key of it": seal(a.seal_keys(key_of("p2"), A, P)[1], digest_of(32, b"body"), place),
        "another key of ours": seal(guard("p2").seal_keys(key_of("p"), A, P)[1], digest_of(32, b"body"), place),
        "what we send": seal(a.seal_keys(key_of("p"), A, P)[0], digest_of(32, b"body"), place),
    }
    assert len({made, *others.values()}) == 1 + len(others)


def test_seals_of_before_a_key_was_changed_are_known_as_that() -> None:
    a, place = guard("a"), bytes(12)
    former, fresh = guard("p"), guard("p2")

    def others(known: str) -> set[bytes]:
        return {seal(key, digest_of(32, b"body"), place) for key in a.other_seal_keys(key_of(known), b"", A, P)}

    assert seal_of(former, "a", P, A, 32, b"body", place) in others("p2")
    assert seal_of(fresh, "a", P, A, 32, b"body", place) in others("p")
    to_former_self = seal_of(former, "a", P, A, 32, b"body", place)
    assert to_former_self not in others("p")  # the present one is no other
    judge = Judge.of(Access(trusted={"p": Trusted(keys=(secret_of("p").public,))}), NOW)
    a.change(secret_of("a2"), judge)
    assert to_former_self in others("p")
    assert seal_of(guard("a"), "a", P, A, 32, b"body", place) not in others("p")


def test_an_announcement_is_signed_by_its_own_key() -> None:
    a, p = guard("a"), guard("p")
    signature = p.sign(b"announced")
    assert a.is_signed(key_of("p"), b"announced", signature)
    assert not a.is_signed(key_of("p2"), b"announced", signature)
    assert not a.is_signed(key_of("p"), b"announcee", signature)
    assert not a.is_signed(key_of("p"), b"announced", secret_of("p").sign(b"announced"))  # it signs nothing else so


edges = st.dictionaries(
    st.integers(0, 5).map(lambda number: bytes((number,)) * 16), st.tuples(st.booleans(), st.integers(0, 9)), max_size=6
)


@given(histories=st.lists(edges, min_size=2, max_size=6), skips=st.lists(st.booleans(), min_size=6, max_size=6))
def test_whoever_puts_the_same_changes_together_has_the_signed_bytes(
    histories: list[dict[bytes, tuple[bool, int]]], skips: list[bool]
) -> None:
    """One relay gets each change, another one now and then all of it, in another order."""
    p = guard("p")
    states = [{id_: Neighbour(id_, *edge) for id_, edge in state.items()} for state in histories]
    changing: dict[bytes, Neighbour] = {}
    now_and_then: dict[bytes, Neighbour] = {}
    for version, state in enumerate(states, 1):
        before = states[version - 2] if version > 1 else {}
        update = MemberUpdate(
            P,
            "p",
            version,
            True,
            False,
            tuple(edge for id_, edge in reversed(state.items()) if before.get(id_) != edge),
            base=version - 1,
            removed=tuple(id_ for id_ in before if id_ not in state),
            key=key_of("p"),
        )
        signature = p.sign(whole(update, state))
        complete = frames.decode(MemberUpdate, whole(update, state, signature))
        changing = merged(changing, update)
        now_and_then = merged(now_and_then, complete if skips[version - 1] else update)
        for links in (changing, now_and_then):
            assert whole(update, links) == whole(complete, links) == whole(update, state)
            assert p.is_signed(key_of("p"), whole(update, links), signature)
            assert whole(update, links, signature) == whole(complete, complete_links(complete), signature)


def complete_links(update: MemberUpdate) -> dict[bytes, Neighbour]:
    return merged({}, update)
