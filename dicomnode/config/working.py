"""The table of the inference process."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dicomnode.config.section import Section
from dicomnode.config.values import (
    Count,
    Device,
    Seconds,
)

LEAST_DECODE_BYTES = 1 << 28


class Worker(Section):
    """``[worker]``: the inference process."""

    device: Device = "auto"
    devices: tuple[Device, ...] = ()
    processes: Count = 1
    batch_size: Count = 16
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    runner: Literal["torch", "onnxruntime", "openvino", "auto"] = "torch"
    threads: Annotated[int, Field(ge=0)] = 0
    lease_seconds: Seconds = 120
    heartbeat_seconds: Seconds = 20
    poll_seconds: Seconds = 1
    retry_seconds: tuple[Seconds, ...] = (10, 60, 300)
    max_attempts: Count = 4
    timeout_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 600
    concurrent_jobs: Count = 4
    series_jobs: Count = 3
    batch_wait_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5
    decoders: Annotated[int, Field(ge=0)] = 0
    decode_timeout_seconds: Seconds = 60
    decode_memory_bytes: Annotated[int, Field(ge=LEAST_DECODE_BYTES)] = 1 << 30
    max_pixels: Count = 1 << 28

    @model_validator(mode="after")
    def _beats_in_time(self) -> Worker:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            message = (
                "heartbeat_seconds must be at most half of lease_seconds, or one late "
                f"heartbeat loses the job; set it to {self.lease_seconds / 4:g}"
            )
            raise ValueError(message)
        return self
