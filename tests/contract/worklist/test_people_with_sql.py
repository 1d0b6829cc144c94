"""People who have nothing but SQL: what they may see; they find what failed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from dicomnode.domain.association import Association
from dicomnode.worklist import Worklist, open_worklist
from dicomnode.worklist.schema import metadata
from tests.conftest import unavailable
from tests.contract.worklist.making import (
    NOON,
    STUDY,
    after,
    claimed,
    current,
    finished,
    new_result,
    received,
    scheduled,
)
from tests.contract.worklist.test_documentation import PAGE, QUERIES

UNROUTED = f"{STUDY}.7"
MakeUrl = Callable[..., str]
VIEWS = re.findall(r"^## (v1_\w+)$", PAGE, re.MULTILINE)


def fill(worklist: Worklist) -> list[str]:
    """Two failed jobs, a dead letter, a study nobody wants, a refusal; the jobs."""
    failed = []
    for number in (1, 2):
        job = claimed(worklist, f"{STUDY}.{number}", after(number))
        error = f"image {number} is damaged; send it again"
        worklist.jobs.fail(job, error, None, after(number + 1))
        failed.append(job.job_id)
    study = f"{STUDY}.3"
    dead = finished(
        worklist, new_result(1, "PACS", study=study), study=study, at=after(10)
    )
    (delivery,) = worklist.outbox.due("PACS", after(10), 60, 9)
    worklist.outbox.postpone(
        delivery, 0xA700, "out of resources; free its disk", None, after(11)
    )
    scheduled(worklist, study=f"{STUDY}.4", at=after(20))
    worklist.intake.record(received(study=UNROUTED, at=after(30)))
    assert worklist.studies.complete(current(worklist, UNROUTED), after(31))
    worklist.studies.route(
        current(worklist, UNROUTED), [], "nobody wants CT", after(32)
    )
    worklist.intake.record_association(
        Association(
            at=NOON,
            calling_ae_title="CR1",
            called_ae_title="DICOMNODE",
            address="10.1.2.3",
            accepted=False,
            reason="not known",
            remedy='[[peer]] ae_title = "CR1"',
        )
    )
    return [*failed, dead.job_id]


def answers(worklist: Worklist, query: str) -> list[tuple[object, ...]]:
    with worklist._database.read() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_whoever_has_only_sql_finds_what_failed_and_what_to_do(
    worklist: Worklist,
) -> None:
    failed = fill(worklist)
    (query,) = (one for one in QUERIES if "AS remedy, finished_at AS at" in one)
    rows = answers(worklist, query)
    assert {row[1] for row in rows} == {*failed, UNROUTED, "CR1"}
    for _, name, reason, remedy, _ in rows:
        assert reason
        assert ("dicomnode retry" in str(remedy)) or name == "CR1"
    reasons = {row[1]: row[2] for row in rows}
    assert reasons[failed[0]] == "image 1 is damaged; send it again"
    assert reasons[failed[2]] == "out of resources; free its disk"


def test_both_databases_give_the_same_answers(
    make_sqlite: MakeUrl, make_postgresql: MakeUrl
) -> None:
    with (
        open_worklist(make_sqlite()) as one,
        open_worklist(make_postgresql()) as other,
    ):
        fill(one)
        fill(other)
        n_answered = 0
        for query in QUERIES:
            found = answers(one, query)
            assert found == answers(other, query), query
            n_answered += bool(found)
    assert n_answered >= 12


@pytest.fixture
def roles(make_postgresql: MakeUrl) -> Iterator[Connection]:
    """A connection as the owner, with the roles of the document."""
    (statements,) = re.findall(r"```\n(CREATE ROLE.*?)```", PAGE, re.DOTALL)
    url = make_postgresql()
    with open_worklist(url) as worklist:
        fill(worklist)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements.split(";")[:-1]:
            connection.execute(text(statement))
        try:
            yield connection
        finally:
            connection.execute(text("RESET ROLE"))
            for role in ("dicomnode_phi", "dicomnode_reader"):
                connection.execute(text(f"DROP OWNED BY {role}"))
                connection.execute(text(f"DROP ROLE {role}"))
    engine.dispose()


@pytest.mark.parametrize(
    ("role", "hidden"),
    [("dicomnode_reader", {"v1_identity"}), ("dicomnode_phi", set())],
)
def test_readers_see_the_views_and_nothing_else(
    roles: Connection, role: str, hidden: set[str]
) -> None:
    roles.execute(text(f"SET ROLE {role}"))
    for view in VIEWS:
        query = text(f"SELECT count(*) FROM {view}")
        if view in hidden:
            with pytest.raises(ProgrammingError, match="permission denied"):
                roles.execute(query)
        else:
            roles.execute(query)
    for table in metadata.sorted_tables:
        with pytest.raises(ProgrammingError, match="permission denied"):
            roles.execute(text(f"SELECT count(*) FROM {table.name}"))
    for write in ("DELETE FROM v1_pauses", "UPDATE v1_worklist SET reason = ''"):
        with pytest.raises(DBAPIError, match=r"permission denied|cannot update"):
            roles.execute(text(write))


AS_NOBODY = """
import os, sqlite3, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
connection = sqlite3.connect(sys.argv[1], uri=True)
print(connection.execute("SELECT count(*) FROM v1_worklist").fetchone()[0])
"""


def as_nobody(uri: str) -> subprocess.CompletedProcess[str]:
    # The interpreter may lie where only its owner comes: so it changes the user itself.
    argv = [sys.executable, "-c", AS_NOBODY, uri]
    return subprocess.run(argv, capture_output=True, text=True)


def test_another_user_reads_the_file_as_documented(make_sqlite: MakeUrl) -> None:
    if os.getuid() != 0:
        unavailable("only root can be another user")
    source = Path(make_sqlite().partition("///")[2])
    with tempfile.TemporaryDirectory(prefix="dicomnode-") as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "worklist.db"
        shutil.copy(source, path)
        with open_worklist(f"sqlite:///{path}") as worklist:
            fill(worklist)
            for file in Path(folder).iterdir():
                file.chmod(0o644)
            running = as_nobody(f"file:{path}?mode=ro")
            assert (running.stdout, running.stderr) == ("5\n", "")
        assert not path.with_name("worklist.db-wal").exists()
        path.chmod(0o644)
        stopped = as_nobody(f"file:{path}?immutable=1")
        assert (stopped.stdout, stopped.stderr) == ("5\n", "")
        assert as_nobody(f"file:{path}?mode=ro").returncode != 0
