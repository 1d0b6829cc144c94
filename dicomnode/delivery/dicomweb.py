"""An archive over DICOMweb: QIDO-RS to find, WADO-RS to retrieve (PS3.18 10).

We call; the archive needs to know no address and no AE title of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom.filereader import read_dataset
from requests.auth import AuthBase, HTTPBasicAuth

from dicomnode.delivery.bringing import Bringing
from dicomnode.delivery.multipart import BrokenAnswer, NoMultipart, Parts
from dicomnode.delivery.query_scu import checked
from dicomnode.domain.backfill import Brought, FoundStudy, Retrieved, daily
from dicomnode.errors import Refused, Unreachable
from dicomnode.ports import Taking

_CHUNK_BYTES = 1 << 20
_AS_IT_LIES = 'multipart/related; type="application/dicom"; transfer-syntax=*'
"""PS3.18 8.7.3.5.2: any transfer syntax, so nothing is transcoded for us."""

_STUDY_INSTANCE_UID, _N_INSTANCES = "0020000D", "00201208"
_PASSING = (408, 425, 429, 502, 503, 504)
"""They say nothing of what was asked for: it is asked again."""
_WORDS = {
    400: "it does not understand the request",
    401: "it wants other credentials; correct destination.dicomweb_user and its "
    "password, or the token",
    403: "we may not read there; ask its administrator for the right to",
    404: "it has nothing there; correct destination.dicomweb_url",
    406: "it does not send application/dicom in every transfer syntax; set "
    'destination.retrieve = "c-move" or "c-get"',
}
_META_BYTES = 1 << 16  # more than any preamble and file meta information has
_HEAD_BYTES = 132  # preamble and prefix (PS3.10 7.1)
_GROUP_LENGTH_BYTES = 12


@dataclass(frozen=True, slots=True)
class Service:
    """Where a DICOMweb service is and how we sign in; ``ca`` None: well-known ones.

    ``user`` and ``password``: basic authentication (RFC 7617); ``token``: bearer
    (RFC 6750). ``connect_seconds`` and ``silent_seconds`` are what we wait at most.
    """

    url: str
    ca: Path | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    connect_seconds: float = 30.0
    silent_seconds: float = 600.0


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class QidoClient:
    """Finds studies by QIDO-RS (PS3.18 10.6)."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._session = _session(service)
        self._timeout = (service.connect_seconds, service.silent_seconds)
        self._client = DICOMwebClient(
            service.url, session=self._session, timeout=self._timeout
        )
        # The backfill tries again itself, and says so.
        self._client.set_http_retry_params(retry=False)

    def find(self, query: Mapping[str, str]) -> Iterator[FoundStudy]:
        """Day by day where the query names a range of days, and page by page.

        No limit is asked for: the archive has its own. (Orthanc 1.10 with
        ModalitiesInStudy takes the offset off the limit, and studies would be missed.)
        Raises Unreachable, Refused; ConfigError for what is no query.
        """
        checked(query)
        for one in daily(query):
            yield from self._find_one(one)

    def _find_one(self, query: Mapping[str, str]) -> Iterator[FoundStudy]:
        seen: set[str] = set()
        offset = 0
        while page := self._page(query, offset):
            new = [one for one in page if one.study_instance_uid not in seen]
            yield from new
            if not new:  # it does not page, and begins again
                return
            seen.update(one.study_instance_uid for one in new)
            offset += len(page)

    def _page(self, query: Mapping[str, str], offset: int) -> list[FoundStudy]:
        with self._translated():
            found = self._client.search_for_studies(
                offset=offset,
                fields=["NumberOfStudyRelatedInstances"],
                search_filters=dict(query),
            )
        return [study for one in found if (study := _study(one))]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors in our words: the library's quote the URL, and with it the query."""
        try:
            yield
        except requests.HTTPError as error:
            raise self._failure(error) from None
        except requests.exceptions.SSLError:
            why = "its certificate is not trusted; name its authority in dicomweb_ca"
            raise self._unreachable(why) from None
        except requests.Timeout:
            raise self._unreachable("no answer in time; check that it runs") from None
        except requests.RequestException as error:
            why = f"{type(error).__name__}; check dicomweb_url, firewall, that it runs"
            raise self._unreachable(why) from None

    def _failure(self, error: requests.HTTPError) -> Exception:
        code = error.response.status_code if error.response is not None else 0
        if code in _PASSING:
            return self._unreachable(f"{_told(code)}; nothing to do, we ask again")
        return Refused(f"{self._service.url}: {_words(code)}", code)

    def _unreachable(self, why: str) -> Unreachable:
        return Unreachable(f"{self._service.url}: {why}")


