"""Damaged data sets and PDUs over the wire to a running receiver.

usage: python -m tests.faults.fuzz --data-sets N --pdus N --seed S

Good files are damaged and sent in associations of 100; then whole associations, of
which one PDU is damaged, lost, doubled or out of place. Afterwards the receiver is the
same process, has logged no error of its own, wrote nothing outside its store, and holds
all that it has answered with Success, byte for byte (I1, I2 of the fault catalogue).
The receiver answers, or ends the association, within HANG_SECONDS.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import sqlite3
import struct
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import pydicom

from tests.faults.raw import answer, connected, everything
from tests.faults.running import CONFIG, Receiver, receiver
from tests.integration.receiving import Sample, sample
from tests.integration.rig import data_set
from tests.integration.wire import (
    EXPLICIT,
    RELEASE,
    VERIFICATION,
    Wire,
    associate_rq,
    echo_rq,
    pdu,
    pdv,
    status,
    store,
    store_rq,
)

HANG_SECONDS = 120.0
IN_AN_ASSOCIATION = 100
_LONGEST_BYTES = 64 << 10
_LENGTHS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE)
_PIECES = (
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
    b"\xfe\xff\x0d\xe0\0\0\0\0",
    b"\xfe\xff\xdd\xe0\0\0\0\0",
    b"\x08\x00\x05\x00CS\x0c\x00rot13\\\\GB18030",
    b"\x09\x00\x10\x10SQ\0\0\xff\xff\xff\xff",
    b"\x09\x00\x10\x10UN\0\0\xff\xff\xff\xff",
    b"\x20\x00\x0d\x00UI\x0e\x00../../../../x\0",
    b"\x1b$B\x1b(J\x9b2J",
)


def corpus() -> list[Sample]:
    """The small good files: pydicom's own, and the shared ones where they are."""
    folders = [Path(pydicom.__file__).parent / "data" / "test_files"]
    if shared := os.environ.get("DICOMNODE_TEST_DATA"):
        folders.append(Path(shared) / "dicom")
    found = []
    for path in sorted(one for folder in folders for one in folder.rglob("*")):
        if "malformed" in path.parts or not path.is_file():
            continue
        if 132 < path.stat().st_size <= _LONGEST_BYTES:
            # Some of pydicom's own are broken on purpose.
            with suppress(Exception):
                if (one := sample(path)) and _is_whole(one):
                    found.append(one)
    return found


def _is_whole(one: Sample) -> bool:
    # A directory of a medium (PS3.3 F) is no instance to store.
    is_storage = one.key.sop_class_uid != "1.2.840.10008.1.3.10"
    return is_storage and all((*one.context, one.key.sop_instance_uid, one.data_set))


def damaged(rng: random.Random, whole: bytes, others: Sequence[bytes]) -> bytes:
    """``whole`` after one to four changes, many of them where a header is."""
    made = bytearray(whole)
    for _ in range(rng.randint(1, 4)):
        _damage(rng, made, others)
    return bytes(made) or b"\0"


def _damage(  # noqa: C901 - one case for each kind of damage
    rng: random.Random, made: bytearray, others: Sequence[bytes]
) -> None:
    reach = min(len(made), rng.choice((256, 4096, 1 << 30, 1 << 30)))
    at = rng.randint(0, reach)
    n_bytes = rng.choice((1, 2, 4, 8, 64, rng.randint(1, 4096)))
    match rng.randrange(8):
        case 0:
            made[at : at + 1] = bytes([rng.randrange(256)])
        case 1:
            form = rng.choice(("<I", ">I", "<H", ">H"))
            number = rng.choice(_LENGTHS) & (0xFFFF if "H" in form else 0xFFFFFFFF)
            value = struct.pack(form, number)
            made[at : at + len(value)] = value
        case 2:
            del made[at : at + n_bytes]
        case 3:
            made[at:at] = made[at : at + n_bytes]
        case 4:
            made[at:at] = rng.randbytes(n_bytes)
        case 5:
            made[at:at] = rng.choice(_PIECES) * rng.choice((1, 1, 2, 100))
        case 6:
            other = rng.choice(others)
            start = rng.randrange(len(other))
            made[at : at + n_bytes] = other[start : start + n_bytes]
        case _:
            if rng.random() < 0.2:
                del made[at:]
            elif at < len(made):
                made[at] ^= 1 << rng.randrange(8)


