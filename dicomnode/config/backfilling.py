"""The table of what an archive's history may take."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dicomnode.config.section import Section
from dicomnode.config.values import Count, Seconds


class Backfill(Section):
    """``[backfill]``: how much of an archive's history is under way at once."""

    studies_in_flight: Count = 8
    max_waiting_jobs: Count = 100
    watermark_margin_percent: Annotated[float, Field(ge=0, lt=100)] = 5
    move_timeout_seconds: Seconds = 600
    retry_seconds: Annotated[tuple[Seconds, ...], Field(min_length=1)] = (10, 60, 300)