class WadoClient(QidoClient):
    """The Archive port over DICOMweb; studies come whole, one request for each.

    ``most_bytes``: of one data set; what is larger is refused, and not held whole.
    """

    def __init__(self, service: Service, taking: Taking, most_bytes: int) -> None:
        super().__init__(service)
        self._taking = taking
        self._most_bytes = most_bytes + _META_BYTES

    def retrieve(self, study_instance_uid: str, alive: Callable[[], None]) -> Retrieved:
        """Retrieve Study (PS3.18 10.4), each instance kept as soon as it is there.

        Raises Unreachable when no answer came, or not all of one; Refused when the
        archive does not let us in.
        """
        into = Bringing(self._taking, alive)
        try:
            with self._translated():
                status = self._bring(study_instance_uid, into)
        except BrokenAnswer as error:
            why = f"its answer broke off ({error}); nothing to do, we ask again"
            raise self._unreachable(why) from None
        except NoMultipart as error:
            why = f"{self._service.url} has sent {error}, no multipart; {_SEE_URL}"
            return into.retrieved(HTTPStatus.OK, why=why)
        except Refused as error:
            if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise
            return into.retrieved(error.status, why=str(error))
        partly = status == HTTPStatus.PARTIAL_CONTENT
        return into.retrieved(0, n_failed=int(partly), why=_PARTLY if partly else "")

    def _bring(self, study_instance_uid: str, into: Bringing) -> int:
        with self._session.get(
            f"{self._service.url}/studies/{study_instance_uid}",
            headers={"Accept": _AS_IT_LIES},
            stream=True,
            timeout=self._timeout,
        ) as response:
            response.raise_for_status()
            content_type = response.headers.get("Content-Type", "")
            parts = Parts(content_type, self._most_bytes)
            for chunk in response.iter_content(_CHUNK_BYTES):
                for part in parts.feed(chunk):
                    _take(into, part)
            parts.close()
            return response.status_code


_SEE_URL = "correct destination.dicomweb_url"
_PARTLY = "it has sent a part of the study only (HTTP 206); see its log"


def _session(service: Service) -> requests.Session:
    session = requests.Session()
    # Neither a proxy nor a .netrc of the environment comes between us.
    session.trust_env = False
    session.verify = str(service.ca) if service.ca else True
    if service.token:
        session.auth = _Bearer(service.token)
    elif service.user:
        # As UTF-8, which requests does not do by itself (RFC 7617 2.1).
        user, password = service.user.encode(), service.password.encode()
        session.auth = HTTPBasicAuth(user, password)
    return session


def _study(answer: Mapping[str, Any]) -> FoundStudy | None:
    uid = _first(answer, _STUDY_INSTANCE_UID)
    number = _first(answer, _N_INSTANCES)
    return (
        FoundStudy(str(uid), None if number is None else int(number)) if uid else None
    )


def _first(answer: Mapping[str, Any], tag: str) -> Any:
    """The first value of an attribute (PS3.18 F.2.2)."""
    return next(iter(answer.get(tag, {}).get("Value") or ()), None)


def _take(into: Bringing, part: bytes) -> None:
    try:
        instance = read(part)
    except ValueError as error:
        into.refused(f"the archive has sent what is no PS3.10 file: {error}")
    else:
        into.take(instance)


def read(part: bytes) -> Brought:
    """A PS3.10 file, its data set left as it is; raises ValueError for what is none."""
    starts = _HEAD_BYTES + _GROUP_LENGTH_BYTES
    length = part[_HEAD_BYTES:starts]
    if part[128:_HEAD_BYTES] != b"DICM" or length[:8] != _GROUP_LENGTH:
        raise ValueError("it has no preamble, or no group length")
    ends = starts + int.from_bytes(length[8:], "little")
    meta = read_dataset(BytesIO(part[starts:ends]), False, True)
    try:
        return Brought(
            sop_class_uid=str(meta.MediaStorageSOPClassUID),
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=str(meta.TransferSyntaxUID),
            data_set=memoryview(part)[ends:],
        )
    except AttributeError as error:
        raise ValueError(
            f"its file meta information is not complete: {error}"
        ) from None


_GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"
"""(0002,0000) in Explicit VR Little Endian, without its value."""


def _words(code: int) -> str:
    unknown = "see its log"
    return f"{_told(code)}: {_WORDS.get(code, unknown)}"


def _told(code: int) -> str:
    known = {one.value for one in HTTPStatus}
    return f"HTTP {code} {HTTPStatus(code).phrase}" if code in known else f"HTTP {code}"
