from __future__ import annotations

from processor.ledger import Ledger

WALLET = (1004, "USDT")


def test_a_balance_can_be_spent_to_the_last_unit_and_no_further() -> None:
    ledger = Ledger({WALLET: 10})
    assert not ledger.lock(WALLET, 11)
    assert ledger.lock(WALLET, 4)
    assert ledger.lock(WALLET, 6)
    assert not ledger.lock(WALLET, 1)
    assert (ledger.available(WALLET), ledger.locked) == (0, {WALLET: 10})


def test_nothing_and_less_than_nothing_cannot_be_locked() -> None:
    ledger = Ledger({WALLET: 10})
    assert not ledger.lock(WALLET, 0)
    assert not ledger.lock(WALLET, -1)
    assert not ledger.lock((1008, "BTC"), 1)
    assert ledger.locked == {}
