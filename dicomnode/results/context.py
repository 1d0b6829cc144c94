"""What a result is built from, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset, FileDataset

from dicomnode.domain.findings import BundleFacts
from dicomnode.domain.ownership import MANUFACTURER
from dicomnode.domain.result import KeptResult
from dicomnode.ports import Buffer
from dicomnode.results.content import Content
from dicomnode.results.encoding import as_file
from dicomnode.results.wording import Wording, wording_of


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """The equipment that a result names as its maker (PS3.3 C.7.5.2, all Type 1)."""

    software_version: str
    device_serial_number: str
    manufacturer: str = MANUFACTURER
    model_name: str = "dicomnode"
    station_name: str = ""


@dataclass(frozen=True, slots=True)
class ReportContext:
    """All of a job that is not a finding.

    ``sources`` are headers without pixels: the images the pipeline selected or, when
    nothing was analysed, representative instances of the study. ``analysed_at`` is
    aware and fixed for a job, so that a rerun gives the same bytes; its own offset is
    used where the sources name no time zone. ``instance_number`` is the study revision.
    ``earlier`` is what destinations have of former analyses: the documents among them
    are named as replaced.
    """

    sources: Sequence[Dataset]
    bundle: BundleFacts
    pipeline: str
    job_id: str
    analysed_at: datetime
    node: NodeFacts
    profile: str = "comprehensive"
    language: str = "en"
    code_scheme: str = "bundle"
    instance_number: int = 1
    earlier: tuple[KeptResult, ...] = ()

    @property
    def replaces(self) -> bool:
        """Whether an earlier report is out whose place this one takes."""
        return any(one.kind in ("sr", "sr-text") for one in self.earlier)

    @property
    def words(self) -> Wording:
        """The fixed texts of the report; raises KeyError for an unknown language."""
        return wording_of(self.language)


@dataclass(frozen=True, slots=True)
class Unsealed:
    """A data set that lacks its UID, its dates and the last look.

    ``content``: its tree, where the data set holds that as bytes already. ``pixels``:
    of an image, beside the data set, for megabytes are not to be copied at each step.
    """

    dataset: Dataset
    content: Content | None = None
    pixels: memoryview | None = None


@dataclass(frozen=True, slots=True)
class BuiltResult:
    """A finished object; ``kind`` is ``sr``, ``sr-text``, ``sc`` or ``gsps``.

    ``encoded`` is its data set in Explicit VR Little Endian, in pieces.
    """

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    encoded: tuple[Buffer, ...]

    @property
    def dataset(self) -> FileDataset:
        """The same as a receiver reads it, with file meta, ready for ``encode``."""
        return as_file(b"".join(self.encoded))
