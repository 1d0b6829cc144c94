"""The manifest: what is written is what is read, and old tables stay as they were."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data import manifest
from model.data.manifest import ManifestError, Row
from tests.model.test_data import row

TEXT = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=12)
NAME = TEXT.filter(lambda name: name and not set(name) & set(";="))
NAMES = st.frozensets(NAME, max_size=3)
VALUE = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))
ROWS = st.builds(
    Row,
    **dict.fromkeys(("path", "patient", "study", "view", "split", "source"), TEXT),
    sha256=TEXT,
    labels=st.dictionaries(NAME, VALUE, max_size=3),
    mask=NAMES,
    weight=st.floats(0, 10),
    sex=TEXT,
    age_years=TEXT,
    manufacturer=TEXT,
    uncertain=NAMES,
    blank=NAMES,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all examples: each overwrites the table of the one before."""
    return tmp_path_factory.mktemp("manifests")


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, max_size=3))
def test_every_table_survives_writing_and_reading(folder, rows):
    path = folder / "m.csv"
    manifest.write(path, rows)
    again = manifest.read(path)
    assert again == rows
    assert manifest.digest(again) == manifest.digest(rows)


def test_a_table_without_extras_is_written_as_it_always_was():
    """Its sha256 is in bundles that are out there."""
    assert manifest.to_csv([row(1), row(2, labels={}, weight=0.5)]) == (
        "path,patient,study,view,labels,split,source,sha256,mask,weight\n"
        f"1.png,p1,s1,PA,view-AP=0;view-PA=1,train,home,{1:064x},,1\n"
        f"2.png,p2,s2,PA,,train,home,{2:064x},,0.5\n"
    )


def test_extras_are_columns_only_when_a_row_has_them(tmp_path):
    rows = [row(1), row(2, sex="F", uncertain=frozenset({"Edema"}))]
    text = manifest.to_csv(rows)
    assert text.splitlines()[0].endswith(",weight,sex,uncertain")
    (tmp_path / "m.csv").write_text(text, "utf-8")
    assert manifest.read(tmp_path / "m.csv") == rows


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"labels": {"a=b": 1.0}}, "give it another name"),
        ({"blank": frozenset({"a;b"})}, "give it another name"),
        ({"path": "a\nb.png"}, "rename it without one"),
    ],
)
def test_what_a_table_cannot_hold_is_refused(more, said):
    with pytest.raises(ManifestError, match=said):
        manifest.to_csv([row(1, **more)])


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(ManifestError, match="give an existing manifest"):
        manifest.read(tmp_path / "m.csv")
