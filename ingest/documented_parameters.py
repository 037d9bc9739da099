"""What /openapi.json says of parameters: kind, bounds, and a value that would do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ingest.order_form import RESPONSE_TYPES, SIGNING
from ingest.order_form import STP_MODES as MODES_UNDERSTOOD
from schemas.orders import CancelRestriction, OrderType, ReplaceMode, Side, TimeInForce

SIGNED: Final = ("timestamp!", "recvWindow", "signature!")
_INTERVALS: Final = (
    *("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"),
)
_DECIMAL: Final = {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,8})?$"}
_CLIENT_ID: Final = {"type": "string", "pattern": "^[a-zA-Z0-9_.:/-]{1,36}$"}
_ID: Final = {"type": "integer", "minimum": 0}
_TIME: Final = {"type": "integer", "minimum": 0, "description": "Milliseconds since 1970"}
_BOOLEAN: Final = {"type": "boolean"}


class Told(NamedTuple):
    """A parameter's schema, and a value that would do."""

    schema: dict[str, Any]
    example: Any


def _one_of(words: Iterable[str]) -> dict[str, Any]:
    return {"type": "string", "enum": [str(word) for word in words]}


def _members(words: type[StrEnum]) -> dict[str, Any]:
    return _one_of(member.value for member in words)


PARAMETERS: Final[Mapping[str, Told]] = MappingProxyType(
    {
        "symbol": Told({"type": "string", "pattern": "^[A-Z0-9]{2,20}$"}, "BTCUSDT"),
        "symbols": Told(
            {"type": "string", "description": "A JSON array of symbols"}, '["BTCUSDT","ETHUSDT"]'
        ),
        "side": Told(_members(Side), "BUY"),
        "type": Told(_members(OrderType), "LIMIT"),
        "tickerType": Told(_one_of(("FULL", "MINI")), "MINI"),
        "timeInForce": Told(_members(TimeInForce), "GTC"),
        "quantity": Told(_DECIMAL, "0.010000"),
        "quoteOrderQty": Told(_DECIMAL, "250.00"),
        "price": Told(_DECIMAL, "30000.00"),
        "newClientOrderId": Told(_CLIENT_ID, "my-order-1"),
        "origClientOrderId": Told(_CLIENT_ID, "my-order-1"),
        "newOrderRespType": Told(_one_of(RESPONSE_TYPES), "FULL"),
        "selfTradePreventionMode": Told(_one_of(MODES_UNDERSTOOD), "NONE"),
        "stopPrice": Told(_DECIMAL, "29000.00"),
        "trailingDelta": Told({"type": "integer", "minimum": 1}, 100),
        "icebergQty": Told(_DECIMAL, "0.001000"),
        "strategyId": Told(_ID, 1),
        "strategyType": Told({"type": "integer", "minimum": 1_000_000}, 1_000_000),
        "cancelReplaceMode": Told(_members(ReplaceMode), "STOP_ON_FAILURE"),
        "cancelOrderId": Told(_ID, 1025),
        "cancelOrigClientOrderId": Told(_CLIENT_ID, "my-order-1"),
        "cancelNewClientOrderId": Told(_CLIENT_ID, "my-cancel-1"),
        "cancelRestrictions": Told(_members(CancelRestriction), "ONLY_NEW"),
        "orderRateLimitExceededMode": Told(_one_of(("DO_NOTHING", "CANCEL_ONLY")), "DO_NOTHING"),
        "newQty": Told(_DECIMAL, "0.005000"),
        "fromExecutionId": Told(_ID, 1),
        "preventedMatchId": Told(_ID, 1),
        "fromPreventedMatchId": Told(_ID, 1),
        "orderListId": Told(_ID, 769),
        "listClientOrderId": Told(_CLIENT_ID, "my-list-1"),
        "computeCommissionRates": Told(_BOOLEAN, True),
        "omitZeroBalances": Told(_BOOLEAN, True),
        "permissions": Told({"type": "string", "description": "A name, or a JSON array of names"}, "SPOT"),
        "showPermissionSets": Told(_BOOLEAN, True),
        "symbolStatus": Told(_one_of(("TRADING", "HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY")), "TRADING"),
        "orderId": Told(_ID, 1025),
        "fromId": Told(_ID, 1),
        "startTime": Told(_TIME, 1_700_000_000_000),
        "endTime": Told(_TIME, 1_700_000_060_000),
        "limit": Told({"type": "integer", "minimum": 1}, 500),
        "listenKey": Told({"type": "string", "pattern": "^[0-9A-Za-z]{64}$"}, "0" * 64),
        "interval": Told(_one_of(_INTERVALS), "1m"),
        "timeZone": Told(
            {"type": "string", "description": "Hours from UTC: `0`, `8`, `-1:00`, `05:45`"}, "0"
        ),
        "windowSize": Told({"type": "string", "pattern": "^[1-9][0-9]?[mhd]$"}, "1d"),
        "timestamp": Told(
            {**_TIME, "description": "Now, in milliseconds (or microseconds) since 1970"}, None
        ),
        "recvWindow": Told(
            {"type": "number", "minimum": 0, "maximum": 60_000, "description": "How old it may be, in ms"},
            5000,
        ),
        "signature": Told(
            {
                "type": "string",
                "description": "Of query string and body as they are sent, without this parameter:"
                " hex HMAC-SHA256, or base64 Ed25519 or RSA",
            },
            None,
        ),
    }
)
_PUBLIC_NAMES: Final[Mapping[str, str]] = MappingProxyType({"tickerType": "type"})
_LEG_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Type": "type",
        "Side": "side",
        "Quantity": "quantity",
        "Price": "price",
        "TimeInForce": "timeInForce",
        "ClientOrderId": "newClientOrderId",
        "StopPrice": "stopPrice",
        "TrailingDelta": "trailingDelta",
        "IcebergQty": "icebergQty",
        "StrategyId": "strategyId",
        "StrategyType": "strategyType",
    }
)
"""How a leg's parameter ends -> the order's parameter that it is."""
_MANDATORY_OF_LISTS: Final = frozenset(
    {
        *("symbol", "side", "quantity", "aboveType", "belowType", "workingType", "workingSide"),
        *("workingPrice", "workingQuantity", "pendingType", "pendingSide", "pendingQuantity"),
        *("pendingAboveType", "pendingBelowType"),
    }
)


