"""Events: what happened. Past names.

Everything that moves money carries the amounts in minor units, so that a reader needs no price list.
"""

from __future__ import annotations

from typing import Literal

from schemas.envelope import Envelope, Message
from schemas.orders import (
    MarketState,
    OrderListKind,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from schemas.reasons import ExpiryReason, RejectReason

HeldUntil = Literal["triggered", "working_order_filled"]
StateCause = Literal["command", "volatility", "time"]
GENESIS_HASH = "0" * 32
"""`previous_hash` of a symbol's first record."""


# -- what one command did to the book, in order ------------------------------------------------


class OrderEntered(Message, frozen=True, kw_only=True, tag="OrderEntered.v1"):
    """The order reached the book side of the matcher; always the first event of an EnterOrder."""

    order_id: int
    account_id: int
    client_order_id: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    quantity_lots: int | None = None
    quote_budget_minor: int | None = None
    stop_price_ticks: int | None = None
    trailing_delta_bips: int | None = None
    display_lots: int | None = None
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.NONE
    """The mode that rules it, the symbol's default already in place."""
    list_id: int | None = None
    strategy_id: int | None = None
    strategy_type: int | None = None


class OrderHeld(Message, frozen=True, kw_only=True, tag="OrderHeld.v1"):
    """The order is open but not in the book: it waits for its trigger, or for the list's working order."""

    order_id: int
    account_id: int
    side: Side
    until: HeldUntil


class OrderTriggered(Message, frozen=True, kw_only=True, tag="OrderTriggered.v1"):
    """A stop's condition was met; it enters the book now, as MARKET or LIMIT."""

    order_id: int
    account_id: int
    side: Side


class OrderActivated(Message, frozen=True, kw_only=True, tag="OrderActivated.v1"):
    """The working order of the list was filled; this pending leg becomes an order now.

    An OPO leg gets its quantity here. `released_minor` is what of the working order's receipts is less
    than a lot (told once, with the first leg).
    """

    order_id: int
    account_id: int
    side: Side
    quantity_lots: int
    released_minor: int


class OrdersTraded(Message, frozen=True, kw_only=True, tag="OrdersTraded.v1"):
    """One trade between the entering order (taker) and one resting order (maker).

    `buyer_lock_minor` of the buyer's locked quote is used up: `quote_minor` of it is paid and the
    rest, the price improvement, becomes available. Fees are in the asset received.
    """

    trade_id: int
    price_ticks: int
    quantity_lots: int
    base_minor: int
    quote_minor: int
    taker_side: Side
    taker_order_id: int
    taker_account_id: int
    taker_fee_minor: int
    maker_order_id: int
    maker_account_id: int
    maker_client_order_id: str
    maker_fee_minor: int
    maker_leaves_lots: int
    buyer_lock_minor: int
    taker_client_order_id: str = ""
    """Set when the taker is not the command's own order (a stop, a leg, an auction)."""
    taker_leaves_lots: int | None = None
    """Set with `taker_client_order_id`."""
    buyer_receipt_locked: bool = False
    """OPO: what the buyer receives is locked for the pending legs."""


class MatchPrevented(Message, frozen=True, kw_only=True, tag="MatchPrevented.v1"):
    """A trade of an account with itself was prevented. `prevented_match_id` is per symbol, from 1.

    Prevented lots leave the open quantity, and their lock is released here; an order with nothing left
    ends by the OrderExpired that follows.
    """

    prevented_match_id: int
    account_id: int
    mode: SelfTradePrevention
    price_ticks: int
    taker_side: Side
    taker_order_id: int
    taker_prevented_lots: int
    taker_released_minor: int
    maker_order_id: int
    maker_prevented_lots: int
    maker_released_minor: int
    maker_leaves_lots: int


class OrderRested(Message, frozen=True, kw_only=True, tag="OrderRested.v1"):
    """What is left of an order joined its price level, last in time."""

    order_id: int
    account_id: int
    side: Side
    price_ticks: int
    leaves_lots: int


class OrderFilled(Message, frozen=True, kw_only=True, tag="OrderFilled.v1"):
    """An order ended filled. `released_minor` is what a quote budget had left over, usually 0."""

    order_id: int
    account_id: int
    side: Side
    released_minor: int


class OrderCanceled(Message, frozen=True, kw_only=True, tag="OrderCanceled.v1"):
    """A resting order was canceled; carries all that a cancel report shows."""

    order_id: int
    account_id: int
    client_order_id: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    quantity_lots: int
    leaves_lots: int
    executed_quote_minor: int
    released_minor: int
    entered_at_ns: int
    stop_price_ticks: int | None = None
    trailing_delta_bips: int | None = None
    display_lots: int | None = None
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.NONE
    prevented_lots: int = 0
    list_id: int | None = None
    carried_minor: int = 0
    """A replace: so much of the lock went over to the new order; `released_minor` is the rest."""
    strategy_id: int | None = None
    strategy_type: int | None = None


class OrderAmended(Message, frozen=True, kw_only=True, tag="OrderAmended.v1"):
    """The quantity fell; the order kept its place."""

    order_id: int
    account_id: int
    side: Side
    client_order_id: str
    previous_client_order_id: str
    quantity_lots: int
    leaves_lots: int
    released_minor: int


class OrderMoved(Message, frozen=True, kw_only=True, tag="OrderMoved.v1"):
    """Price or quantity changed; what follows is told as of an order that enters."""

    order_id: int
    account_id: int
    side: Side
    client_order_id: str
    price_ticks: int
    quantity_lots: int
    leaves_lots: int
    released_minor: int


class ChangeRefused(Message, frozen=True, kw_only=True, tag="ChangeRefused.v1"):
    """An amend or move was refused; what was newly locked for it is released. The order stays as it was."""

    order_id: int
    account_id: int
    reason: RejectReason
    released_minor: int
    side: Side | None = None
    """None when there is no such order."""


class OrderExpired(Message, frozen=True, kw_only=True, tag="OrderExpired.v1"):
    """The exchange ended the order: what was left could not, or must not, rest."""

    order_id: int
    account_id: int
    side: Side
    reason: ExpiryReason
    leaves_lots: int
    released_minor: int


class OrderRefused(Message, frozen=True, kw_only=True, tag="OrderRefused.v1"):
    """The matcher refused an order that the processor had accepted; all that was locked is released."""

    order_id: int
    account_id: int
    side: Side
    reason: RejectReason
    released_minor: int


class CancelRefused(Message, frozen=True, kw_only=True, tag="CancelRefused.v1"):
    """A cancel found nothing to cancel. `order_id` is None for cancel-all."""

    account_id: int
    reason: RejectReason
    order_id: int | None = None
    list_id: int | None = None


class OrderListEntered(Message, frozen=True, kw_only=True, tag="OrderListEntered.v1"):
    """First event of an EnterOrderList that is not refused."""

    list_id: int
    account_id: int
    kind: OrderListKind
    client_order_id: str
    order_ids: tuple[int, ...]


class OrderListRefused(Message, frozen=True, kw_only=True, tag="OrderListRefused.v1"):
    """No leg entered; all that was locked is released. `side` is the first leg's."""

    list_id: int
    account_id: int
    side: Side
    reason: RejectReason
    released_minor: int


class OrderListEnded(Message, frozen=True, kw_only=True, tag="OrderListEnded.v1"):
    """No leg is open any more."""

    list_id: int
    account_id: int


class MarketStateChanged(Message, frozen=True, kw_only=True, tag="MarketStateChanged.v1"):
    state: MarketState
    cause: StateCause
    until_ns: int | None = None


class AuctionIndicated(Message, frozen=True, kw_only=True, tag="AuctionIndicated.v1"):
    """Where the auction would uncross now; told on a Tick when it changed. No price: nothing crosses.

    `imbalance_lots` is what buyers want beyond `quantity_lots` at that price, negative for sellers.
    """

    quantity_lots: int
    imbalance_lots: int
    price_ticks: int | None = None


class AuctionUncrossed(Message, frozen=True, kw_only=True, tag="AuctionUncrossed.v1"):
    """The auction ended at this price; its trades follow. No price: nothing crossed."""

    quantity_lots: int
    imbalance_lots: int
    price_ticks: int | None = None


BookEvent = (
    OrderEntered
    | OrderHeld
    | OrderTriggered
    | OrderActivated
    | OrdersTraded
    | MatchPrevented
    | OrderRested
    | OrderFilled
    | OrderCanceled
    | OrderAmended
    | OrderMoved
    | ChangeRefused
    | OrderExpired
    | OrderRefused
    | CancelRefused
    | OrderListEntered
    | OrderListRefused
    | OrderListEnded
    | MarketStateChanged
    | AuctionIndicated
    | AuctionUncrossed
)


Releasing = (
    OrderFilled
    | OrderCanceled
    | OrderExpired
    | OrderRefused
    | OrderActivated
    | OrderAmended
    | OrderMoved
    | ChangeRefused
)
"""They release `released_minor` of the lock of one order. MatchPrevented and OrderListRefused release too,
of more than one."""


class LevelChange(Message, frozen=True, kw_only=True, tag="LevelChange.v1"):
    """New total of one price level; 0 means the level is gone. Takes one book update id."""

    side: Side
    price_ticks: int
    quantity_lots: int


# -- matched-events ----------------------------------------------------------------------------


class CommandMatched(Envelope, frozen=True, kw_only=True, tag="CommandMatched.v1"):
    """Everything one command did, in one record, so that a crash leaves no half.

    `sequence` is per symbol, starts at 1, has no gap. `previous_hash` is `schemas.codec.record_hash`
    of the bytes of the symbol's record before it. Level changes take the book update ids
    `last_update_id - len(levels) + 1 .. last_update_id`. The same bytes answer the request on
    `order-replies`.
    """

    symbol: str
    sequence: int
    previous_hash: str
    input_partition: int
    input_offset: int
    source_partition: int
    source_offset: int
    account_id: int
    last_update_id: int
    last_trade_id: int
    client_order_id: str = ""
    """The command's own client id: the order's, or the cancel's."""
    reply_partition: int | None = None
    events: tuple[BookEvent, ...] = ()
    levels: tuple[LevelChange, ...] = ()


# -- trade-execution ---------------------------------------------------------------------------


class TradeExecuted(Envelope, frozen=True, kw_only=True, tag="TradeExecuted.v1"):
    """One trade, with all that settlement needs. `trade_id` is per symbol, from 1, without a gap.

    Buyer: locked quote falls by `buyer_lock_minor`, available quote rises by `buyer_lock_minor -
    quote_minor`, available base rises by `base_minor - buyer_fee_minor` (locked base, with
    `buyer_receipt_locked`). Seller: locked base falls by `base_minor`, available quote rises by
    `quote_minor - seller_fee_minor`. The fee account gets both fees. `sequence` is that of the
    CommandMatched it is part of.
    """

    symbol: str
    sequence: int
    trade_id: int
    price_ticks: int
    quantity_lots: int
    base_minor: int
    quote_minor: int
    taker_side: Side
    buyer_order_id: int
    buyer_account_id: int
    buyer_fee_minor: int
    buyer_lock_minor: int
    seller_order_id: int
    seller_account_id: int
    seller_fee_minor: int
    buyer_receipt_locked: bool = False
    """OPO: the base the buyer receives becomes locked, not available."""


# -- order-replies -----------------------------------------------------------------------------


class RequestRejected(Envelope, frozen=True, kw_only=True, tag="RequestRejected.v1"):
    """The processor refused a request; nothing is reserved and nothing reaches the matcher."""

    source_partition: int
    source_offset: int
    account_id: int
    symbol: str
    client_order_id: str
    reason: RejectReason


ORDER_REPLIES = CommandMatched | RequestRejected


# -- account-events ----------------------------------------------------------------------------


class AccountOpened(Envelope, frozen=True, kw_only=True, tag="AccountOpened.v1"):
    account_id: int
    name: str
    maker_fee_ppm: int
    taker_fee_ppm: int


class FundsDeposited(Envelope, frozen=True, kw_only=True, tag="FundsDeposited.v1"):
    """Money came in from outside. `deposit_id` is unique for ever: a second one changes nothing."""

    account_id: int
    asset: str
    amount_minor: int
    deposit_id: str


ACCOUNT_EVENTS = AccountOpened | FundsDeposited


# -- market data -------------------------------------------------------------------------------


class TradeBar(Envelope, frozen=True, kw_only=True, tag="TradeBar.v1"):
    """Trades of one symbol within one short interval that never crosses a whole second.

    `first_trade_id` is the bar before's `last_trade_id` + 1. `next_offset` is where in its
    `trade-execution` partition the bar-maker goes on.
    """

    symbol: str
    first_trade_id: int
    last_trade_id: int
    first_at_ms: int
    last_at_ms: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    last_quantity_lots: int
    volume_lots: int
    quote_minor: int
    taker_buy_lots: int
    taker_buy_quote_minor: int
    next_offset: int


class Candle(Envelope, frozen=True, kw_only=True, tag="Candle.v1"):
    """One candle as it stands. A flat one (no trades) has `trade_count` 0 and ids -1."""

    symbol: str
    interval: str
    open_time_ms: int
    close_time_ms: int
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
    closed: bool


class Ticker(Envelope, frozen=True, kw_only=True, tag="Ticker.v1"):
    """Statistics of the 24 hours up to `close_time_ms`; the window opens on a whole minute."""

    symbol: str
    open_time_ms: int
    close_time_ms: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    last_ticks: int
    last_quantity_lots: int
    previous_close_ticks: int
    volume_lots: int
    quote_minor: int
    trade_count: int
    first_trade_id: int
    last_trade_id: int


# -- book-snapshots, matcher-claims and dead-letters -------------------------------------------


class BookSnapshot(Envelope, frozen=True, kw_only=True, tag="BookSnapshot.v1"):
    """The whole state of one symbol after the input record `input_offset`.

    `state` is the engine's own canonical JSON text; `checksum` its `record_hash`. `last_hash` is the
    hash of the last `matched-events` record, `output_offset` a place in its partition that is not
    behind that record, and not behind the first one that follows it.
    """

    symbol: str
    engine_version: str
    sequence: int
    input_partition: int
    input_offset: int
    output_offset: int
    last_hash: str
    state: str
    checksum: str
    book_hash: str | None = None
    """Hash over every resting order in priority order: equal at equal sequence in every process."""
    slot: int = 0
    """Snapshots of a symbol are written to two slots in turn."""
    parts: int = 0
    """So many BookSnapshotParts of the same slot and checksum hold the state; 0: it is here."""


class BookSnapshotPart(Envelope, frozen=True, kw_only=True, tag="BookSnapshotPart.v1"):
    """A piece of the `state` of a BookSnapshot that is too long for one record; `part` counts from 0."""

    symbol: str
    checksum: str
    """Of the whole state: names the snapshot."""
    part: int
    state: str


class PartitionClaimed(Envelope, frozen=True, kw_only=True, tag="PartitionClaimed.v1"):
    """A matcher process says that it writes a partition's output now. The last claim in the log holds."""

    partition: int
    holder: str
    """One life of one process: its name and when it started."""
    standby: bool = False
    """It took over; it yields as soon as the partition's matcher claims again."""


class DeadLetter(Envelope, frozen=True, kw_only=True, tag="DeadLetter.v1"):
    """A record nobody can read, kept whole. A second one for the same source is a duplicate."""

    source_topic: str
    source_partition: int
    source_offset: int
    service: str
    reason: str
    """`decode_error`, `validation_error` or `wrong_partition`."""
    detail: str
    raw_base64: str
