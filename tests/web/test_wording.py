"""Every phrase of the pages is there in every language, and the reader's is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dicomnode.web
from dicomnode.web.stats import LEGS
from dicomnode.web.wording import CATALOGUES
from tests.web.conftest import browser, csrf

TEMPLATES = Path(dicomnode.web.__file__).parent / "templates"
SAID = {
    found[1]
    for path in TEMPLATES.glob("*.html")
    for found in re.findall(r"""_\((["'])(.*?)\1\)""", path.read_text("utf-8"))
} | {leg[0] for leg in LEGS}


def test_there_is_something_to_say():
    assert len(SAID) > 90


@pytest.mark.parametrize("language", CATALOGUES)
def test_a_catalogue_has_every_phrase_and_no_other(language):
    phrases = CATALOGUES[language].phrases
    assert set(phrases) == SAID
    assert all(phrases.values())


@pytest.mark.parametrize(
    ("wish", "used"),
    [("de-CH,de;q=0.9", "de"), ("tlh,fr;q=0.5", "fr"), ("tlh", "en"), ("", "en")],
)
def test_the_browser_says_which(hands, wish, used):
    page = browser(hands).get("/", headers={"Accept-Language": wish}).text
    assert f'<html lang="{used}">' in page


def test_the_reader_may_choose_another(hands):
    client = browser(hands)
    form = {"csrf": csrf(client.get("/").text), "code": "zh"}
    page = client.post("/language", data=form).text
    assert '<html lang="zh">' in page
    assert "工作列表" in page
    assert "仅供研究使用" in page
