"""POST /order/cancelReplace: cancel one order, place another; every row of API.md section 3.7."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from ingest import refusals
from ingest.filters import AfterPriceBand
from ingest.http_exchange import Answer, Headers, Request, Route, ok
from ingest.order_desk import MAX_ORDER_ID, Asking, OrderDesk, order_named, read_restriction
from ingest.order_form import KNOWN as ORDER_PARAMETERS
from ingest.order_form import OrderForm, read_order
from ingest.order_outcomes import outcomes, own_order_id
from ingest.order_reports import Reply, cancel_report, entered_report
from schemas import public_errors as errors
from schemas.commands import CancelOrder, ReplaceOrder
from schemas.events import CancelRefused, CommandMatched, OrderCanceled, OrderRefused, RequestRejected
from schemas.orders import CancelRestriction, ReplaceMode
from schemas.public_errors import PublicError
from schemas.public_wire import encode
from schemas.reasons import RejectReason

PARAMETERS: Final = ORDER_PARAMETERS | {
    *("cancelReplaceMode", "cancelOrderId", "cancelOrigClientOrderId", "cancelNewClientOrderId"),
    *("cancelRestrictions", "orderRateLimitExceededMode"),
}
_MODES: Final = {member.value: member for member in ReplaceMode}
_EXCEEDED: Final = "orderRateLimitExceededMode"
_EXCEEDED_MODES: Final = ("DO_NOTHING", "CANCEL_ONLY")
SUCCESS: Final = "SUCCESS"
FAILURE: Final = "FAILURE"
NOT_ATTEMPTED: Final = "NOT_ATTEMPTED"


class ReplaceRoutes:
    def __init__(self, desk: OrderDesk) -> None:
        self._desk = desk

    def routes(self) -> dict[tuple[str, str], Route]:
        return {("POST", "/api/v3/order/cancelReplace"): Route(self.replace)}

    async def replace(self, request: Request) -> Answer:
        desk = self._desk
        asking = desk.asking(request, PARAMETERS)
        try:
            form = read_order(desk.instruments, asking.parameters, asking.client_id)
        except AfterPriceBand as later:
            raise await desk.first_refusal(later) from None
        named = _named(asking, desk)
        try:
            await desk.check_orders(asking)
        except PublicError as exceeded:
            if named.exceeded_mode != "CANCEL_ONLY":
                raise
            return await self._cancel_only(asking, form, named, exceeded)
        reply = await desk.ask(
            ReplaceOrder(
                **desk.envelope(asking, form.instrument),
                client_order_id=named.client_order_id,
                mode=named.mode,
                order=form.requested(),
                cancel_order_id=named.order_id,
                cancel_orig_client_order_id=named.orig_client_order_id,
                restriction=named.restriction,
            )
        )
        return self._answer(asking, form, named, reply)

    async def _cancel_only(
        self, asking: Asking, form: OrderForm, named: Named, exceeded: PublicError
    ) -> Answer:
        """Too many orders: cancel, and say that the new one was refused."""
        reply = await self._desk.ask(
            CancelOrder(
                **self._desk.envelope(asking, form.instrument),
                client_order_id=named.client_order_id,
                order_id=named.order_id,
                orig_client_order_id=named.orig_client_order_id,
                restriction=named.restriction,
            )
        )
        canceled = _canceled(reply, form)
        return _answer(canceled, _body(exceeded), [])

    def _answer(self, asking: Asking, form: OrderForm, named: Named, reply: Reply) -> Answer:
        if isinstance(reply, RequestRejected):
            return self._rejected(asking, named, reply)
        placed, took = _placed(reply, form)
        return _answer(_canceled(reply, form), placed, self._desk.counted(asking, took))

    def _rejected(self, asking: Asking, named: Named, reply: RequestRejected) -> Answer:
        """The processor refused: the terms (nothing was tried), or there is no order to cancel."""
        if reply.reason is RejectReason.UNKNOWN_ORDER:
            return _answer(errors.UNKNOWN_ORDER(), None, self._desk.counted(asking, False))
        refused = refusals.of_new_order(reply.reason)
        if reply.reason is RejectReason.INSUFFICIENT_FUNDS and named.mode is ReplaceMode.ALLOW_FAILURE:
            return _answer(errors.UNKNOWN_ORDER(), _body(refused), self._desk.counted(asking, False))
        raise refused


class Named(NamedTuple):
    """Which order is to be canceled, and how."""

    mode: ReplaceMode
    order_id: int | None
    orig_client_order_id: str | None
    client_order_id: str
    restriction: CancelRestriction | None
    exceeded_mode: str | None


def _named(asking: Asking, desk: OrderDesk) -> Named:
    parameters = asking.parameters
    mode = parameters.required("cancelReplaceMode")
    if mode not in _MODES:
        raise errors.INVALID_DATA("cancelReplaceMode")
    order_id, orig = order_named(parameters, "cancelOrderId", "cancelOrigClientOrderId")
    if order_id is not None and order_id > MAX_ORDER_ID:
        order_id = 0  # no order has it
    client_order_id = parameters.client_id("cancelNewClientOrderId") or desk.new_client_id()
    exceeded = parameters.choice(_EXCEEDED, _EXCEEDED_MODES, errors.INVALID_DATA, _EXCEEDED)
    return Named(_MODES[mode], order_id, orig, client_order_id, read_restriction(parameters), exceeded)


def _canceled(reply: Reply, form: OrderForm) -> dict[str, Any] | PublicError:
    if isinstance(reply, RequestRejected):
        return refusals.of_cancel(reply.reason)
    for event in reply.events:
        if isinstance(event, OrderCanceled):
            return cancel_report(reply, event, form.instrument)
        if isinstance(event, CancelRefused):
            return refusals.of_cancel(event.reason)
    return errors.UNKNOWN_ORDER()  # the processor knew that there was nothing to cancel


def _placed(record: CommandMatched, form: OrderForm) -> tuple[dict[str, Any] | None, bool]:
    """Return what became of the new order (None: it was not tried), and whether it traded."""
    order_id = own_order_id(record)
    for event in record.events:
        if isinstance(event, OrderRefused) and event.order_id == order_id:
            tried = event.reason is not RejectReason.NOT_ATTEMPTED
            return (_body(refusals.of_new_order(event.reason)) if tried else None), False
    outcome = outcomes(record).get(order_id)
    if outcome is None:
        raise errors.INTERNAL_ERROR()
    return entered_report(record, outcome, form.instrument, form.response_type), bool(outcome.trades)


def _body(refusal: PublicError) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(refusal.body())
    return body


def _answer(
    canceled: dict[str, Any] | PublicError, placed: dict[str, Any] | None, headers: Headers
) -> Answer:
    """Return the answer of the row of the table that the two results make."""
    cancel_failed = isinstance(canceled, PublicError)
    place_failed = placed is None or "code" in placed
    data = {
        "cancelResult": FAILURE if cancel_failed else SUCCESS,
        "newOrderResult": NOT_ATTEMPTED if placed is None else FAILURE if place_failed else SUCCESS,
        "cancelResponse": _body(canceled) if isinstance(canceled, PublicError) else canceled,
        "newOrderResponse": placed,
    }
    if not cancel_failed and not place_failed:
        return ok(data, headers)
    failure = (errors.REPLACE_FAILED if cancel_failed and place_failed else errors.REPLACE_PARTLY_FAILED)()
    body = {"code": failure.code, "msg": failure.msg, "data": data}
    return Answer(failure.status, encode(body), headers)
