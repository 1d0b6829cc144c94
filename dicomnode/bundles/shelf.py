"""Where bundles lie and which version is in use; reads only, knows no model.

A bundle's name on the shelf is a folder of `<data_dir>/bundles`:

    <name>/<version>-<digest>/      one installed version, never changed
    <name>/installed.json           which is active, which runs in shadow, what was
    <name>/MANIFEST.json            instead of both: one bundle copied there by hand
    <name>-<digest>.site.json       what commissioning found out about one version
    history.jsonl                   who did what, one line for each act

What is not there may ship with the program.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicomnode.errors import ConfigError, UnknownBundle

MANIFEST = "MANIFEST.json"
STATE = "installed.json"
DIGEST_LENGTH = 12


@dataclass(frozen=True, slots=True)
class State:
    """Folders of one name: the active one ("" is the shipped bundle), the one in
    shadow ("" is none), and what was active before, the latest last.
    """

    active: str = ""
    shadow: str = ""
    earlier: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As written."""
        return {
            "active": self.active,
            "shadow": self.shadow,
            "earlier": list(self.earlier),
        }


@dataclass(frozen=True, slots=True)
class Shelf:
    """``root``: `<data_dir>/bundles`. ``shipped``: bundles of the program."""

    root: Path
    shipped: Path

    def folder(self, name: str, *, shadow: bool = False) -> Path:
        """The folder of the bundle in use; raises UnknownBundle, ConfigError.

        ``shadow``: the version that was installed for comparison, if there is one.
        """
        by_hand = self.root / name
        if (by_hand / MANIFEST).is_file():
            return by_hand
        state = self.state(name)
        chosen = (state.shadow if shadow else "") or state.active
        for folder in (by_hand / chosen if chosen else None, self.shipped / name):
            if folder is not None and (folder / MANIFEST).is_file():
                return folder
        message = f"no bundle {name} in {self.root} or {self.shipped}"
        raise UnknownBundle(f"{message}; correct pipeline.bundle or install it")

    def addendum(self, folder: Path) -> Path | None:
        """The site addendum of the bundle in ``folder``, None before commissioning."""
        short = digest_of(folder)[:DIGEST_LENGTH]
        found = sorted(self.root.glob(f"*-{short}.site.json"))
        return found[0] if found else None

    def state(self, name: str) -> State:
        """Which versions of a name are in use; raises ConfigError."""
        path = self.root / name / STATE
        try:
            table = json.loads(path.read_text("utf-8"))
            return State(
                str(table["active"]), str(table["shadow"]), tuple(table["earlier"])
            )
        except FileNotFoundError:
            return State()
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"{path} cannot be read"
            raise ConfigError(
                f"{message}; restore it, or remove it and install the bundle again"
            ) from error

    def names(self) -> list[str]:
        """Every name, installed or shipped."""
        return sorted({path.parent.name for path in self._manifests()})

    def versions(self, name: str) -> Iterator[Path]:
        """Every folder that holds a bundle of this name, the shipped one last."""
        if (self.root / name / MANIFEST).is_file():
            yield self.root / name
        yield from sorted(p.parent for p in self.root.glob(f"{name}/*/{MANIFEST}"))
        if (self.shipped / name / MANIFEST).is_file():
            yield self.shipped / name

    def _manifests(self) -> Iterator[Path]:
        for root in (self.root, self.shipped):
            yield from root.glob(f"*/{MANIFEST}")
        for path in self.root.glob(f"*/*/{MANIFEST}"):
            yield path.parent


def digest_of(folder: Path) -> str:
    """sha256 of the bundle's manifest; raises ConfigError."""
    try:
        return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    except OSError as error:
        message = f"{folder / MANIFEST}: {error.strerror}"
        raise UnknownBundle(f"{message}; give the folder of a bundle") from error
