"""Codes: the published vectors, a step of drift, and each good once."""

from __future__ import annotations

import base64

import pytest

from ingest.accounts.one_time_codes import STEP_S, matching_step, new_secret, provisioning_uri

SECRET = base64.b32encode(b"12345678901234567890").decode()  # of RFC 6238, appendix B


@pytest.mark.parametrize(
    ("now_s", "code"), [(1_111_111_111, "050471"), (1_111_111_109, "081804"), (2_000_000_000, "279037")]
)
def test_the_vectors_of_the_rfc(now_s: int, code: str) -> None:
    step = now_s // STEP_S
    assert matching_step(SECRET, code, now_s, 0) == step
    assert matching_step(SECRET, code, now_s + STEP_S, 0) == step
    assert matching_step(SECRET, code, now_s - STEP_S, 0) == step
    assert matching_step(SECRET, code, now_s + 2 * STEP_S, 0) is None
    assert matching_step(SECRET, code, now_s, step) is None


@pytest.mark.parametrize("code", ["", "28708", "2870822", "\u0662\u0668\u0667\u0660\u0668\u0662", "abcdef"])
def test_what_is_no_code_matches_nothing(code: str) -> None:
    assert matching_step(SECRET, code, 59, 0) is None


def test_a_secret_is_long_and_never_the_same() -> None:
    assert len({new_secret() for _ in range(10)}) == 10
    assert len(base64.b32decode(new_secret())) >= 20
    assert provisioning_uri(SECRET, "alice@example.com", "tapehouse").startswith(
        "otpauth://totp/tapehouse:alice"
    )
