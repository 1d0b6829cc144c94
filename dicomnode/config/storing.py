"""The table of where instances and results lie."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from dicomnode.config.section import Section
from dicomnode.config.values import OptionalFile, Percent, Seconds, StoreUrl, server_url


class Store(Section):
    """``[store]``: instances and results; empty means ``node.data_dir``."""

    url: StoreUrl = ""
    results_url: StoreUrl = ""
    watermark_percent: Percent = 90
    endpoint: Annotated[str, AfterValidator(server_url)] = ""
    region: str = ""
    ca: OptionalFile = None
    timeout_seconds: Seconds = 20
    cache_bytes: Annotated[int, Field(ge=0)] = 268435456
    spool: bool = False

    @property
    def is_remote(self) -> bool:
        """Whether instances lie in an object store."""
        return self.url.startswith("s3://")

    @model_validator(mode="after")
    def _spools_to_somewhere(self) -> Store:
        if self.spool and not self.is_remote:
            message = (
                "has spool = true and no object store to hand over to; set url to "
                "s3://bucket/prefix, or remove spool"
            )
            raise ValueError(message)
        return self
