"""The first schema: tables and the public v1 views."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

V1_WORKLIST = """
CREATE VIEW v1_worklist AS
SELECT r.study_instance_uid, r.revision, r.accession_number, r.modality,
       r.calling_ae_title, r.n_series, r.n_instances, r.state AS study_state,
       j.pipeline, j.job_id, j.state AS job_state, j.outcome,
       CASE WHEN j.job_id IS NULL THEN r.reason ELSE j.reason END AS reason,
       j.attempts, r.received_at, r.completed_at, j.started_at, j.finished_at,
       j.priority, j.error
FROM revisions r
LEFT JOIN jobs j
  ON j.study_instance_uid = r.study_instance_uid AND j.revision = r.revision
"""

V1_EVENTS = """
CREATE VIEW v1_events AS
SELECT seq, at, study_instance_uid, job_id, kind, state, detail FROM events
"""

V1_DELIVERIES = """
CREATE VIEW v1_deliveries AS
SELECT d.job_id, d.destination, r.kind AS result_kind, r.sop_instance_uid, d.state,
       d.attempts, d.next_attempt_at, d.status, d.error, d.sent_at, d.committed_at
FROM deliveries d JOIN results r ON r.result_id = d.result_id
"""

V1_WORKERS = """
CREATE VIEW v1_workers AS
SELECT worker_id, host, device, bundle, state, job_id, heartbeat_at FROM workers
"""

V1_ASSOCIATIONS = """
CREATE VIEW v1_associations AS
SELECT at, calling_ae_title, called_ae_title, address, accepted, reason, remedy
FROM associations
"""

V1_IDENTITY = """
CREATE VIEW v1_identity AS
SELECT study_instance_uid, patient_id, patient_name, patient_birth_date, patient_sex,
       issuer_of_patient_id
