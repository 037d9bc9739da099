"""Bars for trades that are missing or cut otherwise: made anew from `trade-execution`.

Needed where two bar writers were at work at once, or where a table was lost. Rare, exact, and slow.
"""

from __future__ import annotations

from market_data.bars import BarMaker
from schemas.codec import InvalidMessage, decoder_for
from schemas.events import TradeBar, TradeExecuted
from schemas.topics import TRADE_EXECUTION
from service_runtime.errors import SequenceGap
from service_runtime.event_log import EventLog, TopicPartition

_decode = decoder_for(TradeExecuted)


def bars_between(
    log: EventLog, partition: int, symbol: str, next_offset: int, after_trade_id: int, last_trade_id: int
) -> list[TradeBar]:
    """Return bars of exactly the symbol's trades after `after_trade_id` up to `last_trade_id`.

    `next_offset` is a place in the partition that is not behind the first of them.
    """
    source = TopicPartition(TRADE_EXECUTION, partition)
    low, high = log.offsets(source)
    maker = BarMaker(next_offset, {symbol: after_trade_id})
    bars = []
    for batch in log.read(source, max(next_offset, low), high):
        for record in batch:
            try:
                trade = _decode(record.value)
            except InvalidMessage:
                continue
            if trade.symbol != symbol or trade.trade_id <= after_trade_id:
                continue
            bar = maker.add(trade, record.offset)
            if bar is not None:
                bars.append(bar)
            if trade.trade_id >= last_trade_id:
                return bars + maker.flush()
    raise SequenceGap(f"{symbol}: trade {last_trade_id} is in a bar and not in {TRADE_EXECUTION}")
