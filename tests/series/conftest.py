"""Series bundles, each trained once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from tests.series import ct, mr


@pytest.fixture(scope="session")
def ct_bundle(tmp_path_factory):
    """Finds bright spheres in phantom CT series."""
    with _one_thread():
        yield ct.train(tmp_path_factory.mktemp("ct") / "ct-nodule")


@pytest.fixture(scope="session")
def mr_bundle(tmp_path_factory):
    """Finds bright spheres in phantom MR series that are FLAIR."""
    series = {
        "windows": [],
        "percentiles": mr.PERCENTILES,
        "match": mr.MATCH,
        "exclude": {"SeriesDescription": "*POST*"},
    }
    folder = tmp_path_factory.mktemp("mr") / "mr-nodule"
    with _one_thread():
        yield ct.train(folder, "mr-nodule", mr.stack_of, "MR", **series)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
