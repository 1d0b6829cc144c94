"""Ports that audit what goes through them; the rooms behind them know nothing of it.

Each overrides the methods that make a message and passes every other one on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from dicomnode.audit import AuditedStudy, Emitter, Node, Peer, events
from dicomnode.audit.events import Ended
from dicomnode.audit.gathering import Arrival, Refusals, Transfers
from dicomnode.domain.association import Association
from dicomnode.domain.backfill import FoundStudy
from dicomnode.domain.delivery import NewResult, Outgoing, Sent
from dicomnode.domain.findings import Presence
from dicomnode.domain.instance import Disposition, ReceivedInstance
from dicomnode.domain.job import Job, Outcome
from dicomnode.errors import DeliveryError, WorklistError
from dicomnode.ports import Archive, Clock, Intake, Jobs, Sender, Upkeep
from dicomnode.views import Views

_ACTIONS = {
    Disposition.NEW: "C",
    Disposition.CONFLICT: "C",  # kept beside the first: this content is new to us
    Disposition.DUPLICATE: "R",
}
_OF_A_STUDY = ["StudyInstanceUID", "PatientID", "AccessionNumber", "SOPClassUID"]


class _Passing:
    """Whatever is not overridden goes to the port behind."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class AuditedIntake(_Passing):
    """What was received, and which associations were refused."""

    def __init__(
        self,
        intake: Intake,
        emitter: Emitter,
        transfers: Transfers,
        refusals: Refusals,
    ) -> None:
        super().__init__(intake)
        self._intake = intake
        self._emitter = emitter
        self._transfers = transfers
        self._refusals = refusals

    def record(self, instance: ReceivedInstance) -> Disposition:
        """Record, then count the instance to its transfer."""
        disposition = self._intake.record(instance)
        accession_number = instance.attributes.get("AccessionNumber", "")
        arrival = Arrival(
            at=instance.received_at,
            study_instance_uid=instance.key.study_instance_uid,
            sop_class_uid=instance.key.sop_class_uid,
            action=_ACTIONS[disposition],
            patient_id=instance.identity.patient_id,
            accession_number=accession_number
            if isinstance(accession_number, str)
            else "",
        )
        peer = Peer(instance.calling_ae_title, instance.address)
        message = self._transfers.note(peer, arrival)
        if message is not None:
            self._emitter.emit(message)
        return disposition

    def record_association(self, association: Association) -> None:
        """Audit a refused association, then record it."""
        if not association.accepted:
            peer = Peer(association.calling_ae_title, association.address)
            text = f"association refused: {association.reason}"
            message = self._refusals.note(peer, text, association.at)
            if message is not None:
                self._emitter.emit(message)
        self._intake.record_association(association)


class AuditedArchive(_Passing):
    """What an archive was asked for; what it sends us, the receiver audits."""

    def __init__(
        self, archive: Archive, told: Callable[[Mapping[str, str], str], None]
    ) -> None:
        super().__init__(archive)
        self._archive = archive
        self._told = told

    def find(self, query: Mapping[str, str]) -> Iterator[FoundStudy]:
        """Ask, then audit the query and whether it was answered to its end."""
        try:
            yield from self._archive.find(query)
        except DeliveryError as error:
            self._told(query, str(error))
            raise
        self._told(query, "")


class AuditedSender(_Passing):
    """Which results were sent to a destination, and which it refused.

    While a destination cannot be reached only the first attempt is audited: nothing is
    transferred, and it may be away for days.
    """

    def __init__(
        self, sender: Sender, emitter: Emitter, node: Node, peer: Peer, clock: Clock
    ) -> None:
        super().__init__(sender)
        self._sender = sender
        self._emitter = emitter
        self._node = node
        self._peer = peer
        self._clock = clock
        self._reached = True

    def send(self, instances: Sequence[Outgoing]) -> Sequence[Sent]:
        """Send, with a message before and after for each study."""
        studies = dict(_by_study(instances))
        if self._reached:
            self._begin(studies)
        try:
            answers = self._sender.send(instances)
        except DeliveryError as error:
            if self._reached:
                for key, files in studies.items():
                    self._end(key, files, str(error))
            self._reached = False
            raise
        if not self._reached:
            self._begin(studies)
        self._reached = True
        by_uid = {answer.sop_instance_uid: answer for answer in answers}
        for study, files in studies.items():
            self._end_well_or_not(study, files, by_uid)
        return answers

    def _begin(self, studies: Mapping[_Key, Sequence[Outgoing]]) -> None:
        for key, files in studies.items():
            study = _audited(key, files)
            self._emitter.emit(
                events.transfer_begun(self._node, self._peer, study, self._clock.now())
            )

    def _end_well_or_not(
        self, key: _Key, files: Sequence[Outgoing], answers: Mapping[str, Sent]
    ) -> None:
        # PS3.15 A.5.2: success and failure are never mixed in one message.
        groups: dict[str, list[Outgoing]] = defaultdict(list)
        for file in files:
            answer = answers.get(file.sop_instance_uid)
            well = answer is not None and answer.accepted
            groups["" if well else answer.error if answer else "no answer"].append(file)
        for error, group in groups.items():
            self._end(key, group, error)

    def _end(self, key: _Key, files: Sequence[Outgoing], error: str) -> None:
        study, now = _audited(key, files), self._clock.now()
        ended = Ended(now, error=error)
        self._emitter.emit(events.transfer_ended(self._node, self._peer, study, ended))


