"""Action and Event Information of storage commitment as data sets (PS3.4 J.3).

Below the rooms, because two of them speak it: delivery asks the destinations, the
receiver takes their answers and is asked by the modalities.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.dataset import Dataset

from dicomnode.domain.commitment import (
    CommitmentAnswer,
    CommitmentRequest,
    Failed,
    FailureReason,
    Reference,
)
from dicomnode.errors import Unreadable

INVALID_ARGUMENT = 0x0115
"""Invalid argument value (PS3.7 C.5.4): what is answered to what cannot be read."""


def action_information(request: CommitmentRequest) -> Dataset:
    """Of an N-ACTION (PS3.4 Table J.3-1)."""
    information = Dataset()
    information.TransactionUID = request.transaction_uid
    information.ReferencedSOPSequence = [_item(one) for one in request.instances]
    return information


def read_request(information: Dataset) -> CommitmentRequest:
    """The Action Information of an N-ACTION; raises Unreadable."""
    instances = tuple(_references(information, "ReferencedSOPSequence"))
    if not instances:
        raise _unreadable("names no instances")
    return CommitmentRequest(_transaction_uid(information), instances)


def event_information(answer: CommitmentAnswer) -> Dataset:
    """Of an N-EVENT-REPORT (PS3.4 Table J.3-2)."""
    information = Dataset()
    information.TransactionUID = answer.transaction_uid
    if answer.committed:
        information.ReferencedSOPSequence = [_item(one) for one in answer.committed]
    if answer.failed:
        information.FailedSOPSequence = [_failed_item(one) for one in answer.failed]
    return information


def read_answer(information: Dataset) -> CommitmentAnswer:
    """The Event Information of an N-EVENT-REPORT; raises Unreadable."""
    failed = information.get("FailedSOPSequence") or ()
    return CommitmentAnswer(
        transaction_uid=_transaction_uid(information),
        committed=tuple(_references(information, "ReferencedSOPSequence")),
        failed=tuple(Failed(_reference(item), _reason(item)) for item in failed),
    )


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item


def _failed_item(failed: Failed) -> Dataset:
    item = _item(failed.instance)
    item.FailureReason = failed.reason
    return item


def _references(information: Dataset, keyword: str) -> Iterable[Reference]:
    return (_reference(item) for item in information.get(keyword) or ())


def _reference(item: Dataset) -> Reference:
    try:
        return Reference(
            str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)
        )
    except AttributeError as error:
        raise _unreadable("names an instance without its UIDs") from error


def _reason(item: Dataset) -> int:
    return int(item.get("FailureReason") or FailureReason.PROCESSING_FAILURE)


def _transaction_uid(information: Dataset) -> str:
    uid = str(information.get("TransactionUID") or "")
    if not uid:
        raise _unreadable("has no Transaction UID")
    return uid


def _unreadable(what: str) -> Unreadable:
    message = f"the message of storage commitment {what}; correct it at its sender"
    return Unreadable(message, INVALID_ARGUMENT)
