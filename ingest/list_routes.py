"""Order lists in: place (OCO, OTO, OTOCO, OPO, OPOCO, and the old form of an OCO) and cancel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from ingest.account_reads import AccountReads
from ingest.filters import AfterPriceBand
from ingest.http_exchange import Answer, Request, Route, ok
from ingest.order_desk import MAX_ORDER_ID, Asking, OrderDesk, order_named
from ingest.order_form import SIGNING
from ingest.order_list_form import OLD_OCO_PARAMETERS, PARAMETERS, of_old_oco, read_order_list
from ingest.order_reports import Reply, cancel_report, canceled_orders, list_head, list_report
from schemas import public_errors as errors
from schemas.commands import CancelOrderList, PlaceOrderList
from schemas.events import CommandMatched, OrderCanceled
from schemas.instruments import Instrument
from schemas.orders import OrderListKind
from schemas.public_parameters import Parameters
from schemas.public_wire import NS_PER_MS, ZERO

CANCEL_PARAMETERS: Final = SIGNING | {"symbol", "orderListId", "listClientOrderId", "newClientOrderId"}


class ListRoutes:
    def __init__(self, desk: OrderDesk, reads: AccountReads) -> None:
        self._desk = desk
        self._reads = reads

    def routes(self) -> dict[tuple[str, str], Route]:
        placing = {
            ("POST", f"/api/v3/orderList/{kind.lower()}"): Route(partial(self.place, kind))
            for kind in OrderListKind
        }
        return {
            **placing,
            ("POST", "/api/v3/order/oco"): Route(self.place_old_oco),
            ("DELETE", "/api/v3/orderList"): Route(self.cancel),
        }

    async def place(self, kind: OrderListKind, request: Request) -> Answer:
        asking = self._desk.asking(request, PARAMETERS[kind])
        return await self._place(asking, asking.parameters, kind)

    async def place_old_oco(self, request: Request) -> Answer:
        asking = self._desk.asking(request, OLD_OCO_PARAMETERS)
        return await self._place(asking, of_old_oco(asking.parameters), OrderListKind.OCO)

    async def _place(self, asking: Asking, parameters: Parameters, kind: OrderListKind) -> Answer:
        desk = self._desk
        try:
            form = read_order_list(desk.instruments, parameters, kind, asking.client_id_for)
        except AfterPriceBand as later:
            raise await desk.first_refusal(later) from None
        await desk.check_orders(asking)
        reply = await desk.ask(
            PlaceOrderList(
                **desk.envelope(asking, form.instrument),
                kind=kind,
                client_order_id=form.client_order_id,
                legs=tuple(leg.requested() for leg in form.legs),
            )
        )
        report = list_report(reply, form.instrument, form.response_type)
        took = any(one.get("executedQty", ZERO) != ZERO for one in report["orderReports"])
        return ok(report, desk.counted(asking, took, len(form.legs)))

    async def cancel(self, request: Request) -> Answer:
        desk = self._desk
        asking = desk.asking(request, CANCEL_PARAMETERS)
        instrument = desk.listed(asking)
        list_id, client_order_id = order_named(asking.parameters, "orderListId", "listClientOrderId")
        if list_id is not None and list_id > MAX_ORDER_ID:
            raise errors.UNKNOWN_ORDER()
        reply = await desk.ask(
            CancelOrderList(
                **desk.envelope(asking, instrument),
                client_order_id=asking.parameters.client_id("newClientOrderId") or desk.new_client_id(),
                list_id=list_id,
                list_client_order_id=client_order_id,
            )
        )
        canceled = canceled_orders(reply)
        return ok((await self.canceled_together(asking, reply, canceled, instrument))[0])

    async def canceled_together(
        self, asking: Asking, reply: Reply, canceled: Sequence[OrderCanceled], instrument: Instrument
    ) -> list[dict[str, Any]]:
        """Return one report for each canceled order that stands alone and each list, in their order."""
        assert isinstance(reply, CommandMatched)
        list_ids = list(dict.fromkeys(one.list_id for one in canceled if one.list_id is not None))
        stored = {one.list_id: one for one in await self._reads.order_lists_of(asking.account_id, list_ids)}
        reports: dict[int, dict[str, Any]] = {}
        for one in canceled:
            report = cancel_report(reply, one, instrument)
            if one.list_id is None or one.list_id not in stored:
                reports[one.order_id] = report
                continue
            found = stored[one.list_id]
            if one.list_id not in reports:
                head = list_head(
                    found.symbol, found.list_id, found.kind, found.client_order_id, found.orders, ended=True
                )
                head["transactionTime"] = reply.occurred_at_ns // NS_PER_MS
                reports[one.list_id] = {**head, "orderReports": []}
            reports[one.list_id]["orderReports"].append(report)
        return list(reports.values())
