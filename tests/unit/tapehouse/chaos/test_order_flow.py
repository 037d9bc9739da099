from __future__ import annotations

import random
from collections import Counter
from dataclasses import asdict

from schemas.instruments import load_instruments
from tapehouse.chaos.order_flow import Act, Market, OrderFlow


def acts(seed: int, count: int) -> list[Act]:
    rng = random.Random(seed)
    markets = {i.symbol: Market.around(i, rng, 100_000) for i in load_instruments().symbols.values()}
    flow = OrderFlow(rng, markets, accounts=50, run="run")
    return [flow.next() for _ in range(count)]


def test_same_seed_gives_the_same_requests_and_another_gives_others() -> None:
    first, second, other = (list(map(asdict, acts(seed, 300))) for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_every_kind_is_sent_on_every_symbol_by_many_accounts() -> None:
    sent = acts(seed=3, count=2_000)
    kinds = {
        (a.symbol, a.method, a.path, a.parameters.get("type"), a.parameters.get("timeInForce")) for a in sent
    }
    for symbol in load_instruments().symbols:
        order, replace = "/api/v3/order", "/api/v3/order/cancelReplace"
        assert {
            (symbol, "POST", order, "LIMIT", "GTC"),
            (symbol, "POST", order, "LIMIT", "IOC"),
            (symbol, "POST", order, "MARKET", None),
            (symbol, "POST", replace, "LIMIT", "GTC"),
            (symbol, "DELETE", order, None, None),
        } <= kinds
    assert len({act.account for act in sent}) == 50


def test_client_order_ids_are_never_used_again_and_cancels_name_orders_of_their_account() -> None:
    placed: dict[str, int] = {}
    own = Counter[str]()
    for act in acts(seed=4, count=2_000):
        own[act.client_order_id] += 1
        old = act.parameters.get("origClientOrderId") or act.parameters.get("cancelOrigClientOrderId")
        if old is not None:
            assert placed[old] == act.account
        if act.kind == "place":
            placed[act.client_order_id] = act.account
    assert set(own.values()) == {1}
