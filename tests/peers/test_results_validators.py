"""Independent validators and renderers read every object we make."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
)

from dicomnode.domain.findings import StudyFindings
from dicomnode.results import ReportContext, build, encode
from tests.conftest import unavailable
from tests.unit.results import cases

pytestmark = pytest.mark.peer

# The validator's style sheets are larger than a new Java allows by itself.
JAVA_OPTIONS = " ".join(
    f"-Djdk.xml.{limit}=0"
    for limit in ("xpathTotalOpLimit", "xpathExprGrpLimit", "xpathExprOpLimit")
)
PIXELMED = Path("/usr/share/java/pixelmed.jar")
DRIVER = Path(__file__).with_name("ValidateReports.java")
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


def slices(*numbers: int) -> ReportContext:
    return cases.context(*(cases.ct_source(number) for number in numbers))


def enhanced_ct() -> ReportContext:
    """An Enhanced CT object whose frames each have a rescale and a window."""
    header = cases.ct_source(1)
    header.SOPClassUID, header.NumberOfFrames = EnhancedCTImageStorage, 60
    header.PerFrameFunctionalGroupsSequence = [frame(number) for number in range(60)]
    return cases.context(header)


def enhanced_mr() -> ReportContext:
    """An Enhanced MR object: signal without unit, the window shared by its frames."""
    header = cases.ct_source(1, BodyPartExamined="BRAIN")
    header.Modality, header.NumberOfFrames = "MR", 60
    header.SOPClassUID = EnhancedMRImageStorage
    shared, window = Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = 400, 800
    shared.FrameVOILUTSequence = [window]
    header.SharedFunctionalGroupsSequence = [shared]
    return cases.context(header)


def frame(number: int) -> Dataset:
    made, rescale, window = Dataset(), Dataset(), Dataset()
    rescale.RescaleIntercept, rescale.RescaleSlope = -1024 - number, 1
    rescale.RescaleType = "HU"
    window.WindowCenter, window.WindowWidth = 40, 400
    made.PixelValueTransformationSequence = [rescale]
    made.FrameVOILUTSequence = [window]
    return made


CASES: dict[str, tuple[ReportContext, StudyFindings]] = {
    # The seven of the specification ...
    "positive": (cases.context(), cases.positive()),
    "regions": (cases.context(), cases.outlined()),
    "every-label": (cases.context(), cases.every_label()),
    "negative": (cases.context(), cases.negative()),
    "japanese": (cases.context(japanese()), cases.positive()),
    "chinese": (cases.context(chinese()), cases.negative()),
    "bare": (cases.context(cases.bare_source()), cases.positive()),
    # ... and those this program adds.
    "not-analysed": (cases.context(), cases.not_analysed()),
    "predecessor": (replacing(), cases.positive()),
    "not-analysed-again": (replacing(), cases.not_analysed()),
    "3d": (cases.context(profile="comprehensive-3d"), cases.outlined()),
    "enhanced": (cases.context(profile="enhanced"), cases.positive()),
    "quality": (three(), cases.quality()),
    "korean": (cases.context(korean()), cases.negative()),
    "german": (cases.context(language="de"), cases.positive()),
    "japanese-report": (cases.context(japanese(), language="ja"), cases.outlined()),
    "chinese-report": (cases.context(language="zh"), cases.not_analysed()),
    "umls": (cases.context(code_scheme="umls"), cases.positive()),
    "series": (slices(4, 5, 6), cases.series()),
    "frames": (enhanced_ct(), cases.series(frames=True)),
    "frames-mr": (enhanced_mr(), cases.series(frames=True)),
    "ordered": (cases.context(ordered()), cases.positive()),
}
UNTROUBLED = sorted(CASES.keys() - {"bare", "quality"})
STRUCTURES = (
    "positive",
    "regions",
    "every-label",
    "negative",
    "japanese",
    "chinese",
    "bare",
    "not-analysed",
    "predecessor",
    "3d",
    "quality",
    "german",
    "series",
    "frames",
    "frames-mr",
)
# dcmpschk of DCMTK 3.6.7 knows no UTF-8.
STATES = ("regions", "quality", "german", "series", "frames", "frames-mr")
TEXTS = ("positive", "not-analysed", "predecessor")
Made = dict[str, list[tuple[str, Path]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The objects of every case as (kind, path)."""
    folder = tmp_path_factory.mktemp("results")
    return {case: files(case, folder) for case in CASES}


def files(case: str, folder: Path) -> list[tuple[str, Path]]:
    """Each object of a case as (kind, path)."""
    context, findings = CASES[case]
    written = []
    built = build(context, findings, ["sr", "sc", "gsps"])
    for number, one in enumerate(built):
        path = folder / f"{case}-{number}-{one.kind}.dcm"
        path.write_bytes(encode(one.dataset))
        written.append((one.kind, path))
    return written


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


def reports(made: Made) -> list[Path]:
    """Those that differ in structure: PixelMed takes seconds for each."""
    told = [dict(made[case])["sr"] for case in STRUCTURES]
    return [*told, *(dict(made[case])["sr-text"] for case in TEXTS)]


