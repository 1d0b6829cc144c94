"""A DICOM file on disk, ready to be sent."""

from __future__ import annotations

from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from dicomnode.domain.delivery import Outgoing
from dicomnode.errors import DeliveryError


def read(path: Path) -> Outgoing:
    """What the file meta information (PS3.10 7.1) says of the file at ``path``.

    Raises DeliveryError for a file that is not DICOM or lacks a UID.
    """
    try:
        meta = read_file_meta_info(path)
        return Outgoing(
            path=path,
            sop_class_uid=str(meta.MediaStorageSOPClassUID),
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=str(meta.TransferSyntaxUID),
        )
    except (InvalidDicomError, AttributeError, ValueError, EOFError) as error:
        message = (
            f"{path.name} has no complete DICOM file meta information ({error}); "
            f"send DICOM files (PS3.10) only"
        )
        raise DeliveryError(message) from error
