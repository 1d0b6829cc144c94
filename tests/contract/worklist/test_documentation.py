"""docs/worklist-sql.md says all of the views, and its queries run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from dicomnode.domain.backfill import BACKFILL_STATES
from dicomnode.domain.delivery import DELIVERY_STATES, DeliveryState
from dicomnode.domain.job import JOB_STATES, JobState
from dicomnode.domain.study import STUDY_STATES, StudyState
from dicomnode.worklist import Worklist
from tests.contract.worklist.making import finished, kinds, new_result, received

PAGE = (Path(__file__).parents[3] / "docs" / "worklist-sql.md").read_text("utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


def section(view: str) -> str:
    (found,) = re.findall(rf"^## {view}\n(.*?)(?=^## )", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def test_every_column_of_every_view_is_documented(worklist: Worklist) -> None:
    with worklist._database.read() as connection:
        asked = inspect(connection)
        views = {
            view: [column["name"] for column in asked.get_columns(view)]
            for view in asked.get_view_names()
        }
    assert len(views) == 16
    for view, columns in views.items():
        documented = re.findall(r"^\| `(\w+)` \|", section(view), re.MULTILINE)
        assert documented == columns


def test_every_state_is_documented() -> None:
    documented = re.findall(r"^\| (\w+) \| `(\w+)` \|", PAGE, re.MULTILINE)
    states = {"study": StudyState, "job": JobState, "delivery": DeliveryState}
    assert documented == [
        (name, state.value) for name, every in states.items() for state in every
    ]


def test_every_kind_of_event_is_documented() -> None:
    for machine in (STUDY_STATES, JOB_STATES, DELIVERY_STATES, BACKFILL_STATES):
        for arrow in machine.arrows:
            assert f"`{machine.name} {arrow.event}`" in PAGE


def test_there_are_enough_queries() -> None:
    assert len(QUERIES) >= 20


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_runs(worklist: Worklist, query: str) -> None:
    finished(worklist, new_result(1, "PACS"))
    worklist.intake.record(received(content="other"))
    with worklist._database.read() as connection:
        connection.execute(text(query)).all()


def test_the_story_query_tells_the_story(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS"))
    (query,) = (one for one in QUERIES if "ORDER BY seq DESC LIMIT 1)" in one)
    with worklist._database.read() as connection:
        told = [row.kind for row in connection.execute(text(query))]
    assert told == kinds(worklist)
