"""The verbs about a finished bundle: verify, sign, zip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from model.bundle import load, sign_bundle, write_zip
from model.bundle.errors import BundleError

if TYPE_CHECKING:
    import argparse


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Arguments of `verify`."""
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--public-key", type=Path, help="Ed25519 key in PEM")
    parser.set_defaults(verb=_verify)


def add_sign(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sign`."""
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--key", type=Path, required=True, help="private key in PEM")
    parser.set_defaults(verb=_sign)


def add_zip(parser: argparse.ArgumentParser) -> None:
    """Arguments of `zip`."""
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="the .zip to write")
    parser.set_defaults(verb=_zip)


def _verify(parsed: argparse.Namespace) -> str:
    said = load(parsed.bundle, public_key=parsed.public_key).description
    signed = "signed and " if parsed.public_key else ""
    return f"{said.name} {said.version} is {signed}as packed: {said.digest}"


def _sign(parsed: argparse.Namespace) -> str:
    return f"signature: {sign_bundle(parsed.bundle, parsed.key)}"


def _zip(parsed: argparse.Namespace) -> str:
    try:
        return f"archive: {write_zip(parsed.bundle, parsed.out)}"
    except OSError as error:
        raise BundleError(
            f"{parsed.out}: {error.strerror}; give a writable place"
        ) from error
