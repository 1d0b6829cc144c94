"""Whatever a file holds, loading gives a Config or a ConfigError."""

from __future__ import annotations

import json
import tempfile
import tomllib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dicomnode import config
from dicomnode.config.toml_lines import lines_of
from dicomnode.config.values import ae_title
from dicomnode.errors import ConfigError

NOWHERE = {"CREDENTIALS_DIRECTORY": "/nonexistent"}

names = st.sampled_from(
    [
        *config.Config.model_fields,
        *config.Receiver.model_fields,
        *config.Pipeline.model_fields,
        *config.Destination.model_fields,
        "unknown",
        "not",
        "min",
        "Modality",
    ]
)
scalars = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=20)
)
values = st.recursive(
    scalars,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(names, below, max_size=3)
    ),
    max_leaves=12,
)


def toml(value: object) -> str:
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {toml(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def load(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        path.write_bytes(content)
        try:
            config.load(path, environ=NOWHERE)
        except ConfigError as error:
            assert str(error).strip()  # noqa: PT017 - nothing raised is fine too


@given(st.dictionaries(names, values, max_size=5))
@settings(max_examples=150, deadline=None)
def test_any_tables(tree: dict[str, object]) -> None:
    text = "\n".join(
        f"{json.dumps(key)} = {toml(value)}" for key, value in tree.items()
    )
    tomllib.loads(text)  # the generator must make TOML, or nothing is tested
    load(text.encode())


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_any_bytes(content: bytes) -> None:
    load(content)


@given(st.dictionaries(names, values, max_size=4), st.dictionaries(names, values))
@settings(max_examples=50, deadline=None)
def test_every_top_level_key_has_its_line(
    first: dict[str, object], second: dict[str, object]
) -> None:
    top = [f"{json.dumps(key)} = {toml(value)}" for key, value in first.items()]
    below = [f"{json.dumps(key)} = {toml(value)}" for key, value in second.items()]
    text = "\n".join([*top, "", "# comment [x]", "[table.inner]", *below])
    lines = lines_of(text)
    for number, key in enumerate(first, start=1):
        assert lines[key,] == number
    for number, key in enumerate(second, start=len(first) + 4):
        assert lines["table", "inner", key] == number


def test_lines_of_values_over_several_lines() -> None:
    text = (
        'a = """\n[not.a.table]\n"""\n'
        "b = [\n  1, # one\n  2,\n]\n"
        "[[t]]\nx = 1\n[[t]]\nx = 2\n[t.u]\ny = 3\n"
        "c.d = { e = 1 }\n"
    )
    lines = lines_of(text)
    assert lines["a",] == 1
    assert lines["b",] == 4
    assert lines["b", 1] == 4
    assert lines["t", 0, "x"] == 9
    assert lines["t", 1, "x"] == 11
    assert lines["t", 1, "u", "y"] == 13
    assert lines["t", 1, "u", "c", "d", "e"] == 14


def test_bottomless_nesting_is_refused() -> None:
    load(b"a = " + b"[" * 5000 + b"]" * 5000)
    load(b".".join([b"a"] * 5000) + b" = 1")
    load(b"a = " + b"9" * 5000)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20))
@settings(deadline=None)
def test_an_ae_title_is_16_significant_characters(text: str) -> None:
    try:
        title = ae_title(text)
    except ValueError:
        stripped = text.strip(" ")
        assert not stripped or len(stripped) > 16 or "\\" in stripped
    else:
        assert title == text.strip(" ")
        assert 1 <= len(title) <= 16
