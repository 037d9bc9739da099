"""`tapehouse market`: the state of each symbol, and how the operator changes it.

`tapehouse market [SYMBOL]` shows; `tapehouse market halt|cancel-only|break|auction|open SYMBOL` writes a
request to the log and waits until the matcher has answered it. Exit 1: nobody answered; the request stands.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from schemas.codec import InvalidMessage, decoder_for, encode
from schemas.commands import OPERATOR_ACCOUNT, RequestMarketState
from schemas.events import AuctionUncrossed, CommandMatched, MarketStateChanged
from schemas.instruments import load_instruments
from schemas.orders import MarketState
from schemas.topics import MATCHED_EVENTS, ORDER_REQUESTS, VALIDATED_ORDERS, load_topics
from service_runtime.event_log import END, TopicPartition
from service_runtime.hot_book import HotBook, HotBookAway
from service_runtime.kafka_log import KafkaEventLog
from tapehouse.console import log_to_stderr
from tapehouse.errors import USAGE, OperatorError
from tapehouse.settings import OperatorSettings

ACTIONS: Final = {
    "halt": MarketState.HALT,
    "cancel-only": MarketState.CANCEL_ONLY,
    "break": MarketState.BREAK,
    "auction": MarketState.AUCTION,
    "open": MarketState.TRADING,
}
ENDING: Final = (MarketState.HALT, MarketState.AUCTION)
PATIENCE_S: Final = 15.0
_decode = decoder_for(CommandMatched)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One symbol as its hot book says, and its matcher's lag; None where that is not known."""

    symbol: str
    state: str | None
    until: str | None
    last_price: str | None
    sequence: int | None
    hash: str | None
    lag: int | None
    """Commands in its partition that the matcher has not told it handled."""


