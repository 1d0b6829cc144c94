"""One job: select, decode, predict, build, keep. Sees only ports and builders."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import chain
from typing import cast

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.domain.delivery import NewResult
from dicomnode.domain.findings import (
    ImageFindings,
    NotAnalysed,
    Presence,
    StudyFindings,
)
from dicomnode.domain.instance import Instance, InstanceKey
from dicomnode.domain.job import Job, Outcome
from dicomnode.domain.ownership import is_own_result
from dicomnode.domain.result import KeptResult
from dicomnode.domain.rules import Rule
from dicomnode.errors import ResultError
from dicomnode.ports import InstanceStore, Predictor, SeriesPredictor
from dicomnode.results import (
    BuiltResult,
    NodeFacts,
    ReportContext,
    build_reports,
    draw_pictures,
    rehearse,
    without_maps,
)
from dicomnode.worker import headers
from dicomnode.worker.selection import Selection, reason_of, select
from dicomnode.worker.series import SeriesAnalyst

NOTHING_TO_ANALYSE = "the study holds no image that the pipeline wants"
REPRESENTATIVES = 16
"""Headers read for a not-analysed report: enough to reference, quick to read."""
_HANDS = 4
"""Threads of a job that digest its pictures, and wait for the disk and the worklist."""
_AHEAD = 2
"""Images of which the header is read before it is known that a report names them."""

_Headers = Mapping[str, "Future[Dataset | None]"]
"""By SOP Instance UID."""


@dataclass(frozen=True, slots=True)
class DestinationProfile:
    """A destination and the SR profile it understands."""

    name: str
    profile: str


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """What the configuration says of a pipeline; ``shadow`` results are never sent."""

    rule: Rule
    result_kinds: tuple[str, ...]
    destinations: tuple[DestinationProfile, ...]
    shadow: bool = False
    heat_map: bool = True
    language: str = "en"
    code_scheme: str = "bundle"

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.rule.pipeline

    def profiles(self) -> dict[str, tuple[str, ...]]:
        """SR profile -> destinations that get it (none in shadow mode)."""
        if self.shadow or not self.destinations:
            return {"comprehensive": ()}
        return {
            one.profile: tuple(
                other.name
                for other in self.destinations
                if other.profile == one.profile
            )
            for one in self.destinations
        }


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a finished job leaves: results are durable in the results store."""

    outcome: Outcome
    reason: str
    results: tuple[NewResult, ...]
    findings: Mapping[str, Presence] = field(default_factory=dict)
    """By label, over all images of the study."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Called by a pipeline, from any thread.

    ``announced``: with the destinations for which results are about to be built.
    ``ended``: when an attempt has ended, and nobody waits for it any more.
    """

    announced: Callable[[Collection[str]], None] = lambda _destinations: None
    ended: Callable[[], None] = lambda: None


