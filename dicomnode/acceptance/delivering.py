"""Cases of the fake PACS: a study from end to end, while the PACS has its faults."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage

from dicomnode.acceptance.bench import Bench, Row
from dicomnode.acceptance.case import Case, MissedError, NotApplicableError
from dicomnode.acceptance.pacs import CODED_REPORTS, OUT_OF_RESOURCES
from dicomnode.acceptance.phantoms import Study
from dicomnode.acceptance.tidying import purge
from dicomnode.demo.stage import environment
from dicomnode.results.header import RESEARCH_USE_ONLY

_IDENTITY = ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber")
_DELIVERED = ("SENT", "COMMITTED")


def _whole_way(bench: Bench) -> str:
    study = _sent(bench)
    row = bench.settled(study)
    _must_be_analysed(row)
    _must_be_delivered(bench.deliveries(study))
    results = _in_pacs(bench, study)
    _must_be_of(study, results)
    kinds = sorted({str(one.Modality) for one in results})
    _must("SR" in kinds, f"the PACS has {kinds}")
    return f"{row['outcome']}; in the PACS: {len(results)} objects ({', '.join(kinds)})"


def _out_of_resources(bench: Bench) -> str:
    bench.pacs.refuse_next(OUT_OF_RESOURCES)
    n_before = len(bench.pacs.answered)
    study = _sent(bench)
    bench.settled(study)
    _must_be_delivered(bench.deliveries(study))
    answered = bench.pacs.answered[n_before:]
    refused = [uid for uid, status in answered if status == OUT_OF_RESOURCES]
    again = [uid for uid, status in answered if status == 0 and uid in refused]
    _must(bool(refused) and again == refused, f"the PACS was sent {answered}")
    return "refused once, sent again under the same SOP Instance UID, SENT"


def _down(bench: Bench) -> str:
    bench.pacs.stop()
    try:
        study = _sent(bench)
        bench.wait(lambda: bool(_errors(bench, study)), "say that the PACS is down")
        said = _errors(bench, study)[0]
    finally:
        bench.pacs.start()
    bench.settled(study)
    _must_be_delivered(bench.deliveries(study))
    return f"waiting with the reason: {said}; after its return: SENT"


def _errors(bench: Bench, study: Study) -> list[str]:
    waiting = (one for one in bench.deliveries(study) if one["state"] == "PENDING")
    return [str(one["error"]) for one in waiting if one["error"]]


def _refuses_reports(bench: Bench) -> str:
    bench.pacs.stop()
    bench.pacs.start(refused=CODED_REPORTS)
    try:
        study = _sent(bench)
        bench.settled(study)
    finally:
        bench.pacs.stop()
        bench.pacs.start()
    classes = {str(one.SOPClassUID) for one in _in_pacs(bench, study)}
    _must(str(BasicTextSRStorage) in classes, f"the PACS has {sorted(classes)}")
    kinds = {str(one["kind"]) for one in bench.worklist.events_of(study.uid)}
    went = sorted(kinds & {"delivery fall back", "delivery replace"})
    _must(bool(went), f"events: {', '.join(sorted(kinds))}")
    failed = [one for one in bench.deliveries(study) if one["state"] == "FAILED"]
    _must(not failed, f"{len(failed)} deliveries FAILED")
    return f"it has the Basic Text SR; v1_events: {', '.join(went)}; nothing FAILED"


def _balance(bench: Bench) -> str:
    if bench.config.file is None:
        raise NotApplicableError("the node has no configuration file")
    command = [sys.executable, "-m", "dicomnode", "reconcile"]
    done = subprocess.run(  # noqa: S603 - our own command line
        [*command, "--config", str(bench.config.file)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    _must(done.returncode == 0, (done.stdout + done.stderr).strip())
    return "`dicomnode reconcile` ends with 0"


def _tidy(bench: Bench) -> str:
    studies = list(bench.sent)
    bench.wait(lambda: _all_rest(bench, studies), "finish the test studies")
    n_files = purge(bench.config, studies)
    left = {one["study_instance_uid"] for one in bench.worklist.worklist()}
    _must(
        not left & set(studies), f"{len(left & set(studies))} studies are still there"
    )
    return f"{len(studies)} studies with {n_files} files purged"


def _all_rest(bench: Bench, studies: Sequence[str]) -> bool:
    rows = [
        one for one in bench.worklist.worklist() if one["study_instance_uid"] in studies
    ]
    return all(one["study_state"] in ("ROUTED", "NOT_ROUTED") for one in rows)


def _sent(bench: Bench) -> Study:
    study = bench.phantoms.radiograph()
    for one in bench.send(study):
        _must(one.accepted, f"the node refused the study: {one.error}")
    return study


def _in_pacs(bench: Bench, study: Study) -> list[Dataset]:
    return [dcmread(BytesIO(part10)) for part10 in bench.pacs.files(study.uid)]


def _must(holds: bool, seen: str) -> None:
    if not holds:
        raise MissedError(seen)


def _must_be_analysed(row: Row) -> None:
    state, outcome = row.get("job_state"), row.get("outcome")
    why = row.get("reason") or row.get("error") or "no reason"
    _must(state == "COMPLETED" and bool(outcome), f"{state or 'no job'}: {why}")


def _must_be_delivered(deliveries: Sequence[Row]) -> None:
    _must(bool(deliveries), "no result was made")
    for one in deliveries:
        seen = f"{one['result_kind']} is {one['state']}: {one['error']}"
        _must(one["state"] in _DELIVERED, seen)


def _must_be_of(study: Study, results: Sequence[Dataset]) -> None:
    for one in results:
        for keyword in _IDENTITY:
            same = one.get(keyword) == study.header.get(keyword)
            _must(same, f"{keyword} differs between study and result")
        said = str(one.get("SeriesDescription", ""))
        _must(RESEARCH_USE_ONLY in said, "a result does not say research use only")


_PACS = "read `dicomnode show` of the job, and the deliverer's log"
DELIVERING = (
    Case(
        "whole-way",
        "A radiograph from the scanner to the report in the PACS",
        "The job is COMPLETED; SR and Secondary Capture are in the PACS, with the "
        "study's identity, and say that they are for research only",
        "read `dicomnode show` of the job; `dicomnode model verify` the bundle",
        _whole_way,
    ),
    Case(
        "pacs-out-of-resources",
        "The PACS answers A700H (out of resources) once",
        "The same object is sent again and is SENT",
        "check delivery.retry_seconds",
        _out_of_resources,
    ),
    Case(
        "pacs-down",
        "The PACS is down, and comes back",
        "The results wait, with the reason; then they are SENT",
        "check delivery.retry_seconds",
        _down,
    ),
    Case(
        "pacs-refuses-sr",
        "The PACS accepts no coded Structured Report",
        "It gets the report as Basic Text SR; nothing FAILED",
        'set destination.profile = "basic-text"',
        _refuses_reports,
    ),
    Case(
        "balance",
        "Everything is accounted for",
        "`dicomnode reconcile` finds nothing",
        "read what it says; `dicomnode reconcile --repair`",
        _balance,
    ),
)
"""In the order in which they run."""
TIDYING = Case(
    "purge",
    "The test studies are removed",
    "No study of the kit is left in the worklist or the stores",
    "`dicomnode purge --study UID --reason TEXT` for each; `dicomnode list` shows them",
    _tidy,
)
