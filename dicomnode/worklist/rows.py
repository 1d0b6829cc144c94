"""Rows become the domain's objects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, select

from dicomnode.domain.instance import AttributeValue, Instance
from dicomnode.domain.study import Study, StudyState
from dicomnode.worklist.backfill_tables import is_backfilled
from dicomnode.worklist.prepared import Prepared, instant
from dicomnode.worklist.schema import instances, revisions, studies

current_revisions = (
    select(revisions)
    .join(studies, studies.c.study_instance_uid == revisions.c.study_instance_uid)
    .where(revisions.c.revision == studies.c.revision)
)
"""The facts of the current revision of each study."""


def studies_in(
    connection: Connection, state: StudyState, held: bool = True
) -> Sequence[Study]:
    """The studies in ``state``, the longest waiting first; held ones too if wanted."""
    found = _in_state(state, held).run(connection, [{}])
    return [study_of(row) for row in found]


@cache
def _in_state(state: StudyState, held: bool) -> Prepared:
    wanted = current_revisions.where(revisions.c.state == state.value).add_columns(
        is_backfilled(revisions.c.study_instance_uid).label("backfilled")
    )
    if not held:
        wanted = wanted.where(studies.c.held_at.is_(None))
    order = (revisions.c.last_instance_at, revisions.c.study_instance_uid)
    return Prepared(wanted.order_by(*order))


def study_of(row: Any) -> Study:
    """A row of ``revisions`` as a Study."""
    return Study(
        study_instance_uid=row.study_instance_uid,
        revision=row.revision,
        state=StudyState(row.state),
        first_instance_at=instant(row.received_at),
        last_instance_at=instant(row.last_instance_at),
        n_series=row.n_series,
        n_instances=row.n_instances,
        calling_ae_title=row.calling_ae_title,
        forced=bool(row.forced),
        backfilled=bool(row.backfilled),
    )


def instances_of(connection: Connection, study_instance_uid: str) -> Sequence[Instance]:
    """The instances of a study: no flagged conflicts, none whose file is gone."""
    found = _OF_STUDY.run(connection, [{"uid": study_instance_uid}])
    return [_instance_of(row) for row in found]


_OF_STUDY = Prepared(
    select(
        instances.c.sop_instance_uid,
        instances.c.sop_class_uid,
        instances.c.series_instance_uid,
        instances.c.transfer_syntax_uid,
        instances.c.location,
        instances.c.attributes,
    )
    .where(instances.c.study_instance_uid == bindparam("uid"))
    .where(instances.c.ordinal == 0, instances.c.forgotten_at.is_(None))
    .order_by(instances.c.received_at, instances.c.sop_instance_uid)
)


def _instance_of(row: Any) -> Instance:
    return Instance(
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        series_instance_uid=row.series_instance_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        location=row.location,
        attributes=_attributes_of(row.attributes),
    )


def _attributes_of(text: str) -> dict[str, AttributeValue]:
    return {
        keyword: value if isinstance(value, str) else tuple(value)
        for keyword, value in json.loads(text or "{}").items()
    }