class Pipeline:
    """A warm predictor with all it takes to turn a job into results.

    ``tell``: whom it tells how far it is.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        predictor: Predictor | SeriesPredictor,
        instances: InstanceStore,
        results: InstanceStore,
        node: NodeFacts,
        tell: Listeners | None = None,
    ) -> None:
        self.spec = spec
        self.bundle = predictor.describe()
        self._predictor = predictor
        self._instances = instances
        self._results = results
        self._node = node
        self._tell = tell or Listeners()

    @property
    def of_series(self) -> bool:
        """Whether it analyses whole series instead of single images."""
        return self.bundle.input.series is not None

    def rehearse(self, now: datetime) -> None:
        """Build results for nobody, so that no study waits for what is made only once.

        Raises ResultError when no result of this pipeline could be built.
        """
        context = self._context("rehearsal", now)
        for profile in self.spec.profiles():
            rehearse(replace(context, profile=profile), self.spec.result_kinds)

    def analyse(
        self,
        job: Job,
        instances: Sequence[Instance],
        earlier: Callable[[], Sequence[KeptResult]] = lambda: (),
    ) -> Analysis:
        """Run the job and keep its results; raises PipelineError, ResultError.

        The reports name those of ``earlier`` that they replace.
        """
        selection = select(instances, self.spec.rule, self.bundle.input)
        # What the reports need is read while the images are decoded.
        with ThreadPoolExecutor(_HANDS, "results") as hands:
            before = hands.submit(earlier)
            ahead = self._read_ahead(hands, selection)
            if self.of_series:
                findings = self._of_series(selection, job.priority)
            else:
                findings = self._findings(selection, job.priority)
            wanted = _sources(selection, findings, instances)
            sources = self._headers(wanted, ahead)
            context = self._context_of(job, sources, before.result())
            results = self._keep_results(context, findings, hands)
        outcome = Outcome.NOT_ANALYSED if findings.reason else Outcome.ANALYSED
        return Analysis(outcome, findings.reason, results, findings.presences())

    def refuse(
        self,
        job: Job,
        instances: Sequence[Instance],
        earlier: Sequence[KeptResult],
        reason: str,
    ) -> tuple[NewResult, ...]:
        """Results for a job that has failed for good: not analysed, and why.

        Silence would look like a study that nobody asked about. Raises ResultError.
        """
        selection = select(instances, self.spec.rule, self.bundle.input)
        uids = [one.sop_instance_uid for one in selection.images]
        findings = StudyFindings(
            excluded=tuple(NotAnalysed(reason, uid) for uid in uids), reason=reason
        )
        sources = self._headers(_sources(selection, findings, instances), {})
        # The same failure again gives the same object, so it must not name itself.
        before = [one for one in earlier if one.revision < job.revision]
        context = self._context_of(job, sources, before)
        with ThreadPoolExecutor(_HANDS, "results") as hands:
            return self._keep_results(context, findings, hands)

    def ended(self) -> None:
        """An attempt at a job has ended, well or not."""
        self._tell.ended()

    def _findings(self, selection: Selection, priority: int) -> StudyFindings:
        answers = self._predict(selection.images, priority)
        images = tuple(one for one in answers if isinstance(one, ImageFindings))
        failed = tuple(one for one in answers if isinstance(one, NotAnalysed))
        excluded = (*selection.excluded, *failed)
        return StudyFindings(images, excluded, "" if images else _reason(excluded))

    def _of_series(self, selection: Selection, priority: int) -> StudyFindings:
        analyst = SeriesAnalyst(
            cast("SeriesPredictor", self._predictor), self._instances, self.bundle.input
        )
        return analyst.findings(selection, priority)

    def _predict(
        self, images: Sequence[Instance], priority: int
    ) -> Sequence[ImageFindings | NotAnalysed]:
        if not images:
            return ()
        with ExitStack() as opened:
            files = [
                (one, opened.enter_context(self._instances.open(one.location)))
                for one in images
            ]
            return self._predictor.predict(files, priority)

    def _read_ahead(self, hands: ThreadPoolExecutor, selection: Selection) -> _Headers:
        some = selection.images[:_AHEAD]
        return {one.sop_instance_uid: hands.submit(self._header, one) for one in some}

    def _headers(self, instances: Sequence[Instance], ahead: _Headers) -> list[Dataset]:
        """Those that can be read; raises ResultError when there is none."""
        read = (
            ahead[one.sop_instance_uid].result()
            if one.sop_instance_uid in ahead
            else self._header(one)
            for one in instances
        )
        found = [header for header in read if header is not None]
        if not found:
            message = "no header of the study can be read, so no report can name it"
            raise ResultError(f"{message}; send the study again")
        return found

    def _header(self, one: Instance) -> Dataset | None:
        opened = partial(self._instances.open, one.location)
        return headers.read(opened, one.transfer_syntax_uid)

    def _keep_results(
        self, context: ReportContext, findings: StudyFindings, hands: ThreadPoolExecutor
    ) -> tuple[NewResult, ...]:
        everywhere = tuple(chain.from_iterable(self.spec.profiles().values()))
        if everywhere:
            self._tell.announced(everywhere)
        if not self.spec.heat_map:
            findings = without_maps(findings)
        drawn: list[Future[BuiltResult]] = []
        pictures: list[Future[NewResult]] = []
        # What is native code, or waits for the disk, is left to others: pictures, which
        # are large, are digested and kept while more are drawn and reports written.
        for finish in draw_pictures(context, findings, self.spec.result_kinds):
            drawn.append(hands.submit(finish))
            pictures.append(hands.submit(self._keep_drawn, drawn[-1], everywhere))
        written = self._written(context, findings, drawn)
        reports = [hands.submit(self._keep, *one) for one in written]
        return tuple(one.result() for one in (*reports, *pictures))

    def _keep_drawn(
        self, drawn: Future[BuiltResult], destinations: tuple[str, ...]
    ) -> NewResult:
        return self._keep(drawn.result(), destinations)

    def _written(
        self,
        context: ReportContext,
        findings: StudyFindings,
        drawn: Sequence[Future[BuiltResult]],
    ) -> Iterable[tuple[BuiltResult, tuple[str, ...]]]:
        """The reports in each profile, with who gets them."""
        made: dict[str, tuple[BuiltResult, tuple[str, ...]]] = {}
        kinds = self.spec.result_kinds

        def companions() -> Sequence[BuiltResult]:
            return [one.result() for one in drawn]

        for profile, destinations in self.spec.profiles().items():
            context = replace(context, profile=profile)
            for one in build_reports(context, findings, kinds, companions):
                # The text is the same object under every profile: keep it once.
                _, also = made.get(one.sop_instance_uid, (one, ()))
                made[one.sop_instance_uid] = one, (*also, *destinations)
        return made.values()

    def _context_of(
        self, job: Job, sources: Sequence[Dataset], earlier: Sequence[KeptResult]
    ) -> ReportContext:
        # The time is fixed for the job, so that a rerun after a crash gives the same
        # bytes.
        return replace(
            self._context(job.job_id, job.scheduled_at),
            sources=sources,
            instance_number=job.revision,
            earlier=tuple(earlier),
        )

    def _context(self, job_id: str, analysed_at: datetime) -> ReportContext:
        return ReportContext(
            sources=(),
            bundle=self.bundle,
            pipeline=self.spec.name,
            job_id=job_id,
            analysed_at=analysed_at,
            node=self._node,
            language=self.spec.language,
            code_scheme=self.spec.code_scheme,
        )

    def _keep(self, built: BuiltResult, destinations: tuple[str, ...]) -> NewResult:
        key = InstanceKey(
            study_instance_uid=built.study_instance_uid,
            series_instance_uid=built.series_instance_uid,
            sop_instance_uid=built.sop_instance_uid,
            sop_class_uid=built.sop_class_uid,
            transfer_syntax_uid=str(ExplicitVRLittleEndian),
        )
        stored = self._results.put(key, built.encoded)
        return NewResult(
            kind=built.kind,
            sop_class_uid=built.sop_class_uid,
            sop_instance_uid=built.sop_instance_uid,
            series_instance_uid=built.series_instance_uid,
            location=stored.location,
            sha256=stored.sha256,
            destinations=destinations,
        )


def _sources(
    selection: Selection, findings: StudyFindings, instances: Sequence[Instance]
) -> Sequence[Instance]:
    if findings.images:
        analysed = {image.sop_instance_uid for image in findings.images}
        stated = (one for image in findings.images for one in image.findings)
        analysed |= {key.sop_instance_uid for one in stated for key in one.slices}
        return [one for one in selection.images if one.sop_instance_uid in analysed]
    named = {one.sop_instance_uid for one in findings.excluded}
    foreign = [one for one in instances if not is_own_result(one.attributes)]
    wanted = [one for one in foreign if one.sop_instance_uid in named]
    return (wanted or foreign)[:REPRESENTATIVES]


def _reason(excluded: Sequence[NotAnalysed]) -> str:
    return reason_of(excluded) or NOTHING_TO_ANALYSE
