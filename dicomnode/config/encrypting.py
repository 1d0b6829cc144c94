"""The keys of whoever we call with TLS: what we trust there, and what we show."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from dicomnode.config.section import Section
from dicomnode.config.values import OptionalFile, OptionalHost


class Called(Section):
    """A table with the ``tls`` keys of a host that we open associations with."""

    tls: bool = False
    tls_ca: OptionalFile = None
    tls_certificate: OptionalFile = None
    tls_private_key: OptionalFile = None
    tls_server_name: OptionalHost = ""

    @model_validator(mode="after")
    def _shows_a_whole_identity(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_private_key):
            message = (
                "has one of tls_certificate and tls_private_key; name both PEM files, "
                "or neither"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _encrypts_when_told_how(self) -> Self:
        files = (self.tls_ca, self.tls_certificate, self.tls_server_name)
        if any(files) and not self.tls:
            message = (
                "names what TLS needs and does not use TLS, so what we send would go "
                "in the clear; set tls = true, or remove the other tls_ keys"
            )
            raise ValueError(message)
        return self