@dataclass
class Figures:
    """Of a run; ``wrong`` is what must not be."""

    n_data_sets: int = 0
    n_pdus: int = 0
    n_associations: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Fuzz:
    """Sends to the receiver at ``port`` and remembers what was answered Success."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self._port, self._rng = port, rng
        self._good = corpus()
        self._others = [one.data_set for one in self._good]
        self.acknowledged: set[str] = set()
        self.figures = Figures()

    def data_sets(self, n_data_sets: int) -> None:
        """So many damaged data sets, each in a message that is as it should be."""
        left = n_data_sets
        while left > 0:
            chosen = self._rng.choices(self._good, k=min(left, IN_AN_ASSOCIATION))
            left -= len(chosen)
            while chosen:
                chosen = self._associated(chosen)

    def _associated(self, chosen: list[Sample]) -> list[Sample]:
        """Send until the association ends; what has not been sent by then."""
        pairs = sorted({one.context for one in chosen})
        ids = {pair: 2 * number + 1 for number, pair in enumerate(pairs)}
        contexts = [(ids[pair], *pair) for pair in pairs]
        with connected(self._port) as connection:
            wire = Wire(connection)
            connection.settimeout(HANG_SECONDS)
            wire.send(associate_rq(contexts))
            self.figures.n_associations += 1
            if [one[0] for one in wire.pdus(1)] != [2]:
                self.figures.wrong.append("not associated")
                return []
            for number, one in enumerate(chosen, 1):
                if not self._stored(wire, one, ids[one.context]):
                    return chosen[number:]
            wire.send(RELEASE)
        return []

    def _stored(self, wire: Wire, one: Sample, context_id: int) -> bool:
        made = damaged(self._rng, one.data_set, self._others)
        rq = store_rq(one.key.sop_instance_uid, one.key.sop_class_uid)
        size = self._rng.choice((100, 4000, 16000, 60000))
        wire.send(store(made, rq, max(size, len(made) // 200), context_id))
        self.figures.n_data_sets += 1
        try:
            answers = list(wire.pdus(1))
        except TimeoutError:
            self.figures.wrong.append(f"hangs: {one.name}")
            return False
        if not answers or answers[0][0] != 4:
            self.figures.wrong.append(f"no answer: {one.name}")
            return False
        self._note(status(answers[0]), made)
        return True

    def _note(self, answered: int, made: bytes) -> None:
        self.figures.answers[f"0x{answered:04x}"] += 1
        if answered == 0 or answered >> 12 == 0xB:
            self.acknowledged.add(sha256(made).hexdigest())

    def pdus(self, n_pdus: int) -> None:
        """So many associations with one PDU that is not as it should be."""
        small = [one for one in self._good if len(one.data_set) < 16 << 10]
        for _ in range(n_pdus):
            self._conversation(self._rng.choice(small))

    def _conversation(self, one: Sample) -> None:
        contexts = [(1, *one.context), (5, VERIFICATION, EXPLICIT)]
        rq = associate_rq(contexts)
        sent = [rq, *_stores(one), pdu(pdv(5, 3, echo_rq())), RELEASE]
        at = self._rng.randrange(len(sent))
        match self._rng.randrange(8):
            case 0:
                sent.insert(at, sent[at])
            case 1:
                del sent[at]
            case 2:
                self._rng.shuffle(sent)
            case _:
                sent[at] = damaged(self._rng, sent[at], (one.data_set,))
        self.figures.n_pdus += 1
        self._exchange(sent, rq)

    def _exchange(self, sent: list[bytes], rq: bytes) -> None:
        n_greeted, greeting = 0, b""
        with connected(self._port) as connection:
            connection.settimeout(HANG_SECONDS)
            try:
                with suppress(BrokenPipeError, ConnectionResetError):
                    if sent[0] == rq:
                        # What comes before its answer is no part of an association.
                        connection.sendall(sent[0])
                        n_greeted, greeting = 1, answer(connection)
                    connection.sendall(b"".join(sent[n_greeted:]))
                    connection.shutdown(socket.SHUT_WR)
                answers = greeting + everything(connection)
            except TimeoutError:
                self.figures.wrong.append(f"hangs: {b''.join(sent[:3])[:200].hex()}")
                return
            except OSError:
                answers = b""
        n_stored = _n_successes(answers)
        self.figures.answers[f"pdu: {n_stored} stored"] += 1
        self._expect(b"".join(sent), n_stored)

    def _expect(self, sent: bytes, n_stored: int) -> None:
        """As many of the data sets in ``sent`` as were answered must be kept."""
        if n_stored:
            told = [sha256(one).hexdigest() for one in data_sets_in(sent)]
            if len(told) == n_stored:
                self.acknowledged.update(told)
            elif n_stored > len(told):
                self.figures.wrong.append(
                    f"{n_stored} answers, {len(told)} sent: {sent.hex()}"
                )


def _stores(one: Sample) -> Iterator[bytes]:
    """A C-STORE as PDUs."""
    rq = store_rq(one.key.sop_instance_uid, one.key.sop_class_uid)
    whole = store(one.data_set, rq, max(2000, len(one.data_set) // 4))
    while whole:
        length = 6 + int.from_bytes(whole[2:6], "big")
        yield whole[:length]
        whole = whole[length:]


def _pdus_in(stream: bytes, *, cut_off: bool = False) -> Iterator[bytes]:
    """PDUs; with ``cut_off`` also what there is of the last one.

    Its fragments count when they are whole: they are taken as they come.
    """
    while len(stream) >= 6:
        length = 6 + int.from_bytes(stream[2:6], "big")
        if len(stream) < length and not cut_off:
            return
        yield stream[:length]
        stream = stream[length:]


def data_sets_in(sent: bytes) -> Iterator[bytes]:
    """Every data set that was sent to its last fragment (PS3.8 9.3.5 and Annex E)."""
    gathered = b""
    for one in _pdus_in(sent, cut_off=True):
        body = one[6:] if one[0] == 4 else b""
        while len(body) >= 6:
            n_bytes, _, control = struct.unpack_from(">IBB", body)
            if len(body) < 4 + n_bytes:
                break
            fragment, body = body[6 : 4 + n_bytes], body[4 + n_bytes :]
            if not control & 1:
                gathered += fragment
                if control & 2:
                    yield gathered
                    gathered = b""


def _n_successes(answers: bytes) -> int:
    """C-STORE-RSPs (PS3.7 9.3.1.2) with Success among ``answers``."""
    response = struct.pack("<HHIH", 0, 0x0100, 2, 0x8001)
    return sum(
        response in one and status(one) == 0 for one in _pdus_in(answers) if one[0] == 4
    )


def kept(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Content by location as the worklist has it; and what is wrong with the files."""
    var = folder / "var"
    with closing(sqlite3.connect(var / "worklist.db")) as connection:
        query = "SELECT location, sha256 FROM instances"
        rows = dict(connection.execute(query).fetchall())
    root = var / "instances"
    found = {
        str(path.relative_to(root)): sha256(data_set(path)).hexdigest()
        for path in root.rglob("*.dcm")
        if "quarantine" not in path.parts
    }
    wrong = [f"row and file differ: {one}" for one in rows.keys() ^ found.keys()]
    wrong += [f"wrong hash: {key}" for key in found if rows.get(key) != found[key]]
    wrong += [f"left over: {path}" for path in root.rglob("*.part")]
    return rows, wrong


