"""A hospital group in small: every role a host, one database, one object store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dicomnode.demo.program import wait_until
from dicomnode.ports import Stock
from dicomnode.store import LocalStore
from dicomnode.store.object_stock import ObjectInspection
from dicomnode.store.objects import ObjectStore
from dicomnode.store.read_objects import ReadObjects
from tests.contract.worklist.cluster import find_binaries, make_folder
from tests.faults.chain import Chain, LaterClock, StoreScp
from tests.faults.hosted import BUCKET, HostedCluster, HostedObjects, HostedRole
from tests.faults.networks import SWITCH, Host, hosts

PORT = 11112
ROLES = {
    "receive1": "receive", "receive2": "receive",
    "work1": "work", "work2": "work", "work3": "work", "work4": "work",
    "keep1": "keep", "keep2": "keep",
    "deliver1": "deliver", "deliver2": "deliver",
    "web1": "web", "web2": "web",
}  # fmt: skip
"""Host -> its role; each has a folder of its own."""

LATER = ("work4",)
"""Not started with the others: a worker that is added under load."""

RACK = ("receive1", "work1", "keep1", "deliver1", "web1")
"""Hosts that lose their network together."""


class SharedChain(Chain):
    """The balance of a group whose files lie in an object store."""

    def __init__(
        self, folder: Path, pacs_port: int, url: str, objects: HostedObjects
    ) -> None:
        super().__init__(folder, pacs_port, (), url)
        self._objects = objects
        self.instances, self.results = (  # type: ignore[assignment]
            ObjectStore(objects.bucket(kind), folder / "var" / kind, 100, 0)
            for kind in ("instances", "results")
        )

    def _kept(self, location: str) -> str | None:
        try:
            return self._stock("instances").digest(location)
        except FileNotFoundError:
            return None

    def _locations(self, store: Any) -> set[str]:
        return {one.name for one in store._bucket.objects()}

    def _stocks(self) -> tuple[Stock, Stock]:
        return self._stock("instances"), self._stock("results")

    def _stock(self, kind: str) -> ObjectInspection:
        bucket = self._objects.bucket(kind)
        read = ReadObjects(bucket, self.folder / "var" / kind, 0)
        return ObjectInspection(bucket, read)


class Group:
    """The hosts and their roles; this process is the switch, and the PACS."""

    def __init__(
        self,
        folder: Path,
        made: dict[str, Host],
        cluster: HostedCluster,
        objects: HostedObjects,
        pacs: StoreScp,
    ) -> None:
        self.hosts, self.cluster, self.objects, self.pacs = made, cluster, objects, pacs
        url = cluster.url("postgres")
        self.chain = SharedChain(folder / "switch", pacs.port, url, objects)
        self.roles = {
            name: HostedRole(role, made[name], folder / name)
            for name, role in ROLES.items()
        }

    def settle_in(self, *, spool: bool) -> None:
        """Give every host its configuration, and start its role."""
        text = self._config(spool=spool)
        for one in self.roles.values():
            (one.folder / "tmp").mkdir(parents=True)
            (one.folder / "config.toml").write_text(text)
        first = [one for name, one in self.roles.items() if name not in LATER]
        for one in first:
            one.start()
        for one in first:
            one.begun()

    def of(self, role: str) -> list[HostedRole]:
        """Every host with a role, those that are added later too."""
        return [one for one in self.roles.values() if one.name == role]

    def running(self) -> list[HostedRole]:
        """The roles that run."""
        return [one for one in self.roles.values() if one.is_running]

    def leader(self) -> HostedRole:
        """The keep that leads."""
        with self.chain.worklist._database.read() as connection:
            [holder] = connection.exec_driver_sql("SELECT holder FROM leaders").one()
        return next(one for one in self.of("keep") if holder == one.mark)

    def job_of(self, role: HostedRole) -> str | None:
        """The job that a worker has in hand."""
        rows = self.chain.worklist.views.workers()
        mine = [one for one in rows if one["worker_id"].startswith(f"{role.mark}-")]
        return next((one["job_id"] for one in mine if one["job_id"]), None)

    def left_over(self) -> list[str]:
        """What lies on the disk of a host at rest, where nothing is to stay."""
        found = self.chain.left_over()
        for name, one in self.roles.items():
            for kind in ("instances", "results"):
                folder = one.folder / "var" / kind
                if folder.is_dir():
                    LocalStore(folder, 100).sweep(LaterClock().now())
            files = [*one.folder.glob("var/*s/**/*"), *one.folder.glob("tmp/*")]
            found += [
                f"left over on {name}: {path.name}" for path in files
                if path.is_file() and path.parts[-2] != "monitors"
            ]  # fmt: skip
        return found

    def not_in_pacs(self, studies: set[str]) -> list[str]:
        """Results that the PACS has not, and objects that are no result."""
        rows = self.chain.rows(studies)
        due = {str(one["sop_instance_uid"]) for one in self.chain.deliveries(rows)}
        came = Counter(self.pacs.uids())
        return [
            *(f"not in the PACS: {one}" for one in due - set(came)),
            *(f"no result of a study: {one}" for one in set(came) - due),
        ]

    def spool_empties(self, seconds: float) -> bool:
        """Whether every host hands over what it had in its spool."""

        def is_empty() -> bool:
            return not any(
                path for one in self.of("receive")
                for path in one.folder.glob("var/instances/*/*/*.dcm")
            )  # fmt: skip

        return wait_until(is_empty, lambda: None, seconds)

    def close(self) -> None:
        """End every role."""
        for one in self.roles.values():
            one.kill()
        self.chain.close()

    def _config(self, *, spool: bool) -> str:
        text = (self.chain.folder / "config.toml").read_text()
        pacs_port = self.pacs.port
        store = (
            f'url = "s3://{BUCKET}/node"\nendpoint = "{self.objects.endpoint}"\n'
            f"timeout_seconds = 3\nspool = {str(spool).lower()}\n"
        )
        for old, new in (
            ("[web]\nenabled = false", '[web]\nanonymous = "viewer"'),
            ("[store]\n", f"[store]\n{store}"),
            ('[receiver]\nhost = "127.0.0.1"', '[receiver]\nhost = "0.0.0.0"'),
            (f"port = {self.chain.port}", f"port = {PORT}"),
            ('hosts = ["127.0.0.1"]', f'hosts = ["{SWITCH}"]'),
            (f'host = "127.0.0.1"\nport = {pacs_port}',
             f'host = "{SWITCH}"\nport = {pacs_port}'),
            ("quiet_seconds = 0.5", "quiet_seconds = 600\nexpected_n_instances = 2"),
            ("[worker]\n", "[worker]\ndecoders = 1\nconcurrent_jobs = 1\n"),
        ):  # fmt: skip
            assert old in text, old
            text = text.replace(old, new)
        return text


@contextmanager
def group(folder: Path, *, spool: bool) -> Iterator[Group]:
    """All of it, ready; ended at the end."""
    binaries = find_binaries()
    if binaries is None:
        raise RuntimeError("PostgreSQL (initdb, pg_ctl) is not installed")
    with ExitStack() as stack:
        made = stack.enter_context(hosts(["database", "objects", *ROLES]))
        cluster = HostedCluster(binaries, make_folder(), made["database"])
        cluster.start()
        stack.callback(cluster.stop)
        objects = HostedObjects(made["objects"], folder / "objects.log")
        stack.enter_context(objects)
        objects.make_bucket()
        pacs = stack.enter_context(StoreScp(folder))
        found = Group(folder, made, cluster, objects, pacs)
        stack.callback(found.close)
        found.settle_in(spool=spool)
        yield found
