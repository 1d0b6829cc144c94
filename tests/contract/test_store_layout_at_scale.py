"""The store's folders stay small with a hundred thousand studies."""

from __future__ import annotations

from collections import Counter

from dicomnode.store import layout
from tests.bench.worklist.filling import study_uid

N_STUDIES = 100_000


def test_no_folder_grows_with_the_number_of_studies():
    shards = Counter(
        layout.folder(study_uid(number)).split("/")[0] for number in range(N_STUDIES)
    )
    # 256 shards of about 390 studies; a study's own folder holds its instances only.
    assert len(shards) == 256
    assert max(shards.values()) < 2 * N_STUDIES / 256
