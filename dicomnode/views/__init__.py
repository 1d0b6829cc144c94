"""The public v1 views as questions, for whoever can run SQL.

Below the rooms, because two readers ask the same: the worklist (any database) and the
command line, which reads the embedded one without loading SQLAlchemy. The views are
made by the migrations and documented in docs/worklist-sql.md.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

from dicomnode.domain.delivery import DeliveryState
from dicomnode.domain.job import JobState
from dicomnode.domain.study import StudyState
from dicomnode.errors import WorklistError
from dicomnode.views.asking import Record, utc_text
from dicomnode.views.backlog import Backlog

__all__ = ["Record", "Views", "utc_text"]

_COUNTED: dict[str, type[StrEnum]] = {
    "study": StudyState,
    "job": JobState,
    "delivery": DeliveryState,
}


# An instance that conflicts with another one may name another study than that one.
_FILES = """
SELECT CASE WHEN ordinal = 0 THEN 'instance' ELSE 'conflict' END AS kind,
       sop_instance_uid, CAST(NULL AS text) AS job_id, location, n_bytes, sha256,
       received_at AS since, forgotten_at, missing_at, 0 AS is_result
FROM instances WHERE sop_instance_uid IN (
  SELECT sop_instance_uid FROM instances
  WHERE study_instance_uid = :study AND ordinal = 0)
UNION ALL
SELECT r.kind, r.sop_instance_uid, r.job_id, r.location, NULL, r.sha256, r.built_at,
       r.forgotten_at, r.missing_at, 1
