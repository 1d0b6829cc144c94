"""Which presentation contexts are supported."""

from __future__ import annotations

import pytest
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
)
from pynetdicom.presentation import AllStoragePresentationContexts, build_context

from dicomnode.domain.commitment import PUSH_MODEL
from dicomnode.receiver.contexts import is_storage, supported


@pytest.mark.parametrize(
    "uid",
    [
        *(str(context.abstract_syntax) for context in AllStoragePresentationContexts),
        "1.2.840.10008.5.1.1.27",  # Stored Print Storage, retired
        "1.2.840.10008.5.1.4.1.1.6",  # Ultrasound Image Storage, retired
        "1.2.840.10008.5.1.4.1.1.88.1",  # Text SR Storage - Trial, retired
        "1.2.840.10008.5.1.4.1.1.9999",  # not invented yet
        "1.3.46.670589.5.0.1",  # Philips private
        "1.2.826.0.1.3680043.2.1",
    ],
)
def test_every_storage_is_kept(uid: str) -> None:
    assert is_storage(uid)


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.1.3.10",  # Media Storage Directory Storage
        "1.2.840.10008.1.20.1",  # Storage Commitment Push Model
        "1.2.840.10008.3.1.2.3.3",  # Modality Performed Procedure Step
        "1.2.840.10008.5.1.4.1.2.1.1",  # Patient Root Q/R - FIND
        "1.2.840.10008.5.1.4.31",  # Modality Worklist - FIND
        "1.2.840.10008.5.1.1.9",  # Basic Grayscale Print Management Meta
        "1.2.840.10008.5.1.4.34.6.1",  # UPS Push
        "1.2.840.10008.1.2.1",  # a transfer syntax
        "1.2.840.10008.4.2",  # the Storage service class itself
    ],
)
def test_other_services_are_not(uid: str) -> None:
    assert not is_storage(uid)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([JPEG2000Lossless], JPEG2000Lossless),
        ([JPEG2000Lossless, ExplicitVRLittleEndian], ExplicitVRLittleEndian),
        ([JPEGLSLossless, ImplicitVRLittleEndian], ImplicitVRLittleEndian),
        (
            [ImplicitVRLittleEndian, JPEGLSLossless, ExplicitVRLittleEndian],
            ExplicitVRLittleEndian,
        ),
        ([JPEGLSLossless, JPEG2000Lossless], JPEGLSLossless),
        (["1.2.3.4.5"], "1.2.3.4.5"),
    ],
)
def test_the_preferred_transfer_syntax_comes_first(
    offered: list[str], chosen: str
) -> None:
    (context,) = supported([build_context(CTImageStorage, offered)])
    assert context.transfer_syntax[0] == chosen
    assert set(context.transfer_syntax) == set(offered)


def test_contexts_of_one_class_are_joined_and_others_left_out() -> None:
    proposed = [
        build_context(CTImageStorage, JPEG2000Lossless),
        build_context("1.2.840.10008.5.1.4.31"),
        build_context(CTImageStorage, ExplicitVRLittleEndian),
        build_context("1.2.840.10008.1.1", ImplicitVRLittleEndian),
    ]
    found = {
        str(one.abstract_syntax): list(one.transfer_syntax)
        for one in supported(proposed)
    }
    assert found == {
        CTImageStorage: [ExplicitVRLittleEndian, JPEG2000Lossless],
        "1.2.840.10008.1.1": [ImplicitVRLittleEndian],
    }


def test_storage_commitment_is_for_those_who_may_use_it_and_never_deflated() -> None:
    proposed = [build_context(CTImageStorage), build_context(PUSH_MODEL)]
    assert [one.abstract_syntax for one in supported(proposed)] == [CTImageStorage]
    (_, both) = supported(proposed, commitment=True)
    assert both.abstract_syntax == PUSH_MODEL
    assert (both.scu_role, both.scp_role) == (True, True)
    assert both.transfer_syntax == [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
    (only,) = supported(proposed, storage=False, commitment=True)
    assert only.abstract_syntax == PUSH_MODEL
