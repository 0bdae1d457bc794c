"""Identifiers: valid UUIDv7s that carry their owner's slot, sort by time and are recognised in every form."""

from __future__ import annotations

import time
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.domain import ids

moments = st.integers(0, (2**48 - 1) * 1000)
slots = st.integers(0, ids.SLOTS - 1)
DETERMINISTIC = settings(derandomize=True, deadline=None)


@DETERMINISTIC
@given(slots, moments)
def test_an_id_is_a_valid_uuid_of_version_7(slot: int, now_us: int) -> None:
    parsed = uuid.UUID(ids.new_id(slot, now_us=now_us))
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122


@DETERMINISTIC
@given(slots, moments)
def test_an_id_holds_its_millisecond_and_its_owners_slot(slot: int, now_us: int) -> None:
    made = ids.new_id(slot, now_us=now_us)
    assert ids.slot_of(made) == slot
    assert int(made[:12], 16) == now_us // 1000


def test_without_a_moment_an_id_holds_the_present_one() -> None:
    before = time.time_ns() // 1_000_000
    made = int(ids.new_id(1)[:12], 16)
    assert before <= made <= time.time_ns() // 1_000_000


@DETERMINISTIC
@given(slots, slots, moments, moments)
def test_ids_sort_by_the_millisecond_they_were_made_in(one: int, two: int, early: int, late: int) -> None:
    if early // 1000 < late // 1000:
        assert ids.new_id(one, now_us=early) < ids.new_id(two, now_us=late)


def test_ids_made_one_after_another_sort_in_that_order() -> None:
    """Lists are pages by id, oldest first: the order must not be random within a millisecond."""
    made = [ids.new_id(5) for _ in range(2_000)]
    assert made == sorted(made)


def test_no_two_ids_are_equal() -> None:
    assert len({ids.new_id(0, now_us=1) for _ in range(20_000)}) == 20_000


def test_slots_are_drawn_from_their_whole_range() -> None:
    drawn = {ids.new_slot() for _ in range(20_000)}
    assert min(drawn) >= 0 and max(drawn) < ids.SLOTS and len(drawn) > ids.SLOTS / 2


@DETERMINISTIC
@given(slots)
def test_the_prefixed_and_the_hyphenated_form_are_read_as_the_same_id(slot: int) -> None:
    made = ids.new_id(slot)
    assert ids.parse(ids.CONVERSATION + made, ids.CONVERSATION) == made
    assert ids.parse(str(uuid.UUID(made)), ids.CONVERSATION) == made
    assert ids.parse(str(uuid.UUID(made)).upper(), ids.CONVERSATION) == made
    assert ids.parse_item(ids.MESSAGE + made) == made
    assert ids.parse_item(str(uuid.UUID(made))) == made


def test_a_run_is_read_by_either_of_its_prefixes() -> None:
    made = ids.new_id(3)
    for prefix in (ids.RESPONSE, ids.CHAT_COMPLETION):
        assert ids.parse(prefix + made, ids.RESPONSE, ids.CHAT_COMPLETION) == made


@pytest.mark.parametrize("kind", [*ids.ITEM_PREFIXES, "something_new"])
def test_an_item_is_read_whatever_its_type(kind: str) -> None:
    made = ids.new_id(3)
    wire = ids.item_wire_id(kind, made)
    assert wire.endswith(made) and wire != made
    assert ids.parse_item(wire) == made


GOOD = "0190a1b2c3d47007" + "8" * 16


@pytest.mark.parametrize(
    "text",
    [
        "",
        "conv_",
        GOOD,
        "conv_" + GOOD[:-1],
        "conv_" + GOOD + "0",
        "conv_" + GOOD + "\n",
        "conv_" + GOOD.replace("a", "A"),
        "resp_" + GOOD,
        " conv_" + GOOD,
        "conv_" + "g" * 32,
        "conv_" + "٠" * 32,
        f"{{{GOOD}}}",
        "urn:uuid:" + GOOD,
        7,
        None,
        b"conv_" + GOOD.encode(),
        ["conv_" + GOOD],
        "conv_" + "0" * 31 + "\0",
    ],
)
def test_what_is_no_conversation_id_is_none_and_never_an_error(text: object) -> None:
    assert ids.parse(text, ids.CONVERSATION) is None


@pytest.mark.parametrize(
    "text",
    ["", "_" + GOOD, "msg" + GOOD, "msg_" + GOOD + "x", "m_s_g", "1_" + GOOD, None, 5, "msg_" + GOOD.upper()],
)
def test_what_is_no_item_id_is_none_and_never_an_error(text: object) -> None:
    assert ids.parse_item(text) is None


@DETERMINISTIC
@given(st.text(max_size=60))
def test_no_text_makes_the_parsers_fail(text: str) -> None:
    for found in (ids.parse(text, ids.RESPONSE), ids.parse_item(text)):
        assert found is None or (len(found) == 32 and int(found, 16) >= 0)
