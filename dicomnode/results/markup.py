"""HTML built from elements: a text is always escaped, only `Html` is not."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"img", "meta", "br", "hr"})


class Html(str):
    """Markup that is safe to put into a page as it is."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str) -> Html:
    """One element. ``class_`` is the attribute class, ``_`` becomes a hyphen."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Iterable[str]) -> Html:
    """Several pieces in a row, each escaped unless it is Html."""
    return Html(
        "".join(one if isinstance(one, Html) else escape(one) for one in children)
    )


def prose(text: str) -> Html:
    """Plain text in which `backticks` mark code."""
    parts = text.split("`")
    return join(
        element("code", part) if number % 2 else part
        for number, part in enumerate(parts)
    )
