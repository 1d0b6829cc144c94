"""A bundle tried on files: the same selection, network and reports, without a PACS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue

from dicomnode.bundles.shelf import digest_of
from dicomnode.config import Config
from dicomnode.domain.findings import ImageFindings, NotAnalysed, StudyFindings
from dicomnode.domain.instance import ROUTING_KEYWORDS, Instance
from dicomnode.domain.rules import Rule
from dicomnode.errors import BundleRefused
from dicomnode.ports import SeriesPredictor
from dicomnode.predictor import choose_device, limit_threads
from dicomnode.processes.work import bundle_predictor, node_facts, opened_decoder
from dicomnode.results import ReportContext, build, encode
from dicomnode.worker.selection import select
from dicomnode.worker.series import SeriesAnalyst

_KINDS = ("sr", "sc")
_NAME = "trial"


@dataclass(frozen=True, slots=True)
class Tried:
    """One study: what the bundle said, and the report files it would have sent."""

    study_instance_uid: str
    findings: StudyFindings
    files: tuple[Path, ...]


def try_bundle(
    config: Config, folder: Path, source: Path, out: Path | None, now: datetime
) -> Iterator[Tried]:
    """Run the bundle in ``folder`` on a DICOM file or folder, study by study.

    ``out``: where report objects are written; None writes none. Raises ConfigError,
    BundleRefused, PipelineError, ResultError.
    """
    limit_threads(config.worker.threads)
    device = choose_device(config.worker.device)
    studies = studies_of(source)
    if not studies:
        message = f"{source} holds no DICOM image"
        raise BundleRefused(f"{message}; give a DICOM file, or a folder of them")
    with opened_decoder(config) as decoder:
        predictor = bundle_predictor(config, folder, device, decoder)
        for number, (uid, instances) in enumerate(studies.items(), start=1):
            findings = _findings(predictor, instances)
            job_id = f"{_NAME}-{digest_of(folder)[:12]}-{number}"
            context = _context(config, predictor, instances, job_id, now)
            place = None if out is None else out / f"study-{number}"
            files = tuple(_written(context, findings, place)) if place else ()
            yield Tried(uid, findings, files)


def studies_of(source: Path) -> Mapping[str, list[Instance]]:
    """Study Instance UID -> its instances, of a DICOM file or folder."""
    found: dict[str, list[Instance]] = defaultdict(list)
    paths = sorted(source.rglob("*")) if source.is_dir() else [source]
    for path in paths:
        if path.is_file() and (header := _header(path)) is not None:
            found[str(header.StudyInstanceUID)].append(_instance(header, path))
    return found


def _header(path: Path) -> Dataset | None:
    try:
        header = dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError):
        return None
    needed = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
    return header if all(header.get(name) for name in needed) else None


def _instance(header: Dataset, path: Path) -> Instance:
    values = {name: header.get(name) for name in ROUTING_KEYWORDS}
    return Instance(
        sop_instance_uid=str(header.SOPInstanceUID),
        sop_class_uid=str(header.SOPClassUID),
        series_instance_uid=str(header.SeriesInstanceUID),
        transfer_syntax_uid=str(header.file_meta.get("TransferSyntaxUID", "")),
        location=str(path),
        attributes={
            name: tuple(map(str, value))
            if isinstance(value, MultiValue)
            else str(value)
            for name, value in values.items()
            if value not in (None, "")
        },
    )


class _Paths:
    """Instances whose locations are paths."""

    def open(self, location: str) -> BinaryIO:
        return Path(location).open("rb")


def _findings(
    predictor: SeriesPredictor, instances: Sequence[Instance]
) -> StudyFindings:
    accepted = predictor.describe().input
    chosen = select(instances, Rule(_NAME, {}), accepted)
    if accepted.series is not None:
        analyst = SeriesAnalyst(predictor, _Paths(), accepted)
        return analyst.findings(chosen, 0)
    with ExitStack() as opened:
        files = [
            (one, opened.enter_context(Path(one.location).open("rb")))
            for one in chosen.images
        ]
        answers = predictor.predict(files) if files else ()
    images = tuple(one for one in answers if isinstance(one, ImageFindings))
    failed = tuple(one for one in answers if isinstance(one, NotAnalysed))
    excluded = (*chosen.excluded, *failed)
    reasons = dict.fromkeys(one.reason for one in excluded)
    return StudyFindings(images, excluded, "" if images else "; ".join(reasons))


def _context(
    config: Config,
    predictor: SeriesPredictor,
    instances: Sequence[Instance],
    job_id: str,
    now: datetime,
) -> ReportContext:
    return ReportContext(
        sources=[dcmread(one.location, stop_before_pixels=True) for one in instances],
        bundle=predictor.describe(),
        pipeline=_NAME,
        job_id=job_id,
        analysed_at=now,
        node=node_facts(config),
    )


def _written(
    context: ReportContext, findings: StudyFindings, folder: Path
) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for number, built in enumerate(build(context, findings, _KINDS), start=1):
        path = folder / f"{number:02d}-{built.kind}.dcm"
        path.write_bytes(encode(built.dataset))
        yield path
