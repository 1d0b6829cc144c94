"""From what the parser found wrong to a line that says where, what, and the remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dicomnode.config.models import Config
from dicomnode.config.toml_lines import Path as KeyPath

_REMEDIES = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a table, {{ keyword = value }}",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number, without quotes",
    "float_type": "must be a number, without quotes",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number, without quotes",
    "int_parsing_size": "is far too large; write a smaller number",
    "literal_error": "must be {expected}",
    "missing": "is missing; add `{key} = ...`, see `dicomnode config example`",
    "value_error": "{error}",
    "int_type": "must be a whole number, without quotes",
    "model_type": "must be a table; write its keys below a [header]",
    "model_attributes_type": "must be a table; write its keys below a [header]",
    "path_type": "must be a path, in quotes",
    "string_type": "must be text, in quotes",
    "string_unicode": "must be text in UTF-8",
    "tuple_type": "must be a list, in [brackets]",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must name at least {min_length}",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; ``message`` goes on after the key at ``path``."""

    path: KeyPath
    message: str

    def text(self, origins: Mapping[KeyPath, str]) -> str:
        """One line for people: place, key, what is wrong and what to do."""
        return f"{_origin(self.path, origins)}{dotted(self.path)} {self.message}"


def dotted(path: KeyPath) -> str:
    """``("peer", 0, "hosts")`` as ``peer[1].hosts``; people count from one."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key + 1}]"
        else:
            text += f".{key}" if text else key
    return text or "configuration"


def _origin(path: KeyPath, origins: Mapping[KeyPath, str]) -> str:
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return f"{origins[path[:length]]}: "
    below = (origins[key] for key in origins if key[: len(path)] == path and path)
    return next((f"{origin}: " for origin in below), "")


def of_validation(error: ValidationError) -> Iterator[Problem]:
    """What pydantic found, in our words; never with the value, it may be a secret."""
    for detail in error.errors(include_url=False, include_input=False):
        path = tuple(key for key in detail["loc"] if key != "[key]")
        yield Problem(path, _message(path, detail))


def _message(path: KeyPath, detail: ErrorDetails) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown(path)
    pattern = _REMEDIES.get(kind, "is wrong: {msg}; see `dicomnode config example`")
    words = {"key": path[-1] if path else "", "msg": detail["msg"]}
    return pattern.format(**words, **detail.get("ctx", {}))


def _unknown(path: KeyPath) -> str:
    name, table = str(path[-1]), _model_at(path[:-1])
    known = list(table.model_fields)
    homes = [dotted(home) for home, keys in _sections() if name in keys]
    # A key that is known elsewhere must be very near to be a slip of the pen here.
    near = get_close_matches(name, known, n=1, cutoff=0.8 if homes else 0.6)
    if near:
        return f"is an unknown key; did you mean `{near[0]}`?"
    if homes:
        return f"is an unknown key here; `{name}` belongs to [{homes[0]}]"
    return f"is an unknown key; known here: {', '.join(known)}"


def _sections(
    model: type[BaseModel] = Config, path: KeyPath = ()
) -> Iterator[tuple[KeyPath, Sequence[str]]]:
    if path:
        yield path, list(model.model_fields)
    for name in model.model_fields:
        below = _model_at((name,), model)
        if below is not model:
            yield from _sections(below, (*path, name))


def _model_at(path: KeyPath, model: type[BaseModel] = Config) -> type[BaseModel]:
    """The model of the table at ``path``; indices of arrays are skipped."""
    for key in path:
        field = model.model_fields.get(str(key))
        annotation = field.annotation if field else None
        for candidate in (annotation, *get_args(annotation)):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                model = candidate
    return model


def of_references(tree: Mapping[str, object]) -> Iterator[Problem]:
    """Names used twice, and names of destinations and pipelines that nothing has."""
    yield from _of_followers(tree)
    yield from _of_retention(tree)
    for table, key in (("pipeline", "name"), ("destination", "name")):
        yield from _twice(table, key, _texts(tree, table, key))
    for table, key in (("peer", "ae_title"), ("account", "name")):
        yield from _twice(table, key, _texts(tree, table, key))
    known = set(_texts(tree, "destination", "name").values())
    only_read = {
        one.get("name")
        for one in _tables(tree, "destination")
        if one.get("retrieve") == "dicomweb" and not one.get("ae_title")
    }
    for index, pipeline in enumerate(_tables(tree, "pipeline")):
        for position, name in enumerate(_list(pipeline.get("destinations"))):
            if isinstance(name, str) and name not in known:
                path = ("pipeline", index, "destinations", position)
                yield Problem(path, _no_destination(name, sorted(known)))
            elif name in only_read:
                path = ("pipeline", index, "destinations", position)
                yield Problem(path, _ONLY_READ.format(name=name))


def _of_retention(tree: Mapping[str, object]) -> Iterator[Problem]:
    """Rules that decide nothing, because an earlier one takes all their studies."""
    retention = tree.get("retention")
    rules = _tables(retention if isinstance(retention, Mapping) else {}, "rule")
    before: list[object] = []
    for index, match in enumerate(one.get("match") for one in rules):
        for number, earlier in enumerate(before, start=1):
            if earlier in ({}, match):
                yield Problem(("retention", "rule", index), _unreached(number))
                break
        before.append(match)


def _unreached(number: int) -> str:
    return (
        f"is never reached: rule {number} takes every study that it could, and the "
        f"first one that matches decides; move it before rule {number}, or remove it"
    )


def _of_followers(tree: Mapping[str, object]) -> Iterator[Problem]:
    names = _texts(tree, "pipeline", "name")
    followed = _texts(tree, "pipeline", "after")
    before = {names[index]: followed[index] for index in followed if index in names}
    for index, name in followed.items():
        path = ("pipeline", index, "after")
        if name and name not in names.values():
            yield Problem(path, _no_pipeline(name, sorted(set(names.values()))))
        elif name and names.get(index) in (chain := _chain(name, before)):
            yield Problem(path, _circle([*chain, name]))


def _circle(names: Sequence[str]) -> str:
    return (
        f"waits for itself ({' after '.join(names)}), so no job would ever start; "
        'set after = "" in one of them'
    )


def _chain(name: str, before: Mapping[str, str]) -> list[str]:
    """``name``, the pipeline that it comes after, and so on, each once."""
    chain: list[str] = []
    while name and name not in chain:
        chain.append(name)
        name = before.get(name, "")
    return chain


def _no_pipeline(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? else add" if near else "add"
    return f"names {name!r}, which no [[pipeline]] has; {hint} one of that name"


_ONLY_READ = (
    "names {name!r}, which is only read by DICOMweb; give it ae_title, host and port, "
    "or name another destination"
)


def _no_destination(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? else add" if near else "add"
    return f"names {name!r}, which no [[destination]] defines; {hint} one of that name"


def _twice(table: str, key: str, values: Mapping[int, str]) -> Iterator[Problem]:
    counts = Counter(values.values())
    seen: set[str] = set()
    for index, value in values.items():
        if counts[value] > 1 and value in seen:
            message = f"{value!r} is used twice; give each [[{table}]] its own"
            yield Problem((table, index, key), message)
        seen.add(value)


def _texts(tree: Mapping[str, object], table: str, key: str) -> dict[int, str]:
    values = ((index, one.get(key)) for index, one in enumerate(_tables(tree, table)))
    return {index: text.strip() for index, text in values if isinstance(text, str)}


def _tables(tree: Mapping[str, object], name: str) -> Iterable[Mapping[str, object]]:
    return [one if isinstance(one, Mapping) else {} for one in _list(tree.get(name))]


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()
