"""Who asks, and when: every refusal with its code and text, in the documented order."""

from __future__ import annotations

import base64
import hmac
from ipaddress import ip_network
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from ingest.api_keys import InvalidPublicKey, KeyStore, hmac_verifier, public_key_verifier
from ingest.authentication import authenticate, check_timing, replay_proof_id, signed_payload
from ingest.http_exchange import Request
from schemas.public_errors import PublicError
from tests.unit.ingest.clients import NOW_MS, NOW_NS, SECRET, key, request, sign, signed, store

NOT_A_TIME = "Illegal characters found in parameter 'timestamp'; legal range is '^[0-9]{1,20}$'."


def refusal(keys: KeyStore, asked: Request, trade: bool = True) -> tuple[int, int, str]:
    with pytest.raises(PublicError) as refused:
        authenticate(keys, asked, trade)
    return refused.value.status, refused.value.code, refused.value.msg


def test_a_signed_request_is_its_accounts() -> None:
    caller = authenticate(store(), request(signed(timestamp=NOW_MS, recvWindow=10_000)), trade=True)
    assert caller.key.account_id == 1004
    assert caller.expires_at_ns == NOW_NS + 10_000_000_000
    assert caller.parameters.text("timestamp") == str(NOW_MS)


def test_the_body_is_signed_behind_the_query() -> None:
    both = f"symbol=BTCUSDTtimestamp={NOW_MS}"
    asked = request("symbol=BTCUSDT", f"timestamp={NOW_MS}&signature={sign(both)}")
    assert authenticate(store(), asked, trade=True).parameters.symbol() == "BTCUSDT"


@pytest.mark.parametrize("given", [None, b"", b"short", b"k" * 63 + b"!", b"k" * 129, "k" * 64 + "\u0661"])
def test_a_missing_or_malformed_key_is_refused_first(given: bytes | str | None) -> None:
    raw = given.encode() if isinstance(given, str) else given
    asked = request("a=1&a=2", api_key=raw)
    assert refusal(store(), asked) == (401, -2014, "API-key format invalid.")


def test_an_unknown_or_expired_key_is_refused() -> None:
    expected = (401, -2015, "Invalid API-key, IP, or permissions for action.")
    asked = request(signed(timestamp=NOW_MS))
    assert refusal(store(), request(signed(timestamp=NOW_MS), api_key=b"u" * 64)) == expected
    assert refusal(store(expires_at_ns=NOW_NS), asked) == expected
    assert authenticate(store(expires_at_ns=NOW_NS + 1), asked, trade=True).key.account_id == 1004


def test_an_unknown_key_may_come_again_while_a_worker_still_reads_the_keys() -> None:
    assert refusal(KeyStore(), request(signed(timestamp=NOW_MS)))[:2] == (503, -1008)


def test_a_key_without_the_right_is_refused_after_its_signature() -> None:
    asked = request(signed(timestamp=NOW_MS))
    assert refusal(store(can_trade=False), asked)[1] == -2015
    assert refusal(store(can_read=False), asked, trade=False)[1] == -2015
    assert authenticate(store(can_trade=False), asked, trade=False).key.account_id == 1004
    forged = request(f"timestamp={NOW_MS}&signature={'0' * 64}")
    assert refusal(store(can_trade=False), forged)[1] == -1022


def test_timestamp_and_signature_are_mandatory() -> None:
    text = "Mandatory parameter '%s' was not sent, was empty/null, or malformed."
    assert refusal(store(), request()) == (400, -1102, text % "timestamp")
    assert refusal(store(), request(f"timestamp={NOW_MS}")) == (400, -1102, text % "signature")
    assert refusal(store(), request("timestamp=&signature=1")) == (400, -1102, text % "timestamp")


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.replace("BTCUSDT", "ETHUSDT"),
        lambda raw: "&".join([raw.split("&")[1], raw.split("&")[0], raw.split("&")[2]]),
        lambda raw: raw + "&side=BUY",
        lambda raw: raw[:-1] + ("0" if raw[-1] != "0" else "1"),
        lambda raw: raw.replace("=BTC", "=%42TC"),
        lambda raw: raw[:-4],
    ],
    ids=["value", "order", "added", "signature", "encoding", "truncated"],
)
def test_anything_altered_breaks_the_signature(change: object) -> None:
    raw = signed(symbol="BTCUSDT", timestamp=NOW_MS)
    assert callable(change)
    expected = (400, -1022, "Signature for this request is not valid.")
    assert refusal(store(), request(change(raw))) == expected


def test_a_signature_may_stand_anywhere_and_in_any_case() -> None:
    signature = sign(f"symbol=BTCUSDT&timestamp={NOW_MS}")
    asked = request(f"symbol=BTCUSDT&signature={signature.upper()}&timestamp={NOW_MS}")
    assert authenticate(store(), asked, trade=True).key.account_id == 1004


def test_a_parameter_given_twice_is_refused() -> None:
    asked = request(signed(timestamp=NOW_MS) + "&timestamp=1")
    assert refusal(store(), asked) == (400, -1101, "Duplicate values for a parameter detected.")


