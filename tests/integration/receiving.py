"""A receiver on the loopback with a real disk, and senders that keep the bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import

from dicomnode.delivery.associating import answer_to
from dicomnode.domain.instance import InstanceKey
from dicomnode.ports import InstanceStore, Intake
from dicomnode.processes.clock import SystemClock
from dicomnode.receiver.acceptance import Policy
from dicomnode.receiver.peers import Peer
from dicomnode.receiver.scp import ScpSettings, StorageSCP
from dicomnode.store import LocalStore, file_meta
from dicomnode.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from tests.contract.fakes import MemoryIntake

MODALITY = Peer("MODALITY", ("127.0.0.1",))
POLICY = Policy("DICOMNODE", max_associations=8)
HANG_SECONDS = 300
"""A hung test must end; nothing is asserted about speed."""

_PREFIX = 132


@dataclass
class Node:
    """A running SCP with what it writes to."""

    scp: StorageSCP
    root: Path
    store: InstanceStore
    intake: MemoryIntake
    stopped: bool = field(default=False)

    @property
    def port(self) -> int:
        return self.scp.port

    def data_set(self, sop_instance_uid: str) -> bytes:
        """What is on the disk, after the file meta."""
        (location,) = {
            one.stored.location
            for one in self.intake.instances
            if one.key.sop_instance_uid == sop_instance_uid
        }
        whole = (self.root / location).read_bytes()
        return whole[file_meta.data_set_offset(whole[: file_meta.HEAD_BYTES]) :]

    def files(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.is_file()]

    def stop(self, grace_seconds: float = 10) -> None:
        self.stopped = True
        self.scp.stop(grace_seconds)


def settings(policy: Policy = POLICY, **changes: object) -> ScpSettings:
    return ScpSettings(
        policy=policy,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
        peers=(MODALITY,),
        **changes,  # type: ignore[arg-type]
    )


@contextmanager
def receiving(
    root: Path,
    how: ScpSettings | None = None,
    store: InstanceStore | None = None,
    intake: Intake | None = None,
) -> Iterator[Node]:
    """A node that stores below ``root`` and records in memory."""
    kept = store or LocalStore(root, watermark_percent=100)
    recorded = MemoryIntake()
    scp = StorageSCP(how or settings(), kept, intake or recorded, SystemClock())
    scp.start()
    node = Node(scp, root, kept, recorded)
    try:
        yield node
    finally:
        if not node.stopped:
            node.stop()


@contextmanager
def associated(
    port: int,
    contexts: Iterable[tuple[str, str]] = (),
    calling: str = "MODALITY",
    called: str = "DICOMNODE",
    held: bool = True,
) -> Iterator[Association]:
    """An association as SCU, with Verification beside the proposed contexts."""
    ae = AE(calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = HANG_SECONDS
    proposed = [build_context(Verification)]
    proposed += [build_context(sop_class, syntax) for sop_class, syntax in contexts]
    association = ae.associate("127.0.0.1", port, proposed, ae_title=called)
    # The library may have overlooked a rejection: see `answer_to`.
    if not association.is_established and (answer := answer_to(association)):
        association.is_rejected, association.acceptor.primitive = True, answer
    try:
        with undisturbed(association) if held else nullcontext():
            yield association
    finally:
        if association.is_established:
            association.release()


class _Checkpoint:
    """Holds the reactor of a sender until it is let go."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.entered.set()
        self.go_on.wait()

    def set(self) -> None: ...

    def clear(self) -> None: ...


@contextmanager
def undisturbed(association: Association) -> Iterator[None]:
    """Keep the sender's reactor from taking answers that a ``send_*`` call awaits.

    The library pauses it by itself, but on a busy machine it may be too late, and then
    the call waits for its time-out.
    """
    usual, ours = association._reactor_checkpoint, _Checkpoint()
    association._reactor_checkpoint = ours  # type: ignore[assignment]
    while association.is_alive() and not ours.entered.wait(0.05):
        pass
    try:
        yield
    finally:
        association._reactor_checkpoint = usual
        ours.go_on.set()


@dataclass(frozen=True)
class Sample:
    """An encoded data set as it lies in a file, and the command that goes with it."""

    name: str
    key: InstanceKey
    data_set: bytes

    @property
    def context(self) -> tuple[str, str]:
        """The presentation context it needs."""
        return self.key.sop_class_uid, self.key.transfer_syntax_uid


def send(association: Association, one: Sample) -> C_STORE | None:
    """Send the bytes of ``one`` just as they are; None when no answer came.

    The association must be held (``undisturbed``).
    """
    (context_id,) = [
        context.context_id
        for context in association.accepted_contexts
        if (context.abstract_syntax, context.transfer_syntax[0]) == one.context
    ]
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = UID(one.key.sop_class_uid)
    request.AffectedSOPInstanceUID = UID(one.key.sop_instance_uid) or None
    # The library announces an empty one and then sends none: say that there is none.
    request.DataSet = BytesIO(one.data_set) if one.data_set else None
    association.dimse.send_msg(request, int(context_id or 0))
    _, answer = association.dimse.get_msg(block=True)
    return answer if isinstance(answer, C_STORE) else None


def status(association: Association, one: Sample) -> int | None:
    """Of the answer to ``send``."""
    answer = send(association, one)
    return answer.Status if answer else None


def sample(path: Path) -> Sample | None:
    """A readable Part 10 file; None for one without preamble."""
    whole = path.read_bytes()
    if whole[_PREFIX - 4 : _PREFIX] != b"DICM":
        return None
    ds = dcmread(path, stop_before_pixels=True)
    meta = ds.file_meta
    key = InstanceKey(
        study_instance_uid=str(ds.get("StudyInstanceUID", "")),
        series_instance_uid=str(ds.get("SeriesInstanceUID", "")),
        sop_instance_uid=str(ds.get("SOPInstanceUID", meta.MediaStorageSOPInstanceUID)),
        sop_class_uid=str(ds.get("SOPClassUID", meta.MediaStorageSOPClassUID)),
        transfer_syntax_uid=str(UID(meta.TransferSyntaxUID)),
    )
    # (0002,0000) tells the length of what follows its own 12 bytes.
    length = int.from_bytes(whole[_PREFIX + 8 : _PREFIX + 12], "little")
    return Sample(path.name, key, whole[_PREFIX + 12 + length :])
