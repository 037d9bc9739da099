"""Accounts that are nobody's, and where those of clients begin."""

from __future__ import annotations

from typing import Final

OUTSIDE_ACCOUNT: Final = 1
"""Money that is not here: its available is minus the sum of all deposits."""
FEE_ACCOUNT: Final = 2
FIRST_CLIENT_ACCOUNT: Final = 1001
