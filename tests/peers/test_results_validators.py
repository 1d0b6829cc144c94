"""Independent validators and renderers read every object we make."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicomnode.domain.findings import StudyFindings
from dicomnode.results import ReportContext, build, encode
from tests.unit.results import cases

pytestmark = pytest.mark.peer

# The validator's style sheets are larger than a new Java allows by itself.
JAVA_OPTIONS = " ".join(
    f"-Djdk.xml.{limit}=0"
    for limit in ("xpathTotalOpLimit", "xpathExprGrpLimit", "xpathExprOpLimit")
)
# What dciodvfy says of a source that lacks its identity, and of private codes.
TOLERATED = (
    "needed to build DICOMDIR",
    "<99DCMNODE>",
    "attribute <Laterality>",
)


def japanese() -> Dataset:
    source = cases.source(SpecificCharacterSet=["", "ISO 2022 IR 87"])
    source.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    source.ReferringPhysicianName, source.StudyDescription = "鈴木^一郎", "胸部"
    return source


def chinese() -> Dataset:
    source = cases.source(SpecificCharacterSet="GB18030")
    source.PatientName = "Wang^XiaoDong=王^小东"
    source.ReferringPhysicianName, source.StudyDescription = "李^明", "胸部正位"
    return source


def korean() -> Dataset:
    source = cases.source(SpecificCharacterSet=["", "ISO 2022 IR 149"])
    source.PatientName = "Hong^Gildong=洪^吉洞=홍^길동"
    source.ReferringPhysicianName, source.StudyDescription = "김^철수", "흉부"
    return source


def replacing() -> ReportContext:
    earlier = (cases.kept(1, "sr"), cases.kept(2, "sr-text"), cases.kept(3, "sc"))
    return cases.context(earlier=earlier, instance_number=2)


def ordered() -> Dataset:
    order, procedure = Dataset(), Dataset()
    order.RequestedProcedureID = "RP1"
    procedure.CodeValue, procedure.CodingSchemeDesignator = "36643-5", "LN"
    procedure.CodeMeaning = "XR Chest 2 Views"
    return cases.source(
        RequestAttributesSequence=[order],
        ProcedureCodeSequence=[procedure],
        TimezoneOffsetFromUTC="+0900",
        LossyImageCompression="01",
        LossyImageCompressionRatio="10",
        LossyImageCompressionMethod="ISO_10918_1",
    )


def three() -> ReportContext:
    return cases.context(*(cases.source(number) for number in range(3)))


CASES: dict[str, tuple[ReportContext, StudyFindings]] = {
    "positive": (cases.context(), cases.positive()),
    "3d": (cases.context(profile="comprehensive-3d"), cases.positive()),
    "enhanced": (cases.context(profile="enhanced"), cases.positive()),
    "every-label": (cases.context(), cases.every_label()),
    "negative": (cases.context(), cases.negative()),
    "quality": (three(), cases.quality()),
    "not-analysed": (cases.context(), cases.not_analysed()),
    "japanese": (cases.context(japanese()), cases.positive()),
    "chinese": (cases.context(chinese()), cases.negative()),
    "korean": (cases.context(korean()), cases.positive()),
    "regions": (cases.context(), cases.outlined()),
    "predecessor": (replacing(), cases.positive()),
    "not-analysed-again": (replacing(), cases.not_analysed()),
    "german": (cases.context(language="de"), cases.positive()),
    "japanese-language": (cases.context(japanese(), language="ja"), cases.outlined()),
    "chinese-language": (cases.context(language="zh"), cases.not_analysed()),
    "umls": (cases.context(code_scheme="umls"), cases.positive()),
    "ordered": (cases.context(ordered()), cases.positive()),
    "bare": (cases.context(cases.bare_source()), cases.positive()),
}
UNTROUBLED = sorted(CASES.keys() - {"bare", "quality"})


def files(case: str, folder: Path) -> list[tuple[str, Path]]:
    """Each object of a case as (kind, path)."""
    context, findings = CASES[case]
    made = []
    for number, one in enumerate(build(context, findings, ["sr", "sc", "gsps"])):
        path = folder / f"{case}-{number}-{one.kind}.dcm"
        path.write_bytes(encode(one.dataset))
        made.append((one.kind, path))
    return made


def output_of(command: Sequence[str | Path]) -> list[str]:
    """The lines a program wrote; it must end well."""
    environment = {**os.environ, "JAVA_TOOL_OPTIONS": JAVA_OPTIONS}
    done = subprocess.run(
        command,
        capture_output=True,
        check=False,
        text=True,
        errors="replace",
        env=environment,
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 0, lines
    return lines


def complaints(lines: Sequence[str], level: str) -> list[str]:
    return [line for line in lines if line.startswith(level)]


@pytest.mark.parametrize("case", sorted(CASES))
def test_dciodvfy_finds_no_error(
    require_command: Callable[[str], str], tmp_path: Path, case: str
) -> None:
    dciodvfy = require_command("dciodvfy")
    for _, path in files(case, tmp_path):
        lines = output_of([dciodvfy, path])
        assert not complaints(lines, "Error"), path.name
        for warning in complaints(lines, "Warning"):
            assert any(one in warning for one in TOLERATED), (path.name, warning)
        if case in UNTROUBLED:
            assert not complaints(lines, "Warning"), path.name


@pytest.mark.parametrize("case", ["quality", "3d", "not-analysed"])
def test_pixelmed_finds_nothing_in_the_measurement_report(
    require_command: Callable[[str], str], tmp_path: Path, case: str
) -> None:
    validator = require_command("DicomSRValidator")
    path = dict(files(case, tmp_path))["sr"]
    lines = output_of([validator, path])
    assert "Found Root Template TID_1500 (MeasurementReport)" in lines
    assert "IOD validation complete" in lines
    assert not complaints(lines, "Error")
    assert not complaints(lines, "Warning")


@pytest.mark.parametrize("case", ["positive", "quality", "not-analysed", "japanese"])
def test_dcmtk_reads_and_renders_the_reports(
    require_command: Callable[[str], str], tmp_path: Path, case: str
) -> None:
    dsrdump, dsr2html = require_command("dsrdump"), require_command("dsr2html")
    for kind, path in files(case, tmp_path):
        if kind == "sc":
            continue
        dump = "\n".join(output_of([dsrdump, path]))
        page = "\n".join(output_of([dsr2html, path]))
        for text in (dump, page):
            assert "Research use only" in text
        expected = "Not analysed" if case == "not-analysed" else "suggests"
        assert expected in page
