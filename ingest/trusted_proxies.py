"""Whose word about the client's address is taken: of the proxies named in the settings, of nobody else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network


class TrustedProxies:
    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ip_network(network) for network in networks]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def client_of(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Return the last address of X-Forwarded-For that is no proxy's, if the peer is a proxy."""
        if not self._trusts(peer):
            return peer
        named = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        for raw in reversed(named.split(b",")):
            text = raw.strip().decode("latin-1")
            try:
                address = str(ip_address(text))
            except ValueError:
                return peer
            if not self._trusts(address):
                return address
        return peer

    def _trusts(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._networks)
