"""Who is believed about the client's address."""

from __future__ import annotations

import pytest

from ingest.trusted_proxies import TrustedProxies

PROXIES = TrustedProxies(["10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", [b"1.2.3.4"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"1.2.3.4"], "1.2.3.4"),
        ("::1", [b"6.6.6.6, 1.2.3.4 ,10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", [b"6.6.6.6", b"1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", [b"1.2.3.4, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [b"10.0.0.7"], "10.0.0.1"),
        ("", [b"1.2.3.4"], ""),
    ],
)
def test_only_a_proxys_word_is_taken(peer: str, forwarded: list[bytes], client: str) -> None:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", value) for value in forwarded)]
    assert PROXIES.client_of(peer, headers) == client


def test_without_proxies_nobody_is_believed() -> None:
    nobody = TrustedProxies([])
    assert not nobody
    assert nobody.client_of("10.0.0.1", [(b"x-forwarded-for", b"1.2.3.4")]) == "10.0.0.1"
