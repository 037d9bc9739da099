"""Windows aligned to the clock: what is counted, what is refused, what comes back."""

from __future__ import annotations

import pytest

from ingest.http_exchange import Request
from ingest.rate_limits import RateLimits, subscriber
from ingest.settings import LimitSettings
from schemas.public_errors import PublicError

S = 1_000_000_000
MINUTE = 1_700_000_040 * S  # a whole minute


def limits(**changes: int) -> RateLimits:
    return RateLimits(LimitSettings(**changes))


def test_weight_is_counted_per_address_within_the_minute() -> None:
    made = limits(request_weight_1m=10)
    assert made.spend("a", 4, MINUTE) == 4
    assert made.spend("a", 6, MINUTE + 59 * S) == 10
    assert made.spend("b", 1, MINUTE + 59 * S) == 1
    with pytest.raises(PublicError) as refused:
        made.spend("a", 1, MINUTE + 59 * S + 1)
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (429, -1003, 1)
    assert refused.value.msg == (
        "Too much request weight used; current limit is 10 request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    assert made.used_weight("a", MINUTE + 59 * S + 1) == 10
    assert made.spend("a", 1, MINUTE + 60 * S) == 1


def test_a_late_request_does_not_open_a_window_again() -> None:
    made = limits(request_weight_1m=10)
    made.spend("a", 9, MINUTE)
    assert made.spend("a", 1, MINUTE - 1) == 10
    with pytest.raises(PublicError):
        made.spend("a", 1, MINUTE)


def by_key(made: RateLimits, weight: int, address: str = "a", method: str = "GET", key: str = "k") -> None:
    made.spend_key(key, Request(method, "/", b"", b"", address, b"", MINUTE, weight=weight))


def test_a_key_has_a_weight_of_its_own_whatever_the_address() -> None:
    made = limits(key_weight_1m=10)
    by_key(made, 6, "a")
    by_key(made, 4, "b")
    with pytest.raises(PublicError) as refused:
        by_key(made, 1, "c")
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (429, -1003, 60)
    by_key(made, 10, "c", key="another")
    by_key(limits(request_weight_1m=10), 11)  # no limit of its own


def test_a_cancel_is_taken_though_its_key_has_nothing_left() -> None:
    made = limits(key_weight_1m=10)
    by_key(made, 10)
    by_key(made, 1, method="DELETE")
    with pytest.raises(PublicError):
        by_key(made, 1)


def test_counts_are_compared_before_a_limit_is_reached() -> None:
    made = limits(orders_10s=16)
    made.order_accepted(7, False, MINUTE, orders=13)
    assert not made.orders.near(7, MINUTE)
    made.order_accepted(7, False, MINUTE)
    assert made.orders.near(7, MINUTE)
    assert not made.orders.near(7, MINUTE + 10 * S)


def test_raw_requests_have_a_limit_of_their_own() -> None:
    made = limits(raw_requests_5m=2)
    for _ in range(2):
        made.spend("a", 1, MINUTE)
    with pytest.raises(PublicError) as refused:
        made.spend("a", 1, MINUTE + 59 * S)
    assert refused.value.status == 429


def test_orders_are_counted_per_account_and_a_filled_one_gives_back() -> None:
    made = limits(orders_10s=2)
    assert made.order_accepted(7, False, MINUTE) == [
        (b"x-mbx-order-count-10s", b"1"),
        (b"x-mbx-order-count-1d", b"1"),
    ]
    assert made.order_accepted(7, True, MINUTE)[0] == (b"x-mbx-order-count-10s", b"1")
    made.check_orders(7, MINUTE)
    made.order_accepted(7, False, MINUTE + 3 * S)
    with pytest.raises(PublicError) as refused:
        made.check_orders(7, MINUTE + 3 * S)
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (429, -1015, 7)
    assert refused.value.msg == "Too many new orders; current limit is 2 orders per 10 SECOND."
    made.check_orders(8, MINUTE + 3 * S)
    made.check_orders(7, MINUTE + 10 * S)
    counts = [row["count"] for row in made.order_counts(7, MINUTE + 10 * S)]
    assert counts == [0, 2]


def test_the_published_limits_are_those_that_are_kept() -> None:
    assert limits().published() == [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000},
        {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61_000},
    ]


def test_who_goes_on_is_banned_and_free_again_after_it() -> None:
    made = limits(request_weight_1m=1, ban_after_refusals=3, ban_s=90)
    made.spend("a", 1, MINUTE)
    for _ in range(3):
        with pytest.raises(PublicError) as refused:
            made.spend("a", 1, MINUTE)
        assert refused.value.status == 429
    with pytest.raises(PublicError) as banned:
        made.spend("a", 1, MINUTE + S)
    assert (banned.value.status, banned.value.code, banned.value.retry_after) == (418, -1003, 90)
    end_ms = (MINUTE + 91 * S) // 1_000_000
    assert banned.value.msg == (
        f"Way too much request weight used; IP banned until {end_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
    with pytest.raises(PublicError) as still:
        made.spend("a", 1, MINUTE + 61 * S)  # a new minute, and banned all the same
    assert (still.value.status, still.value.retry_after) == (418, 30)
    with pytest.raises(PublicError):
        made.connect("a", MINUTE + 61 * S)
    assert made.spend("b", 1, MINUTE + 61 * S) == 1
    assert made.spend("a", 1, MINUTE + 92 * S) == 1


def test_cancels_have_a_budget_of_their_own() -> None:
    made = limits(request_weight_1m=2, cancels_1m=3, ban_after_refusals=2)
    assert [made.spend("a", 1, MINUTE, cancel=True) for _ in range(5)] == [1, 2, 2, 2, 2]
    with pytest.raises(PublicError):
        made.spend("a", 1, MINUTE, cancel=True)


def test_connections_are_counted() -> None:
    made = limits(connections_5m=2)
    made.connect("a", MINUTE)
    made.connect("a", MINUTE)
    with pytest.raises(PublicError) as refused:
        made.connect("a", MINUTE)
    assert refused.value.status == 429
    made.connect("b", MINUTE)


@pytest.mark.parametrize(
    ("address", "whom"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"),
        ("2001:db8:1:2::1", "2001:db8:1:2"),
        ("2001:db8::1", "2001:db8:0:0"),
        ("::1", "0:0:0:0"),
        ("fe80::1%eth0", "fe80:0:0:0"),
        ("", ""),
    ],
)
def test_addresses_of_one_line_count_together(address: str, whom: str) -> None:
    assert subscriber(address) == whom