FROM identities
"""

VIEWS = {
    "v1_worklist": V1_WORKLIST,
    "v1_events": V1_EVENTS,
    "v1_deliveries": V1_DELIVERIES,
    "v1_workers": V1_WORKERS,
    "v1_associations": V1_ASSOCIATIONS,
    "v1_identity": V1_IDENTITY,
}


def upgrade() -> None:
    """Make every table, index and view."""
    _studies()
    _instances()
    _jobs()
    _deliveries()
    _surroundings()
    for view in VIEWS.values():
        op.execute(view)


def downgrade() -> None:
    """Remove everything; the files in the store stay."""
    for name in VIEWS:
        op.execute(f"DROP VIEW {name}")
    for name in reversed(_TABLES):
        op.drop_table(name)


_TABLES = (
    "studies",
    "revisions",
    "series",
    "identities",
    "instances",
    "jobs",
    "results",
    "deliveries",
    "workers",
    "associations",
    "events",
    "leaders",
)

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=False)


def _maybe(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT, nullable=False, server_default="")


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def _serial(name: str) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, autoincrement=True)


def _studies() -> None:
    op.create_table(
        "studies",
        _key("study_instance_uid"),
        _integer("revision"),
        _maybe("files_forgotten_at"),
        sa.PrimaryKeyConstraint("study_instance_uid"),
    )
    op.create_index(
        "ix_studies_kept", "studies", ["files_forgotten_at", "study_instance_uid"]
    )
    op.create_table(
        "revisions",
        _key("study_instance_uid"),
        _integer("revision"),
        _key("state"),
        _text("reason"),
        _key("received_at"),
        _key("last_instance_at"),
        _maybe("completed_at"),
        _maybe("routed_at"),
        _count("n_series"),
        _count("n_instances"),
        _text("accession_number"),
        _text("modality"),
        _text("calling_ae_title"),
        sa.Column("forced", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid", "revision"),
        sa.ForeignKeyConstraint(["study_instance_uid"], ["studies.study_instance_uid"]),
    )
    op.create_index("ix_revisions_state", "revisions", ["state", "received_at"])
    op.create_index("ix_revisions_received_at", "revisions", ["received_at"])


def _instances() -> None:
    op.create_table(
        "series",
        _key("study_instance_uid"),
        _key("series_instance_uid"),
        sa.PrimaryKeyConstraint("study_instance_uid", "series_instance_uid"),
        sa.ForeignKeyConstraint(["study_instance_uid"], ["studies.study_instance_uid"]),
    )
    op.create_table(
        "identities",
        _key("study_instance_uid"),
        _text("patient_id"),
        _text("patient_name"),
        _text("patient_birth_date"),
        _text("patient_sex"),
        _text("issuer_of_patient_id"),
        sa.PrimaryKeyConstraint("study_instance_uid"),
        sa.ForeignKeyConstraint(["study_instance_uid"], ["studies.study_instance_uid"]),
    )
    op.create_table(
        "instances",
        _key("sop_instance_uid"),
        _integer("ordinal"),
        _key("study_instance_uid"),
        _key("series_instance_uid"),
        _key("sop_class_uid"),
        _key("transfer_syntax_uid"),
        _key("location"),
        sa.Column("n_bytes", sa.BigInteger, nullable=False),
        _key("sha256"),
        _key("received_at"),
        _text("calling_ae_title"),
        _text("called_ae_title"),
        _text("address"),
        _text("attributes"),
        _maybe("forgotten_at"),
        sa.PrimaryKeyConstraint("sop_instance_uid", "ordinal"),
    )
    op.create_index("ix_instances_study", "instances", ["study_instance_uid"])
    op.create_index("ix_instances_location", "instances", ["location"])


def _jobs() -> None:
    op.create_table(
        "jobs",
        _key("job_id"),
        _key("study_instance_uid"),
        _integer("revision"),
        _key("pipeline"),
        _integer("priority"),
        _key("state"),
        _maybe("outcome"),
        _text("reason"),
        _text("error"),
        _count("attempts"),
        _text("worker_id"),
        _key("scheduled_at"),
        _key("not_before"),
        _maybe("lease_expires_at"),
        _maybe("started_at"),
        _maybe("finished_at"),
        sa.PrimaryKeyConstraint("job_id"),
        sa.UniqueConstraint(
            "study_instance_uid", "revision", "pipeline", name="uq_jobs_pipeline"
        ),
        sa.ForeignKeyConstraint(
            ["study_instance_uid", "revision"],
            ["revisions.study_instance_uid", "revisions.revision"],
        ),
    )
    most_urgent = sa.text("priority DESC")
    op.create_index(
        "ix_jobs_claim", "jobs", ["state", most_urgent, "scheduled_at", "job_id"]
    )


def _deliveries() -> None:
    op.create_table(
        "results",
        _serial("result_id"),
        sa.Column("job_id", _TEXT, sa.ForeignKey("jobs.job_id"), nullable=False),
        _key("kind"),
        _key("sop_class_uid"),
        _key("sop_instance_uid"),
        _key("series_instance_uid"),
        _key("location"),
        _key("sha256"),
        _key("built_at"),
        sa.PrimaryKeyConstraint("result_id"),
        sa.UniqueConstraint("job_id", "sop_instance_uid", name="uq_results_sop"),
    )
    op.create_index("ix_results_sop", "results", ["sop_instance_uid"])
    op.create_index("ix_results_location", "results", ["location"])
    op.create_table(
        "deliveries",
        _serial("delivery_id"),
        sa.Column(
            "result_id", _NUMBER, sa.ForeignKey("results.result_id"), nullable=False
        ),
        sa.Column("job_id", _TEXT, sa.ForeignKey("jobs.job_id"), nullable=False),
        _key("destination"),
        _key("state"),
        _count("attempts"),
        _key("next_attempt_at"),
        _maybe("lease_expires_at"),
        sa.Column("status", sa.Integer),
        _text("error"),
        _maybe("sent_at"),
        _maybe("committed_at"),
        sa.PrimaryKeyConstraint("delivery_id"),
        sa.UniqueConstraint(
            "result_id", "destination", name="uq_deliveries_destination"
        ),
    )
    order = ["destination", "state", "delivery_id"]
    op.create_index("ix_deliveries_due", "deliveries", order)
    op.create_index("ix_deliveries_job", "deliveries", ["job_id"])


def _surroundings() -> None:
    op.create_table(
        "workers",
        _key("worker_id"),
        _text("host"),
        _text("device"),
        _text("bundle"),
        _text("state"),
        _maybe("job_id"),
        _key("heartbeat_at"),
        sa.PrimaryKeyConstraint("worker_id"),
    )
    op.create_table(
        "associations",
        _serial("association_id"),
        _key("at"),
        _text("calling_ae_title"),
        _text("called_ae_title"),
        _text("address"),
        _integer("accepted"),
        _text("reason"),
        _text("remedy"),
        sa.PrimaryKeyConstraint("association_id"),
    )
    op.create_index("ix_associations_at", "associations", ["at"])
    op.create_index("ix_associations_accepted", "associations", ["accepted", "at"])
    _events()
    op.create_table(
        "leaders",
        _key("name"),
        _key("holder"),
        _key("lease_expires_at"),
        sa.PrimaryKeyConstraint("name"),
    )


def _events() -> None:
    op.create_table(
        "events",
        _serial("seq"),
        _key("at"),
        _maybe("study_instance_uid"),
        _maybe("job_id"),
        _key("kind"),
        _maybe("state"),
        _text("detail"),
        sa.PrimaryKeyConstraint("seq"),
        # SQLite: a number is never given out twice, whatever is deleted.
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_study", "events", ["study_instance_uid"])
    op.create_index("ix_events_job", "events", ["job_id"])
