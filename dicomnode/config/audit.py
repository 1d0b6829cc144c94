"""The tables of the audit trail."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from dicomnode.config.section import Section
from dicomnode.config.values import OptionalFile, RemotePort, Seconds, host_name


def _host_or_none(text: str) -> str:
    return text and host_name(text)


class Syslog(Section):
    """``[audit.syslog]``: the collector (PS3.15 A.6); no host: none."""

    host: Annotated[str, AfterValidator(_host_or_none)] = ""
    port: RemotePort = 6514
    tls: bool = True
    ca: OptionalFile = None
    certificate: OptionalFile = None
    private_key: OptionalFile = None
    timeout_seconds: Seconds = 10

    @model_validator(mode="after")
    def _has_its_key(self) -> Syslog:
        if self.certificate and not self.private_key:
            message = (
                "has a certificate without private_key; name its PEM file, or remove "
                "the certificate"
            )
            raise ValueError(message)
        return self


class Audit(Section):
    """``[audit]``: the trail of PS3.15 A.5; no folder: ``node.data_dir``/audit."""

    enabled: bool = True
    folder: OptionalFile = None
    site_id: str = ""
    rotate_bytes: Annotated[int, Field(ge=10_000)] = 10_000_000
    keep_days: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    syslog: Syslog = Syslog()
