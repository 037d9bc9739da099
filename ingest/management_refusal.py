"""A "no" of the operator's and the accounts' API: HTTP status, stable code, one plain sentence."""

from __future__ import annotations

from collections.abc import Mapping


class ManagementRefusal(Exception):
    """On its way to a client: `code` and `msg` are all that the client sees."""

    def __init__(self, status: int, code: str, msg: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(msg)
        self.status = status
        self.code = code
        self.msg = msg
        self.headers = dict(headers or {})
