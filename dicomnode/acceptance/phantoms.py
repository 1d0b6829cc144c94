"""The studies of the kit: phantoms whose header says so, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.demo.phantoms import (
    Exposure,
    Order,
    computed_radiograph,
    computed_tomograph,
    encoded,
)
from dicomnode.domain.delivery import Outgoing
from model.phantom import chest

MARK = "DICOMNODE ACCEPTANCE"
"""InstitutionName (0008,0080) of every phantom of the kit."""
_ROWS, _COLUMNS = 768, 640
_CT_ROWS = 128


@dataclass(frozen=True, slots=True)
class Study:
    """One study as files; ``header`` of its first image, without pixels."""

    uid: str
    instances: tuple[Outgoing, ...]
    header: Dataset

    @property
    def data_set(self) -> bytes:
        """Its first instance as it travels in a C-STORE."""
        part10 = self.instances[0].path.read_bytes()
        # PS3.10 7.1: preamble, prefix, then the group whose length comes first.
        length = int.from_bytes(part10[140:144], "little")
        return part10[144 + length :]


class Phantoms:
    """Makes studies into ``folder``, acquired at the aware ``now``; no two alike."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self._folder = folder
        self._now = now
        self._numbers = count(1)
        folder.mkdir(parents=True, exist_ok=True)

    def radiograph(self) -> Study:
        """A frontal chest radiograph, which the bundle analyses."""
        order = self._order()
        pixels = chest(100 + order.number, view="PA", rows=_ROWS, columns=_COLUMNS)
        return self._saved(computed_radiograph(order, Exposure(pixels)), order)

    def tomograph(self, value: int = 1024) -> Study:
        """A CT image of water, which no pipeline wants; ``value`` of its pixels."""
        order = self._order()
        return self._saved(_water(order, value), order)

    def changed(self, study: Study) -> Study:
        """The same instance of a tomograph by its UIDs, with other pixels."""
        ds = dcmread(study.instances[0].path)
        other = np.full((ds.Rows, ds.Columns), 7, "<u2")
        ds.PixelData = other.tobytes()
        name = study.instances[0].path.stem
        return self._written(ds, self._folder / f"{name}-changed.dcm")

    def _order(self) -> Order:
        number = next(self._numbers)
        return Order(number, f"PHANTOM^ACCEPTANCE {number}", "O", self._now)

    def _saved(self, ds: Dataset, order: Order) -> Study:
        ds.InstitutionName, ds.StationName = MARK, "ACCEPTANCE"
        ds.PatientID = f"ACCEPTANCE-{order.number:04d}"
        ds.AccessionNumber = f"ACCEPT{order.number:04d}"
        ds.IssuerOfPatientID = "DICOMNODE-ACCEPTANCE"
        ds.StudyDescription = "Phantom, acceptance test, no patient"
        return self._written(ds, self._folder / f"{order.number:04d}.dcm")

    def _written(self, ds: Dataset, path: Path) -> Study:
        path.write_bytes(encoded(ds, ExplicitVRLittleEndian))
        one = Outgoing(
            path, ds.SOPClassUID, ds.SOPInstanceUID, str(ExplicitVRLittleEndian)
        )
        header = dcmread(path, stop_before_pixels=True)
        return Study(str(ds.StudyInstanceUID), (one,), header)


def _water(order: Order, value: int) -> Dataset:
    return computed_tomograph(order, np.full((_CT_ROWS, _CT_ROWS), value, np.uint16))
