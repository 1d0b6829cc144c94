"""Configuration to concrete classes, in one place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from dicomnode.bundles.shelf import Shelf
from dicomnode.config import Config, Pipeline
from dicomnode.domain.findings import Presence
from dicomnode.domain.instance import ROUTING_KEYWORDS
from dicomnode.domain.retention import Retention, RetentionRule
from dicomnode.domain.rules import Condition, Rule
from dicomnode.processes.service import SUPERVISOR_PID
from dicomnode.worklist import Worklist, check_pages, open_worklist, upgrade

SHIPPED_BUNDLES = Path(__file__).resolve().parents[2] / "model" / "bundles"
START_CHECK_SECONDS = 1.0
"""A start must not take longer with every study; reconcile has time for all of it."""


def worklist_url(config: Config) -> str:
    """The database's URL, the embedded SQLite by default."""
    return config.worklist_url


def prepare(config: Config, *, checked: bool = True) -> None:
    """Make the data folder; check, create or migrate the embedded database.

    The check finds damaged pages and takes START_CHECK_SECONDS at most; what it does
    not come to, reconcile does. Raises WorklistError.
    """
    config.node.data_dir.mkdir(parents=True, exist_ok=True)
    url = worklist_url(config)
    if not url.startswith("sqlite"):
        return
    # The supervisor has done it for its roles.
    if checked and SUPERVISOR_PID not in os.environ:
        check_pages(url, START_CHECK_SECONDS)
    upgrade(url)


@contextmanager
def opened_worklist(config: Config, *, checked: bool = True) -> Iterator[Worklist]:
    """The worklist; the embedded one is checked, created or migrated first."""
    prepare(config, checked=checked)
    worklist = open_worklist(worklist_url(config))
    try:
        yield worklist
    finally:
        worklist.close()


def rules(config: Config) -> list[Rule]:
    """The routing rules, in the order of the file."""
    return [rule_of(one) for one in config.pipeline]


def extra_keywords(config: Config) -> tuple[str, ...]:
    """What the rules ask of an instance beyond ROUTING_KEYWORDS."""
    asked = {keyword for one in config.pipeline for keyword in one.match}
    asked |= {keyword for one in config.retention.rule for keyword in one.match}
    return tuple(sorted(asked - set(ROUTING_KEYWORDS)))


def retention(config: Config) -> Retention:
    """How long files stay, with the rules in the order of the file."""
    rules = tuple(
        RetentionRule(cast(Mapping[str, Condition], one.match), one.keep_days)
        for one in config.retention.rule
    )
    return Retention(config.retention.keep_days, rules)


def rule_of(one: Pipeline) -> Rule:
    """What a pipeline wants, as a rule."""
    # The configuration has checked the shape of every condition.
    conditions = cast(Mapping[str, Condition], one.match)
    findings = {
        label: tuple(Presence(presence) for presence in admitted)
        for label, admitted in one.findings.items()
    }
    return Rule(one.name, conditions, one.priority, one.after, findings)


def bundle_shelf(config: Config) -> Shelf:
    """Where bundles lie: installed by the site, or shipped."""
    return Shelf(config.node.data_dir / "bundles", SHIPPED_BUNDLES)


def cache_folder(config: Config) -> Path:
    """What can be made again from the bundles: networks in the form of a runtime."""
    return config.node.data_dir / "cache"


def bundle_folder(config: Config, name: str, *, shadow: bool = False) -> Path:
    """The folder of the bundle in use; raises ConfigError."""
    return bundle_shelf(config).folder(name, shadow=shadow)
