"""The JSON Schema says what the models say, in the words of the manual."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator

import jsonschema
import pytest

from dicomnode.config import example_text
from dicomnode.config.schema import schema


@pytest.fixture(scope="module")
def made() -> dict:
    return schema()


@pytest.fixture
def manual() -> dict:
    return tomllib.loads(example_text())


def mistakes(made: dict, tree: dict) -> list[str]:
    validator = jsonschema.Draft202012Validator(made)
    return [".".join(map(str, one.path)) for one in validator.iter_errors(tree)]


def test_it_is_a_schema_and_the_manual_fits_it(made, manual):
    jsonschema.Draft202012Validator.check_schema(made)
    assert mistakes(made, manual) == []


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("receiver", "port", 70000),
        ("receiver", "port", "11112"),
        ("web", "anonymous", "root"),
        ("worker", "batch_size", 0),
        ("store", "watermark_percent", 101),
        ("node", "ae_titel", "X"),
    ],
)
def test_a_mistake_is_found(made, manual, table, key, value):
    wrong = copy.deepcopy(manual)
    wrong[table][key] = value
    assert mistakes(made, wrong)


def test_a_pipeline_without_a_bundle_is_a_mistake(made, manual):
    del manual["pipeline"][0]["bundle"]
    assert mistakes(made, manual) == ["pipeline.0"]


def keys(tree: dict) -> Iterator[tuple[dict, str]]:
    for node in tree["$defs"].values():
        for key in node.get("properties", {}):
            yield node["properties"][key], key


def test_every_key_that_the_manual_explains_is_explained(made):
    silent = [
        key
        for node, key in keys(made)
        if "description" not in node and "$ref" not in node
    ]
    # The tables of an account and of a rule are shown as comments only.
    expected = "keep_days match name phi role rule secret"
    assert sorted(silent) == expected.split()
    words = made["$defs"]["Receiver"]["properties"]["port"]["description"]
    assert words.startswith("TCP port for DICOM, 0 to 65535;")
    assert words.endswith("Default 11112.")
