"""The catalogue against API.md section 6: codes, statuses and texts, word for word."""

from __future__ import annotations

import orjson
import pytest

from schemas import public_errors
from schemas.public_errors import ErrorKind

KINDS = {name: kind for name, kind in vars(public_errors).items() if isinstance(kind, ErrorKind)}
TABLE = """
UNKNOWN_ERROR|500|-1000|An unknown error occurred while processing the request.
INTERNAL_ERROR|500|-1001|Internal error; unable to process your request. Please try again.
UNAUTHORIZED|401|-1002|You are not authorized to execute this request.
TOO_MUCH_WEIGHT|429|-1003|Too much request weight used; current limit is %s request weight per %s. \
Please use WebSocket Streams for live updates to avoid polling the API.
BANNED|418|-1003|Way too much request weight used; IP banned until %s. \
Please use WebSocket Streams for live updates to avoid bans.
TIMEOUT|504|-1007|Timeout waiting for response from backend server. \
Send status unknown; execution status unknown.
OVERLOADED|503|-1008|Server is currently overloaded with other requests. Please try again in a few minutes.
FILTER_FAILURE|400|-1013|Filter failure: %s
STP_NOT_ALLOWED|400|-1013|This symbol does not allow the specified self-trade prevention mode.
UNSUPPORTED_COMBINATION|400|-1014|Unsupported order combination.
TOO_MANY_ORDERS|429|-1015|Too many new orders; current limit is %s orders per %s.
SERVICE_GONE|503|-1016|This service is no longer available.
UNSUPPORTED_OPERATION|400|-1020|This operation is not supported.
NOT_FOUND|404|-1020|This operation is not supported.
OUTSIDE_RECV_WINDOW|400|-1021|Timestamp for this request is outside of the recvWindow.
AHEAD_OF_SERVER|400|-1021|Timestamp for this request was 1000ms ahead of the server's time.
INVALID_SIGNATURE|400|-1022|Signature for this request is not valid.
ILLEGAL_CHARACTERS|400|-1100|Illegal characters found in parameter '%s'; legal range is '%s'.
TOO_MANY_PARAMETERS|400|-1101|Too many parameters; expected '%s' and received '%s'.
DUPLICATE_PARAMETER|400|-1101|Duplicate values for a parameter detected.
MANDATORY|400|-1102|Mandatory parameter '%s' was not sent, was empty/null, or malformed.
EITHER_MANDATORY|400|-1102|Param '%s' or '%s' must be sent, but both were empty/null!
UNKNOWN_PARAMETER|400|-1103|An unknown parameter was sent.
UNREAD_PARAMETERS|400|-1104|Not all sent parameters were read; read '%s' parameter(s) but was sent '%s'.
EMPTY|400|-1105|Parameter '%s' was empty.
NOT_REQUIRED|400|-1106|Parameter '%s' sent when not required.
OVERFLOWED|400|-1108|Parameter '%s' overflowed.
TOO_MUCH_PRECISION|400|-1111|Parameter '%s' has too much precision.
TIME_IN_FORCE_NOT_REQUIRED|400|-1114|TimeInForce parameter sent when not required.
INVALID_TIME_IN_FORCE|400|-1115|Invalid timeInForce.
INVALID_ORDER_TYPE|400|-1116|Invalid orderType.
INVALID_SIDE|400|-1117|Invalid side.
EMPTY_NEW_CLIENT_ORDER_ID|400|-1118|New client order ID was empty.
EMPTY_ORIG_CLIENT_ORDER_ID|400|-1119|Original client order ID was empty.
INVALID_INTERVAL|400|-1120|Invalid interval.
INVALID_SYMBOL|400|-1121|Invalid symbol.
INVALID_SYMBOL_STATUS|400|-1122|Invalid symbolStatus.
NO_LISTEN_KEY|400|-1125|This listenKey does not exist.
SYMBOL_STATUS_MISMATCH|400|-1220|The symbol's status does not match the requested symbolStatus.
TOO_MANY_HOURS|400|-1127|More than %s hours between startTime and endTime.
INVALID_COMBINATION|400|-1128|Combination of optional parameters invalid.
INVALID_DATA|400|-1130|Data sent for parameter '%s' is not valid.
RECV_WINDOW_TOO_LARGE|400|-1131|recvWindow must be less than 60000
INVALID_STRATEGY_TYPE|400|-1134|strategyType was less than 1000000.
INVALID_JSON|400|-1135|JSON sent for parameter '%s' is not valid
INVALID_TICKER_TYPE|400|-1139|Invalid ticker type.
INVALID_CANCEL_RESTRICTIONS|400|-1145|cancelRestrictions has to be either ONLY_NEW or ONLY_PARTIALLY_FILLED.
SYMBOL_TWICE|400|-1151|Symbol is present multiple times in the list.
INVALID_TIME_UNIT|400|-1194|Invalid value for time unit; expected either MICROSECOND or MILLISECOND.
UNSUPPORTED_LEG|400|-1158|Order type not supported in OCO.
LEG_ICEBERG_NOT_GTC|400|-1160|Parameter '%s' is not supported if timeInForce is not GTC.
BUY_LIMIT_NOT_BELOW|400|-1165|A limit order in a buy OCO must be below.
SELL_LIMIT_NOT_ABOVE|400|-1166|A limit order in a sell OCO must be above.
BOTH_LEGS_LIMIT|400|-1168|At least one OCO order must be contingent.
BUY_STOP_NOT_ABOVE|400|-1196|A stop loss order in a buy OCO must be above.
SELL_STOP_NOT_BELOW|400|-1197|A stop loss order in a sell OCO must be below.
BUY_PROFIT_NOT_BELOW|400|-1198|A take profit order in a buy OCO must be below.
SELL_PROFIT_NOT_ABOVE|400|-1199|A take profit order in a sell OCO must be above.
INSUFFICIENT_BALANCE|400|-2010|Account has insufficient balance for requested action.
WOULD_MATCH|400|-2010|Order would immediately match and take.
WOULD_TRIGGER|400|-2010|Order would trigger immediately.
MARKET_CLOSED|400|-2010|Market is closed.
MAY_NOT_TRADE|400|-2010|This account may not place or cancel orders.
DUPLICATE_ORDER|400|-2010|Duplicate order sent.
ZERO_NOTIONAL|400|-2010|Price * QTY is zero or less.
ICEBERG_EXCEEDS|400|-2010|IcebergQty exceeds QTY.
KIND_NOT_SUPPORTED|400|-2010|%s orders are not supported for this symbol.
BAD_LIST_PRICES|400|-2010|The relationship of the prices for the orders is not correct.
UNKNOWN_ORDER|400|-2011|Unknown order sent.
CANCEL_RESTRICTED|400|-2011|Order was not canceled due to cancel restrictions.
NO_SUCH_ORDER|400|-2013|Order does not exist.
BAD_KEY_FORMAT|401|-2014|API-key format invalid.
REJECTED_KEY|401|-2015|Invalid API-key, IP, or permissions for action.
REPLACE_PARTLY_FAILED|409|-2021|Order cancel-replace partially failed.
REPLACE_FAILED|400|-2022|Order cancel-replace failed.
SUBSCRIPTION_ACTIVE|400|-2035|User Data Stream subscription already active.
SUBSCRIPTION_NOT_ACTIVE|400|-2036|User Data Stream subscription not active.
AMEND_INCREASE|400|-2038|Order amend (quantity increase) is not supported.
AMEND_NO_CHANGE|400|-2038|The requested action would change no state; rejecting
AMEND_TOO_MANY|400|-2038|Filter failure: MAX_NUM_ORDER_AMENDS
AMEND_NOT_SUPPORTED|400|-2038|Order amend is not supported for this symbol.
CLIENT_ID_MISMATCH|400|-2039|Client order ID is not correct for this order ID.
NO_REFERENCE_PRICE|400|-2043|This symbol doesn't have a reference price.
"""
WORD_FOR_WORD = [tuple(row.split("|")) for row in TABLE.strip().splitlines()]


