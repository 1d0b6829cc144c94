"""python -m model commission: the site addendum of a bundle from local labels."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.bundle import describe
from model.commission.labels import rows_from_headers
from model.commission.series_labels import rows_of
from model.commission.site import Stamp, addendum_name, commission
from model.data.manifest import ManifestError, Row, read

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from model.bundle import Description


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `commission`."""
    parser.add_argument("bundle", type=Path)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--labels", type=Path, help="CSV: which image or series, and the answers"
    )
    which.add_argument("--manifest", type=Path, help="manifest with labels")
    which.add_argument(
        "--trust-header",
        action="store_true",
        help="take the header values that the bundle compares, such as View Position",
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the images or series"
    )
    parser.add_argument("--site", default="site", help="a name for people")
    parser.add_argument("--key", type=Path, help="private key that signs the addendum")
    parser.add_argument("--out", type=Path, help="default: beside the bundle")
    parser.set_defaults(verb=run)


def run(parsed: argparse.Namespace) -> str:
    """Commission, and say what was found."""
    description = describe(parsed.bundle)
    out = parsed.out or parsed.bundle.resolve().parent / addendum_name(description)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    stamp = Stamp(parsed.site, at, parsed.key)
    done = commission(
        parsed.bundle, _rows(parsed, description), [parsed.data], out, stamp
    )
    return "\n".join([*table(done.figures), f"addendum: {done.path}"])


def table(figures: Iterable[Mapping[str, Any]]) -> list[str]:
    """Figures as lines of text."""
    return [
        f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
        f"  n={one['n']}  {one['name']}"
        for one in figures
    ]


def _rows(parsed: argparse.Namespace, description: Description) -> list[Row]:
    try:
        if parsed.labels:
            return rows_of(parsed.labels, description, parsed.data)
        if parsed.manifest:
            return read(parsed.manifest)
        return rows_from_headers(parsed.data, description)
    except OSError as error:
        raise ManifestError(f"{error.filename}: {error.strerror}; name it") from error
