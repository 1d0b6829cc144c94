"""Codes as a site wants them, and what they mean in its language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from dicomnode.domain.findings import Code
from dicomnode.results.codes import PRIVATE_SCHEME, VIEWS
from dicomnode.results.quality_terms import QUALITY
from dicomnode.results.terms import CHEXPERT, DESIGNATORS, Term, names_in

CODE_SCHEMES = ("bundle", *DESIGNATORS, "private")
"""What ``results.code_scheme`` may be."""
_SH = 16
_OTHERS = {
    (VIEWS["PA"].scheme, VIEWS["PA"].value): names_in(
        "posterior-anterior", "postéro-antérieure", "posteroanterior", "后前位", "後前"
    ),
    (VIEWS["AP"].scheme, VIEWS["AP"].value): names_in(
        "anterior-posterior", "antéro-postérieure", "anteroposterior", "前后位", "前後"
    ),
    ("DCM", "111031"): names_in(
        "Aufnahmerichtung", "Incidence", "Proyección", "投照体位", "撮影方向"
    ),
    ("SCT", "373068000"): names_in(
        "unbestimmt", "indéterminé", "indeterminado", "不确定", "判定不能"
    ),
}


@cache
def _known() -> dict[tuple[str, str], Term]:
    return {(one.code.scheme, one.code.value): one for one in (*CHEXPERT, *QUALITY)}


def recoded(code: Code, scheme: str) -> Code:
    """``code`` as the site wants it: unchanged for ``bundle`` and for our own codes.

    The equivalent of a known finding, else a private code: a code of a scheme that the
    site may not use never stays.
    """
    if scheme == "bundle" or code.scheme.startswith("99"):
        return code
    term = _known().get((code.scheme, code.value))
    if term is not None:
        return term.in_scheme(scheme)
    if code.scheme == DESIGNATORS.get(scheme):
        return code
    return replace(code, value=_private_value(code), scheme=PRIVATE_SCHEME)


def meaning(code: Code, language: str) -> str:
    """What ``code`` means in ``language`` where that is known, else as it is."""
    names: Mapping[str, str] = _OTHERS.get((code.scheme, code.value), {})
    term = _known().get((code.scheme, code.value)) or _recoded_terms().get(
        (code.scheme, code.value)
    )
    if term is not None:
        names = term.names
    return names.get(language.partition("-")[0]) or code.meaning or code.value


@cache
def _recoded_terms() -> dict[tuple[str, str], Term]:
    return {
        (code.scheme, code.value): term
        for term in (*CHEXPERT, *QUALITY)
        for scheme in CODE_SCHEMES[1:]
        for code in (term.in_scheme(scheme),)
    }


def _private_value(code: Code) -> str:
    return f"{code.scheme}-{code.value}"[:_SH]
