from __future__ import annotations

import msgspec
import pytest

from schemas.codec import encode, record_hash
from schemas.events import GENESIS_HASH, CommandMatched, TradeExecuted
from schemas.orders import Side
from service_runtime.errors import ChainBroken, SequenceGap
from service_runtime.sequence import MatchedPosition, MatchedSequence, TradeSequence


def chain(count: int, symbol: str = "BTCUSDT") -> list[tuple[CommandMatched, bytes]]:
    records, previous = [], GENESIS_HASH
    for sequence in range(1, count + 1):
        event = CommandMatched(
            event_id=f"{symbol}-{sequence}",
            correlation_id="c",
            causation_id="c",
            occurred_at_ns=sequence,
            symbol=symbol,
            sequence=sequence,
            previous_hash=previous,
            input_partition=0,
            input_offset=sequence,
            source_partition=0,
            source_offset=sequence,
            account_id=7,
            last_update_id=0,
            last_trade_id=0,
        )
        data = encode(event)
        records.append((event, data))
        previous = record_hash(data)
    return records


def trade(trade_id: int, symbol: str = "BTCUSDT") -> TradeExecuted:
    return TradeExecuted(
        event_id=f"{symbol}-t{trade_id}",
        correlation_id="c",
        causation_id="c",
        occurred_at_ns=1,
        symbol=symbol,
        sequence=1,
        trade_id=trade_id,
        price_ticks=1,
        quantity_lots=1,
        base_minor=1,
        quote_minor=1,
        taker_side=Side.BUY,
        buyer_order_id=1,
        buyer_account_id=1,
        buyer_fee_minor=0,
        buyer_lock_minor=1,
        seller_order_id=2,
        seller_account_id=2,
        seller_fee_minor=0,
    )


def test_records_in_order_are_accepted_once_by_symbol() -> None:
    reader = MatchedSequence()
    stream = [record for pair in zip(chain(3), chain(3, "ETHUSDT"), strict=True) for record in pair]
    assert all(reader.accept(event, data) for event, data in stream)
    assert not any(reader.accept(event, data) for event, data in stream)


def test_gap_stops_the_reader() -> None:
    records = chain(3)
    reader = MatchedSequence()
    reader.accept(*records[0])
    with pytest.raises(SequenceGap, match="expected sequence 2, found 3"):
        reader.accept(*records[2])


def test_broken_chain_stops_the_reader() -> None:
    records = chain(2)
    forged = msgspec.structs.replace(records[1][0], previous_hash="f" * 32)
    reader = MatchedSequence()
    reader.accept(*records[0])
    with pytest.raises(ChainBroken, match="follows ffff"):
        reader.accept(forged, encode(forged))


def test_repeat_of_the_last_record_with_other_bytes_stops_the_reader() -> None:
    [(event, data)] = chain(1)
    reader = MatchedSequence()
    reader.accept(event, data)
    with pytest.raises(ChainBroken, match="other bytes"):
        reader.accept(event, data + b" ")


def test_reader_goes_on_from_a_stored_position() -> None:
    records = chain(3)
    reader = MatchedSequence({"BTCUSDT": MatchedPosition(2, record_hash(records[1][1]))})
    assert not reader.accept(*records[1])
    assert reader.accept(*records[2])


def test_trades_are_accepted_once_and_without_gap() -> None:
    reader = TradeSequence({"ETHUSDT": 4})
    assert [reader.accept(trade(i)) for i in (1, 2, 1, 2, 3)] == [True, True, False, False, True]
    assert reader.accept(trade(5, "ETHUSDT"))
    with pytest.raises(SequenceGap, match="expected trade 4, found 5"):
        reader.accept(trade(5))