@pytest.fixture(scope="module")
def pixelmed(made: Made) -> dict[str, list[str]]:
    """What PixelMed says of each report, by the name of its file."""
    few = ("regions", "predecessor", "not-analysed")
    return said_by_pixelmed(reports(made), [dict(made[case])["sr"] for case in few])


def said_by_pixelmed(
    paths: Sequence[Path], few: Sequence[Path] = ()
) -> dict[str, list[str]]:
    """What PixelMed says of each report, by the name of its file.

    few: those that are checked where there is no Java compiler, by default all: the
    command itself takes several seconds for each.
    """
    validator, java = shutil.which("DicomSRValidator"), shutil.which("javac")
    if validator is None:
        unavailable("the command DicomSRValidator (Debian: pixelmed-apps)")
    if java is None:
        return {path.name: output_of([str(validator), path]) for path in few or paths}
    argv = ["java", "-XX:+UseSerialGC", "-cp", str(PIXELMED), str(DRIVER), *paths]
    said: dict[str, list[str]] = {}
    for line in output_of(argv):
        if line.startswith("File: "):
            said[Path(line).name] = []
        elif said:
            said[list(said)[-1]].append(line)
    return said


@pytest.mark.parametrize("case", sorted(CASES))
def test_dciodvfy_finds_no_error(
    require_command: Callable[[str], str], made: Made, case: str
) -> None:
    dciodvfy = require_command("dciodvfy")
    for _, path in made[case]:
        lines = output_of([dciodvfy, path])
        assert not complaints(lines, "Error"), path.name
        for warning in complaints(lines, "Warning"):
            assert any(one in warning for one in TOLERATED), (path.name, warning)
        if case in UNTROUBLED:
            assert not complaints(lines, "Warning"), path.name


def test_dcentvfy_accepts_source_and_results_together(
    require_command: Callable[[str], str], made: Made, tmp_path: Path
) -> None:
    dcentvfy = require_command("dcentvfy")
    for case in ("regions", "not-analysed", "japanese", "quality"):
        context, _ = CASES[case]
        paths = [path for _, path in made[case]]
        for number, source in enumerate(context.sources):
            paths.append(tmp_path / f"{case}-{number}.dcm")
            source.file_meta = FileMetaDataset()
            source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            source.save_as(paths[-1], enforce_file_format=True)
        lines = output_of([dcentvfy, *paths])
        # The tool compares this attribute of the study with itself and finds fault.
        assert [one for one in lines if "AccessionNumber" not in one] == [], case


def test_pixelmed_finds_no_error_in_any_report(pixelmed: dict[str, list[str]]) -> None:
    assert pixelmed
    for name, lines in pixelmed.items():
        assert "IOD validation complete" in lines, name
        assert not complaints(lines, "Error"), name


def test_pixelmed_finds_nothing_at_all_in_the_measurement_reports(
    pixelmed: dict[str, list[str]],
) -> None:
    checked = {name: lines for name, lines in pixelmed.items() if "-sr." in name}
    assert checked
    for name, lines in checked.items():
        assert "Found Root Template TID_1500 (MeasurementReport)" in lines, name
        assert not complaints(lines, "Warning"), name


# DCMTK 3.6.7 has no page encoding for ISO 2022 IR 149 and refuses it by default.
DSR2HTML_OPTIONS = {"korean": ("--convert-to-utf8",)}


@pytest.mark.parametrize("case", sorted(CASES))
def test_dcmtk_reads_and_renders_the_reports(
    require_command: Callable[[str], str], made: Made, case: str
) -> None:
    dsrdump, dsr2html = require_command("dsrdump"), require_command("dsr2html")
    for kind, path in made[case]:
        if not kind.startswith("sr"):
            continue
        dump = "\n".join(output_of([dsrdump, path]))
        page = "\n".join(output_of([dsr2html, *DSR2HTML_OPTIONS.get(case, ()), path]))
        for text in (dump, page):
            assert "Research use only" in text
        context, findings = CASES[case]
        words = context.words
        expected = words.not_analysed if findings.reason else words.disclaimer[0]
        if context.language == "en":
            assert expected.partition("{")[0] in page


@pytest.mark.parametrize("case", STATES)
def test_dcmtk_takes_the_presentation_states(
    require_command: Callable[[str], str], made: Made, case: str
) -> None:
    require_command("dcmpschk")
    states = [path for kind, path in made[case] if kind == "gsps"]
    assert states
    for path in states:
        dcmpschk_passes(path)


def dcmpschk_passes(path: Path) -> None:
    """Fails unless DCMTK finds a presentation state to be in order."""
    ds = dcmread(path)
    # DCMTK 3.6.7 refuses every offset from UTC, against PS3.5 6.2 and against the
    # expression it prints.
    [equipment] = ds.ContributingEquipmentSequence
    equipment.ContributionDateTime = equipment.ContributionDateTime[:14]
    checked = path.with_suffix(".pr")
    ds.save_as(checked)
    [_, *found] = output_of(["dcmpschk", checked])
    assert found == ["W: Test passed."]
