"""The two stores of the services on the simulated database: the same methods, the same semantics.

tests/integration/simulation/test_simulated_stores.py runs the same work on real Postgres and compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

from processor import store as processor_store
from processor.ledger import WalletKey
from processor.order_rows import AcceptedOrder
from processor.outcomes import Outcome
from processor.questions import Questions
from processor.reservations import locked_asset
from processor.view import Account, Counted, CountKey, KnownList, KnownOrder, stored_terms
from recorder import store as recorder_store
from recorder.columns import trade_row
from recorder.journal import Leg
from recorder.settlement import Settlement
from schemas.accounts import OUTSIDE_ACCOUNT
from schemas.commands import EnterOrderList
from schemas.events import AccountOpened, FundsDeposited, RequestRejected
from schemas.instruments import Instruments
from schemas.orders import OrderListKind, Side
from schemas.topics import ORDER_REQUESTS, request_of
from service_runtime.errors import DependencyLost, Fenced, InvariantBroken
from service_runtime.event_log import TopicPartition
from service_runtime.sequence import MatchedPosition
from tests.simulation.exchange.database import Database, ListRow, OrderRow, SettledRow
from tests.simulation.exchange.scheduler import MS

_PAYING_THEMSELVES = (OrderListKind.OPO, OrderListKind.OPOCO)


class Client(Protocol):
    """The process that holds the connection."""

    def reach(self, place: str) -> None: ...

    def pause(self, most_ns: int) -> None: ...

    def strikes(self, place: str) -> bool: ...

    def coin(self) -> bool: ...


class Connection:
    """What both stores share: a transaction's locks, and a commit that may be lost or unknown."""

    def __init__(self, database: Database, client: Client) -> None:
        self.database = database
        self._client = client

    def wait_for_lock(self) -> None:
        self._client.pause(2 * MS)

    def statement(self) -> None:
        """A round trip. Raises DependencyLost when the connection breaks."""
        self._client.reach("statement")
        self._client.pause(MS)
        if self._client.strikes("statement"):
            self.rollback()
            raise DependencyLost("Postgres: simulated, the connection broke")

    def commit(self, work: Any) -> None:
        """Do the work and end the transaction; the answer may never come."""
        self._client.reach("commit")
        if self._client.strikes("commit"):
            if self._client.coin():
                work()
            self.rollback()
            raise DependencyLost("Postgres: simulated, nobody knows of the commit")
        work()
        self.rollback()
        self._client.reach("committed")

    def rollback(self) -> None:
        self.database.unlock(self)


