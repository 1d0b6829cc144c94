"""A series bundle, trained once for all tests of this folder."""

from __future__ import annotations

import pytest
import torch

from tests.series import ct


@pytest.fixture(scope="session")
def ct_bundle(tmp_path_factory):
    """Finds bright spheres in phantom CT series."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield ct.train(tmp_path_factory.mktemp("ct") / "ct-nodule")
    torch.set_num_threads(before)
