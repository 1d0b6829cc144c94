"""Screenshots of our results in OHIF: on request, not in CI (it fetches 200 MB).

    apt install chromium orthanc orthanc-dicomweb
    npm pack @ohif/app@3.12.10
    pip install --target browser playwright
    PYTHONPATH=.:browser python -m tests.web.ohif \\
        --app ohif-app-3.12.10.tgz --out screenshots

``--app`` also takes the unpacked ``package/dist``. About a minute on two free cores;
on a busy machine give each picture more time with ``--patience SECONDS``.

``ohif-sr-text.png`` is the Basic Text SR; ``ohif-summary.png`` and
``ohif-heat-map.png`` are the first two pages of the Secondary Capture. A picture is
kept only when it shows what its name says; otherwise ``ohif-NAME-failed.png`` shows
what was there instead, and the exit status is 1.

Everything runs on the loopback: Orthanc keeps a study with our results, this program
serves the viewer and passes its DICOMweb requests on, headless Chromium looks at it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.demo.orthanc import Orthanc
from dicomnode.errors import DicomNodeError
from dicomnode.results import BuiltResult, build, encode
from tests.unit.results import cases
from tests.web.viewer import PACKAGE, NoScreenshot, served, unpacked

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

PLUGINS = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PATIENCE_SECONDS, LONGEST_SECONDS = 120.0, 3600.0
PAUSE_MILLISECONDS = 1000
FAREWELL_MILLISECONDS = 30_000
ROWS, COLUMNS = 512, 416
WINDOW = {"width": 1600, "height": 1000}
MIDDLE = (900, 500)
ONE_PAGE = 100
WARM = 60
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No graphics card: WebGL in software.
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    # The viewer asks the internet for extras; the loopback has all it needs.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture, and how it is known to show what its name says.

    ``text`` stands on the page, and at least the share ``warm`` of its pixels is far
    more red than blue: the colours of an activation map.
    """

    name: str
    kind: str
    page: int
    text: str
    warm: float


SHOTS = (
    Shot("sr-text", "sr-text", 1, "Not for primary diagnosis", 0.0),
    Shot("summary", "sc", 1, "(1/3)", 0.001),
    Shot("heat-map", "sc", 2, "(2/3)", 0.01),
)


def source() -> Dataset:
    """A radiograph of nobody, with pixels."""
    header = cases.source(Rows=ROWS, Columns=COLUMNS)
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
    header.PixelRepresentation = 0
    header.WindowCenter, header.WindowWidth = "2048", "4096"
    grey = cases.display(ROWS, COLUMNS).astype(np.uint16) * 16
    header.PixelData = grey.tobytes()
    header["PixelData"].VR = "OW"
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return header


def study() -> tuple[bytes, tuple[BuiltResult, ...]]:
    """The source as a file, and its results."""
    header, buffer = source(), BytesIO()
    header.save_as(buffer, enforce_file_format=True)
    findings = cases.positive()
    return buffer.getvalue(), build(cases.context(header), findings, ["sr", "sc"])


