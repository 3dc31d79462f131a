"""A key that was sent: a public one is read, and anything else is refused with one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from ras_ext.errors import InputError
from ras_ext.registry.trust import make_key_pair
from ras_ext.studio.public_keys import read_public_key


def test_a_public_key_is_read_and_a_private_one_refused(tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    make_key_pair(tmp_path / "me.key", tmp_path / "me.pub")
    assert read_public_key(tmp_path / "me.pub").startswith("-----BEGIN PUBLIC KEY-----")
    with pytest.raises(InputError, match="holds a private key"):
        read_public_key(tmp_path / "me.key")


@pytest.mark.parametrize("data", [b"", b"/etc/passwd", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\n", b"x" * 100_000])
def test_what_is_no_key_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "sent.pub").write_bytes(data)
    with pytest.raises(InputError, match="public key"):
        read_public_key(tmp_path / "sent.pub")