def command(
    what: Annotated[
        str | None, typer.Argument(help=f"A symbol to show, or one of {', '.join(ACTIONS)}.")
    ] = None,
    symbol: Annotated[str | None, typer.Argument(help="The symbol to change.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="End of a halt or auction, as 2026-01-31T12:00:00Z.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", help="The same, from now.", min=0)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show the state of each symbol, or change that of one: halt, cancel-only, break, auction, open."""
    log_to_stderr()
    settings = OperatorSettings()
    known = load_topics(settings.topics_file).symbols
    if what in ACTIONS:
        if symbol is None:
            raise OperatorError(f"market {what}: which symbol? There are {', '.join(known)}", exit_code=USAGE)
        state = ACTIONS[what]
        events = change(settings, _known(symbol, known), state, end_ns(state, until, seconds, time.time_ns()))
        _tell(symbol, events, as_json)
    elif symbol is not None or until is not None or seconds is not None:
        raise OperatorError(f"market: {what!r} is none of {', '.join(ACTIONS)}", exit_code=USAGE)
    else:
        _show(look(settings, list(known) if what is None else [_known(what, known)]), as_json)


def end_ns(state: MarketState, until: str | None, seconds: float | None, now_ns: int) -> int | None:
    """Return when the state ends by itself. Raises OperatorError."""
    if until is None and seconds is None:
        return None
    if state not in ENDING:
        raise OperatorError(
            f"{state} does not end by itself: only a halt or an auction does", exit_code=USAGE
        )
    if until is not None and seconds is not None:
        raise OperatorError("--until or --for, not both", exit_code=USAGE)
    if seconds is not None:
        return now_ns + int(seconds * 1e9)
    try:
        moment = datetime.fromisoformat(str(until))
    except ValueError:
        raise OperatorError(
            f"--until: {until!r} is no time such as 2026-01-31T12:00:00Z", exit_code=USAGE
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e9)


def change(
    settings: OperatorSettings, symbol: str, state: MarketState, until_ns: int | None
) -> Sequence[MarketStateChanged | AuctionUncrossed]:
    """Write the request and wait for the record that answers it. Raises OperatorError when none comes."""
    topics = load_topics(settings.topics_file)
    name = f"operator-{uuid.uuid4()}"
    request = RequestMarketState(
        event_id=name,
        correlation_id=name,
        causation_id=name,
        occurred_at_ns=time.time_ns(),
        account_id=OPERATOR_ACCOUNT,
        symbol=symbol,
        state=state,
        until_ns=until_ns,
    )
    with KafkaEventLog(settings.kafka, "tapehouse-market") as log:
        log.assign({TopicPartition(MATCHED_EVENTS, topics.partition_of_symbol(symbol)): END})
        partition = topics.partition_of_account(OPERATOR_ACCOUNT)
        log.append(ORDER_REQUESTS, partition, encode(request), str(OPERATOR_ACCOUNT).encode())
        log.flush()
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for record in log.poll(500, 0.2):
                answer = _answer(record.value, name)
                if answer is not None:
                    return answer
    raise OperatorError(
        f"the request is in the log, but no answer came within {PATIENCE_S:.0f} s:"
        " do processor and matcher run?"
    )


def _answer(value: bytes, correlation_id: str) -> list[MarketStateChanged | AuctionUncrossed] | None:
    try:
        matched = _decode(value)
    except InvalidMessage:
        return None
    if matched.correlation_id != correlation_id:
        return None
    return [event for event in matched.events if isinstance(event, MarketStateChanged | AuctionUncrossed)]


def look(settings: OperatorSettings, symbols: Sequence[str]) -> list[Row]:
    """Raises OperatorError when Redis does not answer."""
    instruments = load_instruments(settings.instruments_file)
    hot = HotBook(settings.redis)
    try:
        stamps = hot.look(symbols)
    except HotBookAway as error:
        raise OperatorError(f"Redis, which shows the state of symbols, does not answer: {error}") from error
    finally:
        hot.close()
    lags = _lags(settings)
    rows = []
    for symbol in symbols:
        stamp, lag = stamps[symbol], lags.get(load_topics(settings.topics_file).symbols[symbol])
        if stamp is None:
            rows.append(
                Row(symbol=symbol, state=None, until=None, last_price=None, sequence=None, hash=None, lag=lag)
            )
            continue
        last = stamp.last_price_ticks
        rows.append(
            Row(
                symbol=symbol,
                state=stamp.state.value,
                until=None if stamp.until_ns is None else _time(stamp.until_ns),
                last_price=None if last is None else instruments[symbol].price_text(last),
                sequence=stamp.sequence,
                hash=stamp.record_hash,
                lag=lag,
            )
        )
    return rows


def _lags(settings: OperatorSettings) -> dict[int, int]:
    """The matcher's lag by partition; empty when the broker does not answer."""
    from tapehouse.groups import GroupsFailed, read_groups

    try:
        groups = read_groups(settings.kafka.bootstrap_servers, settings.kafka, only=["matcher"])
    except GroupsFailed:
        return {}
    return {
        reading.partition: reading.lag
        for group in groups
        for reading in group.readings
        if reading.topic == VALIDATED_ORDERS and reading.lag is not None
    }


def _known(symbol: str, known: Iterable[str]) -> str:
    if symbol not in known:
        raise OperatorError(f"no symbol {symbol!r}; there are {', '.join(known)}", exit_code=USAGE)
    return symbol


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _tell(symbol: str, events: Sequence[MarketStateChanged | AuctionUncrossed], as_json: bool) -> None:
    if as_json:
        print(json.dumps([json.loads(encode(event)) for event in events], indent=2))
        return
    for event in events:
        if isinstance(event, AuctionUncrossed):
            ticks = event.price_ticks
            price = None if ticks is None else load_instruments()[symbol].price_text(ticks)
            print(
                f"{symbol}: uncrossed {event.quantity_lots} lots at {price}"
                if price
                else f"{symbol}: nothing crossed"
            )
        else:
            until = "" if event.until_ns is None else f" until {_time(event.until_ns)}"
            print(f"{symbol}: {event.state}{until}")


def _show(rows: Sequence[Row], as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("symbol", "state", "until", "last price", "sequence", "hash", "lag")
    for column in (3, 4, 6):
        table.columns[column].justify = "right"
    for row in rows:
        shown: list[Any] = [row.symbol, row.state, row.until, row.last_price, row.sequence, row.hash, row.lag]
        table.add_row(*("-" if cell is None else str(cell) for cell in shown))
    Console().print(table)