_Key = tuple[str, str, str]
"""Study Instance UID, patient ID, accession number."""


def _by_study(instances: Sequence[Outgoing]) -> Iterator[tuple[_Key, list[Outgoing]]]:
    found: dict[_Key, list[Outgoing]] = defaultdict(list)
    for one in instances:
        key = _study_of(one.path)
        if key is not None:
            found[key].append(one)
    yield from found.items()


def _study_of(path: Path) -> _Key | None:
    # The supervisor and most commands audit too, and never read a file.
    from pydicom import dcmread  # noqa: PLC0415
    from pydicom.errors import InvalidDicomError  # noqa: PLC0415

    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=_OF_A_STUDY)
        return (
            str(header.get("StudyInstanceUID", "")),
            str(header.get("PatientID", "") or ""),
            str(header.get("AccessionNumber", "") or ""),
        )
    except (InvalidDicomError, OSError, ValueError, AttributeError):
        return None


def _audited(key: _Key, files: Sequence[Outgoing]) -> AuditedStudy:
    classes: dict[str, int] = defaultdict(int)
    for file in files:
        classes[file.sop_class_uid] += 1
    return AuditedStudy(*key, sop_classes=classes)


class AuditedJobs(_Passing):
    """Which studies were read to be analysed."""

    def __init__(self, jobs: Jobs, emitter: Emitter, node: Node, views: Views) -> None:
        super().__init__(jobs)
        self._jobs = jobs
        self._emitter = emitter
        self._node = node
        self._views = views

    def finish(
        self,
        job: Job,
        outcome: Outcome,
        reason: str,
        results: Sequence[NewResult],
        now: datetime,
        findings: Mapping[str, Presence] | None = None,
    ) -> None:
        """Finish, then say which study was read."""
        self._jobs.finish(job, outcome, reason, results, now, findings)
        self._accessed(job, now, "")

    def fail(
        self,
        job: Job,
        error: str,
        retry_at: datetime | None,
        now: datetime,
        results: Sequence[NewResult] = (),
    ) -> None:
        """Fail, then say which study was read in vain."""
        self._jobs.fail(job, error, retry_at, now, results)
        self._accessed(job, now, error)

    def _accessed(self, job: Job, now: datetime, error: str) -> None:
        study = study_of(self._views, job.study_instance_uid)
        by = self._node.participant(is_requestor=True)
        self._emitter.emit(events.instances_accessed(by, study, now, error))


class AuditedUpkeep(_Passing):
    """Which studies the retention has deleted."""

    def __init__(
        self, upkeep: Upkeep, emitter: Emitter, node: Node, views: Views
    ) -> None:
        super().__init__(upkeep)
        self._upkeep = upkeep
        self._emitter = emitter
        self._node = node
        self._views = views

    def forget_files(self, study_instance_uid: str, now: datetime) -> None:
        """Note that the files are gone, then say so."""
        self._upkeep.forget_files(study_instance_uid, now)
        study = study_of(self._views, study_instance_uid)
        by = (self._node.participant(is_requestor=True),)
        reason = "retention: its results are delivered and its keep_days are over"
        self._emitter.emit(events.study_deleted(by, study, now, reason))


def study_of(views: Views, study_instance_uid: str) -> AuditedStudy:
    """A study with the patient ID that the worklist knows it by; without, if none."""
    try:
        rows = views.identity(study_instance_uid)
    except WorklistError:
        rows = []
    patient_id = str(rows[0]["patient_id"] or "") if rows else ""
    return AuditedStudy(study_instance_uid, patient_id)
