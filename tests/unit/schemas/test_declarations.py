"""topics.yaml and instruments.yaml say what can be, and speak of the same symbols."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from schemas import events
from schemas.instruments import DEFAULT_PATH as INSTRUMENTS_FILE
from schemas.instruments import InvalidInstruments, load_instruments, parse_instruments
from schemas.topics import DEFAULT_PATH as TOPICS_FILE
from schemas.topics import InvalidTopics, list_id_of, load_topics, order_id_of, parse_topics, request_of


def instruments_with(symbol: str, **fields: Any) -> dict[str, Any]:
    document: dict[str, Any] = copy.deepcopy(yaml.safe_load(INSTRUMENTS_FILE.read_text()))
    document["symbols"][symbol].update(fields)
    return document


def test_every_symbol_has_a_partition_and_terms() -> None:
    assert set(load_topics().symbols) == set(load_instruments().symbols)


def test_every_message_named_in_topics_exists() -> None:
    from schemas import commands

    known = {
        member.__struct_config__.tag
        for module in (commands, events)
        for member in vars(module).values()
        if hasattr(member, "__struct_config__")
    }
    for topic in load_topics().topics.values():
        assert set(topic.messages) <= known, topic.name


def test_notional_of_every_symbol_is_exact_and_limits_hold() -> None:
    for instrument in load_instruments().symbols.values():
        assert instrument.notional_minor(1, 1) >= 1
        assert instrument.price_text(1).rstrip("0") != "0."
        assert instrument.max_notional_minor < 2**63


def test_tick_times_lot_below_a_minor_unit_is_refused() -> None:
    with pytest.raises(InvalidInstruments, match="tick x lot"):
        parse_instruments(instruments_with("BTCUSDT", tick="0.001"))


def test_limit_between_steps_is_refused() -> None:
    with pytest.raises(InvalidInstruments, match="max_price"):
        parse_instruments(instruments_with("BTCUSDT", max_price="10.001"))


def test_symbol_on_a_partition_that_is_not_there_is_refused() -> None:
    document = yaml.safe_load(TOPICS_FILE.read_text())
    document["symbols"]["BTCUSDT"] = 99
    with pytest.raises(InvalidTopics):
        parse_topics(document)


def test_order_ids_are_unique_rise_with_the_offset_and_fit_javascript() -> None:
    ids = [order_id_of(p, o) for o in range(3) for p in range(4)]
    assert ids == sorted(set(ids))
    assert ids[0] == 1
    assert order_id_of(255, 2**42) < 2**53


def test_the_orders_and_the_list_of_one_request_have_ids_of_their_own_and_name_it() -> None:
    ids = [i for o in range(3) for i in (*(order_id_of(2, o, leg) for leg in range(3)), list_id_of(2, o))]
    assert ids == sorted(set(ids))
    assert [request_of(i) for i in ids] == [(2, o) for o in range(3) for _ in range(4)]
