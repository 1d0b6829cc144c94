"""Screenshots of our results in OHIF: on request, not in CI (it fetches 200 MB).

    npm pack @ohif/app
    apt install chromium orthanc orthanc-dicomweb
    pip install playwright
    python -m tests.web.ohif --app ohif-app-3.12.10.tgz --out screenshots

Everything runs on the loopback: Orthanc keeps a study with our results, this program
serves the viewer and passes its DICOMweb requests on, headless Chromium looks at it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tarfile
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.demo.orthanc import Orthanc
from dicomnode.results import BuiltResult, build, encode
from tests.unit.results import cases

PLUGINS = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
PAUSE_MILLISECONDS = 4000
PATIENCE_MILLISECONDS = 600_000
ROWS, COLUMNS = 512, 416
MIDDLE = (900, 500)
CONFIG = """
const root = window.location.origin + '/dicom-web';
window.config = {
  routerBasename: '/', extensions: [], modes: [], showStudyList: true,
  defaultDataSourceName: 'dicomweb',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
    sourceName: 'dicomweb',
    configuration: {
      friendlyName: 'Orthanc', name: 'orthanc',
      wadoUriRoot: root, qidoRoot: root, wadoRoot: root,
      qidoSupportsIncludeField: false, imageRendering: 'wadors',
      thumbnailRendering: 'wadors', enableStudyLazyLoad: true,
      supportsFuzzyMatching: false, supportsWildcard: true,
    },
  }],
};
"""


class Viewer(SimpleHTTPRequestHandler):
    """The app's files, its one page for every route, and DICOMweb passed on."""

    upstream = ""

    def do_GET(self) -> None:
        if self.path.startswith("/dicom-web"):
            self._pass_on()
        elif self.path.startswith("/app-config.js"):
            self._answer("application/javascript", CONFIG.encode())
        else:
            if "." not in self.path.partition("?")[0].rpartition("/")[2]:
                self.path = "/index.html"
            super().do_GET()

    def _pass_on(self) -> None:
        wanted = {"Accept": self.headers.get("Accept", "*/*")}
        request = urllib.request.Request(self.upstream + self.path, headers=wanted)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request) as answer:
            self._answer(answer.headers["Content-Type"], answer.read())

    def _answer(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        # The viewer shares memory between its threads.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: the browser asks for hundreds of files."""


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


@contextmanager
def served(app: Path, upstream: str) -> Iterator[str]:
    """The address of the viewer."""
    handler = type("Bound", (Viewer,), {"upstream": upstream})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=app))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def shoot(viewer: str, out: Path, results: tuple[BuiltResult, ...]) -> None:
    """One screenshot for each kind of result."""
    from playwright.sync_api import sync_playwright

    browser_path = shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path,
            args=["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"],
        )
        for kind in ("sr-text", "sc"):
            # A new context each time: the viewer remembers what was confirmed.
            context = browser.new_context(viewport={"width": 1600, "height": 1000})
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MILLISECONDS)
            [series] = {one.series_instance_uid for one in results if one.kind == kind}
            address = f"{viewer}/viewer?StudyInstanceUIDs={cases.STUDY}"
            page.goto(f"{address}&SeriesInstanceUIDs={series}")
            page.wait_for_selector("[data-cy=viewport-grid], .viewport-wrapper")
            page.get_by_text("Confirm and hide").click()
            page.wait_for_timeout(PAUSE_MILLISECONDS)
            page.screenshot(path=out / f"ohif-{kind}.png")
            if kind == "sc":  # the summary first, then a heat map
                page.mouse.move(*MIDDLE)
                page.mouse.wheel(0, 100)
                page.wait_for_timeout(PAUSE_MILLISECONDS)
                page.screenshot(path=out / "ohif-heat-map.png")
            context.close()
        browser.close()


def unpacked(app: Path, folder: Path) -> Path:
    """The viewer's files: of a folder, or of the package that npm gave."""
    if app.is_dir():
        return app
    with tarfile.open(app) as package:
        package.extractall(folder, filter="data")
    return folder / "package" / "dist"


def main() -> int:
    """Make the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--app", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    settings = {"Plugins": [PLUGINS], "DicomWeb": {"Enable": True}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        app = unpacked(given.app, folder)
        image, results = study()
        with Orthanc(folder / "orthanc", {}, settings=settings) as pacs:
            for part10 in (image, *(encode(one.dataset) for one in results)):
                pacs.upload(part10)
            with served(app, f"http://127.0.0.1:{pacs.http_port}") as viewer:
                shoot(viewer, given.out, results)
    sys.stdout.write(f"{given.out.resolve()}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
