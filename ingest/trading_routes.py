"""Orders in: place, test, cancel, cancel all, amend. No Postgres and no Redis on the way of an order."""

from __future__ import annotations

from typing import Any, Final

from ingest.account_reads import AccountReads
from ingest.filters import AfterPriceBand, quantity_lots
from ingest.http_exchange import Answer, Request, Route, ok
from ingest.list_routes import ListRoutes
from ingest.order_desk import MAX_ORDER_ID, Asking, OrderDesk, order_named, read_restriction
from ingest.order_form import KNOWN as ORDER_PARAMETERS
from ingest.order_form import SIGNING, OrderForm, read_order
from ingest.order_reports import amended, cancel_report, canceled_orders, order_report
from ingest.order_rows import amended_order
from ingest.replace_routes import ReplaceRoutes
from schemas import public_errors as errors
from schemas.commands import AmendOrder, CancelAllOrders, CancelOrder, PlaceOrder
from schemas.public_wire import NS_PER_MS, ZERO, no_discount, rate_text

TEST_PARAMETERS: Final = ORDER_PARAMETERS | {"computeCommissionRates"}
CANCEL_ALL_PARAMETERS: Final = SIGNING | {"symbol"}
CANCEL_PARAMETERS: Final = CANCEL_ALL_PARAMETERS | {
    *("orderId", "origClientOrderId", "newClientOrderId", "cancelRestrictions")
}
AMEND_PARAMETERS: Final = CANCEL_ALL_PARAMETERS | {
    *("orderId", "origClientOrderId", "newClientOrderId", "newQty")
}
_AMEND_WEIGHT: Final = 4
TEST_WEIGHT_WITH_RATES: Final = 20


