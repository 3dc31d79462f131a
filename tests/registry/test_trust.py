"""Signatures: made and checked with the OpenSSF library, demanded by a trust file, by a call, or by nobody."""

from __future__ import annotations

import base64
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ras_ext.registry import (
    PackError,
    SignatureError,
    check_signature,
    make_key_pair,
    open_pack,
    pull,
    push,
    read_pack,
    read_trust,
    sign,
)


@pytest.fixture
def keys(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """Makes a key pair under a name: (private, public)."""

    def make(name: str) -> tuple[Path, Path]:
        pair = tmp_path / f"{name}.key", tmp_path / f"{name}.pub"
        if not pair[0].exists():
            make_key_pair(*pair)
        return pair

    return make


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """Where a folder registry is to be."""
    return tmp_path / "registry"


def trust_file(folder: Path, **keys: list[str]) -> Path:
    path = folder / "trust.json"
    path.write_text(json.dumps({name.replace("everybody", "*"): listed for name, listed in keys.items()}))
    return path


def test_a_signed_pack_is_accepted_from_its_publisher_only(
    pack_folder: Path, registry: Path, keys: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    private, public = keys("alice")
    pushed = push(pack_folder, "team/signed", registry=registry, sign_key=private)
    assert pushed.signed
    trust = trust_file(tmp_path, team=["alice.pub"])
    opened = open_pack("team/signed", registry=registry, trust=trust)
    assert opened.digest == pushed.digest
    assert open_pack("team/signed", registry=registry, trusted_keys=[public.read_text()]).digest == pushed.digest
    # Also what is here already is checked against the keys of every single call.
    with pytest.raises(SignatureError, match=r"by a key accepted for .*team/signed"):
        open_pack("team/signed", registry=registry, trusted_keys=[keys("mallory")[1]])
    # The signature goes with the pack into a folder, and is checked there.
    mine = pull("team/signed", tmp_path / "mine", registry=registry, trust=trust).pack.path
    assert open_pack(mine, require_signature=True, trust=trust).digest == pushed.digest
    (mine / "model.sig").unlink()
    with pytest.raises(SignatureError, match="is not signed"):
        open_pack(mine, require_signature=True, trust=trust)


def test_a_namespace_in_the_trust_file_must_be_signed(
    pack_folder: Path, registry: Path, keys: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    push(pack_folder, "team/unsigned", registry=registry)
    push(pack_folder, "others/unsigned", registry=registry)
    trust = trust_file(tmp_path, team=[keys("alice")[1].read_text()])
    with pytest.raises(SignatureError, match=r"is not signed, and a signature is required for .*team/unsigned"):
        open_pack("team/unsigned", registry=registry, trust=trust)
    assert open_pack("others/unsigned", registry=registry, trust=trust)
    with pytest.raises(SignatureError, match="is not signed"):
        open_pack("others/unsigned", registry=registry, trust=trust, require_signature=True)
    with pytest.raises(SignatureError, match="a signature is required"):
        open_pack("others/unsigned", registry=registry, trust=trust_file(tmp_path, everybody=["alice.pub"]))


def test_what_is_refused_is_not_kept(
    pack_folder: Path, registry: Path, keys: Callable[[str], tuple[Path, Path]], tmp_path: Path, own_home: Path
) -> None:
    """Neither in the verified copies nor in the folder a pull was to fill."""
    push(pack_folder, "team/unsigned", registry=registry)
    shutil.rmtree(own_home / "packs")
    with pytest.raises(SignatureError):
        pull("team/unsigned", tmp_path / "mine", registry=registry, trusted_keys=[keys("alice")[1]])
    assert not (tmp_path / "mine").exists()
    assert not list(own_home.rglob("ras_config.json"))


def test_every_file_is_under_the_signature(
    pack_folder: Path, keys: Callable[[str], tuple[Path, Path]], another_pack: Callable[..., Path]
) -> None:
    private, public = keys("alice")
    pack = read_pack(pack_folder)
    signature = sign(pack, private)
    accepted = [public.read_bytes()]
    check_signature(pack, signature, accepted, "team")
    with pytest.raises(SignatureError):  # swapped for another sound pack
        check_signature(read_pack(another_pack(0.9)), signature, accepted, "team")
    for name in pack.members:  # any single file swapped
        swapped = read_pack(pack_folder)
        swapped.members[name] = pack.members[name][:-1] + b"!"
        with pytest.raises(SignatureError):
            check_signature(swapped, signature, accepted, "team")
    for cut in (0, 1, len(signature) // 2, len(signature) - 1):  # truncated
        with pytest.raises(SignatureError):
            check_signature(pack, signature[:cut], accepted, "team")
    with pytest.raises(SignatureError):  # signed anew by somebody else
        check_signature(pack, sign(pack, keys("mallory")[0]), accepted, "team")


def test_a_signature_that_leaves_a_file_out_is_refused(
    pack_folder: Path, keys: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    """The signing tools can ignore paths, even for the key's owner; the pack's files are all to be covered."""
    from model_signing import hashing, signing

    private, public = keys("alice")
    out = tmp_path / "partial.sig"
    config = signing.Config().use_elliptic_key_signer(private_key=private)
    config.set_hashing_config(
        hashing.Config().use_file_serialization().set_ignored_paths(paths=[pack_folder / "ras_vectors.safetensors"])
    ).sign(pack_folder, out)
    with pytest.raises(SignatureError, match="it covers 3 of 4 files"):
        check_signature(read_pack(pack_folder), out.read_bytes(), [public.read_bytes()], "team")


def test_a_changed_statement_under_an_old_signature_is_refused(
    pack_folder: Path, keys: Callable[[str], tuple[Path, Path]], another_pack: Callable[..., Path]
) -> None:
    private, public = keys("alice")
    pack, other = read_pack(pack_folder), read_pack(another_pack(0.9))
    bundle = json.loads(sign(pack, private))
    theirs = json.loads(sign(other, keys("mallory")[0]))
    bundle["dsseEnvelope"]["payload"] = theirs["dsseEnvelope"]["payload"]
    with pytest.raises(SignatureError):
        check_signature(other, json.dumps(bundle).encode(), [public.read_bytes()], "team")
    payload = base64.b64decode(theirs["dsseEnvelope"]["payload"])
    assert b"predicate" in payload  # the statement is where this test changes it


def test_the_signing_tools_accept_our_signature(pack_folder: Path, keys: Callable[[str], tuple[Path, Path]]) -> None:
    """Anybody can check a pack without ras_ext."""
    private, public = keys("alice")
    signature = pack_folder / "model.sig"
    signature.write_bytes(sign(read_pack(pack_folder), private))
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(pack_folder), "--signature", str(signature)]
    command += ["--public_key", str(public)]
    assert subprocess.run(command, capture_output=True).returncode == 0
    (pack_folder / "README.md").write_text("another card")
    assert subprocess.run(command, capture_output=True).returncode != 0


def test_keys_can_have_a_password(pack_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = tmp_path / "locked.key", tmp_path / "locked.pub"
    monkeypatch.setenv("RAS_EXT_SIGNING_PASSWORD", "open sesame")
    make_key_pair(private, public)
    assert private.stat().st_mode & 0o077 == 0
    signature = sign(read_pack(pack_folder), private)
    check_signature(read_pack(pack_folder), signature, [public.read_bytes()], "team")
    monkeypatch.setenv("RAS_EXT_SIGNING_PASSWORD", "wrong")
    with pytest.raises(SignatureError, match="RAS_EXT_SIGNING_PASSWORD"):
        sign(read_pack(pack_folder), private)
    with pytest.raises(SignatureError, match="cannot be written"):
        make_key_pair(private, public)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "must hold a JSON object"),
        ("{", "trust file"),
        ('{"team": "key"}', "list"),
        ('{"team": [3]}', "list of public keys"),
        ('{"team": ["nowhere.pub"]}', "cannot be read"),
        ('{"team": ["-----BEGIN PRIVATE KEY-----"]}', "no public key"),
        ('{"team": [], "team": []}', "twice"),
    ],
)
def test_a_broken_trust_file_is_no_empty_one(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "trust.json"
    path.write_text(text)
    with pytest.raises(PackError, match=says):
        read_trust(path)
    with pytest.raises(PackError, match="there is no trust file"):
        read_trust(tmp_path / "absent.json")
    assert read_trust() == {}


def test_the_trust_file_of_this_machine_is_found(
    pack_folder: Path, registry: Path, own_home: Path, keys: Callable[[str], tuple[Path, Path]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    push(pack_folder, "team/unsigned", registry=registry)
    trust_file(own_home, team=[str(keys("alice")[1])])
    with pytest.raises(SignatureError):
        open_pack("team/unsigned", registry=registry)
    monkeypatch.setenv("RAS_EXT_TRUST", str(trust_file(tmp_path, others=[str(keys("alice")[1])])))
    assert open_pack("team/unsigned", registry=registry)
    assert open_pack("builtin:organism", require_signature=True)  # came with the package that checks it


def test_an_unsigned_pack_from_elsewhere_is_mentioned_once(
    pack_folder: Path, registry: Path, caplog: pytest.LogCaptureFixture
) -> None:
    push(pack_folder, "team/mentioned", registry=registry)
    with caplog.at_level(logging.WARNING, logger="ras_ext.registry"):
        for _ in range(3):
            open_pack("team/mentioned", registry=registry)
        open_pack(pack_folder)
    mentioned = [line for line in caplog.messages if "team/mentioned" in line]
    assert len(mentioned) == 1
    assert mentioned[0].endswith("team/mentioned is not signed; who made it was not checked")
