"""Ed25519 signatures over canonical JSON: who packed this, and who commissioned it.

Keys are PEM files as `openssl genpkey -algorithm ed25519` writes them. What is signed
is the JSON in one fixed form (sorted keys, no spaces, UTF-8) after a word that says
what it is, so that a signed addendum can never pass for a signed bundle.
"""

# ruff: noqa: PLC0415 - cryptography only where there is a key

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from model.bundle import integrity
from model.bundle.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

_MANIFEST_PURPOSE = b"dicomnode bundle manifest 1\n"
_ADDENDUM_PURPOSE = b"dicomnode site addendum 1\n"
_MOST_SIGNATURE_BYTES = 1024


def canonical(table: Any) -> bytes:
    """The one form of a JSON value that is signed."""
    text = json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def sign_bundle(folder: Path, key: Path) -> Path:
    """Check the bundle against its manifest and write MANIFEST.sig beside it."""
    manifest = json.loads(integrity.check(folder))
    signature = _private_key(key).sign(_MANIFEST_PURPOSE + canonical(manifest))
    path = folder / integrity.SIGNATURE
    path.write_bytes(base64.b64encode(signature) + b"\n")
    return path


def check_bundle(folder: Path, manifest: bytes, public_key: Path) -> None:
    """Raise BundleError unless MANIFEST.sig is this key's over this manifest."""
    path = folder / integrity.SIGNATURE
    if not path.is_file() or path.stat().st_size > _MOST_SIGNATURE_BYTES:
        raise BundleError(
            f"{folder.name} has no {integrity.SIGNATURE}, and a public key is set: sign"
            " it with `python -m model sign`, or get it signed from its source"
        )
    table = json.loads(manifest)
    if manifest != integrity.written(table):
        raise BundleError(
            f"{integrity.MANIFEST} of {folder.name} is not written as it was signed: "
            "install the bundle again from its source"
        )
    message = _MANIFEST_PURPOSE + canonical(table)
    _check(public_key, path.read_bytes(), message, folder.name)


def sign_table(table: dict[str, Any], key: Path) -> str:
    """Signature of a site addendum without its `signature`, base64."""
    signature = _private_key(key).sign(_ADDENDUM_PURPOSE + canonical(table))
    return base64.b64encode(signature).decode("ascii")


def check_table(table: dict[str, Any], signature: str, public_key: Path) -> None:
    """Raise BundleError unless `signature` is this key's over this addendum."""
    message = _ADDENDUM_PURPOSE + canonical(table)
    _check(public_key, signature.encode(), message, "the site addendum")


def _check(public_key: Path, encoded: bytes, message: bytes, what: str) -> None:
    from cryptography.exceptions import InvalidSignature

    try:
        _public_key(public_key).verify(_decoded(encoded), message)
    except (InvalidSignature, ValueError) as error:
        raise BundleError(
            f"the signature of {what} is not of {public_key.name}: do not use it; ask"
            " its source, or name the right public key"
        ) from error


def _decoded(encoded: bytes) -> bytes:
    signature = base64.b64decode(encoded.strip(), validate=True)
    # Base64 has several spellings of the same bytes; we write, and take, one of them.
    if base64.b64encode(signature) != encoded.removesuffix(b"\n"):
        raise ValueError("not as it was written")
    return signature


def _private_key(path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BundleError(_no_key(path, "private")) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise BundleError(_no_key(path, "private"))
    return key


def _public_key(path: Path) -> Ed25519PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise BundleError(_no_key(path, "public")) from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise BundleError(_no_key(path, "public"))
    return key


def _no_key(path: Path, side: str) -> str:
    make = {
        "private": "openssl genpkey -algorithm ed25519 -out private.pem",
        "public": "openssl pkey -in private.pem -pubout -out public.pem",
    }
    return (
        f"{path.name} is no unencrypted Ed25519 {side} key in PEM: make one with"
        f" `{make[side]}`"
    )