class TradingRoutes:
    def __init__(self, desk: OrderDesk, reads: AccountReads) -> None:
        self._desk = desk
        self._reads = reads
        self._lists = ListRoutes(self._desk, reads)
        self._replaces = ReplaceRoutes(self._desk)

    def routes(self) -> dict[tuple[str, str], Route]:
        return {
            ("POST", "/api/v3/order"): Route(self.place),
            ("POST", "/api/v3/order/test"): Route(self.test, weigh=_test_weight),
            ("DELETE", "/api/v3/order"): Route(self.cancel),
            ("DELETE", "/api/v3/openOrders"): Route(self.cancel_all),
            ("PUT", "/api/v3/order/amend/keepPriority"): Route(self.amend, _AMEND_WEIGHT),
            **self._replaces.routes(),
            **self._lists.routes(),
        }

    async def place(self, request: Request) -> Answer:
        desk = self._desk
        asking = desk.asking(request, ORDER_PARAMETERS)
        try:
            form = read_order(desk.instruments, asking.parameters, asking.client_id)
        except AfterPriceBand as later:
            raise await desk.first_refusal(later) from None
        await desk.check_orders(asking)
        reply = await desk.ask(
            PlaceOrder(
                **desk.envelope(asking, form.instrument),
                side=form.side,
                order_type=form.order_type,
                client_order_id=form.client_order_id,
                time_in_force=form.time_in_force,
                quantity_lots=form.quantity_lots,
                quote_quantity_minor=form.quote_quantity_minor,
                price_ticks=form.price_ticks,
                stop_price_ticks=form.stop_price_ticks,
                trailing_delta_bips=form.trailing_delta_bips,
                display_lots=form.display_lots,
                self_trade_prevention=form.self_trade_prevention,
                strategy_id=form.strategy_id,
                strategy_type=form.strategy_type,
            )
        )
        report = order_report(reply, form.instrument, form.response_type)
        took = report.get("executedQty", ZERO) != ZERO
        return ok(report, desk.counted(asking, took))

    async def test(self, request: Request) -> Answer:
        """Check an order as `place` does, and send nothing."""
        asking = self._desk.asking(request, TEST_PARAMETERS)
        try:
            form = read_order(self._desk.instruments, asking.parameters, self._desk.new_client_id)
        except AfterPriceBand as later:
            raise await self._desk.first_refusal(later) from None
        if not asking.parameters.boolean("computeCommissionRates"):
            return ok({})
        return ok(_commission(asking, form))

    async def cancel(self, request: Request) -> Answer:
        desk = self._desk
        asking = desk.asking(request, CANCEL_PARAMETERS)
        parameters = asking.parameters
        instrument = desk.listed(asking)
        order_id, orig_client_order_id = order_named(parameters)
        if order_id is not None and order_id > MAX_ORDER_ID:
            raise errors.UNKNOWN_ORDER()
        client_order_id = parameters.client_id("newClientOrderId") or desk.new_client_id()
        reply = await desk.ask(
            CancelOrder(
                **desk.envelope(asking, instrument),
                client_order_id=client_order_id,
                order_id=order_id,
                orig_client_order_id=orig_client_order_id,
                restriction=read_restriction(parameters),
            )
        )
        canceled = canceled_orders(reply)  # a leg takes its list along: the answer is about the one named
        for one in canceled:
            if order_id == one.order_id or (order_id is None and one.client_order_id == orig_client_order_id):
                return ok(cancel_report(reply, one, instrument))
        return ok(cancel_report(reply, canceled[0], instrument))

    async def cancel_all(self, request: Request) -> Answer:
        desk = self._desk
        asking = desk.asking(request, CANCEL_ALL_PARAMETERS)
        instrument = desk.listed(asking)
        command = CancelAllOrders(**desk.envelope(asking, instrument), client_order_id=desk.new_client_id())
        reply = await desk.ask(command)
        canceled = canceled_orders(reply)
        if all(one.list_id is None for one in canceled):
            return ok([cancel_report(reply, one, instrument) for one in canceled])
        return ok(await self._lists.canceled_together(asking, reply, canceled, instrument))

    async def amend(self, request: Request) -> Answer:
        desk = self._desk
        asking = desk.asking(request, AMEND_PARAMETERS)
        parameters = asking.parameters
        instrument = desk.listed(asking)
        order_id, orig_client_order_id = order_named(parameters)
        if order_id is not None and order_id > MAX_ORDER_ID:
            raise errors.AMEND_UNKNOWN()
        parameters.required("newQty")
        quantity = parameters.decimal("newQty")
        assert quantity is not None
        client_order_id = parameters.client_id("newClientOrderId") or asking.client_id()
        reply = await desk.ask(
            AmendOrder(
                **desk.envelope(asking, instrument),
                client_order_id=client_order_id,
                quantity_lots=quantity_lots(instrument, quantity, market=False),
                order_id=order_id,
                orig_client_order_id=orig_client_order_id,
            )
        )
        record, event = amended(reply)
        seen = {instrument.symbol: (record.sequence, record.last_trade_id)}
        order = await self._reads.order(asking.account_id, instrument.symbol, event.order_id, None, seen)
        if order is None:
            raise errors.INTERNAL_ERROR()
        return ok(
            {
                "transactTime": record.occurred_at_ns // NS_PER_MS,
                "executionId": record.sequence,
                "amendedOrder": amended_order(instrument, order, event),
            }
        )


def _test_weight(request: Request) -> int:
    raw = request.query + request.body
    return TEST_WEIGHT_WITH_RATES if b"computeCommissionRates=true" in raw else 1


def _commission(asking: Asking, form: OrderForm) -> dict[str, Any]:
    none = {"maker": ZERO, "taker": ZERO}
    return {
        "standardCommissionForOrder": {
            "maker": rate_text(asking.caller.key.maker_fee_ppm),
            "taker": rate_text(asking.caller.key.taker_fee_ppm),
        },
        "specialCommissionForOrder": none,
        "taxCommissionForOrder": none,
        "discount": no_discount(form.instrument),
    }
