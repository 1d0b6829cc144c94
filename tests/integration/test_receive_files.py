"""Every real file: the bytes on the disk are the bytes that were sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dicomnode.domain.instance import InstanceKey
from dicomnode.errors import Unreadable
from dicomnode.receiver.header import scan
from dicomnode.store import file_meta, layout
from tests.integration.receiving import (
    Node,
    Sample,
    associated,
    receiving,
    sample,
    status,
)

MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_MAX_CONTEXTS = 127
# Real files without file meta cannot be sent as they are: an RT structure set and
# four JPEG-LS test streams.
N_WITHOUT_META = 5
N_AT_LEAST = 270


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with receiving(tmp_path / "instances") as running:
        yield running


def real_files(shared_data: Path) -> list[Path]:
    return [
        path
        for path in sorted((shared_data / "dicom").rglob("*"))
        if path.is_file()
        and path.suffix not in {".md", ".csv"}
        and "malformed" not in path.parts
    ]


def contexts(samples: list[Sample]) -> list[tuple[str, str]]:
    pairs = {one.context for one in samples}
    assert len(pairs) <= _MAX_CONTEXTS
    return sorted(pairs)


def test_every_real_file_is_kept_byte_for_byte(node: Node, shared_data: Path) -> None:
    found = [sample(path) for path in real_files(shared_data)]
    assert found.count(None) == N_WITHOUT_META
    samples = [one for one in found if one and one.key.sop_class_uid != MEDIA_DIRECTORY]
    with associated(node.port, contexts(samples)) as association:
        for one in samples:
            expected = 0 if is_placed(one) else 0xC000
            assert status(association, one) == expected, one.name
    kept = [one for one in samples if is_placed(one)]
    assert len(kept) >= N_AT_LEAST
    # Some files are in the collection twice; the same content is one file.
    sent = {(one.key.sop_instance_uid, content(one.data_set)) for one in kept}
    assert set(on_disk(node)) == sent
    assert len(node.files()) == len(sent)


def is_placed(one: Sample) -> bool:
    return bool(one.key.study_instance_uid and one.key.series_instance_uid)


def content(data_set: bytes) -> str:
    return sha256(data_set).hexdigest()


def on_disk(node: Node) -> Iterator[tuple[str, str]]:
    """SOP Instance UID by name, and the SHA-256 of the data set read back."""
    for path in node.files():
        uid, _, _ = path.name.rsplit(".", 2)
        whole = path.read_bytes()
        start = file_meta.data_set_offset(whole[: file_meta.HEAD_BYTES])
        yield uid, content(whole[start:])


def malformed_files(shared_data: Path) -> list[Path]:
    folder = shared_data / "dicom" / "malformed"
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def as_sent(path: Path, number: int) -> Sample:
    """A malformed data set under a sound command, which names what can be read."""
    whole = path.read_bytes()
    length = int.from_bytes(whole[140:144], "little")
    has_meta = whole[128:132] == b"DICM" and length < len(whole)
    data_set = whole[144 + length :] if has_meta else whole
    # A C-STORE without data set is another test.
    data_set = data_set or bytes(2)
    found = scan(data_set, ExplicitVRLittleEndian, ())
    key = InstanceKey(
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.4",
        sop_instance_uid=found.sop_instance_uid,
        sop_class_uid=found.sop_class_uid,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    return Sample(f"{number}", key if is_sound(key) else sound(number), data_set)


def is_sound(key: InstanceKey) -> bool:
    try:
        layout.check(key)
    except Unreadable:
        return False
    return True


def sound(number: int) -> InstanceKey:
    uid = f"1.2.3.4.{number}"
    return InstanceKey("1.2.3", "1.2.3.4", uid, CTImageStorage, ExplicitVRLittleEndian)


def test_every_malformed_file_gets_its_answer_and_harms_nothing(
    node: Node, shared_data: Path, tmp_path: Path
) -> None:
    files = malformed_files(shared_data)
    samples = [as_sent(path, number) for number, path in enumerate(files)]
    statuses: Counter[int] = Counter()
    with associated(node.port, contexts(samples)) as association:
        for path, one in zip(files, samples, strict=True):
            answer = status(association, one)
            assert answer in {0x0000, 0xA900, 0xC000}, path.name
            statuses[answer] += 1
            assert association.send_c_echo().Status == 0, path.name
    assert statuses.total() == len(files) >= 118
    assert len(node.intake.refusals) == statuses[0xA900] + statuses[0xC000] > 0
    assert len(node.files()) <= statuses[0x0000]
    outside = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert outside == {"instances"}
    assert not list(node.root.rglob("*.part"))