def outside(top: Path, store_folder: Path) -> set[Path]:
    """Every file below ``top`` that is not in the store."""
    files = (path for path in top.rglob("*") if path.is_file())
    return {path for path in files if store_folder not in path.parents}


def checked(top: Path, before: set[Path], fuzz: Fuzz, running: Receiver) -> list[str]:
    """What is wrong after a run."""
    folder = top / "a" / "b" / "node"
    rows, wrong = kept(folder)
    wrong += [f"lost: {one}" for one in fuzz.acknowledged - set(rows.values())]
    own = ("worklist.db", "audit")
    for path in outside(top, folder / "var" / "instances") - before:
        if not any(own_name in str(path.relative_to(top)) for own_name in own):
            wrong.append(f"outside the store: {path.relative_to(top)}")
    for line in running.said:
        # The library says at this level that a PDU was not as it should be.
        is_ours = not line["logger"].startswith("pynetdicom")
        if is_ours and (line["level"] in {"error", "critical"} or "error_type" in line):
            wrong.append(f"logged: {json.dumps(line)}")
    return wrong


def measure(top: Path, n_data_sets: int, n_pdus: int, seed: int) -> Figures:
    """Start a receiver below ``top``, send, and look at what it has kept."""
    began = monotonic()
    folder = top / "a" / "b" / "node"
    folder.mkdir(parents=True)
    with receiver(folder, CONFIG) as running:
        before = outside(top, folder / "var" / "instances")
        fuzz = Fuzz(running.port, random.Random(seed))
        fuzz.data_sets(n_data_sets)
        fuzz.pdus(n_pdus)
        # It is the same process that still answers, and keeps.
        fuzz._associated(fuzz._good[:1])
        found = checked(top, before, fuzz, running)
    fuzz.figures.wrong += found
    fuzz.figures.seconds = round(monotonic() - began, 1)
    return fuzz.figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz")
    parser.add_argument("--data-sets", type=int, default=500)
    parser.add_argument("--pdus", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with TemporaryDirectory(prefix="fuzz-") as name:
        figures = measure(Path(name), given.data_sets, given.pdus, given.seed)
    print(json.dumps({**vars(figures), "wrong": figures.wrong[:50]}))
    print(f"{len(figures.wrong)} wrong", file=sys.stderr)
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
