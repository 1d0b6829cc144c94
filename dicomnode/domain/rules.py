"""Declarative routing: which pipelines want a study, and which of its instances.

A condition is a DICOM keyword and what its value must be: a text, a list of texts (any
of them), ``{not = ...}`` or ``{min = ..., max = ...}``. Texts compare without regard to
case and may hold ``*`` and ``?``. All conditions of a rule must hold for one and the
same instance. A multi-valued attribute matches when any of its values does. An absent
attribute matches only ``{not = ...}``. There is no expression language on purpose.

A rule that comes ``after`` another pipeline waits for its job, and may ask for what
that job has found: quality control decides whether a classifier is worth running.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from dicomnode.domain.findings import Presence
from dicomnode.domain.instance import Attributes, Instance

Condition = str | int | float | Sequence[str | int | float] | Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Rule:
    """What one pipeline wants.

    ``after`` names the pipeline to wait for, empty: none. ``findings`` are the labels
    of that pipeline, each with the presences that admit the study.
    """

    pipeline: str
    conditions: Mapping[str, Condition]
    priority: int = 0
    after: str = ""
    findings: Mapping[str, Sequence[Presence]] = field(default_factory=dict)


def match(instances: Iterable[Instance], rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The rules that at least one of ``instances`` satisfies, in their own order."""
    known = tuple(instances)
    return tuple(rule for rule in rules if any(selects(rule, one) for one in known))


def selects(rule: Rule, instance: Instance) -> bool:
    """Whether every condition of ``rule`` holds for ``instance``."""
    return fits(rule.conditions, instance)


def fits(conditions: Mapping[str, Condition], instance: Instance) -> bool:
    """Whether all ``conditions`` hold for ``instance``."""
    return all(
        holds(condition, _values(instance.attributes, keyword))
        for keyword, condition in conditions.items()
    )


def holds(condition: Condition, values: tuple[str, ...]) -> bool:
    """Whether an attribute with ``values`` (none: absent) fulfils ``condition``."""
    if isinstance(condition, Mapping):
        return _terms_hold(condition, values)
    if isinstance(condition, str | int | float):
        return any(_alike(str(condition), value) for value in values)
    return any(holds(alternative, values) for alternative in condition)


def _terms_hold(terms: Mapping[str, object], values: tuple[str, ...]) -> bool:
    unwanted = terms.get("not")
    if unwanted is not None and holds(unwanted, values):  # type: ignore[arg-type]  # checked by config
        return False
    if "min" not in terms and "max" not in terms:
        return True
    lowest = float(str(terms.get("min", "-inf")))
    highest = float(str(terms.get("max", "inf")))
    return any(lowest <= number <= highest for number in _numbers(values))


def _values(attributes: Attributes, keyword: str) -> tuple[str, ...]:
    value = attributes.get(keyword, ())
    return (value,) if isinstance(value, str) else tuple(value)


def _alike(pattern: str, value: str) -> bool:
    # fnmatch would read [...] as a set of characters; rules know only * and ?.
    literal = pattern.strip().upper().replace("[", "[[]")
    return fnmatchcase(value.strip().upper(), literal)


def _numbers(values: Iterable[str]) -> Iterable[float]:
    for value in values:
        try:
            yield float(value)
        except ValueError:
            continue