class SimProcessorStore(processor_store.Store):
    """See `processor.store.Store`."""

    def __init__(self, connection: Connection, instruments: Instruments) -> None:
        self._sim = connection
        self._database = connection.database
        self._instruments = instruments

    def close(self) -> None:
        self._sim.rollback()

    def positions(self, partitions: Sequence[int]) -> dict[int, processor_store.Position]:
        self._sim.statement()
        found = {}
        for partition in partitions:
            key = ("processor", ORDER_REQUESTS, partition)
            offset, batch = self._database.positions.setdefault(key, [0, None])
            found[partition] = processor_store.Position(offset, batch)
        return found

    def read(self, ask: Questions) -> processor_store.Answers:
        self._sim.statement()
        data = self._database
        keys = [("processor", ORDER_REQUESTS, partition) for partition in sorted(ask.positions)]
        data.lock(self._sim, [key for key in keys if key in data.positions])
        data.lock(self._sim, [wallet for wallet in sorted(ask.wallets) if wallet in data.wallets])
        found = {key[2]: data.positions[key][0] for key in keys if key in data.positions}
        self._check_positions(found, ask.positions)
        named = [_known(row) for key in ask.client_keys for row in data.named_orders(*key)]
        lists = {}
        for list_key in ask.list_keys:
            known_list = data.newest_list(*list_key)
            if known_list is not None:
                lists[list_key] = _known_list(known_list)
        return processor_store.Answers(
            accounts={
                a: Account(data.accounts[a][1] == "ACTIVE", *data.accounts[a][2:4])
                for a in ask.accounts
                if a in data.accounts
            },
            available={w: data.wallets[w][0] for w in ask.wallets if w in data.wallets},
            named=named,
            orders={i: _known(data.orders[i]) for i in ask.order_ids if i in data.orders},
            open_counts={(a, s): len(data.open_orders(a, s)) for a, s in ask.open_counts},
            last_prices={
                symbol: row.last_price_ticks
                for symbol, row in data.settled.items()
                if symbol in ask.symbols and row.last_price_ticks is not None
            },
            counts={key: self._count(key) for key in ask.counts},
            lists={i: _known_list(data.order_lists[i]) for i in ask.list_ids if i in data.order_lists},
            newest_lists=lists,
        )

    def _count(self, key: CountKey) -> int:
        account_id, symbol, kind = key
        if kind is Counted.ORDER_LISTS:
            return self._database.open_lists(account_id, symbol)
        assert kind is not Counted.ORDERS, "nothing is counted over all symbols here"
        rows = self._database.open_orders(account_id, symbol)
        if kind is Counted.ICEBERG_ORDERS:
            return sum(row.display_lots is not None for row in rows)
        return sum(
            row.waits_for != "" and (row.stop_price_ticks, row.trailing_delta_bips) != (None, None)
            for row in rows
        )

    def write(
        self,
        outcomes: Sequence[Outcome],
        accepted: Sequence[AcceptedOrder],
        locked: Mapping[WalletKey, int],
        moved: Mapping[int, processor_store.Moved],
    ) -> None:
        self._sim.statement()
        data = self._database
        lists = [o for o in outcomes if isinstance(o, EnterOrderList)]
        rejected = [o for o in outcomes if isinstance(o, RequestRejected)]
        deltas = {wallet: (-amount, amount) for wallet, amount in locked.items()}
        ledger = {key: row for one in accepted for key, row in self._reservation(one)}
        try:
            data.check_wallets(deltas)
            data.check_new(data.orders, [one.terms.order_id for one in accepted], "orders")
            data.check_new(data.ledger, list(ledger), "ledger")
            data.check_new(data.order_lists, [o.list_id for o in lists], "order_lists")
            data.check_new(
                data.rejections, [(r.source_partition, r.source_offset) for r in rejected], "rejections"
            )
        except InvariantBroken:
            self._sim.rollback()
            raise

        def apply() -> None:
            data.move_wallets(deltas)
            for one in accepted:
                data.add_order(self._row(one))
            data.ledger.update(ledger)
            for (_, partition, offset, _), row in ledger.items():
                data.reservations.setdefault((partition, offset), []).append(row)
            for o in lists:
                at_ns = o.occurred_at_ns
                data.add_list(
                    ListRow(o.list_id, o.account_id, o.symbol, o.kind, o.client_order_id, at_ns, at_ns)
                )
            for r in rejected:
                data.rejections[r.source_partition, r.source_offset] = (
                    *(r.account_id, r.symbol, r.client_order_id, str(r.reason), r.occurred_at_ns),
                )
            for partition, move in moved.items():
                row = data.positions.get(("processor", ORDER_REQUESTS, partition), [None])
                if row[0] == move.expected:
                    row[:] = [move.next_offset, move.batch]

        self._sim.commit(apply)

    def abandon(self) -> None:
        self._sim.rollback()

    def _row(self, one: AcceptedOrder) -> OrderRow:
        command, terms = one.command, one.terms
        default = self._instruments[command.symbol].self_trade_prevention
        return OrderRow(
            order_id=terms.order_id,
            account_id=command.account_id,
            symbol=command.symbol,
            client_order_id=terms.client_order_id,
            side=str(terms.side),
            order_type=str(terms.order_type),
            time_in_force=str(terms.time_in_force),
            price_ticks=terms.price_ticks,
            quantity_lots=terms.quantity_lots,
            quote_budget_minor=terms.quote_budget_minor,
            reserved_minor=terms.reserved_minor,
            maker_fee_ppm=command.maker_fee_ppm,
            taker_fee_ppm=command.taker_fee_ppm,
            created_at_ns=command.occurred_at_ns,
            updated_at_ns=command.occurred_at_ns,
            stop_price_ticks=terms.stop_price_ticks,
            trailing_delta_bips=terms.trailing_delta_bips,
            display_lots=terms.display_lots,
            self_trade_prevention=str(terms.self_trade_prevention or default),
            list_id=one.list_id,
            waits_for=one.waits_for or "",
        )

    def _reservation(self, one: AcceptedOrder) -> list[tuple[tuple[str, int, int, int], tuple[Any, ...]]]:
        if one.locked_minor <= 0:
            return []
        command, terms = one.command, one.terms
        asset = locked_asset(terms.side, self._instruments[command.symbol])
        return [
            (
                ("R", *request_of(terms.order_id), one.leg),
                (
                    command.account_id,
                    asset,
                    -one.locked_minor,
                    one.locked_minor,
                    command.occurred_at_ns,
                    command.symbol,
                    terms.order_id,
                ),
            )
        ]


