from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ingest.sealed_secrets import CannotUnseal, SecretBox, read_or_make_secret


def test_a_sealed_secret_opens_only_for_its_key_and_master() -> None:
    box = SecretBox("m" * 32)
    sealed = box.seal("key", b"secret")
    assert b"secret" not in sealed
    assert box.seal("key", b"secret") != sealed
    assert box.unseal("key", sealed) == b"secret"
    for other, name, data in (
        (box, "other", sealed),
        (SecretBox("n" * 32), "key", sealed),
        (box, "key", sealed[:-1]),
        (box, "key", b""),
    ):
        with pytest.raises(CannotUnseal):
            other.unseal(name, data)


def test_a_missing_secret_file_is_made_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "master-key"
    text = read_or_make_secret(path)
    assert len(text) == 64
    assert read_or_make_secret(path) == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["master-key"]


def test_a_file_too_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "master-key"
    path.write_text("short\n")
    with pytest.raises(ValueError, match="32 characters"):
        read_or_make_secret(path)
