"""The language of the pages: English is the key, the others are tables beside it."""

from __future__ import annotations

from fastapi import Request

from dicomnode.web.wording import CATALOGUES

LANGUAGES = {"en": "English", **{code: one.name for code, one in CATALOGUES.items()}}
"""Code (RFC 5646) -> what its speakers call it."""


def said(language: str, english: str) -> str:
    """``english`` in ``language``; as it is where no one has translated it."""
    catalogue = CATALOGUES.get(language)
    return catalogue.phrases.get(english, english) if catalogue else english


def chosen(request: Request) -> str:
    """What the reader has chosen, else the first of the browser's that we speak."""
    wish = str(request.session.get("language", ""))
    if wish in LANGUAGES:
        return wish
    for part in request.headers.get("Accept-Language", "").split(","):
        code = part.partition(";")[0].strip().partition("-")[0].lower()
        if code in LANGUAGES:
            return code
    return "en"
