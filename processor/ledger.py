"""Available balances within one batch: each accepted order sees what those before it locked."""

from __future__ import annotations

from collections.abc import Mapping

WalletKey = tuple[int, str]
"""(account id, asset)"""


class Ledger:
    """Starts from the locked rows of `wallets`; a wallet that has no row has nothing."""

    def __init__(self, available: Mapping[WalletKey, int]) -> None:
        self._available = dict(available)
        self.locked: dict[WalletKey, int] = {}
        """What this batch moves from available to locked, per wallet, in order of first use."""

    def available(self, wallet: WalletKey) -> int:
        return self._available.get(wallet, 0)

    def lock(self, wallet: WalletKey, amount_minor: int) -> bool:
        """Move `amount_minor` from available to locked if the wallet has it and it is positive."""
        has = self._available.get(wallet, 0)
        if not 0 < amount_minor <= has:
            return False
        self._available[wallet] = has - amount_minor
        self.locked[wallet] = self.locked.get(wallet, 0) + amount_minor
        return True
