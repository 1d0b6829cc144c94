"""Finding, merging and checking: from four sources to one Config, or all problems."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from dicomnode.config import problems, sources
from dicomnode.config.models import Config
from dicomnode.config.toml_lines import Path as KeyPath
from dicomnode.errors import ConfigError


def load(
    path: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """The configuration, checked; raises ConfigError that lists every problem.

    File: ``path``, else ``$DICOMNODE_CONFIG``, ``./config.toml``,
    ``/etc/dicomnode/config.toml``, else defaults. Values: ``overrides`` (by dotted key)
    win over ``DICOMNODE_SECTION__KEY`` of ``environ`` (default: the process's), then
    credentials, then the file.
    """
    environ = os.environ if environ is None else environ
    file = sources.find_file(path, environ)
    tables = Config.model_fields
    try:
        merged = sources.merge(
            [
                sources.from_file(file) if file else sources.Source(),
                sources.from_credentials(environ, tables),
                sources.from_environment(environ, tables),
                sources.from_overrides(overrides or {}),
            ]
        )
    except RecursionError:
        message = f"{file}: nested too deeply; no key lies deeper than four tables"
        raise ConfigError(message) from None
    return _checked(merged, file)


def _checked(source: sources.Source, file: Path | None) -> Config:
    folder = (file.parent if file else Path()).resolve()
    tree = {"node": {}, **source.tree}
    found = list(problems.of_references(tree))
    try:
        config = Config.model_validate(tree, context={"folder": folder})
    except ValidationError as error:
        found = [*problems.of_validation(error), *found]
    if found:
        raise ConfigError(_listing(found, source.origins))
    config._origins.update(_by_dotted_key(source.origins))  # noqa: SLF001  # ours
    config._file = file.resolve() if file else None  # noqa: SLF001  # ours
    return config


def _listing(found: Iterable[problems.Problem], origins: Mapping[KeyPath, str]) -> str:
    return "\n".join(dict.fromkeys(problem.text(origins) for problem in found))


def _by_dotted_key(origins: Mapping[KeyPath, str]) -> dict[str, str]:
    return {problems.dotted(path): origin for path, origin in origins.items()}


def origin(config: Config) -> dict[str, str]:
    """Where each value came from, by dotted key; a key not named here is a default.

    A file's value as ``path:line``, others as ``environment NAME``, ``credential PATH``
    or ``command line``.
    """
    return dict(config._origins)  # noqa: SLF001  # ours


def example_text() -> str:
    """config.toml, the manual: every key with its meaning and default."""
    package = Path(__file__).resolve().parents[1]
    # The wheel holds a copy; in a checkout the file lies at the root.
    installed, checkout = package / "config.toml", package.parent / "config.toml"
    path = installed if installed.is_file() else checkout
    return path.read_text(encoding="utf-8")
