"""What every request about orders shares: who asks, its envelope, the way into the log and back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from ingest.api_keys import KeyStore
from ingest.authentication import Caller, authenticate, replay_proof_id
from ingest.command_log import CommandLog
from ingest.dependencies import Dependencies
from ingest.filter_order import HotPrices, first_refusal
from ingest.filters import AfterPriceBand
from ingest.http_exchange import Request
from ingest.order_form import listed
from ingest.order_reports import Reply
from ingest.rate_limits import RateLimits
from ingest.reply_desk import ReplyDesk
from ingest.shedding import Shedding
from schemas import public_errors as errors
from schemas.commands import OrderRequest
from schemas.instruments import Instrument, Instruments
from schemas.orders import CancelRestriction
from schemas.public_errors import PublicError
from schemas.public_parameters import Parameters
from service_runtime.failpoints import Failpoint, reach

MAX_ORDER_ID: Final = 2**53 - 1
"""What clients write in JavaScript; no order has a larger one."""
_ID_BYTES: Final = 11
_RESTRICTIONS: Final = {member.value: member for member in CancelRestriction}


class Asking(NamedTuple):
    """An authenticated request about orders, whose parameters are all known."""

    request: Request
    caller: Caller

    @property
    def parameters(self) -> Parameters:
        return self.caller.parameters

    @property
    def account_id(self) -> int:
        return self.caller.key.account_id

    def client_id(self) -> str:
        """Return the client order id of what came without one: an exact replay has the same."""
        return replay_proof_id(self.request)

    def client_id_for(self, name: str) -> str:
        """Return one for each of several that came without."""
        return blake2b(f"{self.client_id()}{name}".encode(), digest_size=_ID_BYTES).hexdigest()


class OrderDesk:
    def __init__(
        self,
        *,
        instruments: Instruments,
        keys: KeyStore,
        log: CommandLog,
        desk: ReplyDesk,
        dependencies: Dependencies,
        limits: RateLimits,
        shedding: Shedding,
        reply_partition: int,
        now_ns: Callable[[], int],
        hot: HotPrices,
        compare_orders: Callable[[int], Awaitable[None]],
    ) -> None:
        self.compare_orders = compare_orders
        self._hot = hot
        self.instruments = instruments
        self.limits = limits
        self.now_ns = now_ns
        self._keys = keys
        self._log = log
        self._desk = desk
        self._dependencies = dependencies
        self._shedding = shedding
        self._reply_partition = reply_partition

    def asking(self, request: Request, known: frozenset[str]) -> Asking:
        """Raises what authentication refuses, and -1104 for a parameter that is not known here."""
        caller = authenticate(self._keys, request, trade=True)
        self.limits.spend_key(caller.key.api_key, request)
        caller.parameters.refuse_unknown(known)
        return Asking(request, caller)

    def listed(self, asking: Asking) -> Instrument:
        return listed(self.instruments, asking.parameters)

    def new_client_id(self) -> str:
        return self._log.new_client_id()

    def envelope(self, asking: Asking, instrument: Instrument) -> dict[str, Any]:
        """Return the fields that every request in the log has."""
        request_id = self._log.new_id()
        return {
            "event_id": request_id,
            "correlation_id": request_id,
            "causation_id": request_id,
            "occurred_at_ns": asking.request.received_ns,
            "account_id": asking.account_id,
            "symbol": instrument.symbol,
            "reply_partition": self._reply_partition,
            "expires_at_ns": asking.caller.expires_at_ns,
        }

    async def ask(self, command: OrderRequest) -> Reply:
        """Send a command and return its reply. Raises -1008 before acceptance, -1007 when none came."""
        self._dependencies.require_all()
        self._shedding.admit(command, self._desk.unanswered)
        waiting = self._desk.expect(command.correlation_id)
        self._log.append(command)
        reply = await waiting
        reach(Failpoint.INGEST_BEFORE_ANSWER)
        if reply is None:
            raise errors.TIMEOUT()
        return reply

    async def first_refusal(self, later: AfterPriceBand) -> PublicError:
        """See `filter_order.first_refusal`."""
        return await first_refusal(later, self._hot)

    async def check_orders(self, asking: Asking) -> None:
        """Raise -1015 for too many unfilled orders. Near the limit the other workers are asked first."""
        account_id, now_ns = asking.account_id, asking.request.received_ns
        if self.limits.orders.near(account_id, now_ns):
            await self.compare_orders(account_id)
        self.limits.check_orders(account_id, now_ns)

    def counted(self, asking: Asking, took: bool, orders: int = 1) -> list[tuple[bytes, bytes]]:
        """Count accepted orders; return the headers that say how many there were."""
        return self.limits.order_accepted(asking.account_id, took, self.now_ns(), orders)


def order_named(
    parameters: Parameters, by_id: str = "orderId", by_client_id: str = "origClientOrderId"
) -> tuple[int | None, str | None]:
    """Return (order id, client order id) of which one at least is given."""
    order_id = parameters.integer(by_id)
    client_order_id = parameters.client_id(by_client_id)
    if order_id is None and client_order_id is None:
        raise errors.EITHER_MANDATORY(by_client_id, by_id)
    return order_id, client_order_id


def read_restriction(parameters: Parameters) -> CancelRestriction | None:
    chosen = parameters.choice("cancelRestrictions", _RESTRICTIONS, errors.INVALID_CANCEL_RESTRICTIONS)
    return None if chosen is None else _RESTRICTIONS[chosen]
