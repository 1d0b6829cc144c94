"""The OHIF viewer on the loopback: its files, its settings, and DICOMweb behind it."""

from __future__ import annotations

import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from dicomnode.errors import DicomNodeError

UPSTREAM_SECONDS = 60.0
PACKAGE = "@ohif/app@3.12.10"
# The guided tour lies over the page as soon as it is ready and takes every click, and
# the notice covers the foot of the result: neither may depend on who is faster. The
# player of several images would lie over the picture.
CONFIG = """
const root = window.location.origin + '/dicom-web';
window.config = {
  routerBasename: '/', extensions: [], modes: [], showStudyList: true,
  investigationalUseDialog: { option: 'never' },
  customizationService: [{
    'ohif.tours': { $set: [] }, 'autoCineModalities': { $set: [] },
  }],
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


class NoScreenshot(DicomNodeError):
    """A picture could not be taken; the message ends with the remedy."""


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
        try:
            with opener.open(request, timeout=UPSTREAM_SECONDS) as answer:
                self._answer(answer.headers["Content-Type"], answer.read())
        except urllib.error.HTTPError as refusal:
            self.send_error(refusal.code)
        except OSError:
            self.send_error(HTTPStatus.BAD_GATEWAY)

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


@contextmanager
def served(app: Path, upstream: str) -> Iterator[str]:
    """The address of the viewer."""
    handler = type("Bound", (Viewer,), {"upstream": upstream})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=app))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def unpacked(app: Path, folder: Path) -> Path:
    """The viewer's files: of a folder, or of the package that npm gave."""
    if app.is_file():
        with tarfile.open(app) as package:
            package.extractall(folder, filter="data")
        app = folder / "package" / "dist"
    if not (app / "index.html").exists():
        raise NoScreenshot(
            f"{app} has no index.html; give `--app` the package that `npm pack "
            f"{PACKAGE}` makes, or the folder `package/dist` of it"
        )
    return app
