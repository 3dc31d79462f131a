"""Who may publish for whom: OpenSSF model signatures (key-based, offline) against a trust file.

A trust file is JSON, namespace → public keys (PEM text, or paths from where the file stands); ``*`` is for every
namespace it does not name. A namespace that it names must be signed. The file is ``$RAS_EXT_TRUST`` or
``<home>/trust.json``. A signature covers every file of the pack, in the format of the ``model-signing`` tools.
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import strict_json
from .errors import MissingExtraError, PackError, SignatureError, in_one_line
from .fields import Fields
from .home import home
from .layout import MIB, SIGNATURE_FILE
from .notices import say_once
from .pack import Pack
from .paths import expanded

TRUST_VARIABLE = "RAS_EXT_TRUST"
PASSWORD_VARIABLE = "RAS_EXT_SIGNING_PASSWORD"
EVERYBODY = "*"
_MATERIAL = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)


@dataclass(frozen=True)
class Requirement:
    """What a pack must bring: ``keys`` (PEM) of which one must have signed it, or nothing (``required`` is False).

    ``whose`` names the namespace or says where the keys come from.
    """

    required: bool = False
    keys: tuple[bytes, ...] = ()
    whose: str = "it"
    quiet: bool = False

    def check(self, pack: Pack, signature: bytes | None) -> None:
        """Raises SignatureError unless the pack brings what is required; says so if nothing is and it is unsigned."""
        name = pack.config["name"]
        if self.required:
            if signature is None:
                raise SignatureError(
                    f"the pack {name} is not signed, and a signature is required for {self.whose}; take a signed one, "
                    "or ask its publisher to sign it (`ras-ext push --sign KEY`)"
                )
            if not self.keys:
                raise SignatureError(
                    f"no key is accepted for {self.whose}, so the signature of {name} proves nothing; name the "
                    f"publisher's public key in the trust file ({_trust_path()}) or give it with the call"
                )
            check_signature(pack, signature, self.keys, self.whose)
        elif not self.quiet:
            state = "is not signed" if signature is None else "is signed by a key that no trust file names"
            say_once(f"the pack {name} from {self.whose} {state}; who made it was not checked")


def requirement_for(
    namespace: str,
    whose: str,
    *,
    require_signature: bool = False,
    trusted_keys: Sequence[str | os.PathLike[str]] = (),
    trust: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> Requirement:
    """What a pack of ``namespace`` must bring under the given keys, else under the trust file. Raises PackError."""
    if trusted_keys:
        keys = tuple(_public_key(os.fspath(key), Path.cwd(), "the key given") for key in trusted_keys)
        return Requirement(True, keys, whose)
    table = read_trust(trust)
    for name in (namespace, EVERYBODY):
        if name and name in table:
            return Requirement(True, table[name], whose)
    if require_signature and not namespace:
        # A folder has no owner: any publisher known here will do.
        return Requirement(True, tuple(key for keys in table.values() for key in keys), whose)
    return Requirement(require_signature, (), whose, quiet)


def read_trust(path: str | os.PathLike[str] | None = None) -> dict[str, tuple[bytes, ...]]:
    """The trust file: namespace → accepted public keys (PEM); empty if no file is named and none lies at home.

    Raises PackError if it cannot be used: a broken trust file must not read as an empty one.
    """
    named = path or os.environ.get(TRUST_VARIABLE)
    file = expanded(named) if named else home() / "trust.json"
    try:
        with file.open("rb") as stream:
            raw = stream.read(MIB)
    except FileNotFoundError:
        if named:
            raise PackError(f"there is no trust file {file}; correct the path") from None
        return {}
    except OSError as error:
        raise PackError(f"the trust file {file} cannot be read ({error.strerror}); correct its permissions") from None
    fields = Fields(strict_json.parse(raw, f"the trust file {file}"))
    table = {}
    for name in fields.keys():  # noqa: SIM118 - Fields is no mapping
        texts = fields.items(name, 64)
        wrong = [text for text in texts if not isinstance(text, str)]
        if wrong:
            raise fields.fail(name, "a list of public keys (PEM text or paths)", wrong[0])
        table[name] = tuple(_public_key(text, file.parent, f"the trust file {file}") for text in texts)
    return table


def sign(pack: Pack, key: str | os.PathLike[str], password: str | None = None) -> bytes:
    """The signature (bytes of a ``model.sig``) of every file of the pack by a private key (PEM, NIST curve).

    ``password`` defaults to $RAS_EXT_SIGNING_PASSWORD. Raises SignatureError if the key cannot be used.
    """
    hashing, signing, _ = _library()
    password = password or os.environ.get(PASSWORD_VARIABLE) or None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "pack"
        pack.copy_to(folder)
        out = Path(scratch) / SIGNATURE_FILE
        try:
            config = signing.Config().use_elliptic_key_signer(
                private_key=Path(key), password=None if password is None else password.encode()
            )
            config.set_hashing_config(hashing.Config().use_file_serialization()).sign(folder, out)
        except (*_MATERIAL, OSError) as error:
            raise SignatureError(
                f"the pack cannot be signed with {os.fspath(key)} ({in_one_line(error)[:200]}); give a private key in "
                f"PEM on a NIST curve (make one with `ras-ext keygen`), its password in {PASSWORD_VARIABLE}"
            ) from None
        return out.read_bytes()


def check_signature(pack: Pack, signature: bytes, keys: Sequence[bytes], whose: str) -> None:
    """Raises SignatureError unless one of ``keys`` (PEM) signed exactly the files of this pack."""
    reasons = []
    for key in keys:
        try:
            _verify(pack, signature, key)
            return
        except (*_MATERIAL, OSError) as error:
            reasons.append(in_one_line(error)[:200])
        except Exception as error:
            # The cryptography package has error classes of its own (InvalidSignature and others), none to be let by.
            reasons.append(type(error).__name__)
    raise SignatureError(
        f"the signature of the pack {pack.config['name']} was not made over these files by a key accepted for {whose} "
        f"({'; '.join(dict.fromkeys(reasons))[:300]}); do not use this pack"
    )


def make_key_pair(private: Path, public: Path) -> None:
    """Write a new private key (P-256, PEM, readable by its owner only) and its public key. Raises SignatureError."""
    _library()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    password = os.environ.get(PASSWORD_VARIABLE)
    locked = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    shown = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        for path, data, mode in ((private, secret, 0o600), (public, shown, 0o644)):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
                stream.write(data)
    except OSError as error:
        raise SignatureError(f"{path} cannot be written ({error.strerror}); name a new file") from None


def _verify(pack: Pack, signature: bytes, key: bytes) -> None:
    _, _, verifying = _library()
    with tempfile.TemporaryDirectory() as scratch:
        folder, file, public = Path(scratch) / "pack", Path(scratch) / SIGNATURE_FILE, Path(scratch) / "key.pub"
        # What was read is what is compared, whatever happens to the folder meanwhile.
        pack.copy_to(folder)
        file.write_bytes(signature)
        public.write_bytes(key)
        verifying.Config().use_elliptic_key_verifier(public_key=public).verify(folder, file)
    covered = _covered(signature)
    if covered != set(pack.members):
        # A signer can leave paths out, and the library then takes them out of the comparison as well.
        raise ValueError(f"it covers {len(covered)} of {len(pack.members)} files")


def _covered(signature: bytes) -> set[str]:
    envelope = json.loads(signature)["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    return {entry["name"] for entry in statement["predicate"]["resources"]}


def _library() -> tuple[Any, Any, Any]:
    try:
        from model_signing import hashing, signing, verifying
    except ImportError as error:
        name = error.name or "model-signing"
        raise MissingExtraError(
            f"signatures need the package {name}; install it with `pip install 'ras-ext[sign]'`"
        ) from None
    return hashing, signing, verifying


def _public_key(text: str, base: Path, where: str) -> bytes:
    if "-----BEGIN" in text:
        data = text.encode("utf-8", "replace")
    else:
        path = base / expanded(text)
        try:
            with path.open("rb") as stream:
                data = stream.read(MIB)
        except OSError as error:
            raise PackError(f"{where} names {path}, which cannot be read ({error.strerror}); correct it") from None
    if b"PUBLIC KEY-----" not in data:
        shown = "the text" if "-----BEGIN" in text else text
        raise PackError(f"{where} names {shown}, which is no public key in PEM; give the publisher's *.pub file")
    return data


def _trust_path() -> str:
    return os.environ.get(TRUST_VARIABLE) or str(home() / "trust.json")
