"""The same report under another SR SOP class, for a destination that knows no better.

Comprehensive 3D, Comprehensive and Enhanced SR hold the same content tree: each is a
subset of the one before (PS3.3 A.35), and our tree keeps to the smallest.
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from dicomnode.results.context import BuiltResult, Unsealed
from dicomnode.results.document import SOP_CLASSES
from dicomnode.results.encoding import encode_data_set, read_file
from dicomnode.results.sealing import finished
from dicomnode.results.uids import sop_instance_uid

_NOT_CONTENT = (
    "SOPInstanceUID",
    "ContentDate",
    "ContentTime",
    "InstanceCreationDate",
    "InstanceCreationTime",
)


def in_profile(part10: bytes, profile: str) -> BuiltResult:
    """The report in ``part10`` as an instance of its own in ``profile``.

    Pure, and the UID follows from the content: the same report gives the same bytes.
    Raises ResultError when the outcome would not be conformant.
    """
    dataset = read_file(part10)
    dataset.SOPClassUID = SOP_CLASSES[profile]
    dataset.SOPInstanceUID = sop_instance_uid(_content(part10, profile))
    return finished("sr", (encode_data_set(dataset),), Unsealed(dataset))


def _content(part10: bytes, profile: str) -> bytes:
    """What the UID is made of: all but itself and the dates."""
    dataset: Dataset = read_file(part10)
    dataset.SOPClassUID = SOP_CLASSES[profile]
    for keyword in _NOT_CONTENT:
        if keyword in dataset:
            delattr(dataset, keyword)
    for item in dataset.get("ContributingEquipmentSequence") or ():
        if "ContributionDateTime" in item:
            del item.ContributionDateTime
    return encode_data_set(dataset)
