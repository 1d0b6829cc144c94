"""The phantom studies, and answers to them as the node would build them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicomnode.delivery.outgoing import read
from dicomnode.delivery.storage_scu import Peer, StorageScu
from dicomnode.demo.cases import ANALYSED, NOT_ROUTED, Case, make_cases
from dicomnode.demo.minipacs import MiniPacs
from dicomnode.demo.outcome import Outcome, collect
from dicomnode.domain.findings import (
    BundleFacts,
    Code,
    Finding,
    ImageFindings,
    OperatingPoint,
    Presence,
    StudyFindings,
)
from dicomnode.results import NodeFacts, ReportContext, build, encode

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LABELS = ("rotated-90", "rotated-180", "inverted", "view-differs-from-header")
_MEANINGS = (
    "Rotated 90 degrees",
    "Upside down",
    "Inverted",
    "View differs from header",
)
_BUNDLE = BundleFacts(
    name="cxr-qc",
    version="0.0.1",
    digest="ab" * 32,
    device_uid="2.25.4711",
    manufacturer="dicomnode",
    intended_use="Image quality of frontal chest radiographs. Research use only.",
    algorithm_family="Artificial Intelligence",
    labels=LABELS,
)

Answer = Callable[..., Outcome]


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, ...]:
    """Every study of the demonstration, as files; made once, it takes seconds."""
    return make_cases(tmp_path_factory.mktemp("sent"), NOW)


@pytest.fixture(scope="session")
def case_named(cases: tuple[Case, ...]) -> dict[str, Case]:
    """The same by name."""
    return {case.name: case for case in cases}


@pytest.fixture
def answer(tmp_path: Path) -> Iterator[Answer]:
    """A function (case, present labels) -> the outcome, its results in a mini-PACS."""
    with _answering(tmp_path) as make:
        yield make


@pytest.fixture(scope="session")
def outcomes(
    cases: tuple[Case, ...], tmp_path_factory: pytest.TempPathFactory
) -> list[Outcome]:
    """Every study answered as expected."""
    reasons = {"hand": "body part HAND is not one the model was made for"}
    with _answering(tmp_path_factory.mktemp("answers")) as make:
        return [make(case, reason=reasons.get(case.name, "")) for case in cases]


@contextmanager
def _answering(folder: Path) -> Iterator[Answer]:
    with MiniPacs(folder / "pacs") as pacs:

        def make(
            case: Case,
            present: frozenset[str] | None = None,
            reason: str = "",
            row: dict[str, object] | None = None,
        ) -> Outcome:
            wanted = case.expected.present if present is None else present
            files: list[bytes] = []
            if case.expected.outcome != NOT_ROUTED:
                files = _built(case, _findings(case, wanted, reason))
            _send(files, pacs, folder)
            rows = [_row(case, reason) | (row or {})], _deliveries(len(files))
            return collect(case, rows, pacs, "TEST")

        yield make


def _send(files: list[bytes], pacs: MiniPacs, folder: Path) -> None:
    outgoing = []
    for number, part10 in enumerate(files):
        path = folder / f"{number}.dcm"
        path.write_bytes(part10)
        outgoing.append(read(path))
    peer = Peer(pacs.ae_title, pacs.host, pacs.port, "TEST")
    if outgoing:
        assert all(one.accepted for one in StorageScu(peer, _Clock()).send(outgoing))


class _Clock:
    def now(self) -> datetime:
        return NOW


def _row(case: Case, reason: str) -> dict[str, object]:
    outcome = "NOT_ANALYSED" if reason else ANALYSED
    routed = case.expected.outcome != NOT_ROUTED
    return {
        "study_instance_uid": str(case.study_instance_uid),
        "revision": 1,
        "study_state": "ROUTED" if routed else "NOT_ROUTED",
        "job_id": "j1" if routed else None,
        "job_state": "COMPLETED" if routed else None,
        "outcome": outcome if routed else None,
        "reason": reason,
        "attempts": 1,
        "error": "",
        "received_at": _later(0),
        "completed_at": _later(1),
        "started_at": _later(1.2) if routed else None,
        "finished_at": _later(1.6) if routed else None,
    }


def _deliveries(n_results: int) -> list[dict[str, object]]:
    return [
        {"job_id": "j1", "state": "SENT", "sent_at": _later(1.7)}
        for _ in range(n_results)
    ]


def _later(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def _findings(case: Case, present: frozenset[str], reason: str) -> StudyFindings:
    if reason:
        return StudyFindings(reason=reason)
    uid = case.instances[0].sop_instance_uid
    image = ImageFindings(
        sop_instance_uid=uid,
        findings=tuple(
            _finding(label, meaning, label in present, uid)
            for label, meaning in zip(LABELS, _MEANINGS, strict=True)
        ),
        display=(case.thumbnail >> 4).astype(np.uint8),
    )
    return StudyFindings(images=(image,))


def _finding(label: str, meaning: str, present: bool, uid: str) -> Finding:
    y, x = np.mgrid[-1:1:8j, -1:1:8j]
    return Finding(
        label=label,
        code=Code(label[:16].upper(), "99DCMNODE", meaning),
        presence=Presence.PRESENT if present else Presence.ABSENT,
        text=f"{meaning} <b>&</b>",
        sop_instance_uid=uid,
        probability=0.97 if present else 0.02,
        calibrated=True,
        operating_point=OperatingPoint(0.5, 0.4, 0.6),
        activation_map=np.exp(-3 * (x * x + y * y)).astype(np.float32),
    )


def _built(case: Case, findings: StudyFindings) -> list[bytes]:
    context = ReportContext(
        sources=[dcmread(one.path, stop_before_pixels=True) for one in case.instances],
        bundle=_BUNDLE,
        pipeline="cxr-qc",
        job_id="j1",
        analysed_at=NOW,
        node=NodeFacts(software_version="1", device_serial_number="1"),
    )
    return [encode(one.dataset) for one in build(context, findings, ("sr", "sc"))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    return tmp_path