FROM results r JOIN jobs j ON j.job_id = r.job_id WHERE j.study_instance_uid = :study
ORDER BY is_result, since, sop_instance_uid, location
"""


class Views(Backlog):
    """The v1 views as lists of plain dicts with exactly the columns of the view."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""

    def subscribe(self, ring: Callable[[], None]) -> Callable[[], None]:
        """Call ``ring`` when there is a new event, where the database tells.

        What it returns ends that. Here nothing tells: the reader polls.
        """
        del ring
        return lambda: None

    def counts(self) -> dict[str, dict[str, int]]:
        """How many are in each state: ``{"study": {"RECEIVING": 0, ...}, ...}``.

        Keys are study (current revisions), job and delivery; every state is there.
        """
        rows = self._run("SELECT kind, state, n FROM v1_counts", {})
        found = {(row["kind"], row["state"]): row["n"] for row in rows}
        return {
            kind: {one.value: found.get((kind, one.value), 0) for one in states}
            for kind, states in _COUNTED.items()
        }

    def worklist(
        self,
        since: datetime | None = None,
        state: str | None = None,
        ae: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[Record]:
        """``v1_worklist``, newest first.

        ``since`` is the earliest received_at, ``before`` a time as the views write it
        that received_at must be less than, ``state`` a state of study or job, ``ae`` a
        calling AE title. Raises WorklistError for an unknown state.
        """
        conditions = {
            "received_at >= :since": None if since is None else utc_text(since),
            "received_at < :before": before,
            f"{_state_term(state)} = :state": state,
            "calling_ae_title = :ae": ae,
        }
        # The pipeline too, or the jobs of one revision come in any order.
        order = "received_at DESC, study_instance_uid, pipeline"
        return self._select("v1_worklist", conditions, order, limit)

    def job(self, job_id: str) -> list[Record]:
        """The row of ``v1_worklist`` for one job; empty if there is none."""
        return self._select("v1_worklist", {"job_id = :job": job_id}, "job_id")

    def jobs_like(self, prefix: str, limit: int = 2) -> list[Record]:
        """Rows of ``v1_worklist`` of jobs whose id begins with ``prefix``."""
        # A range, which the primary key serves; ids are hexadecimal.
        conditions = {"job_id >= :from": prefix, "job_id < :to": f"{prefix}g"}
        return self._select("v1_worklist", conditions, "job_id", limit)

    def study(self, study_instance_uid: str) -> list[Record]:
        """The rows of ``v1_worklist`` of one study, the newest revision first."""
        conditions = {"study_instance_uid = :study": study_instance_uid}
        return self._select("v1_worklist", conditions, "revision DESC, pipeline")

    def events(self, after_seq: int = 0, limit: int = 1000) -> list[Record]:
        """``v1_events`` after ``after_seq``, in order."""
        return self._select("v1_events", {"seq > :seq": after_seq}, "seq", limit)

    def events_of(self, study_instance_uid: str) -> list[Record]:
        """``v1_events`` of one study, in order."""
        conditions = {"study_instance_uid = :study": study_instance_uid}
        return self._select("v1_events", conditions, "seq")

    def last_seq(self) -> int:
        """The newest ``seq`` of ``v1_events``: where following it begins; 0 if none."""
        return self._run("SELECT max(seq) AS seq FROM v1_events", {})[0]["seq"] or 0

    def deliveries(
        self,
        job_id: str | None = None,
        state: str | None = None,
        limit: int | None = None,
    ) -> list[Record]:
        """``v1_deliveries``, of one job or of all, in one state or in any."""
        order = "job_id, destination, sop_instance_uid"
        conditions = {"job_id = :job": job_id, "state = :state": state}
        return self._select("v1_deliveries", conditions, order, limit)

    def absences(self) -> list[Record]:
        """``v1_absences``, the longest first: destinations that cannot be reached."""
        return self._select("v1_absences", {}, "began_at, destination")

    def workers(self) -> list[Record]:
        """``v1_workers``, the last heard of first."""
        return self._select("v1_workers", {}, "heartbeat_at DESC, worker_id")

    def associations(
        self, limit: int = 500, refused_only: bool = False
    ) -> list[Record]:
        """``v1_associations``, newest first."""
        conditions = {"accepted = :accepted": 0 if refused_only else None}
        return self._select("v1_associations", conditions, "at DESC", limit)

    def hourly(self, since: datetime) -> list[Record]:
        """Studies of each sender and hour: ``hour`` (UTC), ``n_studies``, the AE title.

        A study that came again is counted with each revision.
        """
        return self._run(
            "SELECT substr(received_at, 1, 13) AS hour, calling_ae_title, "
            "count(DISTINCT study_instance_uid) AS n_studies FROM v1_worklist "
            "WHERE received_at >= :since GROUP BY hour, calling_ae_title ORDER BY hour",
            {"since": utc_text(since)},
        )

    def senders(self, since: datetime) -> list[Record]:
        """Each sender's first and last study since then, and how many there were."""
        return self._run(
            "SELECT calling_ae_title, count(DISTINCT study_instance_uid) AS n_studies, "
            "min(received_at) AS first_at, max(received_at) AS last_at "
            "FROM v1_worklist WHERE received_at >= :since "
            "GROUP BY calling_ae_title ORDER BY calling_ae_title",
            {"since": utc_text(since)},
        )

    def volumes(self, since: datetime) -> list[Record]:
        """Each study received since then: its sender, and how many instances it has."""
        return self._run(
            "SELECT study_instance_uid, calling_ae_title, "
            "max(n_instances) AS n_instances FROM v1_worklist "
            "WHERE received_at >= :since "
            "GROUP BY study_instance_uid, calling_ae_title",
            {"since": utc_text(since)},
        )

    def callers(self, since: datetime) -> list[Record]:
        """How many associations of each AE title were accepted and refused since."""
        return self._run(
            "SELECT calling_ae_title, sum(accepted) AS n_accepted, "
            "count(*) - sum(accepted) AS n_refused FROM v1_associations "
            "WHERE at >= :since GROUP BY calling_ae_title ORDER BY calling_ae_title",
            {"since": utc_text(since)},
        )

    def unsent(self) -> list[Record]:
        """What each destination has not got, by state: how many, when it is tried.

        ``waiting_since``: when the oldest of their jobs ended.
        """
        return self._run(
            "SELECT d.destination, d.state, count(*) AS n_results, "
            "max(d.attempts) AS attempts, min(d.next_attempt_at) AS next_attempt_at, "
            "max(d.error) AS error, min(j.finished_at) AS waiting_since "
            "FROM v1_deliveries d LEFT JOIN v1_worklist j ON j.job_id = d.job_id "
            "WHERE d.state IN ('PENDING', 'FAILED', 'REJECTED') "
            "GROUP BY d.destination, d.state ORDER BY d.destination, d.state",
            {},
        )

    def node_events(self, kind: str, limit: int = 1) -> list[Record]:
        """``v1_events`` of one kind that are of no study, the newest first."""
        # Few rows have no study, and an index finds them.
        conditions = {"kind = :kind": kind}
        of_node = "study_instance_uid IS NULL"
        return self._select("v1_events", conditions, "seq DESC", limit, of_node)

    def mark(self) -> object | None:
        """Another one as soon as anything has changed; None where nobody can tell."""
        return None

    def pauses(self) -> list[Record]:
        """``v1_pauses``, the oldest first: what an admin has stopped."""
        return self._select("v1_pauses", {}, "paused_at")

    def chores(self) -> list[Record]:
        """``v1_chores`` by name: what the keeper does, and the last run of each."""
        return self._select("v1_chores", {}, "name")

    def roles(self) -> list[Record]:
        """``v1_roles`` by host and role: which processes of the node live where."""
        return self._select("v1_roles", {}, "host, role, process")

    def spools(self) -> list[Record]:
        """``v1_spools``, the oldest first: instances that one host alone can read."""
        return self._select("v1_spools", {}, "oldest_at, host")

    def backfills(self, backfill_id: str | None = None) -> list[Record]:
        """``v1_backfills``, newest first, or the one of an id."""
        conditions = {"backfill_id = :backfill": backfill_id}
        return self._select("v1_backfills", conditions, "started_at DESC")

    def backfill_rates(self, since: datetime) -> dict[str, int]:
        """How many studies of each backfill were done with since then."""
        found = self._run(
            "SELECT backfill_id, count(*) AS n FROM v1_backfill_studies "
            "WHERE state IN ('ANALYSED', 'SKIPPED', 'FAILED') AND changed_at >= :since "
            "GROUP BY backfill_id",
            {"since": utc_text(since)},
        )
        return {row["backfill_id"]: row["n"] for row in found}

    def backfill_studies(self, state: str, limit: int = 100) -> list[Record]:
        """``v1_backfill_studies`` in one state, the latest change first."""
        order = "changed_at DESC, study_instance_uid"
        conditions = {"state = :state": state}
        return self._select("v1_backfill_studies", conditions, order, limit)

    def reconciliations(self, limit: int = 1) -> list[Record]:
        """``v1_reconciliations``, newest first."""
        return self._select("v1_reconciliations", {}, "started_at DESC", limit)

    def files(self, study_instance_uid: str) -> list[Record]:
        """What lies in the stores of one study: its instances, then its results.

        ``n_bytes`` of a result is None; ``missing_at``: reconcile found it lost.
        """
        return self._run(_FILES, {"study": study_instance_uid})

    def identity(self, study_instance_uid: str) -> list[Record]:
        """``v1_identity`` of one study: patient data, never to be logged."""
        conditions = {"study_instance_uid = :study": study_instance_uid}
        return self._select("v1_identity", conditions, "study_instance_uid")


def _state_term(state: str | None) -> str:
    if state == JobState.COMPLETED:
        # Nearly every job ends so: the newest are found by walking back in time. Taken
        # by the index of states, all of them would be sorted first; it cannot serve an
        # expression.
        return "coalesce(job_state, '')"
    if state is None or state in list(JobState):
        return "job_state"
    if state in list(StudyState):
        return "study_state"
    words = ", ".join((*StudyState, *JobState))
    raise WorklistError(f"no state {state!r}; use one of {words}")
