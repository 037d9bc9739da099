"""A bucket: what all trades of one symbol in one period come to. Candles and tickers are made of them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from schemas.events import TradeBar


class Bucket(msgspec.Struct, array_like=True, gc=False):
    """`open_ticks` is the price of the lowest trade id, `close_ticks` of the highest."""

    open_ms: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume_lots: int
    quote_minor: int
    taker_buy_lots: int
    taker_buy_quote_minor: int
    trade_count: int
    first_trade_id: int
    last_trade_id: int

    def add(self, bar: TradeBar) -> None:
        """Take in a bar whose trades all have higher ids than those inside."""
        self.high_ticks = max(self.high_ticks, bar.high_ticks)
        self.low_ticks = min(self.low_ticks, bar.low_ticks)
        self.close_ticks = bar.close_ticks
        self.volume_lots += bar.volume_lots
        self.quote_minor += bar.quote_minor
        self.taker_buy_lots += bar.taker_buy_lots
        self.taker_buy_quote_minor += bar.taker_buy_quote_minor
        self.trade_count += bar.last_trade_id - bar.first_trade_id + 1
        self.last_trade_id = bar.last_trade_id


def bucket_of(bar: TradeBar, open_ms: int) -> Bucket:
    return Bucket(
        open_ms,
        bar.open_ticks,
        bar.high_ticks,
        bar.low_ticks,
        bar.close_ticks,
        bar.volume_lots,
        bar.quote_minor,
        bar.taker_buy_lots,
        bar.taker_buy_quote_minor,
        bar.last_trade_id - bar.first_trade_id + 1,
        bar.first_trade_id,
        bar.last_trade_id,
    )


def merged(buckets: Iterable[Bucket], open_ms: int) -> Bucket | None:
    """Return the bucket that holds the trades of all of them, in whatever order they come."""
    total: Bucket | None = None
    for bucket in buckets:
        if total is None:
            total = msgspec.structs.replace(bucket, open_ms=open_ms)
            continue
        if bucket.first_trade_id < total.first_trade_id:
            total.first_trade_id, total.open_ticks = bucket.first_trade_id, bucket.open_ticks
        if bucket.last_trade_id > total.last_trade_id:
            total.last_trade_id, total.close_ticks = bucket.last_trade_id, bucket.close_ticks
        total.high_ticks = max(total.high_ticks, bucket.high_ticks)
        total.low_ticks = min(total.low_ticks, bucket.low_ticks)
        total.volume_lots += bucket.volume_lots
        total.quote_minor += bucket.quote_minor
        total.taker_buy_lots += bucket.taker_buy_lots
        total.taker_buy_quote_minor += bucket.taker_buy_quote_minor
        total.trade_count += bucket.trade_count
    return total
