"""UIDs derived from what they name (PS3.5 B.2): the same input, the same UID."""

from __future__ import annotations

import hashlib
import re
import uuid

from dicomnode.ports import Buffer

_MAXIMUM_LENGTH = 64
_FORM = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")


def uid_from(*parts: str | bytes | tuple[Buffer, ...]) -> str:
    """A 2.25 UID of ``parts``; lengths are hashed too, so that none can run over.

    A part may come in pieces, which are one all the same.
    """
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        pieces = (content,) if isinstance(content, bytes) else content
        digest.update(sum(map(len, pieces)).to_bytes(8, "big"))
        for piece in pieces:
            digest.update(piece)
    # Version 8 (RFC 9562): a UUID from a custom hash, here SHA-256.
    number = bytearray(digest.digest()[:16])
    number[6] = (number[6] & 0x0F) | 0x80
    number[8] = (number[8] & 0x3F) | 0x80
    return f"2.25.{uuid.UUID(bytes=bytes(number)).int}"


def series_instance_uid(
    study_instance_uid: str, bundle_digest: str, kind: str, node: str
) -> str:
    """The series of one kind of result: a rerun of the same bundle lands in it."""
    return uid_from("series", study_instance_uid, bundle_digest, kind, node)


def sop_instance_uid(*encoded: Buffer) -> str:
    """The instance whose content, without UID and dates, is ``encoded``, in pieces.

    An archive may answer 0x0000 and keep an older object under a known UID, so any
    difference in content must give another UID.
    """
    return uid_from("instance", encoded)


def tracking_uid(sop_instance_uid: str, bundle_digest: str, label: str) -> str:
    """The observation of one label by one bundle on one image (112040,DCM)."""
    return uid_from("tracking", sop_instance_uid, bundle_digest, label)


def is_valid_uid(uid: str) -> bool:
    """Whether ``uid`` has the form of PS3.5 section 9.1."""
    return len(uid) <= _MAXIMUM_LENGTH and _FORM.fullmatch(uid) is not None
