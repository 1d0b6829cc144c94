"""A drained receiver: 0xA700 before anything is written, and back again."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnode.domain.instance import InstanceKey
from dicomnode.errors import StoreFull
from dicomnode.receiver.draining import LOOK_SECONDS, DrainingStore
from dicomnode.store import LocalStore

KEY = InstanceKey("1.2", "1.2.3", "1.2.3.4", "1.2.840.10008.5.1.4.1.1.2", "1.2.840")


class Pauses:
    """The one question that the receiver asks; it is counted."""

    def __init__(self) -> None:
        self.drained = False
        self.asked = 0

    def draining(self) -> bool:
        self.asked += 1
        return self.drained


def test_nothing_is_put_while_the_node_is_drained(tmp_path: Path) -> None:
    pauses, at = Pauses(), [0.0]
    store = DrainingStore(LocalStore(tmp_path, 100), pauses, lambda: at[0])  # type: ignore[arg-type]  # asks no more
    kept = store.put(KEY, [b"one"])
    store.put(KEY, [b"two"])
    assert pauses.asked == 1
    pauses.drained = True
    at[0] = LOOK_SECONDS
    with pytest.raises(StoreFull, match=r"drained.*dicomnode resume") as refused:
        store.put(KEY, [b"three"])
    assert refused.value.status == 0xA700
    assert len(list(store.locations())) == 2
    with store.open(kept.location) as file:
        assert file.read().endswith(b"one")
    pauses.drained = False
    at[0] = 2 * LOOK_SECONDS
    assert store.put(KEY, [b"three"]).n_bytes == 5
