"""Reconcile with the concrete classes; by the keeper at night, or by hand."""

from __future__ import annotations

import mmap
import time
from datetime import datetime
from typing import BinaryIO

import structlog
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from dicomnode.config import Config
from dicomnode.domain.instance import InstanceKey, ReceivedInstance, StoredInstance
from dicomnode.domain.reconciliation import Discrepancy, Sums
from dicomnode.errors import Unreadable
from dicomnode.housekeeping.reconciling import ReconcilePolicy, Reconciler, Tell
from dicomnode.processes import storing, wiring
from dicomnode.processes.clock import SystemClock
from dicomnode.receiver.header import scan
from dicomnode.worklist import Worklist

SETTLE_SECONDS = 2.0
"""Between removing the files of a study and noting it passes less than this."""

_PREAMBLE_BYTES = 132
_FILE_META = 0x0002

_log = structlog.get_logger(__name__)


def run(
    config: Config,
    worklist: Worklist,
    tell: Tell,
    *,
    repair: bool = False,
    verify: bool = False,
) -> Sums:
    """Reconcile once; raises WorklistError."""
    reconciler = Reconciler(
        worklist.ledger,
        worklist.mender,
        storing.open_stock(config),
        storing.open_results_stock(config),
        Header(wiring.extra_keywords(config)),
        SystemClock(),
    )
    policy = ReconcilePolicy(
        grace_seconds=config.keep.reconcile_grace_seconds,
        max_attempts=config.worker.max_attempts,
        repair=repair,
        verify=verify,
        settle=lambda: time.sleep(SETTLE_SECONDS),
    )
    return reconciler.run(policy, tell)


def nightly(config: Config, worklist: Worklist) -> int:
    """The chore of the keeper: look, log, repair if the configuration says so."""
    sums = run(config, worklist, _say, repair=config.keep.reconcile_repair)
    _log.info(
        "reconcile.done",
        balanced=sums.balanced,
        n_found=sums.n_found,
        n_repaired=sums.n_repaired,
        n_files=sums.n_files,
    )
    return sums.n_found


def _say(found: Discrepancy, repaired: bool, why: str) -> None:
    _log.warning(
        "reconcile.found",
        kind=str(found.kind),
        subject=found.subject,
        detail=found.detail,
        repaired=repaired,
        remedy=why,
    )


class Header:
    """Implements ``ports.ReadHeader`` with the eyes of the receiver."""

    def __init__(self, extra_keywords: tuple[str, ...]) -> None:
        self._extra_keywords = extra_keywords

    def __call__(
        self, file: BinaryIO, location: str, digest: str, n_bytes: int, now: datetime
    ) -> ReceivedInstance:
        """What to record of a file of the store; raises Unreadable."""
        meta = _file_meta(file)
        syntax = str(meta.get("TransferSyntaxUID", ""))
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            data_set = bytes(mapped[len(mapped) - n_bytes :])
        header = scan(data_set, syntax, self._extra_keywords)
        study = location.split("/")[1]
        if header.study_instance_uid != study or not header.series_instance_uid:
            raise _unreadable(location)
        key = InstanceKey(
            study,
            header.series_instance_uid,
            str(meta.get("MediaStorageSOPInstanceUID", "")),
            str(meta.get("MediaStorageSOPClassUID", "")),
            syntax,
        )
        return ReceivedInstance(
            key=key,
            stored=StoredInstance(location, n_bytes, digest),
            received_at=now,
            calling_ae_title="",
            called_ae_title="",
            address="",
            attributes=header.attributes,
            identity=header.identity,
        )


def _file_meta(file: BinaryIO) -> Dataset:
    """The file meta of a file of the store (PS3.10 7.1); the rest is not touched."""

    def ends(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return tag.group != _FILE_META

    file.seek(_PREAMBLE_BYTES)
    return read_dataset(file, False, True, stop_when=ends)


def _unreadable(location: str) -> Unreadable:
    return Unreadable(
        f"the header of {location} cannot be read; look at it with dcmdump, and move "
        "it out of the store"
    )
