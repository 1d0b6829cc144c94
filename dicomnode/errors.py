"""The exceptions of the node. Every message shown to a person ends with its remedy.

::

    DicomNodeError
     +-- ConfigError                  the configuration is wrong: line and remedy
     |    +-- UnknownBundle           no bundle of that name is installed or ships
     +-- BundleRefused                a bundle is not as packed, signed or fit to use
     +-- ReceiveError                 carries the DIMSE status we answer
     |    +-- NotAccepted             the association is refused
     |    +-- StoreFull               no room on the disk (0xA700)
     |    +-- Unreadable              study or series cannot be told (0xC000)
     +-- StoreUnreachable             the object store does not answer; an OSError too
     +-- WorklistError
     |    +-- LostLease               another worker owns the job now
     |    +-- UnknownStudy            no such study, revision or job
     |    +-- IllegalTransition       the state machine has no such arrow
     +-- PipelineError                a job could not be analysed
     |    +-- NoSuitableImage         nothing in the study fits the bundle
     |    +-- UnsupportedPixels       the pixel data cannot be decoded
     |    +-- PredictionFailed        the network gave no usable numbers
     |         +-- DeviceLost         what it ran on has failed
     +-- AlertError                   an alert could not be sent
     +-- ResultError                  a result object could not be built
     +-- DeliveryError
          +-- Refused                 the destination answered with a failure status
          +-- Unreachable             no association with the destination
               +-- NothingAccepted    it accepts none of the SOP classes

``retryable`` decides retries; nothing else does.
"""

from __future__ import annotations

from typing import ClassVar


class DicomNodeError(Exception):
    """Base of all errors raised on purpose by the node."""

    retryable: ClassVar[bool] = False


class ConfigError(DicomNodeError):
    """The configuration is wrong; the message names the line and the remedy."""


class UnknownBundle(ConfigError):
    """No bundle of that name is installed or ships with the program."""


class BundleRefused(DicomNodeError):
    """A bundle, or what belongs to one, is not as packed, not signed, or not fit."""


class ReceiveError(DicomNodeError):
    """A C-STORE cannot be answered with Success.

    ``status`` is the DIMSE status to answer, PS3.4 Table B.2-1 and PS3.7 Annex C.
    """

    status: int = 0x0110
    retryable: ClassVar[bool] = True

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status


class NotAccepted(ReceiveError):
    """The association or the operation is not authorised (PS3.7 C.5.14)."""

    status = 0x0124
    retryable: ClassVar[bool] = False


class StoreFull(ReceiveError):
    """Out of resources (PS3.4 B.2.3): the sender keeps the instance and tries again."""

    status = 0xA700


class Unreadable(ReceiveError):
    """Cannot understand (PS3.4 B.2.3): no UIDs to keep the instance by."""

    status = 0xC000
    retryable: ClassVar[bool] = False


class StoreUnreachable(DicomNodeError, OSError):
    """The object store does not answer or refuses; what it keeps is not lost.

    An OSError too: whoever reads a file knows that reading may fail.
    """

    retryable: ClassVar[bool] = True


class WorklistError(DicomNodeError):
    """The worklist database refused or failed an operation.

    ``lasting``: this process can do nothing more with it, only a new one may.
    """

    lasting: ClassVar[bool] = False


class LostLease(WorklistError):
    """The lease ended and the job may belong to another worker: drop the work."""


class UnknownStudy(WorklistError):
    """No such study, revision, job or delivery in the worklist."""


class IllegalTransition(WorklistError):
    """The state machine has no arrow for this event in this state."""


class PipelineError(DicomNodeError):
    """A job could not be analysed; the message is the reason shown to people."""


class NoSuitableImage(PipelineError):
    """Nothing in the study fits what the bundle accepts."""


class UnsupportedPixels(PipelineError):
    """The pixel data cannot be decoded as the standard says."""


class PredictionFailed(PipelineError):
    """The network failed or gave no finite numbers."""

    retryable: ClassVar[bool] = True


class DeviceLost(PredictionFailed):
    """The GPU or its driver failed: this process cannot use it again."""


class AlertError(DicomNodeError):
    """An alert could not be sent by one of its channels; it is tried again."""

    retryable: ClassVar[bool] = True


class ResultError(DicomNodeError):
    """A result object could not be built or is not conformant; it is never sent."""


class DeliveryError(DicomNodeError):
    """A result did not reach its destination."""

    retryable: ClassVar[bool] = True


class Refused(DeliveryError):
    """The destination answered a C-STORE with a failure ``status`` (PS3.4 B.2.3)."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(DeliveryError):
    """The destination could not be reached, or refused or aborted the association."""


class NothingAccepted(Unreachable):
    """The destination answered and accepts none of the presentation contexts."""
