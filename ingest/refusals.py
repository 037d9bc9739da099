"""The one table from our reasons to the clients' codes and texts.

reason                     new order                                        cancel
request_expired            -1021 outside of the recvWindow                  same
unknown_symbol             -1121 Invalid symbol.                            same
account_disabled           -2010 may not place or cancel orders             -2011 same text
market_closed              -2010 Market is closed.                          -2011 same text
duplicate_client_order_id  -2010 Duplicate order sent.
price_band                 -1013 Filter failure: PERCENT_PRICE_BY_SIDE
notional_overflow          -1013 Filter failure: NOTIONAL
market_notional            -1013 Filter failure: NOTIONAL
max_num_orders             -1013 Filter failure: MAX_NUM_ORDERS
insufficient_funds         -2010 insufficient balance
unknown_order              -2011 Unknown order sent.                        same
would_take                 -2010 would immediately match and take
invalid_order              -1014 Unsupported order combination.             -2011 Unknown order sent.
would_trigger              -2010 would trigger immediately
bad_list_prices            -2010 relationship of the prices
not_in_auction             -2010 Market is closed.
cancel_restricted                                                           -2011 cancel restrictions
order_in_list                                                               -2011 Unknown order sent.
insufficient_lock          -2010 insufficient balance
max_num_..., exchange_..., max_position, max_asset
                           -1013 Filter failure: the same in capitals

An amend is refused with -2038 (-2039: two ids that do not belong together); see AMEND.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from schemas import public_errors as errors
from schemas.public_errors import ErrorKind, PublicError
from schemas.reasons import ExpiryReason, RejectReason

_FILTER = errors.FILTER_FAILURE

NEW_ORDER: Final[Mapping[RejectReason, ErrorKind | partial[PublicError]]] = MappingProxyType(
    {
        RejectReason.REQUEST_EXPIRED: errors.OUTSIDE_RECV_WINDOW,
        RejectReason.UNKNOWN_SYMBOL: errors.INVALID_SYMBOL,
        RejectReason.ACCOUNT_DISABLED: errors.MAY_NOT_TRADE,
        RejectReason.MARKET_CLOSED: errors.MARKET_CLOSED,
        RejectReason.DUPLICATE_CLIENT_ORDER_ID: errors.DUPLICATE_ORDER,
        RejectReason.PRICE_BAND: partial(_FILTER, "PERCENT_PRICE_BY_SIDE"),
        RejectReason.NOTIONAL_OVERFLOW: partial(_FILTER, "NOTIONAL"),
        RejectReason.MARKET_NOTIONAL: partial(_FILTER, "NOTIONAL"),
        RejectReason.MAX_NUM_ORDERS: partial(_FILTER, "MAX_NUM_ORDERS"),
        RejectReason.INSUFFICIENT_FUNDS: errors.INSUFFICIENT_BALANCE,
        RejectReason.UNKNOWN_ORDER: errors.UNKNOWN_ORDER,
        RejectReason.WOULD_TAKE: errors.WOULD_MATCH,
        RejectReason.INVALID_ORDER: errors.UNSUPPORTED_COMBINATION,
        RejectReason.WOULD_TRIGGER: errors.WOULD_TRIGGER,
        RejectReason.BAD_LIST_PRICES: errors.BAD_LIST_PRICES,
        RejectReason.NOT_IN_AUCTION: errors.MARKET_CLOSED,
        RejectReason.INSUFFICIENT_LOCK: errors.INSUFFICIENT_BALANCE,
        RejectReason.MAX_NUM_ALGO_ORDERS: partial(_FILTER, "MAX_NUM_ALGO_ORDERS"),
        RejectReason.MAX_NUM_ICEBERG_ORDERS: partial(_FILTER, "MAX_NUM_ICEBERG_ORDERS"),
        RejectReason.MAX_NUM_ORDER_LISTS: partial(_FILTER, "MAX_NUM_ORDER_LISTS"),
        RejectReason.EXCHANGE_MAX_NUM_ORDERS: partial(_FILTER, "EXCHANGE_MAX_NUM_ORDERS"),
        RejectReason.EXCHANGE_MAX_NUM_ALGO_ORDERS: partial(_FILTER, "EXCHANGE_MAX_NUM_ALGO_ORDERS"),
        RejectReason.EXCHANGE_MAX_NUM_ICEBERG_ORDERS: partial(_FILTER, "EXCHANGE_MAX_NUM_ICEBERG_ORDERS"),
        RejectReason.EXCHANGE_MAX_NUM_ORDER_LISTS: partial(_FILTER, "EXCHANGE_MAX_NUM_ORDER_LISTS"),
        RejectReason.MAX_POSITION: partial(_FILTER, "MAX_POSITION"),
        RejectReason.MAX_ASSET: partial(_FILTER, "MAX_ASSET"),
    }
)
CANCEL: Final[Mapping[RejectReason, ErrorKind | partial[PublicError]]] = MappingProxyType(
    {
        RejectReason.REQUEST_EXPIRED: errors.OUTSIDE_RECV_WINDOW,
        RejectReason.UNKNOWN_SYMBOL: errors.INVALID_SYMBOL,
        RejectReason.ACCOUNT_DISABLED: errors.CANCEL_MAY_NOT_TRADE,
        RejectReason.MARKET_CLOSED: errors.CANCEL_MARKET_CLOSED,
        RejectReason.CANCEL_RESTRICTED: errors.CANCEL_RESTRICTED,
    }
)
AMEND: Final[Mapping[RejectReason, ErrorKind]] = MappingProxyType(
    {
        RejectReason.REQUEST_EXPIRED: errors.OUTSIDE_RECV_WINDOW,
        RejectReason.UNKNOWN_SYMBOL: errors.INVALID_SYMBOL,
        RejectReason.ACCOUNT_DISABLED: errors.AMEND_MAY_NOT_TRADE,
        RejectReason.MARKET_CLOSED: errors.AMEND_MARKET_CLOSED,
        RejectReason.DUPLICATE_CLIENT_ORDER_ID: errors.AMEND_DUPLICATE,
        RejectReason.UNKNOWN_ORDER: errors.AMEND_UNKNOWN,
        RejectReason.QUANTITY_INCREASE: errors.AMEND_INCREASE,
        RejectReason.NO_CHANGE: errors.AMEND_NO_CHANGE,
        RejectReason.QUANTITY_EXECUTED: errors.AMEND_EXECUTED,
        RejectReason.MAX_NUM_ORDER_AMENDS: errors.AMEND_TOO_MANY,
        RejectReason.CLIENT_ORDER_ID_MISMATCH: errors.CLIENT_ID_MISMATCH,
    }
)
EXPIRY: Final[Mapping[str, str]] = MappingProxyType(
    {
        ExpiryReason.UNFILLED_IOC_QUANTITY: "UNFILLED_IOC_QUANTITY_EXPIRED",
        ExpiryReason.UNFILLED_FOK_ORDER: "UNFILLED_FOK_ORDER_EXPIRED",
        ExpiryReason.INSUFFICIENT_LIQUIDITY: "INSUFFICIENT_LIQUIDITY",
        ExpiryReason.OCO_TRIGGER: "OCO_TRIGGER",
        ExpiryReason.OTO_PHASE_ONE: "OTO_PHASE_ONE_EXPIRED",
        ExpiryReason.OPO_TOO_SMALL: "OTO_PHASE_ONE_EXPIRED",
        ExpiryReason.PRICE_RANGE_EXCEEDED: "EXECUTION_RULE_PRICE_RANGE_EXCEEDED",
        ExpiryReason.MARKET_CLOSED: "EXCHANGE_CANCELED",
    }
)


def of_new_order(reason: RejectReason) -> PublicError:
    return NEW_ORDER.get(reason, errors.UNSUPPORTED_COMBINATION)()


def of_cancel(reason: RejectReason) -> PublicError:
    return CANCEL.get(reason, errors.UNKNOWN_ORDER)()


def of_amend(reason: RejectReason) -> PublicError:
    return AMEND.get(reason, errors.AMEND_NOT_SUPPORTED)()
