"""Counts by state that are kept, and indexes for what waits and what may go.

By triggers: programs of the schema before it, which know nothing of them, do the same
as new ones, so v1_schema stays. Each change of a state leaves its difference in
``state_counts``; a study whose files are forgotten marks its revisions. A later
migration that makes one of these tables anew must make its triggers anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

V1_COUNTS = """
CREATE VIEW v1_counts AS
SELECT kind, state, CAST(sum(n) AS bigint) AS n FROM state_counts
GROUP BY kind, state HAVING sum(n) <> 0
"""

FILL = """
INSERT INTO state_counts (kind, state, n)
SELECT 'study', r.state, count(*) FROM studies s JOIN revisions r
  ON r.study_instance_uid = s.study_instance_uid AND r.revision = s.revision
GROUP BY r.state
UNION ALL SELECT 'job', state, count(*) FROM jobs GROUP BY state
UNION ALL SELECT 'delivery', state, count(*) FROM deliveries GROUP BY state
"""

_ADD = "INSERT INTO state_counts (kind, state, n)"
# Only the current revision of a study counts. Whoever changes one holds the row of its
# study, so that which one is current does not change meanwhile.
_IS_CURRENT = (
    "FROM studies WHERE study_instance_uid = {row}.study_instance_uid "
    "AND revision = {row}.revision"
)


_MOVED = (
    "SELECT 'study', state, CASE revision WHEN NEW.revision THEN 1 ELSE -1 END "
    "FROM revisions WHERE study_instance_uid = NEW.study_instance_uid "
    "AND revision IN (OLD.revision, NEW.revision)"
)


class Trigger(NamedTuple):
    """What happens after ``event`` on ``table`` for each row for which ``when``."""

    name: str
    table: str
    event: str
    when: str
    act: str


def _of_rows(table: str, kind: str) -> Iterator[Trigger]:
    add, other = f"{_ADD} VALUES", "OLD.state <> NEW.state"
    new, old = f"('{kind}', NEW.state, 1)", f"('{kind}', OLD.state, -1)"
    for event, when, act in (
        ("INSERT", "", f"{add} {new}"),
        ("UPDATE OF state", other, f"{add} {old}, {new}"),
        ("DELETE", "", f"{add} {old}"),
    ):
        yield Trigger(f"count_{table}_{event[:6].lower()}", table, event, when, act)


def _of_revisions() -> Iterator[Trigger]:
    new = f"SELECT 'study', NEW.state, 1 {_IS_CURRENT.format(row='NEW')}"
    old = f"SELECT 'study', OLD.state, -1 {_IS_CURRENT.format(row='OLD')}"
    other = "OLD.state <> NEW.state"
    for event, when, act in (
        ("INSERT", "", f"{_ADD} {new}"),
        ("UPDATE OF state", other, f"{_ADD} {old} UNION ALL {new}"),
        ("DELETE", "", f"{_ADD} {old}"),
    ):
        name = f"count_revisions_{event[:6].lower()}"
        yield Trigger(name, "revisions", event, when, act)
    # A late instance has opened the next revision.
    yield Trigger(
        "count_studies_update",
        "studies",
        "UPDATE OF revision",
        "OLD.revision <> NEW.revision",
        f"{_ADD} {_MOVED}",
    )


_KEPT = Trigger(
    "mark_revisions",
    "studies",
    "UPDATE OF files_forgotten_at",
    "(OLD.files_forgotten_at IS NULL) <> (NEW.files_forgotten_at IS NULL)",
    "UPDATE revisions SET files_forgotten_at = NEW.files_forgotten_at "
    "WHERE study_instance_uid = NEW.study_instance_uid",
)
"""The retention walks along an index of the revisions whose files are kept."""

TRIGGERS = (
    *_of_rows("jobs", "job"),
    *_of_rows("deliveries", "delivery"),
    *_of_revisions(),
    _KEPT,
)


QUEUES = ("revisions", "jobs", "deliveries", "state_counts")
"""Tables whose rows move through states, and leave dead entries in the index of each.

Whoever asks what waits walks over them until they are vacuumed. PostgreSQL does that
after a fifth of all rows has changed, which takes weeks where years are kept.
"""

VACUUM = {
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_threshold": "5000",
    "autovacuum_analyze_scale_factor": "0",
    "autovacuum_analyze_threshold": "5000",
}


def upgrade() -> None:
    """Add the counts, filled from what is there, and the indexes."""
    _lock()
    _retention()
    waits = "state = 'SCHEDULED' AND held_at IS NULL"
    _index("ix_jobs_waiting", "jobs", ["state", "scheduled_at"], waits)
    _counts()
    if _is_postgresql():
        settings = ", ".join(f"{name} = {value}" for name, value in VACUUM.items())
        for table in QUEUES:
            op.execute(f"ALTER TABLE {table} SET ({settings})")


def _lock() -> None:
    if _is_postgresql():
        # Who writes meanwhile waits, or its change would be counted never or twice.
        tables = "studies, revisions, jobs, deliveries"
        op.execute(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")


def _counts() -> None:
    op.create_table(
        "state_counts",
        sa.Column("count_id", _NUMBER, autoincrement=True),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("count_id"),
    )
    op.execute(FILL)
    for trigger in TRIGGERS:
        _create(trigger)
    op.execute(V1_COUNTS)


def downgrade() -> None:
    """Without them the same answers take longer."""
    if _is_postgresql():
        for table in QUEUES:
            op.execute(f"ALTER TABLE {table} RESET ({', '.join(VACUUM)})")
    op.execute("DROP VIEW v1_counts")
    for trigger in TRIGGERS:
        _drop(trigger)
    op.drop_table("state_counts")
    op.drop_index("ix_jobs_waiting", "jobs")
    op.drop_index("ix_revisions_kept", "revisions")
    op.drop_column("revisions", "files_forgotten_at")
    kept = ["files_forgotten_at", "study_instance_uid"]
    op.create_index("ix_studies_kept", "studies", kept)


def _retention() -> None:
    op.add_column("revisions", sa.Column("files_forgotten_at", _TEXT))
    op.execute(
        "UPDATE revisions SET files_forgotten_at = (SELECT s.files_forgotten_at "
        "FROM studies s WHERE s.study_instance_uid = revisions.study_instance_uid)"
    )
    op.drop_index("ix_studies_kept", "studies")
    order = ["routed_at", "study_instance_uid"]
    _index("ix_revisions_kept", "revisions", order, "files_forgotten_at IS NULL")


def _create(trigger: Trigger) -> None:
    head = f"CREATE TRIGGER {trigger.name} AFTER {trigger.event} ON {trigger.table}"
    when = f"WHEN ({trigger.when})" if trigger.when else ""
    if not _is_postgresql():
        _as_it_is(f"{head} FOR EACH ROW {when} BEGIN {trigger.act}; END")
        return
    _as_it_is(
        f"CREATE FUNCTION {trigger.name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {trigger.act}; RETURN NULL; END $$"
    )
    _as_it_is(f"{head} FOR EACH ROW {when} EXECUTE FUNCTION {trigger.name}()")


def _drop(trigger: Trigger) -> None:
    if _is_postgresql():
        op.execute(f"DROP TRIGGER {trigger.name} ON {trigger.table}")
        op.execute(f"DROP FUNCTION {trigger.name}()")
    else:
        op.execute(f"DROP TRIGGER {trigger.name}")


def _as_it_is(statement: str) -> None:
    op.get_bind().exec_driver_sql(statement)


def _index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
