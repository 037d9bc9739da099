"""The recorded tape, its figures, and which orders may be on their way together."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import pytest

from matcher.matching import enter
from matcher.order import Order
from matcher.order_book import OrderBook
from schemas.instruments import load_instruments
from schemas.orders import OrderType, Side, TimeInForce
from tapehouse.demo.tape import (
    InvalidTape,
    TapeTrade,
    figures,
    funds_for,
    may_overlap,
    parse_tape,
    read_tape,
)

TAPE = Path(__file__).parents[3] / "data" / "btcusdt-trades-2021-01-08.csv"
BTCUSDT = load_instruments()["BTCUSDT"]
HEADER = "trade_id,time_ms,price,quantity,buyer_is_maker"


@pytest.fixture(scope="module")
def tape() -> list[TapeTrade]:
    return read_tape(TAPE, BTCUSDT)


def test_recorded_tape_is_read_whole_and_exactly(tape: list[TapeTrade]) -> None:
    assert len(tape) == 2_001
    assert tape[0] == TapeTrade(1_610_064_000_278, 3_943_248, 263, buyer_is_maker=True)
    assert (tape[0].maker_side, tape[0].taker_side) == (Side.BUY, Side.SELL)


def test_figures_are_those_of_decimal_arithmetic(tape: list[TapeTrade]) -> None:
    rows = [line.split(",") for line in TAPE.read_text().splitlines()[1:]]
    prices = [Decimal(row[2]) for row in rows]
    found = figures(tape, BTCUSDT)
    assert Decimal(BTCUSDT.quantity_text(found.volume_lots)) == sum(Decimal(row[3]) for row in rows)
    quote = sum(Decimal(row[2]) * Decimal(row[3]) for row in rows)
    assert Decimal(BTCUSDT.quote_text(found.quote_minor)) == quote
    shown = [found.open_ticks, found.high_ticks, found.low_ticks, found.close_ticks]
    expected = [prices[0], max(prices), min(prices), prices[-1]]
    assert [Decimal(BTCUSDT.price_text(ticks)) for ticks in shown] == expected


def test_funds_cover_both_sides_of_every_trade(tape: list[TapeTrade]) -> None:
    found, funds = figures(tape, BTCUSDT), funds_for(tape, BTCUSDT)
    assert BTCUSDT.base.parse(funds["BTC"]) > found.volume_lots * BTCUSDT.lot_minor
    assert BTCUSDT.quote.parse(funds["USDT"]) > found.quote_minor


@pytest.mark.parametrize("seed", range(5))
def test_tape_comes_out_whatever_the_order_of_what_overlaps(tape: list[TapeTrade], seed: int) -> None:
    rng = random.Random(seed)
    book, made, order_id = OrderBook(), [], 0
    resting_ahead = False

    def send(number: int, *, crossing: bool) -> list[tuple[int, int, bool]]:
        nonlocal order_id
        order_id += 1
        trade = tape[number]
        side = trade.taker_side if crossing else trade.maker_side
        order = Order(
            order_id=order_id,
            account_id=2 if crossing else 1,
            client_order_id="",
            side=side,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.IOC if crossing else TimeInForce.GTC,
            price_ticks=trade.price_ticks,
            quantity_lots=trade.quantity_lots,
            leaves_lots=trade.quantity_lots,
            executed_notional=0,
            maker_fee_ppm=0,
            entered_at_ns=0,
            entered_sequence=order_id,
        )
        fills, _ = enter(book, order)
        return [(ticks, lots, side is Side.SELL) for _, ticks, lots, _ in fills]

    overlaps = 0
    for number in range(len(tape)):
        if not resting_ahead:
            assert send(number, crossing=False) == []
        following = number + 1
        resting_ahead = following < len(tape) and may_overlap(tape[number], tape[following])
        overlaps += resting_ahead
        first = resting_ahead and rng.random() < 0.5
        if first:
            assert send(following, crossing=False) == []
        made += send(number, crossing=True)
        if resting_ahead and not first:
            assert send(following, crossing=False) == []
    assert made == [(t.price_ticks, t.quantity_lots, t.buyer_is_maker) for t in tape]
    assert overlaps > 500


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["price,quantity", "1,2"], "no column"),
        ([HEADER, "1,2,39432.485,0.1,true"], "line 2"),
        ([HEADER, "1,2,39432.48,0.1,true", "1,2,39432.48,0,true"], "line 3"),
        ([HEADER, "1,2,39432.48,0.1,maybe"], "line 2"),
        ([HEADER, "1,2,-1,0.1,true"], "line 2"),
        ([HEADER, "1,2"], "line 2"),
    ],
)
def test_what_is_no_tape_is_refused_by_line(lines: list[str], said: str) -> None:
    with pytest.raises(InvalidTape, match=said):
        list(parse_tape(lines, "tape.csv", BTCUSDT))


def test_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidTape, match="cannot be read"):
        read_tape(tmp_path / "none.csv", BTCUSDT)