@pytest.mark.parametrize(("name", "status", "code", "text"), WORD_FOR_WORD)
def test_errors_are_worded_as_clients_expect(name: str, status: str, code: str, text: str) -> None:
    kind = KINDS[name]
    assert (kind.status, kind.code, kind.text) == (int(status), int(code), text)
    filled = kind(*range(text.count("%s")))
    assert orjson.loads(filled.body()) == {"code": int(code), "msg": text % tuple(range(text.count("%s")))}


def test_nothing_is_worded_that_is_not_in_the_table() -> None:
    """What is ours beside it: other statuses of the same code, and the same texts to a cancel or an amend."""
    texts = {text for _, _, _, text in WORD_FOR_WORD}
    codes = {int(code) for _, _, code, _ in WORD_FOR_WORD}
    own = {
        "Order list does not exist.",
        "Order amend (quantity below executed) is not supported.",
        "SOR is not enabled.",
    }
    assert {kind.text for kind in KINDS.values()} - texts == own
    assert {kind.code for kind in KINDS.values()} == codes


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_can_be_filled_and_is_a_refusal(name: str) -> None:
    kind = KINDS[name]
    error = kind(*["x"] * kind.text.count("%s"), retry_after=7)
    assert "%" not in error.msg
    assert 400 <= error.status < 600
    assert -2100 < error.code <= -1000
    assert error.headers() == [(b"retry-after", b"7")]
    assert kind(*["x"] * kind.text.count("%s")).headers() == []
