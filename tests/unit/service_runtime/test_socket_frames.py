from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode

from service_runtime.socket_frames import text_frame


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_are_those_of_the_websockets_library(length: int) -> None:
    payload = b"x" * length
    assert text_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)
