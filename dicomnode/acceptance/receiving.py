"""Cases of the fake scanner: what a modality may do wrong, and what it may rely on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.acceptance import own_node
from dicomnode.acceptance.bench import Bench
from dicomnode.acceptance.case import Case, MissedError, NotApplicableError
from dicomnode.acceptance.phantoms import Study
from dicomnode.acceptance.wire import (
    ABORTED,
    ACCEPTED,
    REJECTED,
    Pdu,
    Wire,
    context_result,
    overlong,
    store_pdus,
)
from dicomnode.delivery.storage_scu import StorageScu
from dicomnode.domain.delivery import Sent
from dicomnode.errors import DeliveryError

_VERIFICATION = "1.2.840.10008.1.1"
_MODALITY_WORKLIST = "1.2.840.10008.5.1.4.31"
_SYNTAXES = (str(ExplicitVRLittleEndian),)
_SUCCESS, _OUT_OF_RESOURCES, _DOES_NOT_MATCH = 0x0000, 0xA700, 0xA900
_NOT_SUPPORTED = 3  # PS3.8 Table 9-18
_LONGEST_TAKEN = 262_144


def _echo(bench: Bench) -> str:
    bench.scanner().echo()
    return "0000H"


def _unknown_ae(bench: Bench) -> str:
    if bench.config.receiver.unknown_peers == "accept":
        raise NotApplicableError('receiver.unknown_peers is "accept"')
    # Another title each time: the same refusal is noted once a minute.
    title = f"NOBODY{datetime.now(UTC):%H%M%S}"
    pdu = _asked(bench, calling=title)
    _must(pdu.kind == REJECTED and pdu.rejection == (1, 1, 3), pdu.words)
    if bench.views is None:
        return pdu.words
    return f"{pdu.words}; the node shows: {_shown_remedy(bench, title)}"


def _shown_remedy(bench: Bench, title: str) -> str:
    def noted() -> list[str]:
        rows = bench.worklist.associations(refused_only=True)
        return [one["remedy"] for one in rows if one["calling_ae_title"] == title]

    bench.wait(lambda: bool(noted()), "show the refused association")
    return " ".join(noted()[0].split())


def _wrong_called(bench: Bench) -> str:
    if not bench.config.receiver.require_called_ae_title:
        raise NotApplicableError("receiver.require_called_ae_title is false")
    pdu = _asked(bench, called="NOTTHISONE")
    _must(pdu.kind == REJECTED and pdu.rejection == (1, 1, 7), pdu.words)
    return pdu.words


def _refused_context(bench: Bench) -> str:
    pdu = _asked(bench, _MODALITY_WORKLIST)
    _must(pdu.kind == ACCEPTED, pdu.words)
    result = context_result(pdu)
    seen = f"A-ASSOCIATE-AC, presentation context result {result}"
    _must(result == _NOT_SUPPORTED, seen)
    return seen


def _overlong(bench: Bench) -> str:
    most = max(bench.config.receiver.max_pdu_bytes, _LONGEST_TAKEN)
    with Wire(bench.address) as wire:
        _must_accept(wire.associate(_VERIFICATION, _SYNTAXES))
        wire.send(overlong(most))
        pdu = wire.answer()
    _must(pdu.kind == ABORTED, pdu.words)
    bench.scanner().echo()
    return f"{pdu.words}; the next association is served"


def _asked(
    bench: Bench,
    abstract_syntax: str = _VERIFICATION,
    calling: str = "",
    called: str = "",
) -> Pdu:
    ours = bench.address
    asked = replace(ours, calling=calling or ours.calling, called=called or ours.called)
    with Wire(asked) as wire:
        return wire.associate(abstract_syntax, _SYNTAXES)


def _abort(bench: Bench) -> str:
    study = bench.phantoms.tomograph()
    pdus = _pdus(study)
    with Wire(bench.address) as wire:
        _must_accept(wire.associate(str(study.instances[0].sop_class_uid), _SYNTAXES))
        wire.send(b"".join(pdus[: len(pdus) // 2]))
        wire.abort()
    _must_all_succeed(bench.send(study))
    row = bench.settled(study)
    _must_be_one(row)
    events = [one["kind"] for one in bench.worklist.events_of(study.uid)]
    _must("instance conflict" not in events, "half an instance was kept")
    return "nothing was kept of the half; sent again: 0000H, one instance"


def _slow(bench: Bench) -> str:
    study, other = bench.phantoms.tomograph(), bench.phantoms.tomograph()
    pdus = _pdus(study)
    bench.note(study)
    with Wire(bench.address) as wire:
        _must_accept(wire.associate(str(study.instances[0].sop_class_uid), _SYNTAXES))
        wire.send(b"".join(pdus[:-1]))
        _must_all_succeed(bench.send(other))
        wire.send(pdus[-1])
        status = wire.status()
    _must(status == _SUCCESS, _named(status))
    return "the other sender was served meanwhile; the slow one got 0000H too"


def _mismatch(bench: Bench) -> str:
    study = bench.phantoms.tomograph()
    one = study.instances[0]
    pdus = store_pdus(one.sop_class_uid, f"{one.sop_instance_uid}9", study.data_set)
    with Wire(bench.address) as wire:
        _must_accept(wire.associate(str(one.sop_class_uid), _SYNTAXES))
        wire.send(b"".join(pdus))
        status = wire.status()
    _must(status == _DOES_NOT_MATCH, _named(status))
    return _named(status)


def _duplicate(bench: Bench) -> str:
    study = bench.phantoms.tomograph()
    _must_all_succeed(bench.send(study))
    _must_all_succeed(bench.send(study))
    row = bench.settled(study)
    _must_be_one(row)
    revision = row["revision"]
    _must(revision == 1, f"revision {revision}")
    return "0000H twice, one instance, one revision"


def _conflict(bench: Bench) -> str:
    study = bench.phantoms.tomograph()
    _must_all_succeed(bench.send(study))
    _must_all_succeed(bench.send(bench.phantoms.changed(study)))
    row = bench.settled(study)
    _must_be_one(row)
    events = [one["kind"] for one in bench.worklist.events_of(study.uid)]
    _must("instance conflict" in events, f"events: {', '.join(events)}")
    return "0000H, kept beside the first, v1_events says instance conflict"


def _nearly_full(bench: Bench) -> str:
    folder = bench.folder / "nearly-full"
    config = own_node.nearly_full(bench.config, folder, bench.address.calling)
    scanner = bench.scanner(config.receiver.port)
    study = bench.phantoms.tomograph()
    with own_node.started(config, "receive", folder) as receiver:
        bench.wait(lambda: _answers(scanner) or receiver.ended(), "start a receiver")
        receiver.check()
        (sent,) = scanner.send(study.instances)
    _must(sent.status == _OUT_OF_RESOURCES, _named(sent.status))
    kept = list((folder / "node").rglob("*.dcm"))
    _must(not kept, f"{len(kept)} file(s) were kept")
    return f"{_named(sent.status)}, nothing was kept"


def _answers(scanner: StorageScu) -> bool:
    try:
        scanner.echo()
    except DeliveryError:
        return False
    return True


def _pdus(study: Study) -> list[bytes]:
    one = study.instances[0]
    return store_pdus(one.sop_class_uid, one.sop_instance_uid, study.data_set)


def _must(holds: bool, seen: str) -> None:
    if not holds:
        raise MissedError(seen)


def _must_accept(pdu: Pdu) -> None:
    _must(pdu.kind == ACCEPTED, pdu.words)


def _must_all_succeed(sent: Sequence[Sent]) -> None:
    for one in sent:
        _must(one.status == _SUCCESS, f"{_named(one.status)} {one.error}")


def _must_be_one(row: dict[str, object]) -> None:
    count = row["n_instances"]
    _must(count == 1, f"{count} instances in the worklist")


def _named(status: int | None) -> str:
    return "no answer" if status is None else f"{status:04X}H"


_LOG = "read the receiver's log at that time, and `dicomnode status`"
RECEIVING = (
    Case(
        "verification",
        "The scanner verifies the node",
        "C-ECHO is answered 0000H",
        "check that the node runs, its port, and the [[peer]] of the kit",
        _echo,
        needs_worklist=False,
    ),
    Case(
        "unknown-ae",
        "A sender that nobody knows",
        "A-ASSOCIATE-RJ 1, 1, 3 (calling AE title not recognized); the node shows the "
        "lines that would admit it",
        'set receiver.unknown_peers = "refuse"',
        _unknown_ae,
        needs_worklist=False,
    ),
    Case(
        "wrong-called-ae",
        "The scanner calls another AE title",
        "A-ASSOCIATE-RJ 1, 1, 7 (called AE title not recognized)",
        "set receiver.require_called_ae_title = true",
        _wrong_called,
        needs_worklist=False,
    ),
    Case(
        "refused-context",
        "The scanner asks for a Modality Worklist, which is no service of the node",
        "The association is accepted, the presentation context is not (result 3)",
        _LOG,
        _refused_context,
        needs_worklist=False,
    ),
    Case(
        "overlong-pdu",
        "A PDU longer than was announced",
        "A-ABORT, and others are served on",
        _LOG,
        _overlong,
        needs_worklist=False,
    ),
    Case(
        "mismatch",
        "Command and data set name different instances",
        "A900H, nothing is kept",
        _LOG,
        _mismatch,
        needs_worklist=False,
    ),
    Case(
        "abort",
        "The scanner aborts in the middle of a data set",
        "Nothing is kept of it; sent again it is answered 0000H and there once",
        _LOG,
        _abort,
    ),
    Case(
        "slow-peer",
        "A scanner that stops in the middle of a data set and goes on later",
        "Another sender is served meanwhile; both get 0000H",
        "look at receiver.max_associations and at the load of the machine",
        _slow,
        needs_worklist=False,
    ),
    Case(
        "duplicate",
        "The same instance twice",
        "0000H both times; one instance, no new revision",
        _LOG,
        _duplicate,
    ),
    Case(
        "conflict",
        "The same SOP Instance UID with other content",
        "0000H, kept beside the first and flagged, nothing is overwritten",
        _LOG,
        _conflict,
    ),
    Case(
        "disk-nearly-full",
        "The disk is above its watermark (a receiver of its own)",
        "A700H (out of resources), nothing is kept",
        "check store.watermark_percent",
        _nearly_full,
        needs_worklist=False,
    ),
)
"""In the order in which they run."""
