"""Every refusal a client can see: HTTP status, code and text, word for word as Binance words them.

Clients match on the codes and on the texts, so both are part of the contract. `%s` is filled in order:
`INVALID_SYMBOL()`, `MANDATORY("symbol")`. Raise what the call returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

RETRY_AFTER_S: Final = 1


class PublicError(Exception):
    """A refusal on its way to a client; `msg` is all the client sees of it."""

    def __init__(self, status: int, code: int, msg: str, retry_after: int | None = None) -> None:
        super().__init__(f"{code}: {msg}")
        self.status = status
        self.code = code
        self.msg = msg
        self.retry_after = retry_after
        """Seconds, for the `Retry-After` header; None: no such header."""

    def body(self) -> bytes:
        return orjson.dumps({"code": self.code, "msg": self.msg})

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that belong to the refusal, content type not among them."""
        if self.retry_after is None:
            return []
        return [(b"retry-after", str(self.retry_after).encode())]


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One row of the catalogue; calling it makes the error."""

    status: int
    code: int
    text: str

    def __call__(self, *fillings: object, retry_after: int | None = None) -> PublicError:
        return PublicError(self.status, self.code, self.text % fillings, retry_after)


# -- the server ----------------------------------------------------------------------------------
UNKNOWN_ERROR = ErrorKind(500, -1000, "An unknown error occurred while processing the request.")
INTERNAL_ERROR = ErrorKind(500, -1001, "Internal error; unable to process your request. Please try again.")
UNAUTHORIZED = ErrorKind(401, -1002, "You are not authorized to execute this request.")
TOO_MUCH_WEIGHT = ErrorKind(
    429,
    -1003,
    "Too much request weight used; current limit is %s request weight per %s. "
    "Please use WebSocket Streams for live updates to avoid polling the API.",
)
BANNED = ErrorKind(
    418,
    -1003,
    "Way too much request weight used; IP banned until %s. "
    "Please use WebSocket Streams for live updates to avoid bans.",
)
TIMEOUT = ErrorKind(
    504,
    -1007,
    "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
)
OVERLOADED = ErrorKind(
    503, -1008, "Server is currently overloaded with other requests. Please try again in a few minutes."
)
TOO_MANY_ORDERS = ErrorKind(429, -1015, "Too many new orders; current limit is %s orders per %s.")
SERVICE_GONE = ErrorKind(503, -1016, "This service is no longer available.")
UNSUPPORTED_OPERATION = ErrorKind(400, -1020, "This operation is not supported.")
NOT_FOUND = ErrorKind(404, -1020, "This operation is not supported.")
METHOD_NOT_ALLOWED = ErrorKind(405, -1020, "This operation is not supported.")

# -- who asks, and when --------------------------------------------------------------------------
OUTSIDE_RECV_WINDOW = ErrorKind(400, -1021, "Timestamp for this request is outside of the recvWindow.")
AHEAD_OF_SERVER = ErrorKind(400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.")
INVALID_SIGNATURE = ErrorKind(400, -1022, "Signature for this request is not valid.")
RECV_WINDOW_TOO_LARGE = ErrorKind(400, -1131, "recvWindow must be less than 60000")
BAD_KEY_FORMAT = ErrorKind(401, -2014, "API-key format invalid.")
REJECTED_KEY = ErrorKind(401, -2015, "Invalid API-key, IP, or permissions for action.")

# -- parameters ----------------------------------------------------------------------------------
FILTER_FAILURE = ErrorKind(400, -1013, "Filter failure: %s")
STP_NOT_ALLOWED = ErrorKind(
    400, -1013, "This symbol does not allow the specified self-trade prevention mode."
)
SOR_NOT_ENABLED = ErrorKind(400, -1013, "SOR is not enabled.")
UNSUPPORTED_COMBINATION = ErrorKind(400, -1014, "Unsupported order combination.")
ILLEGAL_CHARACTERS = ErrorKind(400, -1100, "Illegal characters found in parameter '%s'; legal range is '%s'.")
TOO_MANY_PARAMETERS = ErrorKind(400, -1101, "Too many parameters; expected '%s' and received '%s'.")
DUPLICATE_PARAMETER = ErrorKind(400, -1101, "Duplicate values for a parameter detected.")
MANDATORY = ErrorKind(400, -1102, "Mandatory parameter '%s' was not sent, was empty/null, or malformed.")
EITHER_MANDATORY = ErrorKind(400, -1102, "Param '%s' or '%s' must be sent, but both were empty/null!")
UNKNOWN_PARAMETER = ErrorKind(400, -1103, "An unknown parameter was sent.")
UNREAD_PARAMETERS = ErrorKind(
    400, -1104, "Not all sent parameters were read; read '%s' parameter(s) but was sent '%s'."
)
EMPTY = ErrorKind(400, -1105, "Parameter '%s' was empty.")
NOT_REQUIRED = ErrorKind(400, -1106, "Parameter '%s' sent when not required.")
OVERFLOWED = ErrorKind(400, -1108, "Parameter '%s' overflowed.")
TOO_MUCH_PRECISION = ErrorKind(400, -1111, "Parameter '%s' has too much precision.")
TIME_IN_FORCE_NOT_REQUIRED = ErrorKind(400, -1114, "TimeInForce parameter sent when not required.")
INVALID_TIME_IN_FORCE = ErrorKind(400, -1115, "Invalid timeInForce.")
INVALID_ORDER_TYPE = ErrorKind(400, -1116, "Invalid orderType.")
INVALID_SIDE = ErrorKind(400, -1117, "Invalid side.")
EMPTY_NEW_CLIENT_ORDER_ID = ErrorKind(400, -1118, "New client order ID was empty.")
EMPTY_ORIG_CLIENT_ORDER_ID = ErrorKind(400, -1119, "Original client order ID was empty.")
INVALID_INTERVAL = ErrorKind(400, -1120, "Invalid interval.")
INVALID_SYMBOL = ErrorKind(400, -1121, "Invalid symbol.")
INVALID_SYMBOL_STATUS = ErrorKind(400, -1122, "Invalid symbolStatus.")
NO_LISTEN_KEY = ErrorKind(400, -1125, "This listenKey does not exist.")
TOO_MANY_HOURS = ErrorKind(400, -1127, "More than %s hours between startTime and endTime.")
INVALID_COMBINATION = ErrorKind(400, -1128, "Combination of optional parameters invalid.")
INVALID_DATA = ErrorKind(400, -1130, "Data sent for parameter '%s' is not valid.")
BODY_TOO_LARGE = ErrorKind(413, -1130, "Data sent for parameter '%s' is not valid.")
UNSUPPORTED_BODY = ErrorKind(415, -1130, "Data sent for parameter '%s' is not valid.")
SLOW_BODY = ErrorKind(408, -1130, "Data sent for parameter '%s' is not valid.")
INVALID_STRATEGY_TYPE = ErrorKind(400, -1134, "strategyType was less than 1000000.")
INVALID_JSON = ErrorKind(400, -1135, "JSON sent for parameter '%s' is not valid")
INVALID_TICKER_TYPE = ErrorKind(400, -1139, "Invalid ticker type.")
INVALID_CANCEL_RESTRICTIONS = ErrorKind(
    400, -1145, "cancelRestrictions has to be either ONLY_NEW or ONLY_PARTIALLY_FILLED."
)
UNSUPPORTED_LEG = ErrorKind(400, -1158, "Order type not supported in OCO.")
LEG_ICEBERG_NOT_GTC = ErrorKind(400, -1160, "Parameter '%s' is not supported if timeInForce is not GTC.")
BUY_LIMIT_NOT_BELOW = ErrorKind(400, -1165, "A limit order in a buy OCO must be below.")
SELL_LIMIT_NOT_ABOVE = ErrorKind(400, -1166, "A limit order in a sell OCO must be above.")
BOTH_LEGS_LIMIT = ErrorKind(400, -1168, "At least one OCO order must be contingent.")
BUY_STOP_NOT_ABOVE = ErrorKind(400, -1196, "A stop loss order in a buy OCO must be above.")
SELL_STOP_NOT_BELOW = ErrorKind(400, -1197, "A stop loss order in a sell OCO must be below.")
BUY_PROFIT_NOT_BELOW = ErrorKind(400, -1198, "A take profit order in a buy OCO must be below.")
SELL_PROFIT_NOT_ABOVE = ErrorKind(400, -1199, "A take profit order in a sell OCO must be above.")
SYMBOL_TWICE = ErrorKind(400, -1151, "Symbol is present multiple times in the list.")
INVALID_TIME_UNIT = ErrorKind(
    400, -1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND."
)
SYMBOL_STATUS_MISMATCH = ErrorKind(
    400, -1220, "The symbol's status does not match the requested symbolStatus."
)

# -- orders --------------------------------------------------------------------------------------
INSUFFICIENT_BALANCE = ErrorKind(400, -2010, "Account has insufficient balance for requested action.")
WOULD_MATCH = ErrorKind(400, -2010, "Order would immediately match and take.")
MARKET_CLOSED = ErrorKind(400, -2010, "Market is closed.")
MAY_NOT_TRADE = ErrorKind(400, -2010, "This account may not place or cancel orders.")
DUPLICATE_ORDER = ErrorKind(400, -2010, "Duplicate order sent.")
WOULD_TRIGGER = ErrorKind(400, -2010, "Order would trigger immediately.")
BAD_LIST_PRICES = ErrorKind(400, -2010, "The relationship of the prices for the orders is not correct.")
ICEBERG_EXCEEDS = ErrorKind(400, -2010, "IcebergQty exceeds QTY.")
ZERO_NOTIONAL = ErrorKind(400, -2010, "Price * QTY is zero or less.")
KIND_NOT_SUPPORTED = ErrorKind(400, -2010, "%s orders are not supported for this symbol.")
UNKNOWN_ORDER = ErrorKind(400, -2011, "Unknown order sent.")
CANCEL_RESTRICTED = ErrorKind(400, -2011, "Order was not canceled due to cancel restrictions.")
CANCEL_MAY_NOT_TRADE = ErrorKind(400, -2011, "This account may not place or cancel orders.")
REPLACE_PARTLY_FAILED = ErrorKind(409, -2021, "Order cancel-replace partially failed.")
REPLACE_FAILED = ErrorKind(400, -2022, "Order cancel-replace failed.")
AMEND_UNKNOWN = ErrorKind(400, -2038, "Unknown order sent.")
AMEND_INCREASE = ErrorKind(400, -2038, "Order amend (quantity increase) is not supported.")
AMEND_NO_CHANGE = ErrorKind(400, -2038, "The requested action would change no state; rejecting")
AMEND_EXECUTED = ErrorKind(400, -2038, "Order amend (quantity below executed) is not supported.")
AMEND_NOT_SUPPORTED = ErrorKind(400, -2038, "Order amend is not supported for this symbol.")
AMEND_TOO_MANY = ErrorKind(400, -2038, "Filter failure: MAX_NUM_ORDER_AMENDS")
AMEND_MARKET_CLOSED = ErrorKind(400, -2038, "Market is closed.")
AMEND_DUPLICATE = ErrorKind(400, -2038, "Duplicate order sent.")
AMEND_MAY_NOT_TRADE = ErrorKind(400, -2038, "This account may not place or cancel orders.")
CLIENT_ID_MISMATCH = ErrorKind(400, -2039, "Client order ID is not correct for this order ID.")
CANCEL_MARKET_CLOSED = ErrorKind(400, -2011, "Market is closed.")
NO_SUCH_LIST = ErrorKind(400, -2013, "Order list does not exist.")
NO_SUCH_ORDER = ErrorKind(400, -2013, "Order does not exist.")
NO_REFERENCE_PRICE = ErrorKind(400, -2043, "This symbol doesn't have a reference price.")
SUBSCRIPTION_ACTIVE = ErrorKind(400, -2035, "User Data Stream subscription already active.")
SUBSCRIPTION_NOT_ACTIVE = ErrorKind(400, -2036, "User Data Stream subscription not active.")