def _known(row: OrderRow) -> KnownOrder:
    return KnownOrder(
        row.order_id,
        row.account_id,
        row.symbol,
        row.client_order_id,
        stored_terms(
            row.side,
            row.order_type,
            row.time_in_force,
            row.price_ticks,
            row.quantity_lots,
            row.quote_budget_minor,
            row.stop_price_ticks,
            row.trailing_delta_bips,
            row.display_lots,
        ),
        row.created_at_ns,
        row.ended is None,
        Side(row.side),
        row.price_ticks,
        (row.quantity_lots or 0) - row.executed_lots - row.prevented_lots,
        row.amends,
    )


def _known_list(row: ListRow) -> KnownList:
    return KnownList(
        row.list_id, row.account_id, row.symbol, row.client_order_id, row.created_at_ns, row.ended is None
    )


class SimRecorderStore(recorder_store.Store):
    """See `recorder.store.Store`."""

    def __init__(self, connection: Connection) -> None:
        self._sim = connection
        self._database = connection.database
        self._opened: dict[int, tuple[str, str, int, int, int]] = {}
        """Accounts that the open transaction inserted."""

    def close(self) -> None:
        self._sim.rollback()

    def positions(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self._sim.statement()
        for source in partitions:
            self._database.positions.setdefault(("recorder", *source), [0, None])
        return {
            TopicPartition(topic, partition): row[0]
            for (service, topic, partition), row in self._database.positions.items()
            if service == "recorder"
        }

    def settled(self, symbols: Iterable[str]) -> tuple[dict[str, MatchedPosition], dict[str, int]]:
        self._sim.statement()
        for symbol in symbols:
            self._database.settled.setdefault(symbol, SettledRow())
        rows = self._database.settled.items()
        return {s: MatchedPosition(r.sequence, r.last_hash) for s, r in rows}, {
            s: r.trade_id for s, r in rows
        }

    def accounts_paying_themselves(self) -> set[int]:
        self._sim.statement()
        return {
            row.account_id for row in self._database.order_lists.values() if row.kind in _PAYING_THEMSELVES
        }

    def open_accounts(
        self, opened: Sequence[AccountOpened], deposits: Sequence[FundsDeposited]
    ) -> recorder_store.AccountFacts:
        self._sim.statement()
        data = self._database
        self._opened = {
            a.account_id: (a.name, "ACTIVE", a.maker_fee_ppm, a.taker_fee_ppm, a.occurred_at_ns)
            for a in reversed(opened)
            if a.account_id not in data.accounts
        }
        assets = sorted({d.asset for d in deposits})
        for asset in assets:
            data.wallets.setdefault((OUTSIDE_ACCOUNT, asset), [0, 0])
        data.lock(self._sim, [(OUTSIDE_ACCOUNT, asset) for asset in assets])
        return recorder_store.AccountFacts(
            {d.account_id for d in deposits if d.account_id in data.accounts or d.account_id in self._opened},
            {d.deposit_id for d in deposits if d.deposit_id in data.deposits},
            {asset: data.wallets[OUTSIDE_ACCOUNT, asset][0] for asset in assets},
        )

    def reservations(self, requests: Sequence[tuple[int, int]]) -> dict[tuple[int, int], list[Leg]]:
        self._sim.statement()
        found = {}
        for request in requests:
            rows = self._database.reservations.get(request)
            if rows:
                found[request] = [Leg(*row[:4], row[6]) for row in rows]
        return found

    def write(
        self,
        settlement: Settlement,
        deposits: Sequence[FundsDeposited],
        moved: Mapping[TopicPartition, recorder_store.Moved],
    ) -> None:
        self._sim.statement()
        data = self._database
        data.lock(self._sim, [("recorder", *source) for source in sorted(moved)])
        for key in sorted(settlement.wallets):
            data.wallets.setdefault(key, [0, 0])
        data.lock(self._sim, sorted(settlement.wallets))
        deltas = {key: (pair[0], pair[1]) for key, pair in settlement.wallets.items()}
        ledger = {(row[0], row[1], row[2], row[3]): row[4:] for row in settlement.ledger}
        trades = {(trade.symbol, trade.trade_id): trade_row(trade)[2:] for trade in settlement.trades}
        try:
            self._check(settlement, deposits, moved, deltas)
            if len(ledger) != len(settlement.ledger) or len(trades) != len(settlement.trades):
                raise InvariantBroken("Postgres refused a batch: duplicate key in a batch")
            data.check_new(data.ledger, list(ledger), "ledger")
            data.check_new(data.trades, list(trades), "trades")
        except (Fenced, InvariantBroken):
            self._sim.rollback()
            raise

        opened, self._opened = self._opened, {}

        def apply() -> None:
            for account_id, account in opened.items():
                data.accounts.setdefault(account_id, account)
            for source, move in moved.items():
                data.positions[("recorder", *source)][0] = move.next_offset
            for d in deposits:
                data.deposits[d.deposit_id] = (d.account_id, d.asset, d.amount_minor, d.occurred_at_ns)
            data.move_wallets(deltas)
            self._apply_changes(settlement)
            data.ledger.update(ledger)
            data.trades.update(trades)

        self._sim.commit(apply)

    def _check(
        self,
        settlement: Settlement,
        deposits: Sequence[FundsDeposited],
        moved: Mapping[TopicPartition, recorder_store.Moved],
        deltas: Mapping[WalletKey, tuple[int, int]],
    ) -> None:
        """Raise what the real one would: first of all whether another recorder was here."""
        data, changes = self._database, settlement.changes
        found = {s: data.positions.get(("recorder", *s), [None])[0] for s in moved}
        if any(found[source] != move.expected for source, move in moved.items()):
            raise Fenced(f"recorder: positions are {found}, expected {moved}")
        data.check_wallets(dict(deltas))
        data.check_new(data.prevented, [row[:2] for row in changes.prevented], "prevented_matches")
        data.check_new(data.amendments, [row[:2] for row in changes.amendments], "amendments")
        for what, keys, table in (
            ("orders", changes.orders, data.orders),
            ("terms", changes.terms, data.orders),
            ("order lists", changes.lists, data.order_lists),
        ):
            missing = [key for key in keys if key not in table]
            if missing:
                raise InvariantBroken(f"recorder: {what} {missing} are not there")
        if any(d.deposit_id in data.deposits for d in deposits):
            raise InvariantBroken("recorder: a deposit was made before")

    def _apply_changes(self, settlement: Settlement) -> None:
        data, changes = self._database, settlement.changes
        for order_id, change in changes.orders.items():
            order = data.orders[order_id]
            order.executed_lots += change.executed_lots
            order.executed_quote_minor += change.executed_quote_minor
            order.ended = order.ended if change.ended is None else change.ended
            order.end_reason = order.end_reason if change.reason is None else change.reason
            order.updated_at_ns = max(order.updated_at_ns, change.updated_at_ns)
        for order_id, terms in changes.terms.items():
            self._apply_terms(data.orders[order_id], terms)
        for list_id, ended in changes.lists.items():
            row = data.order_lists[list_id]
            row.ended, row.end_reason, row.updated_at_ns = ended.ended, ended.reason, ended.at_ns
            if ended.ended == "REJECTED":
                for leg in data.orders.values():
                    if leg.list_id == list_id:
                        leg.ended, leg.end_reason = "REJECTED", ended.reason
                        leg.updated_at_ns = max(leg.updated_at_ns, ended.at_ns)
        for prevented in changes.prevented:
            data.prevented[prevented[:2]] = prevented[2:]
        for amendment in changes.amendments:
            data.amendments[amendment[:2]] = amendment[2:]
        for symbol, moved in settlement.settled.items():
            settled = data.settled[symbol]
            for name in ("sequence", "last_hash", "trade_id", "last_price_ticks"):
                value = getattr(moved, name)
                if value is not None:
                    setattr(settled, name, value)

    def _apply_terms(self, order: OrderRow, change: Any) -> None:
        if change.amends > 0 and order.first_quantity_lots is None:
            before = change.first_quantity_lots
            order.first_quantity_lots = order.quantity_lots if before is None else before
        if change.client_order_id is not None:
            self._database.rename_order(order, change.client_order_id)
        for name in ("price_ticks", "quantity_lots", "waits_for", "working_at_ns"):
            value = getattr(change, name)
            if value is not None:
                setattr(order, name, value)
        order.prevented_lots += change.prevented_lots
        order.amends += change.amends


def legs_sum_to_zero(ledger: Mapping[tuple[str, int, int, int], tuple[Any, ...]]) -> list[str]:
    """Return the events whose legs do not sum to zero in some asset (I2)."""
    wrong = []
    for event, rows in groupby(sorted(ledger.items()), key=lambda item: item[0][:3]):
        sums: dict[str, int] = {}
        for _, row in rows:
            sums[row[1]] = sums.get(row[1], 0) + row[2] + row[3]
        if any(sums.values()):
            wrong.append(f"{event}: {sums}")
    return wrong
