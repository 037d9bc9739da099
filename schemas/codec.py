"""Bytes and messages: JSON on the wire, typed structs inside."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, TypeVar, get_args

import msgspec

from schemas.envelope import Message

M = TypeVar("M", bound=Message)
_TAG = re.compile(rb'"type"\s*:\s*"([A-Za-z]+)\.v(\d{1,4})"')
_encoder = msgspec.json.Encoder()


class InvalidMessage(ValueError):
    """Bytes that are no message of the expected types: for the dead letters."""


class NewerMessage(RuntimeError):
    """A known message in a major version that this code does not know: stop, never skip."""


encode: Callable[[Message], bytes] = _encoder.encode


def decoder_for(*message_types: type[M]) -> Callable[[bytes], M]:
    """Return a decoder that tells the given types apart by `type`.

    It raises InvalidMessage for anything it cannot read (missing fields, wrong types, not JSON, a
    type not expected here) and NewerMessage for an expected type in a higher major version. Unknown
    fields are ignored. The verdict is a function of the bytes alone, so that live, replay and
    standby skip the same records.
    """
    union: Any = message_types[0]
    for message_type in message_types[1:]:
        union = union | message_type
    decode: Callable[[bytes], M] = msgspec.json.Decoder(union).decode
    majors = {name: int(major) for name, major in (_tag_of(t).rsplit(".v", 1) for t in message_types)}

    def decode_message(data: bytes) -> M:
        try:
            return decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # and ValidationError
            found = _TAG.search(data[:4096])
            if found is not None:
                name, major = found.group(1).decode(), int(found.group(2))
                if major > majors.get(name, major):
                    raise NewerMessage(f"{name}.v{major}: this code knows v{majors[name]}") from error
            raise InvalidMessage(str(error)) from error

    return decode_message


def decoder_for_union(union: Any) -> Callable[[bytes], Any]:
    """Return `decoder_for` of the members of a union such as `schemas.commands.VALIDATED_ORDERS`."""
    return decoder_for(*(get_args(union) or (union,)))


def record_hash(data: bytes) -> str:
    """Return the 128-bit BLAKE2b of a record's bytes as 32 hex digits."""
    return blake2b(data, digest_size=16).hexdigest()


def _tag_of(message_type: type[Message]) -> str:
    tag = message_type.__struct_config__.tag
    if not isinstance(tag, str):
        raise TypeError(f"{message_type.__name__} has no tag")
    return tag
