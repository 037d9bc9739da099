"""Orders are refused at one bound, cancels at a higher one."""

from __future__ import annotations

import pytest

from ingest.shedding import Shedding
from schemas.commands import OrderRequest
from schemas.public_errors import PublicError
from tests.builders import amend_order, cancel_all_orders, cancel_list, cancel_order, place_order


def is_admitted(shedding: Shedding, command: OrderRequest, unanswered: int) -> bool:
    try:
        shedding.admit(command, unanswered)
    except PublicError:
        return False
    return True


def test_a_refusal_says_when_to_come_back() -> None:
    with pytest.raises(PublicError) as refused:
        Shedding(orders=1, cancels=1).admit(place_order(), 1)
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (503, -1008, 1)


@pytest.mark.parametrize("command", [place_order(), amend_order()])
def test_orders_are_refused_first(command: OrderRequest) -> None:
    admitted = [is_admitted(Shedding(orders=3, cancels=5), command, n) for n in range(7)]
    assert admitted == [True] * 3 + [False] * 4


@pytest.mark.parametrize("command", [cancel_order(), cancel_all_orders(), cancel_list()])
def test_cancels_are_refused_last(command: OrderRequest) -> None:
    admitted = [is_admitted(Shedding(orders=3, cancels=5), command, n) for n in range(7)]
    assert admitted == [True] * 5 + [False] * 2


def test_cancels_are_never_refused_before_orders() -> None:
    assert is_admitted(Shedding(orders=3, cancels=1), cancel_order(), 2)
