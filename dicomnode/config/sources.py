"""Where values come from: TOML, credentials directory, environment, command line.

Each source gives one tree of tables and says of every value where it was written.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from dicomnode.config import toml_lines
from dicomnode.config.toml_lines import Path as KeyPath
from dicomnode.errors import ConfigError

ENVIRONMENT_PREFIX = "DICOMNODE_"
FILE_VARIABLE = "DICOMNODE_CONFIG"
SYSTEM_FILE = Path("/etc/dicomnode/config.toml")
DEFAULT_CREDENTIALS = Path("/run/secrets")
_LARGEST_FILE_BYTES = 1_000_000

_NAMED_DEPTH = 3
"""A table of an array by its name: ``destination``, its name, its key."""

Tree = dict[str, object]


@dataclass(frozen=True, slots=True)
class Source:
    """A tree of values; ``origins`` maps the path of a key to where it was written."""

    tree: Tree = field(default_factory=dict)
    origins: Mapping[KeyPath, str] = field(default_factory=dict)


def find_file(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file; None when there is none and nobody named one."""
    if given is not None:
        return given
    if environ.get(FILE_VARIABLE):
        return Path(environ[FILE_VARIABLE])
    candidates = (Path("config.toml"), SYSTEM_FILE)
    return next((path for path in candidates if path.is_file()), None)


def from_file(path: Path) -> Source:
    """A TOML file; raises ConfigError when it cannot be read or is no TOML."""
    text = _read(path)
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(_syntax(path, str(error) or "nested too deeply")) from None
    lines = toml_lines.lines_of(text)
    return Source(tree, {key: f"{path}:{line}" for key, line in lines.items()})


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE_BYTES + 1)
    except FileNotFoundError:
        message = f"{path}: no such file; `dicomnode init --config {path}` writes one"
        raise ConfigError(message) from None
    except OSError as error:
        message = f"{path}: {error.strerror}; name a readable file with --config"
        raise ConfigError(message) from None
    if len(content) > _LARGEST_FILE_BYTES:
        raise ConfigError(f"{path}: too large for a configuration; name another file")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        message = f"{path}:{line}: not UTF-8; save the file in that encoding"
        raise ConfigError(message) from None


def _syntax(path: Path, detail: str) -> str:
    place = re.search(r" \(at line (\d+), column (\d+)\)", detail)
    line = f":{place[1]}:{place[2]}" if place else ""
    what = detail.replace(place[0], "") if place else detail.partition("\n")[0]
    return (
        f"{path}{line}: not valid TOML: {what}; correct the line, "
        "`dicomnode config example` shows how each key is written"
    )


def from_environment(environ: Mapping[str, str], tables: Iterable[str]) -> Source:
    """``DICOMNODE_SECTION__KEY``, and ``DICOMNODE_SECTION`` for whole tables."""
    known = set(tables)
    given = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): (name, text)
        for name, text in sorted(environ.items())
        if name.startswith(ENVIRONMENT_PREFIX)
    }
    return _from_names(
        {
            key: (f"environment {name}", text)
            for key, (name, text) in given.items()
            if "__" in key or key in known
        }
    )


def from_credentials(environ: Mapping[str, str], tables: Iterable[str]) -> Source:
    """Files such as ``database__url`` in ``$CREDENTIALS_DIRECTORY`` or /run/secrets.

    Files that name no table of ours belong to others and are left alone.
    """
    folder = Path(environ.get("CREDENTIALS_DIRECTORY") or DEFAULT_CREDENTIALS)
    known = set(tables)
    try:
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        return _from_names(
            {
                path.name.lower(): (f"credential {path}", _secret(path))
                for path in paths
                if path.name.lower().split("__")[0] in known and "__" in path.name
            }
        )
    except OSError as error:
        message = f"credential {error.filename}: {error.strerror}; let us read it"
        raise ConfigError(message) from None


def _secret(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").rstrip("\r\n")


def from_overrides(overrides: Mapping[str, object]) -> Source:
    """Values of the command line, by dotted key such as ``receiver.port``."""
    return _from_names(
        {
            key.replace(".", "__"): ("command line", value)
            for key, value in overrides.items()
        }
    )


def _from_names(values: Mapping[str, tuple[str, object]]) -> Source:
    tree: Tree = {}
    origins: dict[KeyPath, str] = {}
    for name, (origin, value) in values.items():
        path = tuple(name.split("__"))
        _place(tree, path, _value(value))
        origins[path] = origin
    return Source(tree, origins)


def _place(tree: MutableMapping[str, object], path: KeyPath, value: object) -> None:
    *tables, last = map(str, path)
    for table in tables:
        below = tree.get(table)
        if not isinstance(below, dict):
            below = tree[table] = {}
        tree = below
    tree[last] = value


def _value(value: object) -> object:
    """Lists and tables are written as in the file; any other text stands for itself."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return tomllib.loads(f"value = {value.strip()}")["value"]
    except (ValueError, RecursionError):
        return value


def merge(sources: Iterable[Source]) -> Source:
    """One tree of all ``sources``; a later one wins, a list replaces a list."""
    tree: Tree = {}
    origins: dict[KeyPath, str] = {}
    for given in sources:
        source = _addressed(given, tree)
        for path, origin in source.origins.items():
            if isinstance(_at(source.tree, path), list):
                _forget_below(origins, path)
            origins[path] = origin
        _overlay(tree, source.tree)
    return Source(tree, origins)


def _addressed(source: Source, tree: Mapping[str, object]) -> Source:
    """With values for a table that has a name, as ``destination__pacs__port``, there.

    Raises ConfigError when no table of the array has that name.
    """
    if not any(_array(tree, path) for path in source.origins):
        return source
    overlay: Tree = dict(source.tree)
    origins: dict[KeyPath, str] = {}
    for path, origin in source.origins.items():
        if not (tables := _array(tree, path)):
            origins[path] = origin
            continue
        name = str(path[0])
        if not isinstance(overlay[name], list):
            overlay[name] = [dict(one) for one in tables]
        index = _named(tables, path, origin)
        overlay[name][index][str(path[2])] = _at(source.tree, path)  # type: ignore[index]
        origins[(name, index, str(path[2]))] = origin
    return Source(overlay, origins)


def _array(tree: Mapping[str, object], path: KeyPath) -> list[dict[str, object]]:
    """The tables among which ``path`` names one; empty if it does not."""
    found = tree.get(str(path[0])) if len(path) == _NAMED_DEPTH else None
    is_array = isinstance(found, list) and all(isinstance(x, Mapping) for x in found)
    return found if is_array else []  # type: ignore[return-value]


def _named(tables: Iterable[Mapping[str, object]], path: KeyPath, origin: str) -> int:
    """Which table has this name; names of variables and of files have no case."""
    names = [str(one.get("name", "")) for one in tables]
    found = [n for n, name in enumerate(names) if name.lower() == path[1]]
    if len(found) == 1:
        return found[0]
    message = (
        f"{origin}: no [[{path[0]}]] has the name {path[1]!r}, or several have; name "
        f"one of {', '.join(names)}, or add it"
    )
    raise ConfigError(message)


def _overlay(below: MutableMapping[str, object], above: Mapping[str, object]) -> None:
    for key, value in above.items():
        if not isinstance(value, Mapping):
            below[key] = value
            continue
        present = below.get(key)
        table = present if isinstance(present, dict) else {}
        _overlay(table, value)
        below[key] = table


def _at(tree: object, path: KeyPath) -> object:
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _forget_below(origins: MutableMapping[KeyPath, str], path: KeyPath) -> None:
    for key in [key for key in origins if key[: len(path)] == path]:
        del origins[key]
