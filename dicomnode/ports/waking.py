"""What ends a wait before its time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

JOB_KINDS = frozenset(
    {
        "job schedule", "job retry", "job release", "job rerun", "job lose lease",
        "study release", "node resume",
    }
)  # fmt: skip
"""Events after which a worker may find a job."""

DELIVERY_KINDS = frozenset(
    {
        "delivery schedule", "delivery retry", "delivery resend", "delivery redirect",
        "delivery fall back",
    }
)  # fmt: skip
"""Events after which there may be something to deliver."""

ENDED_KINDS = frozenset({"job finish"})
"""Events after which a pipeline may follow another."""

SENT_KINDS = frozenset({"delivery send"})
"""Events after which a destination may be asked whether it keeps a result."""

STUDY_KINDS = frozenset(
    {"study force complete", "study reroute", "study release", "job finish"}
)
"""Events after which there may be something to complete or to route."""


class WakeUps(Protocol):
    """Tells that something was committed; not promised, so polling stays."""

    def subscribe(
        self, kinds: Collection[str], ring: Callable[[], None]
    ) -> Callable[[], None]:
        """Call ``ring``, which only sets a flag, after events of these kinds.

        No kinds: after any event. What it returns ends the subscription.
        """
        ...
