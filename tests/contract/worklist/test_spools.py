"""What lies in the spool of one host is waited for; which roles live where."""

from __future__ import annotations

from dataclasses import replace

from dicomnode.domain.hosts import FORGOTTEN_SECONDS, STALE_SECONDS, RoleProcess
from dicomnode.domain.instance import Disposition, ReceivedInstance, Whereabouts
from dicomnode.domain.job import Job
from dicomnode.health.hosts import hosted_roles, late_spools, silent_hosts
from dicomnode.worklist import Worklist
from dicomnode.worklist.jobs import Jobs
from dicomnode.worklist.ledger import Ledger
from tests.contract.worklist.making import NOON, STUDY, after, current, new_job
from tests.contract.worklist.making import received as made


def received(number: int, host: str = "", study: str = STUDY) -> ReceivedInstance:
    one = made(number, study=study)
    return replace(one, stored=replace(one.stored, spooled_on=host))


def routed(worklist: Worklist, *instances: ReceivedInstance) -> None:
    for one in instances:
        worklist.intake.record(one)
    assert worklist.studies.complete(current(worklist), NOON)
    assert worklist.studies.route(current(worklist), [new_job()], "", NOON)


def claims(worklist: Worklist, host: str) -> list[Job]:
    jobs = Jobs(worklist._database, host)
    return list(jobs.claim("w1", ["cxr"], NOON, 60))


def test_a_study_waits_for_an_instance_in_the_spool_of_another_host(
    worklist: Worklist,
) -> None:
    there = received(2, "there")
    routed(worklist, received(1), there)
    assert not claims(worklist, "here")
    [row] = worklist.views.worklist()
    assert (row["job_state"], row["spooled_on"]) == ("SCHEDULED", "there")
    [spool] = worklist.views.spools()
    assert (spool["host"], spool["n_instances"], spool["n_studies"]) == ("there", 1, 1)
    # Nobody can look there, so nobody may call it missing.
    location = there.stored.location
    assert Ledger(worklist._database, "here").instance_file(location) is None
    seen = [
        [one.location for one in Ledger(worklist._database, host).instance_files(
            ("", -1), 10)] for host in ("here", "there")
    ]  # fmt: skip
    assert [len(one) for one in seen] == [1, 2]
    worklist.spools.handed_over([location])
    assert not worklist.views.spools()
    assert worklist.views.worklist()[0]["spooled_on"] is None
    assert claims(worklist, "here")


def test_its_own_host_need_not_wait(worklist: Worklist) -> None:
    routed(worklist, received(1, "there"), received(2, "there"))
    assert claims(worklist, "there")


def test_of_two_spools_both_are_waited_for(worklist: Worklist) -> None:
    first, second = received(1, "there"), received(2, "yonder")
    routed(worklist, first, second)
    worklist.spools.handed_over([first.stored.location])
    assert not claims(worklist, "there")
    worklist.spools.handed_over([second.stored.location])
    assert claims(worklist, "there")


def test_sent_again_to_a_host_without_a_spool_it_is_there_for_all(
    worklist: Worklist,
) -> None:
    routed(worklist, received(1, "there"))
    assert worklist.intake.record(received(1)) is Disposition.DUPLICATE
    assert claims(worklist, "here")


def test_what_is_known_of_files_in_a_spool(worklist: Worklist) -> None:
    kept, gone = received(1, "there"), received(2, "there", study="1.2.7")
    for one in (kept, gone):
        worklist.intake.record(one)
    worklist.upkeep.forget_files("1.2.7", NOON)
    places = [kept.stored.location, gone.stored.location, "aa/unknown/file"]
    assert worklist.spools.whereabouts(places) == {
        kept.stored.location: Whereabouts.KEPT,
        gone.stored.location: Whereabouts.FORGOTTEN,
    }


def test_a_claim_looks_at_no_instance_that_is_everywhere(worklist: Worklist) -> None:
    """The hot query of every worker: only the index of what is spooled."""
    query = (
        "SELECT job_id FROM jobs WHERE NOT EXISTS (SELECT 1 FROM instances "
        "WHERE instances.study_instance_uid = jobs.study_instance_uid "
        "AND instances.spooled_on != '' AND instances.spooled_on != 'here')"
    )
    explain = "EXPLAIN QUERY PLAN" if worklist._database.is_sqlite else "EXPLAIN"
    with worklist._database.read() as connection:
        if not worklist._database.is_sqlite:
            connection.exec_driver_sql("SET enable_seqscan = off")
        rows = connection.exec_driver_sql(f"{explain} {query}").all()
    assert "ix_instances_spooled" in " ".join(str(row) for row in rows)


def beat(worklist: Worklist, role: str, host: str, pid: int, seconds: float) -> None:
    process = RoleProcess(role, host, pid, NOON, "1")
    worklist.roles.beat(process, after(seconds))


def test_a_silent_host_is_named_with_its_remedy(worklist: Worklist) -> None:
    late = STALE_SECONDS + 1
    for role in ("receive", "work"):
        beat(worklist, role, "one", 1, 0)
    beat(worklist, "work", "two", 2, 0)
    beat(worklist, "receive", "two", 3, late)
    worklist.upkeep.lead("two-4", after(late), 10)
    beat(worklist, "keep", "two", 4, late)
    rows, now = worklist.views.roles(), after(late)
    said = {host: (what, remedy) for host, what, remedy, _ in silent_hosts(rows, now)}
    assert said["one"][0] == "host one (receive, work) not heard of for 2 min"
    assert "forgotten after a day" in said["one"][1]
    assert said["two"][0] == "work on host two not heard of for 2 min"
    assert "`dicomnode work`" in said["two"][1]
    leading = [one.role for one in hosted_roles(rows, now) if one.leads]
    assert leading == ["keep"]
    worklist.intake.record(received(1, "one"))
    [(what, remedy, key, number)] = late_spools(worklist.views.spools(), rows, now)
    assert "in the spool of host one" in what
    assert "`dicomnode receive` on one" in remedy
    assert (key, number) == ("spool:one", 1)


def test_a_role_that_is_back_or_has_ended_in_order_is_not_missed(
    worklist: Worklist,
) -> None:
    beat(worklist, "work", "one", 1, 0)
    beat(worklist, "work", "two", 9, 0)
    beat(worklist, "work", "one", 2, STALE_SECONDS + 1)
    assert {one["process"] for one in worklist.views.roles()} == {
        "work@one-2", "work@two-9",
    }  # fmt: skip
    worklist.roles.leave(RoleProcess("work", "one", 2, NOON))
    beat(worklist, "keep", "three", 5, FORGOTTEN_SECONDS + 1)
    assert [one["process"] for one in worklist.views.roles()] == ["keep@three-5"]