def told(name: str) -> Told:
    """Raises KeyError when nothing is known of it."""
    found = PARAMETERS.get(name) or _of_leg(name)
    if found is None:
        raise KeyError(name)
    return found


def of_lists(names: Iterable[str]) -> tuple[str, ...]:
    """Return the parameters of an order list route, the mandatory ones first and marked."""
    offered = [name for name in names if name in PARAMETERS or _of_leg(name) is not None]
    marked = [f"{name}!" if name in _MANDATORY_OF_LISTS else name for name in offered if name not in SIGNING]
    return tuple(sorted(marked, key=lambda name: (not name.endswith("!"), name)))


def query_parameter(name: str, examples: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameter; filled in with an example when the documented request has it."""
    bare = name.rstrip("!")
    schema, example = told(bare)
    made = {
        "name": _PUBLIC_NAMES.get(bare, bare),
        "in": "query",
        "required": name.endswith("!"),
        "schema": schema,
    }
    if bare in examples:
        made["example"] = examples[bare]
    elif example is not None:
        made["description"] = f"For example `{example}`".replace("True", "true")
    return made


def form_schema(names: Iterable[str]) -> dict[str, Any]:
    """Return the schema of a form body."""
    properties, required = {}, []
    for name in names:
        bare = name.rstrip("!")
        schema, example = told(bare)
        properties[bare] = schema if example is None else {**schema, "example": example}
        if name.endswith("!"):
            required.append(bare)
    return {"type": "object", "properties": properties, "required": required}


def _of_leg(name: str) -> Told | None:
    """Return what is told of a leg's parameter: what is told of the order's parameter it ends with."""
    found = [plain for plain in _LEG_PARAMETERS if name.lower().endswith(plain.lower())]
    return PARAMETERS[_LEG_PARAMETERS[max(found, key=len)]] if found else None
