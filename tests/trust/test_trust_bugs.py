"""The attacks' and the changes' own test: with a part of trust left out on purpose, they have to succeed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import test_trust_attacks as attacks
import test_trust_changes as changes

import broker.protocol.transit as transit_module
import broker.stores.master as master_module
from broker.errors import Malformed
from broker.logs.logs import Logs
from broker.node import Node
from broker.protocol.belief import Belief
from broker.protocol.delivery import Delivering
from broker.protocol.handshake import Handshake
from broker.protocol.interests import Interests
from broker.protocol.members import Members
from broker.protocol.peerings import Peerings
from broker.protocol.routes import Routes
from broker.protocol.transit import Transit
from broker.stores.stores import Stores
from broker.trust.guard import Guard, digest_of, seal
from broker.trust.judge import EVERYTHING, Holder

Plant = Callable[[pytest.MonkeyPatch], None]
PLANTS: dict[str, tuple[Plant, Callable[[], None]]] = {}


def planted(attack: Callable[..., None], *arguments: Any) -> Callable[[Plant], Plant]:
    def plant(plant: Plant) -> Plant:
        PLANTS[plant.__name__] = plant, lambda: attack(*arguments)
        return plant

    return plant


# -- seals and signatures ----------------------------------------------------------------------------------------------


@planted(attacks.test_nothing_is_taken_for_anothers_that_was_made_up, "zero", True)
def seals_are_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Transit, "is_proved", lambda self, member, link, address, *_: address.sealed)


@planted(attacks.test_nothing_is_taken_for_anothers_that_was_made_up, "none", True)
def what_has_no_seal_needs_none(patch: pytest.MonkeyPatch) -> None:
    is_proved = Transit.is_proved
    patch.setattr(
        Transit,
        "is_proved",
        lambda self, member, link, address, *rest: not address.sealed or is_proved(self, member, link, address, *rest),
    )


@planted(attacks.test_what_is_changed_on_its_way_is_not_taken_and_sent_again, attacks.change_kind)
def seals_are_the_same_for_every_kind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(transit_module, "digest_of", lambda kind, body: digest_of(0, body))


@planted(attacks.test_what_is_changed_on_its_way_is_not_taken_and_sent_again, attacks.change_body)
def seals_are_the_same_for_every_body(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(transit_module, "digest_of", lambda kind, body: digest_of(kind, b""))


@planted(attacks.test_what_is_changed_on_its_way_is_not_taken_and_sent_again, attacks.change_sequence)
def seals_are_the_same_at_every_place(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(transit_module, "seal", lambda key, digest, place: seal(key, digest, b""))


@planted(attacks.test_nobody_can_announce_for_another, {"version": 1_000}, True)
def signatures_are_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Guard, "is_signed", lambda *_: True)


@planted(attacks.test_nobody_can_sign_for_another_with_its_own_key, True)
def keys_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Guard, "is_same", lambda *_: True)


@planted(attacks.test_who_says_different_things_of_itself_does_not_part_those_who_pass_it_on, "m")
def who_passes_on_what_does_not_fit_is_a_liar(patch: pytest.MonkeyPatch) -> None:
    prove = Belief.prove

    def strict(self: Belief, link: Any, update: Any, neighbours: Any) -> Any:
        proved = prove(self, link, update, neighbours)
        if proved is None:
            raise Malformed("it does not fit")
        return proved

    patch.setattr(Belief, "prove", strict)


# -- handshakes --------------------------------------------------------------------------------------------------------


@planted(attacks.test_another_key_does_not_bring_a_link_back, "own", True)
def a_session_goes_on_with_any_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Handshake, "_judge_key", lambda *_: None)


@planted(attacks.test_a_name_that_its_key_may_not_have_lets_nobody_in, "p")
def any_key_may_have_any_name(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Holder, "may_be_called", lambda *_: True)
    patch.setattr(Handshake, "_judge", lambda *_: None)


@planted(attacks.test_who_takes_the_id_of_a_process_that_is_known_is_not_let_in)
def any_key_may_have_any_id(patch: pytest.MonkeyPatch) -> None:
    judge_key = Handshake._judge_key

    def careless(self: Handshake, wire: Any, peer: Any) -> Any:
        refusal = judge_key(self, wire, peer)
        return None if refusal is not None and "another key" in refusal.text else refusal

    patch.setattr(Handshake, "_judge_key", careless)
    patch.setattr(Handshake, "_judge", lambda self, hello, now: self._owner.links.pop(hello.id, None) and None)


# -- rights ------------------------------------------------------------------------------------------------------------


@planted(attacks.test_what_it_has_no_right_to_publish_is_dropped_and_counted_at_both_ends)
def receivers_ask_for_no_right(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Delivering, "_deny", lambda *_: frozenset())


@planted(attacks.test_who_wants_what_it_has_no_right_to_gets_none_of_it)
def publishers_ask_for_no_right(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Guard, "grants", lambda *_: EVERYTHING)


@planted(attacks.test_who_may_not_relay_is_not_believed_what_others_want)
def everybody_is_believed_what_others_want(patch: pytest.MonkeyPatch) -> None:
    take = Interests.take

    def trusting(self: Interests, link: Any, *rest: Any) -> None:
        given, link.grants = link.grants, EVERYTHING
        take(self, link, *rest)
        link.grants = given

    patch.setattr(Interests, "take", trusting)


@planted(changes.test_what_comes_by_way_of_who_may_not_relay_is_not_taken_whatever_its_sender_thinks)
def everybody_may_relay(patch: pytest.MonkeyPatch) -> None:
    take = Node._take_routed

    def trusting(self: Node, link: Any, header: Any, frame: bytes) -> None:
        given, link.grants = link.grants, EVERYTHING
        take(self, link, header, frame)
        link.grants = given

    patch.setattr(Node, "_take_routed", trusting)


@planted(attacks.test_nobody_can_be_a_stores_master_without_the_right)
def everybody_may_be_a_master(patch: pytest.MonkeyPatch) -> None:
    def generous(self: Belief, member: Any, update: Any) -> bool:
        member.grants = self._guard.grants(member.key)
        member.masters, member.streams = update.masters, update.streams
        self._roles_changed()
        return bool(update.forward and member.grants.relay)

    patch.setattr(Belief, "allow", generous)


@planted(attacks.test_nobody_can_write_as_another_writer, True)
def a_writer_is_who_says_so(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(master_module, "_writer_of", lambda member, writer: writer)


# -- changes -----------------------------------------------------------------------------------------------------------


@planted(changes.test_who_is_revoked_is_cut_off_at_once_and_linked_again_once_it_is_trusted_again)
def links_outlive_their_keys(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Peerings, "rejudge", lambda *_: None)


@planted(changes.test_who_may_not_have_it_any_more_gets_no_more_of_it)
def routes_outlive_the_rules(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Routes, "rules_changed", lambda *_: None)


@planted(changes.test_a_clone_that_may_not_read_any_more_gets_nothing_more_and_both_ends_are_told)
def clones_outlive_the_rules(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Stores, "rules_changed", lambda *_: None)


@planted(changes.test_a_collector_that_may_not_collect_any_more_gets_nothing_more_and_is_told)
def collectors_outlive_the_rules(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Logs, "rules_changed", lambda *_: None)


@planted(changes.test_who_is_trusted_again_beyond_a_relay_is_back_at_once, 3.0)
def strangers_stay_strangers(patch: pytest.MonkeyPatch) -> None:
    class Lasting(dict[bytes, str]):
        def clear(self) -> None:
            pass

    init = Members.__init__

    def beginning(self: Members, *arguments: Any) -> None:
        init(self, *arguments)
        self.belief.strangers = Lasting()  # type: ignore[assignment]

    patch.setattr(Members, "__init__", beginning)


@planted(changes.test_a_key_is_changed_while_messages_flow, "p")
def seals_outlive_their_key(patch: pytest.MonkeyPatch) -> None:
    known: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}

    fresh = Transit._seal_keys

    def seal_keys(self: Transit, member: Any) -> Any:
        if self._members.own.name != "a":
            return fresh(self, member)
        pair = (self._id, member.id)
        if pair not in known:
            known[pair] = self._guard.seal_keys(member.key, self._id, member.id)
        return known[pair]

    patch.setattr(Transit, "_seal_keys", seal_keys)


@pytest.mark.parametrize("name", PLANTS)
def test_a_part_of_trust_that_is_left_out_is_missed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, attack = PLANTS[name]
    plant(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        attack()


def test_enough_parts_of_trust_are_left_out() -> None:
    assert len(PLANTS) >= 20
