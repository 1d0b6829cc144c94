"""A real Orthanc with a temporary configuration: for `--pacs orthanc` and for tests.

Every address of the machine is bound by the DICOM server of older versions, so it is
told to talk to the listed modalities on their listed hosts only.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dicomnode.demo.failure import DemoFailed
from dicomnode.demo.program import Program, free_port, wait_until

_LOOPBACK = "127.0.0.1"
_START_SECONDS = 30.0
_ANSWER_SECONDS = 30.0
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Modality:
    """A DICOM peer of Orthanc, by the name Orthanc knows it under."""

    ae_title: str
    port: int
    host: str = _LOOPBACK


def executable() -> str | None:
    """The path of an installed Orthanc, if any (Debian: /usr/sbin, often no PATH)."""
    return shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")


class Orthanc:
    """A running Orthanc; use as a context manager.

    ``modalities`` names the peers that may talk to it, and that it can send to.
    Raises DemoFailed when it is not installed or does not start.
    """

    def __init__(
        self,
        folder: Path,
        modalities: Mapping[str, Modality],
        *,
        ae_title: str = "ORTHANC",
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.folder = folder
        self.modalities = dict(modalities)
        self.ae_title = ae_title
        self.host = _LOOPBACK
        self.dicom_port = 0
        self.http_port = 0
        self._settings = dict(settings or {})
        self._running = ExitStack()
        # No proxy of the environment may come between us and the loopback.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @property
    def port(self) -> int:
        """The DICOM port, by the name every PACS of the demo has."""
        return self.dicom_port

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        program = executable()
        if program is None:
            raise DemoFailed(
                "Orthanc is not installed; install it (Debian: `apt install orthanc`) "
                "or use `--pacs embedded`"
            )
        for _attempt in range(_ATTEMPTS):
            if self._started(program):
                return self
        raise DemoFailed(
            f"Orthanc did not start, see {self._log}; "
            f"correct what it says there or use `--pacs embedded`"
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.close()

    def instances(self, study_instance_uid: str) -> list[str]:
        """Orthanc's identifiers of all instances of a study; empty if it has none."""
        found = self._post_json("/tools/lookup", study_instance_uid.encode("ascii"))
        return [
            instance["ID"]
            for study in found
            if study["Type"] == "Study"
            for instance in self._get_json(f"/studies/{study['ID']}/instances")
        ]

    def dicom_file(self, instance_id: str) -> bytes:
        """The PS3.10 file of one instance."""
        return self._request(f"/instances/{instance_id}/file")

    def files(self, study_instance_uid: str) -> list[bytes]:
        """Every PS3.10 file of a study."""
        return [self.dicom_file(one) for one in self.instances(study_instance_uid)]

    def upload(self, part10: bytes) -> str:
        """Give it a PS3.10 file over HTTP; its identifier of the instance."""
        return str(self._post_json("/instances", part10)["ID"])

    def store(self, modality: str, instance_ids: Sequence[str]) -> None:
        """Let it C-STORE instances to one of its modalities; raises DemoFailed."""
        order = {"Resources": list(instance_ids), "Synchronous": True}
        answer = self._post_json(f"/modalities/{modality}/store", _encoded(order))
        failed = int(answer["FailedInstancesCount"])
        if failed:
            raise DemoFailed(
                f"Orthanc could not send {failed} instances to {modality}; "
                f"see {self._log} and the associations of the node"
            )

    def ask_for_commitment(
        self,
        modality: str,
        instance_ids: Sequence[str],
        instances: Sequence[Mapping[str, str]] = (),
    ) -> dict[str, Any]:
        """Let it ask a modality for storage commitment; its report of the answer.

        ``instances`` names further ones by SOPClassUID and SOPInstanceUID. Raises
        DemoFailed when no answer comes.
        """
        order = {"Resources": list(instance_ids), "DicomInstances": list(instances)}
        path = f"/modalities/{modality}/storage-commitment"
        transaction = str(self._post_json(path, _encoded(order))["ID"])
        report: dict[str, Any] = {}

        def answered() -> bool:
            report.update(self._get_json(f"/storage-commitment/{transaction}"))
            return str(report["Status"]) != "Pending"

        if not wait_until(answered, lambda: None, _ANSWER_SECONDS):
            raise DemoFailed(
                f"{modality} does not answer Orthanc's request for storage commitment; "
                f"see {self._log} and the log of the node"
            )
        return report

    def delete(self, instance_id: str) -> None:
        """Let it lose an instance."""
        self._request(f"/instances/{instance_id}", method="DELETE")

    @property
    def _log(self) -> Path:
        return self.folder / "orthanc.log"

    def _port(self, name: str) -> int:
        """The one that the settings say, or a free one."""
        given = self._settings.get(name)
        return given if isinstance(given, int) else free_port()

    def _started(self, program: str) -> bool:
        """Start it once; False when it ended, mostly because a port was taken."""
        self.dicom_port, self.http_port = (
            self._port("DicomPort"),
            self._port("HttpPort"),
        )
        configuration = self.folder / "orthanc.json"
        configuration.write_text(json.dumps(self._configuration(), indent=1))
        process = Program("Orthanc", [program, str(configuration)], self._log)
        with ExitStack() as attempt:
            attempt.enter_context(process)
            wait_until(
                lambda: process.ended() or self._answers(),
                alive=lambda: None,
                timeout_seconds=_START_SECONDS,
            )
            if process.ended() or not self._answers():
                return False
            self._running = attempt.pop_all()
        return True

    def _configuration(self) -> dict[str, object]:
        modalities = {
            name: {"AET": peer.ae_title, "Host": peer.host, "Port": peer.port}
            for name, peer in self.modalities.items()
        }
        return {
            "Name": self.ae_title,
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "Plugins": [],
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAet": self.ae_title,
            "DicomPort": self.dicom_port,
            "DicomCheckCalledAet": True,
            "DicomCheckModalityHost": True,
            "DicomAlwaysAllowEcho": False,
            "DicomAlwaysAllowStore": False,
            "DicomAlwaysAllowFind": False,
            "DicomModalities": modalities,
            **self._settings,
        }

    def _answers(self) -> bool:
        try:
            return bool(self._get_json("/system")["DicomAet"] == self.ae_title)
        except DemoFailed:
            return False

    def _get_json(self, path: str) -> Any:
        return json.loads(self._request(path))

    def _post_json(self, path: str, body: bytes) -> Any:
        return json.loads(self._request(path, body))

    def _request(
        self, path: str, body: bytes | None = None, method: str | None = None
    ) -> bytes:
        url = f"http://{self.host}:{self.http_port}{path}"
        request = urllib.request.Request(url, body, method=method)
        try:
            with self._opener.open(request, timeout=_ANSWER_SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            words = HTTPStatus(error.code).phrase
            raise DemoFailed(f"Orthanc: {words}; {path}, see {self._log}") from error
        except OSError as error:
            raise DemoFailed(f"Orthanc does not answer; see {self._log}") from error


def _encoded(document: object) -> bytes:
    return json.dumps(document).encode()
