"""Who talks to whom: SOP Classes, roles, presentation contexts, associations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE

from dicomnode.config import Config
from dicomnode.conformance.markdown import table
from dicomnode.delivery import (
    commitment_scu,
    contexts,
    get_scu,
    query_scu,
    storage_scu,
)
from dicomnode.domain.commitment import PUSH_MODEL
from dicomnode.domain.delivery import Outgoing
from dicomnode.processes.receive import GRACE_SECONDS, settings
from dicomnode.receiver import reporting
from dicomnode.receiver.acceptance import (
    DICOM_APPLICATION_CONTEXT,
    KnownPeer,
    Policy,
    Refuse,
    Request,
    decide,
)
from dicomnode.receiver.contexts import storage_classes, transfer_syntaxes
from dicomnode.results import SOP_CLASSES
from dicomnode.version import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    MODEL_NAME,
    VERSION,
)

VERIFICATION = UID("1.2.840.10008.1.1")
STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
STUDY_ROOT_MOVE = UID("1.2.840.10008.5.1.4.1.2.2.2")
STUDY_ROOT_GET = UID("1.2.840.10008.5.1.4.1.2.2.3")
BACKFILL = "BACKFILL"
CREATED = (
    *SOP_CLASSES.values(),
    SecondaryCaptureImageStorage,
    GrayscaleSoftcopyPresentationStateStorage,
)
RECEIVE, DELIVER = "RECEIVE", "DELIVER"
_YES, _NO = "Y", "N"


def product(config: Config) -> str:
    """What this statement is about."""
    del config
    rows = (
        ("Product", MODEL_NAME),
        ("Version", VERSION),
        ("Implementation Class UID", IMPLEMENTATION_CLASS_UID),
        ("Implementation Version Name", IMPLEMENTATION_VERSION_NAME),
        ("Regulatory status", "Research use only. Not a medical device."),
    )
    return table(("Item", "Value"), rows)


def content_and_transfer(config: Config) -> str:
    """Every storage SOP Class of PS3.6: received, sent, created."""
    del config
    columns = ("SOP Class", "SOP Class UID", "Created", "Storage SCU", "Storage SCP")
    return table(columns, (_class_row(uid) for uid in storage_classes()))


def _class_row(uid: UID) -> tuple[str, ...]:
    ours = _YES if uid in CREATED else _NO
    return uid.name or "(retired)", uid, ours, ours, _YES


def dimse_services(config: Config) -> str:
    """SOP Classes of services other than storage, by role."""
    provides = _YES if config.receiver.storage_commitment else _NO
    rows = (
        (VERIFICATION.name, VERIFICATION, _YES, _YES),
        (UID(PUSH_MODEL).name, PUSH_MODEL, _YES, provides),
        (STUDY_ROOT_FIND.name, STUDY_ROOT_FIND, _YES, _NO),
        (STUDY_ROOT_MOVE.name, STUDY_ROOT_MOVE, _YES, _NO),
        (STUDY_ROOT_GET.name, STUDY_ROOT_GET, _YES, _NO),
    )
    return table(("SOP Class", "SOP Class UID", "SCU", "SCP"), rows)


def entities(config: Config) -> str:
    """The services of each Application Entity; both use one AE title."""
    title = config.node.ae_title
    rows = (
        (RECEIVE, title, "Storage, Verification, Storage Commitment", "SCP", "accepts"),
        (RECEIVE, title, "Storage Commitment (N-EVENT-REPORT)", "SCP", "initiates"),
        (DELIVER, title, "Storage, Verification", "SCU", "initiates"),
        (DELIVER, title, "Storage Commitment, Study Root C-FIND", "SCU", "initiates"),
        (RECEIVE, title, "Storage Commitment (N-EVENT-REPORT)", "SCU", "accepts"),
        (BACKFILL, title, "Study Root C-FIND, C-MOVE, C-GET", "SCU", "initiates"),
        (BACKFILL, title, "Storage, within C-GET", "SCP", "initiates"),
    )
    columns = ("Application Entity", "AE title", "Service", "Role", "Associations")
    return table(columns, rows)


def associations(config: Config) -> str:
    """Policies of the associations, with the configured values."""
    return table(
        ("Parameter", "RECEIVE (accepts)", "DELIVER (initiates)"), _policies(config)
    )


def _policies(config: Config) -> Iterator[tuple[object, ...]]:
    scp, receiver = settings(config), config.receiver
    waits = f"{config.delivery.timeout_seconds:g} s (delivery.timeout_seconds)"
    maximum = f"{scp.policy.max_associations} (receiver.max_associations)"
    yield (
        "Application Context Name",
        DICOM_APPLICATION_CONTEXT,
        DICOM_APPLICATION_CONTEXT,
    )
    yield (
        "Implementation Class UID",
        scp.implementation_class_uid,
        IMPLEMENTATION_CLASS_UID,
    )
    yield (
        "Implementation Version Name",
        scp.implementation_version_name,
        IMPLEMENTATION_VERSION_NAME,
    )
    # One that sends, and beside it one that asks for storage commitment.
    ours = "two" if config.delivery.idle_seconds else "one"
    named = f"{ours} per destination (delivery.idle_seconds)"
    yield "Maximum number of simultaneous associations", maximum, named
    pdu = f"{scp.max_pdu_bytes} bytes (receiver.max_pdu_bytes, 4096 to 4194304)"
    yield "Maximum PDU size received", pdu, f"{AE().maximum_pdu_size} bytes"
    yield (
        "Asynchronous Operations Window",
        "not negotiated (1, 1)",
        "not negotiated (1, 1)",
    )
    artim = (
        f"{scp.lobby.request_timeout_seconds:g} s (receiver.request_timeout_seconds)"
    )
    yield "ARTIM time-out (connection to A-ASSOCIATE-RQ)", artim, waits
    yield "ACSE time-out", f"{scp.acse_timeout_seconds:g} s", waits
    yield "DIMSE time-out", f"{scp.dimse_timeout_seconds:g} s", waits
    idle = f"{scp.network_timeout_seconds:g} s (receiver.network_timeout_seconds)"
    yield "Idle time-out (no byte from the peer)", idle, waits
    longest = (
        f"{receiver.max_association_seconds:g} s (receiver.max_association_seconds)"
    )
    yield "Longest association", longest, "not limited"
    yield (
        "Grace for a C-STORE that has begun, at shutdown",
        f"{GRACE_SECONDS:g} s",
        "none",
    )
    largest = f"{receiver.max_instance_bytes} bytes (receiver.max_instance_bytes)"
    yield "Largest data set", largest, "not limited"
    yield "Extended negotiation", "none", "none"
    yield "User Identity Negotiation", "ignored", "not proposed"
    proposed = "BACKFILL: SCP of Storage, with C-GET; DELIVER: not proposed"
    yield "SCP/SCU Role Selection", "Storage Commitment only", proposed


def accepted_contexts(config: Config) -> str:
    """What RECEIVE accepts."""
    rows = [
        _accepted("Verification", VERIFICATION, "SCP"),
        ("Storage", "every SOP Class of Table 1.1-1, and every UID that PS3.6 does not "
         "register: private and newer ones", "all of Table 7.2-5, and others", "SCP"),
    ]  # fmt: skip
    if config.receiver.storage_commitment:
        rows.append(_accepted("Storage Commitment", UID(PUSH_MODEL), "SCP, SCU"))
    return table(("Service", "Abstract Syntax", "Transfer Syntaxes", "Role"), rows)


def _accepted(service: str, uid: UID, role: str) -> tuple[str, str, str, str]:
    syntaxes = transfer_syntaxes(uid)
    n_all = len(transfer_syntaxes(VERIFICATION))
    named = "<br>".join(f"{one.name} {one}" for one in syntaxes)
    words = "all of Table 7.2-5" if len(syntaxes) == n_all else named
    return service, f"{uid.name} {uid}", words, role


def syntaxes(config: Config) -> str:
    """Transfer syntaxes of storage in the order of choice within one context."""
    del config
    accepted = transfer_syntaxes(SecondaryCaptureImageStorage)
    rows = (
        (n, uid.name, uid, _YES if is_decoded(uid) else _NO)
        for n, uid in enumerate(accepted, start=1)
    )
    return table(("Choice", "Transfer Syntax", "UID", "Decoded for analysis"), rows)


def is_decoded(transfer_syntax: UID) -> bool:
    """Whether the decoders that are installed can read its pixel data."""
    try:
        return bool(get_decoder(transfer_syntax).is_available)
    except NotImplementedError:
        return False


def proposed_contexts(config: Config) -> str:
    """What each Application Entity proposes when it initiates."""
    del config
    echo, ask, tell, fill, get = (
        _proposed("C-ECHO", DELIVER, "SCU", storage_scu.verification()),
        _proposed("commitment and look", DELIVER, "SCU", commitment_scu.proposed()),
        _proposed("commitment report", RECEIVE, "SCP", reporting.proposed()),
        _proposed("backfill", BACKFILL, "SCU", query_scu.proposed()),
        _proposed("backfill by C-GET", BACKFILL, "SCU", get_scu.proposed()[:1]),
    )
    within = (
        "backfill by C-GET",
        BACKFILL,
        f"the {len(get_scu.USUAL)} usual Storage SOP Classes, or those of the study",
        "all of Table 7.2-5; each in a context of its own as far as 127 contexts go",
        "SCP",
    )
    results = (row for uid in CREATED for row in _proposed_storage(uid))
    columns = (
        "Activity",
        "Application Entity",
        "Abstract Syntax",
        "Transfer Syntaxes",
        "Role",
    )
    return table(columns, [*results, *echo, *ask, *tell, *fill, *get, within])


def _proposed_storage(uid: UID) -> Iterator[tuple[str, ...]]:
    one = Outgoing(Path("result.dcm"), uid, "2.25.1", ExplicitVRLittleEndian)
    contexts_ = contexts.build(contexts.keys_of(one))
    return _proposed("C-STORE of results", DELIVER, "SCU", contexts_)


def _proposed(
    activity: str, entity: str, role: str, proposed: Iterable[object]
) -> Iterator[tuple[str, ...]]:
    for one in proposed:
        uid = UID(str(getattr(one, "abstract_syntax", "")))
        named = "<br>".join(
            f"{syntax.name} {syntax}" for syntax in getattr(one, "transfer_syntax", ())
        )
        yield activity, entity, f"{uid.name} {uid}", named, role


def rejections(config: Config) -> str:
    """Every A-ASSOCIATE-RJ that RECEIVE sends, asked of the decision itself."""
    columns = ("Reason", "Result", "Source", "Diagnostic", "The node shows")
    return table(columns, _rejections(settings(config).policy))


def _rejections(policy: Policy) -> Iterator[tuple[object, ...]]:
    ours, limit = policy.ae_title, policy.max_associations
    at, elsewhere = ip_network("192.0.2.1"), ip_network("192.0.2.9")
    peer = KnownPeer("CT1", (str(at[0]),), (at,), max_associations=4)
    moved = KnownPeer("CT1", (str(elsewhere[0]),), (elsewhere,))
    strict, asks = (
        Policy(ours, max_associations=limit),
        Request(ours, "CT1", str(at[0])),
    )
    asked = (
        decide(replace(asks, application_context="1.2.3"), strict, (), 0),
        decide(replace(asks, called_ae_title="OTHER"), strict, (), 0),
        decide(asks, strict, (), 0),
        decide(asks, strict, (moved,), 0),
        decide(asks, strict, (peer,), limit),
        decide(asks, strict, (peer,), 4, 4),
    )
    for one in asked:
        if isinstance(one, Refuse):
            yield (
                one.reason,
                one.result,
                one.source,
                one.diagnostic,
                one.remedy.replace("\n", " ; "),
            )


def ports(config: Config) -> str:
    """Every TCP port, by direction."""
    return table(("Direction", "Port", "Protocol", "TLS", "Key"), _ports(config))


def _ports(config: Config) -> Iterator[tuple[object, ...]]:
    receiver, web = config.receiver, config.web
    yield "in", receiver.port, "DICOM upper layer", "no", "receiver.port"
    state = "TLS 1.2, 1.3" + ("" if receiver.tls.enabled else " (off by default)")
    yield "in", receiver.tls.port, "DICOM upper layer", state, "receiver.tls.port"
    yield "in, " + web.host, web.port, "HTTP", "by a proxy before it", "web.port"
    yield (
        "out",
        "the destination's",
        "DICOM upper layer",
        "destination.tls",
        "destination.port",
    )
    yield "out", "the peer's", "DICOM upper layer (reports)", "no", "peer.port"
    syslog = config.audit.syslog
    secured = "TLS 1.2 or newer" if syslog.tls else "no"
    yield "out", syslog.port, "syslog, RFC 5424, RFC 5425", secured, "audit.syslog.port"
    mail = config.alert.mail
    yield "out", mail.port, "SMTP submission", mail.encryption, "alert.mail.port"
    yield "out", 443, "HTTPS, if a webhook is named", "yes", "alert.webhook.url"
    yield "out", 443, "HTTPS, if an archive has it", "yes", "destination.dicomweb_url"
    yield "out", 443, "HTTPS, if an object store is named", "yes", "store.endpoint"
    yield (
        "out",
        5432,
        "PostgreSQL, if database.url names one",
        "by the URL",
        "database.url",
    )
