"""What an admin does with bundles: verify, install, promote, roll back, commission.

No version is ever overwritten; which one is in use changes in one atomic rename; each
act is a line of `history.jsonl`. A worker sees it when it starts or reloads.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicomnode.bundles.shelf import DIGEST_LENGTH, MANIFEST, STATE, Shelf, State
from dicomnode.errors import BundleRefused
from model import bundle as bundles

if TYPE_CHECKING:
    from model.commission import Commissioned

HISTORY = "history.jsonl"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?")


@dataclass(frozen=True, slots=True)
class Act:
    """Something done to a name of the shelf, for people and for the history."""

    act: str
    name: str
    version: str
    digest: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Desk:
    """The shelf with who may sign, and when it is.

    ``public_key``: whose signature each bundle must have; None asks for none.
    ``running``: how workers are to run networks; what agrees is noted in its cache.
    """

    shelf: Shelf
    public_key: Path | None
    now: datetime
    running: bundles.Wanted | None = None

    def verify(self, folder: Path) -> bundles.Description:
        """Every file, the signature, the tensors and the test vector.

        And whether the network says the same in the way that workers are to run it.
        """
        with _translated():
            return bundles.load(
                folder, public_key=self.public_key, running=self.running
            ).description

    def install(self, source: Path, *, shadow: bool = False) -> Act:
        """Copy a verified bundle (a folder or a .zip) onto the shelf and use it.

        ``shadow``: beside the active one, for pipelines of mode shadow.
        """
        self.shelf.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.shelf.root, prefix=".new-") as new:
            folder = _fetched(source, Path(new) / "bundle")
            said = self.verify(folder)
            target = self._place(said)
            if not (target / MANIFEST).is_file():
                _sync(folder)
                target.parent.mkdir(exist_ok=True)
                folder.replace(target)
        before = self.shelf.state(said.name)
        if shadow:
            after = replace(before, shadow=target.name)
        else:
            after = _activated(before, target.name)
        self._put(said.name, after)
        return self._noted("installed in shadow" if shadow else "installed", target)

    def promote(self, name: str) -> Act:
        """Make the version in shadow the active one."""
        before = self.shelf.state(name)
        if not before.shadow:
            message = f"no version of {name} is in shadow"
            raise BundleRefused(f"{message}; `dicomnode model install --shadow` one")
        target = self.shelf.root / name / before.shadow
        self.verify(target)
        self._put(name, replace(_activated(before, before.shadow), shadow=""))
        return self._noted("promoted", target)

    def rollback(self, name: str) -> Act:
        """Make the version active that was active before."""
        before = self.shelf.state(name)
        if not before.earlier:
            message = f"{name} has no earlier version"
            raise BundleRefused(
                f"{message}; `dicomnode model list` shows what is there"
            )
        *earlier, back = before.earlier
        after = replace(before, active=back, earlier=tuple(earlier))
        target = self.shelf.root / name / back if back else self.shelf.shipped / name
        self.verify(target)
        self._put(name, after)
        return self._noted("rolled back", target)

    def described(self, folder: Path) -> dict[str, Any]:
        """What a bundle says of itself, with what this site re-set; no torch."""
        with _translated():
            said = bundles.describe(folder, self.public_key)
            addendum = self.shelf.addendum(folder)
            if addendum is not None:
                found = bundles.read_addendum(addendum, said, self.public_key)
                said = found.applied_to(said)
        return {
            "name": said.name,
            "version": said.version,
            "digest": said.digest,
            "task": said.task,
            "intended_use": said.intended_use,
            "labels": [f"{label.name}: {label.text}" for label in said.labels],
            "parameters": [f"{key}: {text}" for key, text in said.parameters.items()],
            "modalities": list(said.input.modalities),
            "runs": self.runs(said.digest),
            "folder": str(folder),
        }

    def runs(self, digest: str) -> list[str]:
        """How a bundle runs here, and what was refused, as last found out."""
        cache = None if self.running is None else self.running.cache
        found = None if cache is None else bundles.noted(cache, digest)
        if found is None:
            return ["not yet compared here; `dicomnode model verify` does"]
        moved = f"moves a probability by {found['largest_difference']} at most"
        return [f"{found['runner']} {found['precision']}: {moved}"] + [
            f"refused: {reason}" for reason in found["refused"]
        ]

    def commission(
        self,
        folder: Path,
        labels: Path | None,
        data: Path | None,
        *,
        site: str,
        key: Path | None,
    ) -> Commissioned:
        """Write the site addendum of a bundle; ``labels`` None trusts the headers."""
        from model import commission as local  # noqa: PLC0415 - brings torch

        root = data or (labels.parent if labels else None)
        if root is None:
            raise BundleRefused("--trust-header needs a folder; name it with --data")
        try:
            said = bundles.describe(folder, self.public_key)
            rows = (
                local.rows_of(labels, said, root)
                if labels
                else local.rows_from_headers(root, said)
            )
            out = self.shelf.root / local.addendum_name(said)
            at = self.now.isoformat(timespec="seconds")
            stamp = local.Stamp(site, at, key, self.public_key)
            done = local.commission(folder, rows, [root], out, stamp)
        except (bundles.BundleError, local.LabelError, OSError) as error:
            raise BundleRefused(str(error)) from error
        self._noted("commissioned", folder)
        return done

    def _place(self, said: bundles.Description) -> Path:
        if not _NAME.fullmatch(said.name) or not _VERSION.fullmatch(said.version):
            message = f"{said.name} {said.version} is no name and version"
            raise BundleRefused(f"{message}; pack it with letters, digits and 1.2.3")
        home = self.shelf.root / said.name
        if (home / MANIFEST).is_file():
            message = f"{home} holds a bundle that was copied there by hand"
            raise BundleRefused(f"{message}; move it away, then install again")
        same = [
            path
            for path in self.shelf.versions(said.name)
            if path.name.startswith(f"{said.version}-")
        ]
        target = home / f"{said.version}-{said.digest[:DIGEST_LENGTH]}"
        if any(path != target for path in same):
            message = f"{said.name} {said.version} is installed with another content"
            raise BundleRefused(f"{message}; give the new bundle a version of its own")
        return target

    def _put(self, name: str, state: State) -> None:
        path = self.shelf.root / name / STATE
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("w", encoding="utf-8") as file:
            file.write(json.dumps(state.to_dict(), indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def _noted(self, act: str, folder: Path) -> Act:
        with _translated():
            said = bundles.describe(folder)
        line: dict[str, Any] = {
            "at": self.now.isoformat(timespec="seconds"),
            "act": act,
            "name": said.name,
            "version": said.version,
            "digest": said.digest,
            "user": getpass.getuser(),
        }
        self.shelf.root.mkdir(parents=True, exist_ok=True)
        with (self.shelf.root / HISTORY).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return Act(act, said.name, said.version, said.digest, folder)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (bundles.BundleError, OSError) as error:
        raise BundleRefused(str(error)) from error


def _fetched(source: Path, folder: Path) -> Path:
    """A private copy to verify, so that nothing can change between look and use."""
    with _translated():
        if source.is_file():
            return bundles.extract(source, folder)
        bundles.describe(source)  # links and strangers are refused before the copy
        shutil.copytree(source, folder, symlinks=True)
        return folder


def _activated(state: State, folder: str) -> State:
    if state.active == folder:
        return state
    return replace(state, active=folder, earlier=(*state.earlier, state.active))


def _sync(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
