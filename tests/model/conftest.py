"""A small trained run and its bundle, made once for all tests of this folder."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch

import model
from model.evaluate import pack
from model.train import train
from model.train.config import parse_recipe

RECIPES = Path(model.__file__).parent / "recipes"


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The cores are shared; equal numbers need an equal number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_recipe(**optimiser):
    """cxr-qc on a few phantoms, small enough for seconds."""
    table = tomllib.loads((RECIPES / "cxr-qc.toml").read_text("utf-8"))
    table["threads"] = 1
    table["balance"] = {"phantom/view-PA": 1, "phantom/view-AP": 1}
    table["data"] |= {
        "sources": ["phantom"],
        "n_phantoms": 12,
        "n_phantoms_val": 6,
        "side": 48,
    }
    table["train_preset"] = {"size": 32}
    table["eval_preset"] = {"size": 32, "border": 0.06}
    table["optimiser"] = {
        "steps": 8,
        "batch": 8,
        "warmup_steps": 2,
        "log_steps": 1,
        "checkpoint_steps": 3,
    } | optimiser
    return parse_recipe(table)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run folder of eight steps."""
    run = tmp_path_factory.mktemp("run")
    train(small_recipe(), run, run)
    return run


@pytest.fixture(scope="session")
def packed(trained, tmp_path_factory):
    """The bundle of that run, and its evaluation."""
    folder = tmp_path_factory.mktemp("bundles") / "small"
    spec = RECIPES / "cxr-qc.bundle.toml"
    _, evaluation = pack(trained, trained, spec, folder, draws=20)
    return folder, evaluation
