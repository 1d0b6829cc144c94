"""Fault 59: PostgreSQL is restarted, or cuts its connections, under the roles.

A real server, the roles as processes, DCMTK as the modality and as the PACS.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from dicomnode.domain.delivery import NewResult
from dicomnode.domain.instance import InstanceKey
from dicomnode.errors import WorklistError
from dicomnode.results import build, encode_data_set
from dicomnode.worklist import engine, upgrade
from tests.contract.worklist.cluster import Cluster, running_cluster
from tests.contract.worklist.making import finished
from tests.faults.chain import Chain, StoreScp, until
from tests.faults.modality import Sample, answers, made
from tests.unit.results import cases

pytestmark = pytest.mark.peer

ROLES = ("receive", "keep", "deliver")
DATABASE = "postgres"
SUCCESS, PROCESSING_FAILURE = 0x0000, 0x0110
N_SENT = 6
_END_ALL = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_WAITING = """
    SELECT count(*) FROM pg_locks
    WHERE NOT granted AND relation = 'instances'::regclass
"""
_N_COMMITTING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
Cut = Callable[[Cluster], None]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A running PostgreSQL server of the test's own."""
    with running_cluster() as server:
        yield server


class Site:
    """A node on PostgreSQL, a modality that sends to it, and its PACS, not there yet.

    One result waits for the PACS from the beginning, so that the deliverer is at work.
    """

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.pacs = StoreScp(folder)
        # Bound, not listening: refuses, and nobody else is given the port meanwhile.
        self._pacs_port = socket.socket()
        self._pacs_port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._pacs_port.bind(("", self.pacs.port))
        url = cluster.url(DATABASE)
        self.chain = Chain(folder / "node", self.pacs.port, ROLES, url)
        self.acknowledged: list[Sample] = []
        self.result = _undelivered(self.chain)
        self._folder = folder
        self._rng = random.Random(59)

    def start(self) -> None:
        """Every role; each has used its connections when this returns."""
        for name in ROLES:
            self.chain.revive(name)
        self._pids = self._running()
        self.takes(self.samples(1))
        self.routes()
        until(lambda: self.chain.roles["deliver"].said("delivery.absent"), "a try")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Only the receiver runs meanwhile."""
        others = [name for name in ROLES if name != "receive"]
        for name in others:
            assert self.chain.roles[name].terminate() == 0
        yield
        for name in others:
            self.chain.revive(name)
        self._pids = self._running() | {"receive": self._pids["receive"]}

    def samples(self, number: int = N_SENT) -> list[Sample]:
        """New instances, each of a study of its own."""
        return [made(self._folder, self._rng, n_bytes=2000) for _ in range(number)]

    def send(self, samples: list[Sample]) -> list[int]:
        """The answers, one for each; what is acknowledged must be kept from now on."""
        found = answers(self.chain.port, samples)
        statuses = [found[one.sop_instance_uid] for one in samples]
        pairs = zip(samples, statuses, strict=True)
        self.acknowledged += [one for one, status in pairs if status == SUCCESS]
        return statuses

    def takes(self, samples: list[Sample]) -> None:
        """Each is answered with Success, at the first attempt."""
        assert set(self.send(samples)) == {SUCCESS}

    def routes(self) -> None:
        """Wait until every acknowledged study has its job."""
        studies = {one.study_instance_uid for one in self.acknowledged}
        until(lambda: self._scheduled(studies), "the keeper to route")

    def ends_well(self) -> None:
        """The same processes go on, nothing is lost or doubled, the result goes out."""
        assert self._running() == self._pids
        assert self.chain.lost(self.acknowledged) == []
        self.routes()
        self._pacs_port.close()
        with self.pacs:
            until(lambda: self._delivery_states() == {"SENT"}, "the result to be sent")
            assert self.pacs.contents() == [self.result]
        assert self._running() == self._pids
        assert self.chain.left_over() == []

    def close(self) -> None:
        """End every role."""
        self._pacs_port.close()
        self.chain.close()

    def _scheduled(self, studies: set[str]) -> bool:
        rows = self.chain.rows(studies)
        states = [row["job_state"] for row in rows]
        return states == ["SCHEDULED"] * len(studies)

    def _delivery_states(self) -> set[object]:
        return {one["state"] for one in self.chain.worklist.views.deliveries()}

    def _running(self) -> dict[str, int]:
        roles = self.chain.roles.items()
        return {name: role.pid for name, role in roles if role.is_running}


def _undelivered(chain: Chain) -> str:
    """A finished study whose report waits for the PACS; sha256 of its data set."""
    one, *_ = build(cases.context(), cases.negative(), ["sr"])
    key = InstanceKey(
        cases.STUDY, one.series_instance_uid, one.sop_instance_uid,
        one.sop_class_uid, "1.2.840.10008.1.2.1",
    )  # fmt: skip
    stored = chain.results.put(key, [encode_data_set(one.dataset)])
    result = NewResult(
        one.kind, one.sop_class_uid, one.sop_instance_uid,
        one.series_instance_uid, stored.location, stored.sha256, ("PACS",),
    )  # fmt: skip
    finished(chain.worklist, result, study=cases.STUDY)
    return stored.sha256


@pytest.fixture
def site(
    tmp_path: Path, cluster: Cluster, require_command: Callable[[str], str]
) -> Iterator[Site]:
    for name in ("storescu", "storescp"):
        require_command(name)
    with closing(Site(tmp_path, cluster)) as made_here:
        made_here.start()
        yield made_here


def connected(cluster: Cluster) -> psycopg.Connection:
    return psycopg.connect(
        host=str(cluster.folder), user="postgres", dbname=DATABASE, autocommit=True
    )


@contextmanager
def instances_held(cluster: Cluster) -> Iterator[Callable[[], bool]]:
    """Nothing can be written to the table; the function says whether one waits to."""
    with closing(connected(cluster)) as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE instances IN SHARE MODE")
        yield lambda: holder.execute(_WAITING).fetchone() != (0,)


def restart(cluster: Cluster) -> None:
    cluster.restart()


def end_all_sessions(cluster: Cluster) -> None:
    with closing(connected(cluster)) as administrator:
        administrator.execute(_END_ALL)


@pytest.mark.parametrize("cut", [restart, end_all_sessions])
def test_59_a_connection_cut_in_mid_transaction_loses_nothing(
    site: Site, cluster: Cluster, cut: Cut
) -> None:
    samples = site.samples()
    with ThreadPoolExecutor(1) as modality:
        with instances_held(cluster) as one_waits:
            sending = modality.submit(site.send, samples)
            until(one_waits, "the receiver to be in mid-transaction")
            cut(cluster)
        first, *others = sending.result()
    assert first == PROCESSING_FAILURE
    assert set(others) <= {SUCCESS, PROCESSING_FAILURE}
    assert site.chain.lost(site.acknowledged) == []
    site.takes(samples)
    cut(cluster)
    site.takes(site.samples())
    site.ends_well()


def test_59_nothing_is_answered_success_while_the_server_is_away(
    site: Site, cluster: Cluster
) -> None:
    samples = site.samples()
    cluster.stop()
    try:
        assert set(site.send(samples)) == {PROCESSING_FAILURE}
        until(lambda: site.chain.roles["keep"].said("chore.failed"), "a chore to fail")
        until(
            lambda: site.chain.roles["deliver"].said("delivery.no_worklist"),
            "the deliverer to find no worklist",
        )
    finally:
        cluster.resume()
    site.takes(samples)
    site.ends_well()


@contextmanager
def commits_unanswered(cluster: Cluster) -> Iterator[None]:
    """A commit is done meanwhile and not answered: it waits for an absent standby.

    Whoever is cut off then has committed and does not know it. Returns once it is so.
    """
    with (
        ThreadPoolExecutor(1) as prober,
        closing(connected(cluster)) as administrator,
        closing(connected(cluster)) as probe,
    ):
        administrator.execute("ALTER SYSTEM SET synchronous_standby_names = 'absent'")
        administrator.execute("SELECT pg_reload_conf()")
        try:
            prober.submit(_commit_until_one_waits, probe)
            until(lambda: n_committing(cluster) == 1, "a commit that is not answered")
            yield
        finally:
            pid = probe.info.backend_pid
            administrator.execute("SELECT pg_terminate_backend(%s)", [pid])
            administrator.execute("ALTER SYSTEM RESET synchronous_standby_names")
            administrator.execute("SELECT pg_reload_conf()")


def _commit_until_one_waits(probe: psycopg.Connection) -> None:
    """The server needs a moment for its new setting; ends when it is cut off."""
    probe.execute("CREATE TABLE probe (n integer)")
    while True:
        probe.execute("INSERT INTO probe VALUES (1)")


def n_committing(cluster: Cluster) -> int:
    with closing(connected(cluster)) as looker:
        row = looker.execute(_N_COMMITTING).fetchone()
    assert row is not None
    return int(row[0])


def end_sessions_that_commit(cluster: Cluster) -> None:
    with closing(connected(cluster)) as administrator:
        administrator.execute(f"{_END_ALL} AND wait_event = 'SyncRep'")


def test_59_a_commit_whose_answer_is_lost_is_not_doubled_when_sent_again(
    site: Site, cluster: Cluster
) -> None:
    samples = site.samples(1)
    with site.alone():
        with ThreadPoolExecutor(1) as modality:
            with ExitStack() as unanswered:
                with instances_held(cluster) as one_waits:
                    sending = modality.submit(site.send, samples)
                    until(one_waits, "the receiver to be in mid-transaction")
                    unanswered.enter_context(commits_unanswered(cluster))
                    unanswered.callback(end_sessions_that_commit, cluster)
                until(lambda: n_committing(cluster) == 2, "the receiver to commit")
            assert sending.result() == [PROCESSING_FAILURE]
        assert site.chain.lost(samples) == []
        site.takes(samples)
    site.ends_well()


def stand_still(still: engine.Database, other: engine.Database) -> None:
    """Hold the lock of the events until another has taken it; raises WorklistError."""
    said = [engine.Event(datetime.now(UTC), one, None) for one in ("still", "other")]
    with still.write() as transaction:
        transaction.note(said[0])
        transaction.flush()
        # It does no more; the other waits for its lock, and gets it.
        with other.write() as second:
            second.note(said[1])


def test_59_who_stands_still_in_a_transaction_holds_up_nobody_for_long(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen process answers keepalives and would keep the lock of the events."""
    url, shorter = cluster.url(DATABASE), "in_transaction_session_timeout=1s"
    upgrade(url)
    options = engine._POSTGRESQL_OPTIONS
    usual = f"in_transaction_session_timeout={engine._SILENCE_SECONDS}s"
    assert usual in options
    other = engine.open_database(url)
    monkeypatch.setattr(engine, "_POSTGRESQL_OPTIONS", options.replace(usual, shorter))
    still = engine.open_database(url)
    with closing(other), closing(still):
        with pytest.raises(WorklistError):
            stand_still(still, other)
        with other.read() as connection:
            kinds = connection.exec_driver_sql("SELECT kind FROM events").scalars()
            assert list(kinds) == ["other"]
