"""What the configuration can say and this version cannot do: refused, never ignored.

The public keys are fixed earlier than all of the program behind them. Someone who asks
for encryption must not get a node without it.
"""

from __future__ import annotations

from collections.abc import Iterator

from dicomnode.config.models import Config
from dicomnode.config.problems import Problem


def of_unbuilt(config: Config) -> Iterator[Problem]:
    """One problem for each wish that this version would not fulfil."""
    if config.receiver.tls.enabled:
        message = (
            "is not in this version; end TLS in a proxy such as stunnel before "
            'receiver.host = "127.0.0.1", and set enabled = false'
        )
        yield Problem(("receiver", "tls", "enabled"), message)
