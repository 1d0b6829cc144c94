"""The three state machines: tables, properties, and arrows that must not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomnode.domain.delivery import DELIVERY_STATES, DeliveryState
from dicomnode.domain.job import JOB_STATES, JobState
from dicomnode.domain.study import STUDY_STATES, StudyState
from dicomnode.errors import IllegalTransition

MACHINES = [
    (STUDY_STATES, StudyState, StudyState.RECEIVING),
    (JOB_STATES, JobState, JobState.SCHEDULED),
    (DELIVERY_STATES, DeliveryState, DeliveryState.PENDING),
]


@pytest.mark.parametrize(("machine", "states", "start"), MACHINES)
def test_every_state_is_reached_from_the_start(machine, states, start):
    reached, edge = {start}, [start]
    while edge:
        state = edge.pop()
        for arrow in machine.arrows:
            if arrow.before is state and arrow.after not in reached:
                reached.add(arrow.after)
                edge.append(arrow.after)
    assert reached == set(states)


@pytest.mark.parametrize(("machine", "states", "start"), MACHINES)
def test_an_event_leads_from_a_state_to_one_state_only(machine, states, start):
    keys = [(arrow.before, arrow.event) for arrow in machine.arrows]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("machine", "states", "start"), MACHINES)
def test_an_event_without_arrow_is_refused_with_a_remedy(machine, states, start):
    with pytest.raises(IllegalTransition, match="dicomnode show"):
        machine.after(start, "vanish")


@given(events=st.lists(st.sampled_from([a.event for a in JOB_STATES.arrows])))
def test_a_job_that_completed_changes_only_when_its_result_is_lost(events):
    state = JobState.SCHEDULED
    for event in events:
        before = state
        if JOB_STATES.allows(state, event):
            state = JOB_STATES.after(state, event)
        if before is JobState.COMPLETED and event != "rerun":
            assert state is JobState.COMPLETED


def test_a_late_instance_reopens_a_study_from_every_state():
    assert set(STUDY_STATES.sources("receive")) == set(StudyState)
    assert all(
        STUDY_STATES.after(state, "receive") is StudyState.RECEIVING
        for state in StudyState
    )


def test_a_dead_letter_can_be_revived():
    assert DELIVERY_STATES.after(DeliveryState.FAILED, "retry") is DeliveryState.PENDING


def test_the_diagram_shows_every_arrow():
    drawn = JOB_STATES.mermaid()
    assert all(
        f"{a.before} --> {a.after}: {a.event}" in drawn for a in JOB_STATES.arrows
    )
