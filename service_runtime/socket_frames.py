"""The frame of a WebSocket message from a server, made by hand: it is the same for every client."""

from __future__ import annotations


def text_frame(payload: bytes) -> bytes:
    """Return the unmasked text frame of `payload`.

    Source: RFC 6455, 5.2: FIN and opcode 1, no mask, the length in 7, 7+16 or 7+64 bits.
    """
    length = len(payload)
    if length < 126:
        return b"\x81%c%b" % (length, payload)
    if length < 65_536:
        return b"\x81\x7e%b%b" % (length.to_bytes(2), payload)
    return b"\x81\x7f%b%b" % (length.to_bytes(8), payload)
