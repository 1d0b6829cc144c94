"""How the node knows its own results again, so that it never analyses them.

A PACS that routes everything it stores sends our reports and heat maps back to us
(PS3.3 C.12.1 SOP Common Module: InstanceCreatorUID; C.7.5.1: Manufacturer).
"""

from __future__ import annotations

from collections.abc import Mapping

from dicomnode.domain.instance import AttributeValue

MANUFACTURER = "dicomnode"
"""Manufacturer (0008,0070) of every result unless the site names another."""

INSTANCE_CREATOR_UID = "2.25.57156786446873391929426894197084129440"
"""InstanceCreatorUID (0008,0014) of every result: the program, not the site."""


def is_own_result(attributes: Mapping[str, AttributeValue]) -> bool:
    """Whether an instance with these recorded attributes was made by this program.

    InstanceCreatorUID decides; Manufacturer catches archives that drop it.
    """
    return (
        _text(attributes, "InstanceCreatorUID") == INSTANCE_CREATOR_UID
        or _text(attributes, "Manufacturer").casefold() == MANUFACTURER
    )


def _text(attributes: Mapping[str, AttributeValue], keyword: str) -> str:
    value = attributes.get(keyword, "")
    first = value if isinstance(value, str) else next(iter(value), "")
    return first.strip(" \0")
