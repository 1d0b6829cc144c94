"""The Conformance Statement says what the program does: its tables, and its form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydicom.uid import UID
from pynetdicom.presentation import build_context
from typer.testing import CliRunner

from dicomnode import conformance
from dicomnode.cli.app import app
from dicomnode.config import Config
from dicomnode.conformance import network
from dicomnode.delivery import statuses
from dicomnode.errors import ConfigError
from dicomnode.receiver.contexts import supported
from dicomnode.receiver.statuses import MEANINGS, Status
from dicomnode.results import build
from dicomnode.version import VERSION
from tests.unit.results import cases

STATEMENT = Path(__file__).resolve().parents[3] / "docs" / "conformance.md"
TEXT = STATEMENT.read_text("utf-8")
# PS3.2 Annex N, which numbers its sections from 1 in a statement.
SECTIONS = (
    "Cover page",
    "1 Overview",
    "1.1 Content and Transfer",
    "1.1.1 Structured Reporting Root Template IDs",
    "1.2 DIMSE Services",
    "1.3 DICOM Web Services",
    "1.4 Media Services",
    "1.5 Real-Time Video Service",
    "1.6 De-identification Profiles",
    "1.7 Specific Character Sets",
    "2 Table of Contents",
    "3 Introduction",
    "4 Implementation Model",
    "5 Service and Interoperability Description",
    "6 Configuration",
    "7 Network and Media Communication Details",
    "7.3 Status Codes",
    "8 Security",
    "8.4 DICOM Security Profiles Support",
    "Annex A.A Information Object Definitions",
    "Annex A.B Structured Report Content Encoding",
    "Annex A.C Security Details",
    "Annex A.D Mapping of Attributes",
    "Annex A.E Code Set Usage",
)


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return conformance.tables(Config())


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["conformance", *words])
    assert done.exit_code == code, done.output
    return done.output


def test_the_tables_of_the_statement_are_those_of_the_program(
    made: dict[str, str],
) -> None:
    found = conformance.differing(TEXT, made)
    remedy = "run `dicomnode conformance --update docs/conformance.md`"
    assert found == (), remedy


def test_its_sections_are_those_of_annex_n_in_order() -> None:
    headings = re.findall(r"^#{2,6} (.+)$", TEXT, re.MULTILINE)
    places = [headings.index(name) for name in SECTIONS]
    assert places == sorted(places)


def test_the_cover_names_this_version_and_a_date() -> None:
    cover = TEXT.partition("## 1 Overview")[0]
    assert f"version {VERSION}" in cover
    assert re.search(r"\| 20\d\d-\d\d-\d\d \|", cover)
    assert "Research use only" in cover


def test_every_status_that_can_be_answered_has_its_meaning() -> None:
    assert set(MEANINGS) == set(Status)


def test_only_success_is_durable(made: dict[str, str]) -> None:
    rows = made["statuses-given"].splitlines()[2:]
    durable = [row.split("|")[1].strip() for row in rows if "synced" in row]
    assert durable == ["0000H"]


def test_statuses_of_a_destination_are_judged_as_delivery_judges(
    made: dict[str, str],
) -> None:
    rows = made["statuses-taken"].splitlines()[2:]
    for status in statuses.KNOWN:
        start = f"| {status:04X}H"
        (row,) = [one for one in rows if one.startswith(start)]
        becomes = row.split("|")[3].strip()
        assert (becomes == "SENT") == statuses.is_accepted(status)
        if becomes != "SENT":
            assert (becomes == "REJECTED") != statuses.is_retryable(status)


def test_each_class_and_syntax_that_is_named_is_really_accepted(
    made: dict[str, str],
) -> None:
    classes = re.findall(r"\| (1\.2\.[0-9.]+) \|", made["content-and-transfer"])
    syntaxes = re.findall(r"\| (1\.2\.[0-9.]+) \|", made["transfer-syntaxes"])
    assert len(classes) > 150
    assert len(syntaxes) > 50
    for uid in classes:
        (accepted,) = supported([build_context(uid, list(map(UID, syntaxes)))])
        assert set(accepted.transfer_syntax) == set(syntaxes)


@pytest.mark.parametrize(
    "findings",
    [cases.positive(), cases.outlined(), cases.negative(), cases.not_analysed()],
    ids=["positive", "outlined", "negative", "not analysed"],
)
def test_results_have_no_attribute_that_the_statement_does_not_name(
    made: dict[str, str], findings: object
) -> None:
    for one in build(cases.context(), findings, ["sr", "sc", "gsps"]):
        named = re.findall(r"^\| (\w+) \| \(", made[f"attributes-{one.kind}"], re.M)
        written = {element.keyword for element in one.dataset}
        assert written <= set(named), one.kind


def test_a_code_of_each_template_row_has_its_meaning(made: dict[str, str]) -> None:
    for row in made["sr-templates"].splitlines()[2:]:
        assert re.search(r'\(\S+, \w+, "[^"]+"\)|any finding', row.split("|")[4]), row


def test_the_classes_that_are_created_are_those_of_the_results() -> None:
    created = {
        one.dataset.SOPClassUID
        for profile in ("comprehensive", "comprehensive-3d", "enhanced", "basic-text")
        for one in build(
            cases.context(profile=profile), cases.positive(), ["sr", "sc", "gsps"]
        )
    }
    assert created == set(network.CREATED)


def test_the_command_prints_all_of_them() -> None:
    printed = run()
    for name in conformance.NAMES:
        assert f"## {name}\n" in printed


def test_a_site_sees_its_own_values(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[node]\nae_title = "KLINIK7"\n[receiver]\nport = 104\n')
    printed = run("--site", "--config", str(file), "--table", "tcp-ports")
    assert "| in | 104 |" in printed
    assert "KLINIK7" in run("--site", "--config", str(file))


def test_check_tells_what_differs_and_update_mends_it(tmp_path: Path) -> None:
    file = tmp_path / "conformance.md"
    file.write_text(TEXT.replace("| in | 11112 |", "| in | 104 |"), "utf-8")
    said = run("--check", str(file), code=3)
    assert "tcp-ports" in said
    assert "--update" in said
    run("--update", str(file))
    assert file.read_text("utf-8") == TEXT
    assert "ok:" in run("--check", str(file))


def test_a_block_without_end_or_of_no_table_is_told(made: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="write <!-- end of product -->"):
        conformance.filled("<!-- generated: product -->\n", made)
    with pytest.raises(ConfigError, match="there is no such table"):
        conformance.filled("<!-- generated: x -->\n<!-- end of x -->", made)
    missing = {one.name for one in conformance.differing("", made)}
    assert missing == set(made)
