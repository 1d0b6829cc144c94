"""Where a file lies: ``<shard>/<StudyInstanceUID>/<SOPInstanceUID>.<content>.dcm``.

The shard is the first two hex digits of the SHA-256 of the Study Instance UID, so no
folder grows with the number of studies. The content is the start of the SHA-256 of the
data set, so the same name always means the same content.

Beside the shards lie ``incoming``, where data sets arrive as ``.part`` files, and
``quarantine``, where refused ones are kept: no location is in either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from functools import lru_cache
from hashlib import sha256

from dicomnode.domain.instance import InstanceKey
from dicomnode.errors import Unreadable

PART = ".part"
INCOMING = "incoming"
QUARANTINE = "quarantine"
_SHORT = 12
_UID_LENGTH = 64
# PS3.5 9.1. Components with leading zeros are wrong but common, and harmless here.
_UID = r"[0-9]+(?:\.[0-9]+)*"
_IS_UID = re.compile(_UID)
_EVERY = tuple(field.name for field in fields(InstanceKey))
_COMMANDED = ("sop_class_uid", "sop_instance_uid", "transfer_syntax_uid")
_IS_LOCATION = re.compile(
    rf"[0-9a-f]{{2}}/{_UID}/{_UID}\.(?:[0-9a-f]{{12}}|[0-9a-f]{{64}})\.dcm"
)


def check(key: InstanceKey) -> None:
    """Raise Unreadable unless every UID of ``key`` is one (PS3.5 9.1).

    No path is ever built from a UID that has not passed here.
    """
    _check(key, _EVERY)


def check_command(key: InstanceKey) -> None:
    """The same for what a command says, before study and series are known."""
    _check(key, _COMMANDED)


def _check(key: InstanceKey, names: Iterable[str]) -> None:
    for each in names:
        if not _is_uid(getattr(key, each)):
            name = each.removesuffix("_uid").replace("_", " ")
            message = (
                f"the {name} UID is not a UID (PS3.5 9.1: digits and dots, at most 64)"
                "; correct the instance at its source and send it again"
            )
            raise Unreadable(message)


@lru_cache(maxsize=1024)
def _is_uid(text: str) -> bool:
    # All but one of an image are those of the image before.
    return len(text) <= _UID_LENGTH and _IS_UID.fullmatch(text) is not None


@lru_cache(maxsize=1024)
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


def full_location(key: InstanceKey, content: str) -> str:
    """With all of the digest: what no other content can ever have.

    So objects need no look whether the name is taken, which two hosts could not do.
    """
    _, name = names(key.sop_instance_uid, content)
    return f"{folder(key.study_instance_uid)}/{name}"


def has_content(location: str, content: str) -> bool:
    """Whether a data set of this SHA-256 is the one that ``location`` names."""
    return content.startswith(location.split(".")[-2])


def is_location(location: str) -> bool:
    """Whether ``location`` is one that this layout makes; nothing else is opened."""
    return _IS_LOCATION.fullmatch(location) is not None