def shoot(
    viewer: str, out: Path, results: tuple[BuiltResult, ...], patience: float
) -> None:
    """All the pictures; each in a new context, for the viewer remembers."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = started(playwright, patience)
        for shot in SHOTS:
            [series] = {
                one.series_instance_uid for one in results if one.kind == shot.kind
            }
            address = (
                f"{viewer}/viewer?StudyInstanceUIDs={cases.STUDY}"
                f"&SeriesInstanceUIDs={series}"
            )
            take(browser, address, shot, out, patience)
        browser.close()


def started(playwright: Playwright, patience: float) -> Browser:
    """Headless Chromium; Playwright gives each start a new, empty profile."""
    from playwright.sync_api import Error

    try:
        return playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=FLAGS,
            timeout=patience * 1000,
        )
    except Error as error:
        raise NoScreenshot(
            f"Chromium does not start: {error}; correct what it says, or give it more "
            f"time with `--patience`"
        ) from error


def take(
    browser: Browser, address: str, shot: Shot, out: Path, patience: float
) -> None:
    """One picture; raises NoScreenshot, and keeps what was seen instead."""
    from playwright.sync_api import Error

    kept, failed = (out / f"ohif-{shot.name}{end}.png" for end in ("", "-failed"))
    for old in (kept, failed):
        old.unlink(missing_ok=True)
    page = browser.new_page(viewport=WINDOW)
    page.set_default_timeout(patience * 1000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(error.message))
    try:
        picture = look(page, address, shot, patience)
    except (Error, NoScreenshot) as error:
        reason = "; ".join([str(error).partition("\n")[0], *complaints[:3]])
        raise NoScreenshot(
            f"no picture of {shot.name}: {reason}; {seen(page, failed)}give it more "
            f"time with `--patience`, or use {PACKAGE}"
        ) from error
    finally:
        page.close()
    kept.write_bytes(picture)


def look(page: Page, address: str, shot: Shot, patience: float) -> bytes:
    """The PNG, once the page shows what it must and stands still."""
    page.goto(address)
    for turn in range(1, shot.page):
        page.get_by_text(f"({turn}/").first.wait_for()
        page.mouse.move(*MIDDLE)
        page.mouse.wheel(0, ONE_PAGE)
    page.get_by_text(shot.text).first.wait_for()
    before, deadline = b"", monotonic() + patience
    while monotonic() < deadline:
        page.wait_for_timeout(PAUSE_MILLISECONDS)
        picture = page.screenshot()
        if picture == before and warmth(picture) >= shot.warm:
            return picture
        before = picture
    raise NoScreenshot(f"{patience:g} s were not enough for the page to be painted")


def warmth(picture: bytes) -> float:
    """The share of the pixels of a PNG that are far more red than blue, 0 to 1."""
    with Image.open(BytesIO(picture)) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.int16)
    return float(np.mean(pixels[..., 0] - pixels[..., 2] > WARM))


def seen(page: Page, path: Path) -> str:
    """Where a picture of the failure is; nothing when even that cannot be had."""
    from playwright.sync_api import Error

    try:
        page.screenshot(path=path, timeout=FAREWELL_MILLISECONDS)
    except Error:
        return ""
    return f"see {path}; "


def check(app: Path) -> None:
    """Raises NoScreenshot, before anything starts, when a part is missing."""
    for part, found, package in (
        ("Chromium", shutil.which("chromium"), "apt install chromium"),
        ("Orthanc's DICOMweb", PLUGINS.exists(), "apt install orthanc-dicomweb"),
        ("playwright", find_spec("playwright"), "pip install playwright"),
        (str(app), app.exists(), f"npm pack {PACKAGE}"),
    ):
        if not found:
            raise NoScreenshot(f"{part} is not there; get it: `{package}`")


def screenshots(given: argparse.Namespace) -> None:
    """All the pictures, with everything they need running for as long."""
    check(given.app)
    given.out.mkdir(parents=True, exist_ok=True)
    settings = {"Plugins": [str(PLUGINS)], "DicomWeb": {"Enable": True}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        app = unpacked(given.app, folder)
        image, results = study()
        with Orthanc(folder / "orthanc", {}, settings=settings) as pacs:
            for part10 in (image, *(encode(one.dataset) for one in results)):
                pacs.upload(part10)
            with served(app, f"http://127.0.0.1:{pacs.http_port}") as viewer:
                shoot(viewer, given.out, results, given.patience)


def seconds(text: str) -> float:
    """A time to wait; Playwright takes 0 for ever."""
    value = float(text)
    if not 1 <= value <= LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text} is no time to wait; give 1 to {LONGEST_SECONDS:g} seconds"
        )
    return value


def main() -> int:
    """Make the screenshots; 1 when one could not be made."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--app", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patience", type=seconds, default=PATIENCE_SECONDS)
    given = parser.parse_args()
    try:
        screenshots(given)
    except DicomNodeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{given.out.resolve()}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