@pytest.mark.parametrize(
    ("timestamp", "window", "code", "text"),
    [
        (NOW_MS - 5001, None, -1021, "Timestamp for this request is outside of the recvWindow."),
        (NOW_MS - 60_001, "60000", -1021, "Timestamp for this request is outside of the recvWindow."),
        (
            NOW_MS + 1000,
            None,
            -1021,
            "Timestamp for this request was 1000ms ahead of the server's time.",
        ),
        (NOW_MS, "60000.001", -1131, "recvWindow must be less than 60000"),
        (NOW_MS, "99999999999999999999", -1131, "recvWindow must be less than 60000"),
        (
            "now",
            None,
            -1100,
            NOT_A_TIME,
        ),
        (
            "-1",
            None,
            -1100,
            NOT_A_TIME,
        ),
        (
            "\u0661",
            None,
            -1100,
            NOT_A_TIME,
        ),
    ],
)
def test_a_request_out_of_time_is_refused(
    timestamp: object, window: str | None, code: int, text: str
) -> None:
    with pytest.raises(PublicError) as refused:
        check_timing(str(timestamp), window, NOW_NS)
    assert (refused.value.code, refused.value.msg) == (code, text)


@pytest.mark.parametrize("window", ["1e3", "-1", "5000.0001", " 5000", "abc"])
def test_a_malformed_window_is_refused(window: str) -> None:
    with pytest.raises(PublicError) as refused:
        check_timing(str(NOW_MS), window, NOW_NS)
    assert refused.value.code == -1100


def test_the_window_is_inclusive_and_microseconds_are_understood() -> None:
    assert check_timing(str(NOW_MS - 5000), None, NOW_NS) == NOW_NS
    assert check_timing(str(NOW_MS + 999), None, NOW_NS) == NOW_NS + 5_999_000_000
    assert check_timing(str(NOW_NS // 1000 - 500), "0.5", NOW_NS) == NOW_NS


@given(st.lists(st.sampled_from(["a=1", "b=%20", "c", "d=x+y", "signature=ff"]), unique=True, max_size=5))
def test_the_payload_is_the_received_bytes_less_the_signature(parts: list[str]) -> None:
    raw = "&".join(parts).encode()
    expected = "&".join(p for p in parts if not p.startswith("signature=")).encode()
    assert signed_payload(raw, b"") == expected
    assert signed_payload(b"", raw) == expected
    assert signed_payload(b"q=1", raw) == b"q=1" + expected


@given(st.binary(max_size=200), st.binary(max_size=300))
def test_a_kept_secret_verifies_as_the_standard_library_signs(secret: bytes, payload: bytes) -> None:
    verify = hmac_verifier(secret)
    signature = hmac.digest(secret, payload, "sha256").hex()
    assert verify(payload, signature)
    assert verify(payload, signature.upper())
    assert not verify(payload + b"x", signature)
    assert not verify(payload, signature[:-1] + ("0" if signature[-1] != "0" else "1"))
    assert not verify(payload, "\u00e9")


def test_public_key_signatures_are_verified() -> None:
    payload = f"timestamp={NOW_MS}"
    private = ed25519.Ed25519PrivateKey.generate()
    big = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    made = [
        (private.public_key(), private.sign(payload.encode())),
        (big.public_key(), big.sign(payload.encode(), padding.PKCS1v15(), hashes.SHA256())),
    ]
    for public, signature in made:
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        keys = store(verify=public_key_verifier(pem))
        text = quote(base64.b64encode(signature).decode(), safe="")
        asked = request(f"{payload}&signature={text}")
        assert authenticate(keys, asked, trade=True).key.account_id == 1004
        for forged in (text.lower(), "%21%21", sign(payload, SECRET)):
            assert refusal(keys, request(f"{payload}&signature={forged}"))[1] == -1022


def test_only_strong_public_keys_are_taken() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    for pem in (b"", b"garbage", weak.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)):
        with pytest.raises(InvalidPublicKey):
            public_key_verifier(pem)


def test_a_revoked_key_is_forgotten() -> None:
    keys = store()
    keys.drop([key().api_key, "never seen"])
    assert len(keys) == 0
    assert refusal(keys, request(signed(timestamp=NOW_MS)))[1] == -2015


def test_an_exact_replay_has_the_id_of_the_first_and_nothing_else_has() -> None:
    raw = signed(symbol="BTCUSDT", timestamp=NOW_MS)
    first = replay_proof_id(request("", raw))
    assert (len(first), first.isalnum()) == (22, True)
    signature = raw.rpartition("=")[2]
    for same in (raw, raw.replace(signature, signature.upper())):
        assert replay_proof_id(request("", same, received_ns=NOW_NS + 1, address="10.0.0.1")) == first
    for other in (signed(symbol="BTCUSDT", timestamp=NOW_MS + 1), signed(symbol="ETHUSDT", timestamp=NOW_MS)):
        assert replay_proof_id(request("", other)) != first
    assert replay_proof_id(request("", raw, api_key=b"x" * 64)) != first


def test_a_key_is_refused_from_an_address_off_its_list() -> None:
    keys = store(networks=(ip_network("10.0.0.0/8"),))
    raw = signed(timestamp=NOW_MS)
    assert authenticate(keys, request(raw, address="10.9.8.7"), trade=True).key.account_id == 1004
    for address in ("11.0.0.1", "::1", ""):
        refused = refusal(keys, request(raw, address=address))
        assert refused == (401, -2015, "Invalid API-key, IP, or permissions for action.")
