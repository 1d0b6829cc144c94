"""Where a file lies: ``<shard>/<StudyInstanceUID>/<SOPInstanceUID>.<content>.dcm``.

The shard is the first two hex digits of the SHA-256 of the Study Instance UID, so no
folder grows with the number of studies. The content is the start of the SHA-256 of the
data set, so the same name always means the same content.
"""

from __future__ import annotations

import re
from dataclasses import fields
from hashlib import sha256

from dicomnode.domain.instance import InstanceKey
from dicomnode.errors import Unreadable

PART = ".part"
_SHORT = 12
_UID_LENGTH = 64
# PS3.5 9.1. Components with leading zeros are wrong but common, and harmless here.
_UID = r"[0-9]+(?:\.[0-9]+)*"
_IS_UID = re.compile(_UID)
_IS_LOCATION = re.compile(
    rf"[0-9a-f]{{2}}/{_UID}/{_UID}\.(?:[0-9a-f]{{12}}|[0-9a-f]{{64}})\.dcm"
)


def check(key: InstanceKey) -> None:
    """Raise Unreadable unless every UID of ``key`` is one (PS3.5 9.1).

    No path is ever built from a UID that has not passed here.
    """
    for field in fields(key):
        uid = getattr(key, field.name)
        if len(uid) > _UID_LENGTH or not _IS_UID.fullmatch(uid):
            name = field.name.removesuffix("_uid").replace("_", " ")
            message = (
                f"the {name} UID is not a UID (PS3.5 9.1: digits and dots, at most 64)"
                "; correct the instance at its source and send it again"
            )
            raise Unreadable(message)


def folder(study_instance_uid: str) -> str:
    """The folder of a study, relative to the store."""
    shard = sha256(study_instance_uid.encode()).hexdigest()[:2]
    return f"{shard}/{study_instance_uid}"


def names(sop_instance_uid: str, content: str) -> tuple[str, str]:
    """The file name for ``content`` (SHA-256 as hex), and one that cannot collide."""
    return (
        f"{sop_instance_uid}.{content[:_SHORT]}.dcm",
        f"{sop_instance_uid}.{content}.dcm",
    )


def is_location(location: str) -> bool:
    """Whether ``location`` is one that this layout makes; nothing else is opened."""
    return _IS_LOCATION.fullmatch(location) is not None
