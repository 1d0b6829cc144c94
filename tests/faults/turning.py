"""A modality before several receivers: it turns to another one until all is taken."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from dicomnode.demo.phantoms import Exposure, Order, digital_radiograph
from model.phantom import chest
from tests.faults.group import PORT, Group
from tests.faults.modality import AE_TITLE, Sample, acknowledged, saved
from tests.faults.roles import HANG_SECONDS

SIDE = 128


class Modality:
    """Sends the instances of a study to different receivers, until all are taken."""

    def __init__(self, found: Group, folder: Path, seed: int) -> None:
        self._receivers = [one.host.address for one in found.of("receive")]
        self._folder = folder
        self._rng = random.Random(seed)
        self.taken: list[Sample] = []
        self._turn = 0

    def studies(self, number: int) -> list[Sample]:
        """New radiographs, two for each study."""
        made: list[Sample] = []
        for _ in range(number):
            which, at = self._rng.randrange(10**9), datetime.now(UTC)
            order = Order(which, "PHANTOM^GROUP", "O", at)
            for one in (1, 2):
                pixels = chest(which % 8 + one, view="PA", rows=SIDE, columns=SIDE)
                ds = digital_radiograph(order, Exposure(pixels), one)
                made.append(saved(ds, self._folder / f"{ds.SOPInstanceUID}.dcm"))
        return made

    def send(self, samples: Sequence[Sample]) -> None:
        """Until each is answered with Success by one of the receivers."""
        waiting = list(samples)
        began = monotonic()
        while waiting := self.send_once(waiting):
            if monotonic() - began > HANG_SECONDS:
                raise TimeoutError(f"{len(waiting)} instances are not taken")

    def send_once(self, samples: Sequence[Sample]) -> list[Sample]:
        """Half to each receiver, by turns; those that were not taken.

        At once: one that is away costs the time until we know it, and only that.
        """
        self._turn += 1
        parts = [samples[(self._turn + number) % 2 :: 2] for number in (0, 1)]
        with ThreadPoolExecutor(len(self._receivers)) as pool:
            for taken in pool.map(_stored, self._receivers, parts):
                self.taken += taken
        return [one for one in samples if one not in self.taken]


def _stored(address: str, samples: Sequence[Sample]) -> list[Sample]:
    if not samples:
        return []
    argv = ["storescu", "-v", "-aet", AE_TITLE, "-aec", "DICOMNODE", "-to", "2"]
    argv += ["-td", "6", "-ta", "3", "-xe", "--no-halt", address, str(PORT)]
    argv += [str(one.path) for one in samples]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace")
    return acknowledged(done.stdout + done.stderr, list(samples))
