"""strace on a running role: what it asked the kernel for, in which order; and faults.

A call is known by its name, its text (file descriptors with their paths, strings as
they are) and its place: `began` before anything it did, `ended` when it had returned.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    *("fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink", "unlinkat"),
    *("write", "pwrite64", "sendto", "recvfrom"),
)
_LINE = re.compile(r"(?P<thread>\d+) +(?P<text>.*)")
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)")
_LET_GO_SECONDS = 3
_UNFINISHED = " <unfinished ...>"
_HEX = re.compile(r"\\x([0-9a-f]{2})")


@dataclass(frozen=True)
class Call:
    """One system call that returned without an error."""

    name: str
    text: str
    began: int
    ended: int


Step = Callable[[Call], bool]


@contextmanager
def attached(pid: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    """strace with all threads of ``pid``, from now to the end of the block."""
    process = subprocess.Popen(
        ["strace", "-f", *options, "-p", str(pid)],
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    assert process.stderr
    try:
        line = process.stderr.readline()
        if "attached" not in line:
            raise RuntimeError(f"strace cannot trace here: {line}")
        yield process
    finally:
        # It lets its tracee go on; one that was killed it sometimes waits for in vain.
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=_LET_GO_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextmanager
def traced(pid: int, output: Path) -> Iterator[None]:
    """Write the calls of ``pid`` to ``output``."""
    trace = f"trace={','.join(CALLS)}"
    options = ("-y", "-s", "8192", "-xx", "-e", trace, "-o", str(output))
    with attached(pid, *options):
        yield


def calls(output: Path) -> list[Call]:
    """Every call in a trace that did not fail, in the order of their ends."""
    begun: dict[str, tuple[int, str]] = {}
    found: list[Call] = []
    for place, line in enumerate(output.read_text("ascii").splitlines()):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        thread, text = match["thread"], match["text"]
        if text.endswith(_UNFINISHED):
            begun[thread] = (place, text.removesuffix(_UNFINISHED))
            continue
        began = place
        if resumed := _RESUMED.fullmatch(text):
            began, head = begun.pop(thread, (place, f"{resumed['name']}("))
            text = head + resumed["rest"]
        if "(" in text and not re.search(r"= (-1|\?)", text):
            found.append(Call(text.partition("(")[0], _decoded(text), began, place))
    return found


def _decoded(text: str) -> str:
    """Bytes as Latin-1, so that each stays one character."""
    return _HEX.sub(lambda match: chr(int(match[1], 16)), text)


def chain(found: Sequence[Call], steps: Iterable[Step]) -> list[Call]:
    """The first call for each step that began after the step before it had ended.

    As long as ``steps`` when all were found in this order, shorter otherwise.
    """
    after, kept = -1, []
    for step in steps:
        call = next((one for one in found if one.began > after and step(one)), None)
        if call is None:
            return kept
        kept.append(call)
        after = call.ended
    return kept


def synced(*parts: str) -> Step:
    """A sync of a file or folder whose path holds ``parts``."""
    return lambda call: call.name in ("fsync", "fdatasync") and _has(call, parts)


def staged(found: Sequence[Call], sop_instance_uid: str) -> str:
    """The name that the file of an instance had before its final one."""
    named = renamed(f'"{sop_instance_uid}.', ".dcm")
    (call, *_) = [one for one in found if named(one)] or [Call("", "", 0, 0)]
    part = re.search(r'"([^"]+\.part)"', call.text)
    return part[1] if part else "none"


def synced_folder(name: str) -> Step:
    """A sync of the folder of this name."""
    return lambda call: call.name == "fsync" and f"/{name}>" in call.text


def renamed(*parts: str) -> Step:
    """A new name that holds ``parts``."""
    return lambda call: call.name.startswith("rename") and _has(call, parts)


def logged(*parts: str) -> Step:
    """A write to the write-ahead log with ``parts`` in it."""
    return lambda call: call.name == "pwrite64" and _has(call, ("-wal>", *parts))


def store_answer(name: str, sop_instance_uid: str) -> Step:
    """A C-STORE-RSP (PS3.7 9.3.1.2) with Success, ``name``d sendto or recvfrom."""
    command = "\0\0\0\1\2\0\0\0\1\x80"  # (0000,0100) = 8001H
    status = "\0\0\0\t\2\0\0\0\0\0"  # (0000,0900) = 0000H
    parts = (sop_instance_uid, command, status)
    return lambda call: call.name == name and _has(call, parts)


def _has(call: Call, parts: Iterable[str]) -> bool:
    return all(part in call.text for part in parts)
