"""All tables by name, in the order of the statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from dicomnode.config import Config
from dicomnode.conformance import network, objects, settings, statuses

Table = Callable[[Config], str]


def _attributes(kind: str, config: Config) -> str:
    del config
    return objects.attributes(kind)


_TABLES: Mapping[str, Table] = MappingProxyType(
    {
        "product": network.product,
        "content-and-transfer": network.content_and_transfer,
        "root-templates": objects.root_templates,
        "dimse-services": network.dimse_services,
        "languages": objects.languages,
        "application-entities": network.entities,
        "parameters": settings.parameters,
        "associations": network.associations,
        "proposed-contexts": network.proposed_contexts,
        "accepted-contexts": network.accepted_contexts,
        "rejections": network.rejections,
        "transfer-syntaxes": network.syntaxes,
        "statuses-given": statuses.given,
        "statuses-taken": statuses.taken,
        "commitment-failures": statuses.commitment,
        "tcp-ports": network.ports,
        "cipher-suites": settings.suites,
        "audit-events": settings.audit_events,
        "attributes-sr": partial(_attributes, "sr"),
        "attributes-sr-text": partial(_attributes, "sr-text"),
        "attributes-sc": partial(_attributes, "sc"),
        "attributes-gsps": partial(_attributes, "gsps"),
        "sr-templates": objects.templates,
        "coding-schemes": objects.coding_schemes,
        "concepts": objects.concepts,
        "findings": objects.findings,
    }
)
NAMES = tuple(_TABLES)


def tables(config: Config) -> dict[str, str]:
    """Name to Markdown, with the values of ``config``."""
    return {name: made(config) for name, made in _TABLES.items()}
