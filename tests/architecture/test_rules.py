"""The rules of the house, read off the source."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "base", "types", "core"}
BOUNDARIES = {
    "dicomnode/receiver/handlers.py",  # a C-STORE
    "dicomnode/worker/attempt.py",  # a job
    "dicomnode/housekeeping/schedule.py",  # a chore
}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill"}


def sources() -> list[Path]:
    return sorted(
        path for room in ("dicomnode", "model") for path in (ROOT / room).rglob("*.py")
    )


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


TREES = {name_of(path): ast.parse(path.read_text("utf-8")) for path in sources()}


def functions():
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name}:{node.name}", body_lines(node)


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body after its docstring."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


def is_broad(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    if caught is None:
        return True
    return isinstance(caught, ast.Name) and caught.id in ("Exception", "BaseException")


def test_import_rules():
    program = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run(
        [program, "--config", "import-contracts.toml", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_functions_are_small():
    sizes = sorted(lines for _, lines in functions())
    assert statistics.median(sizes) <= 8
    assert sizes[int(len(sizes) * 0.9)] <= 25
    too_long = {name: lines for name, lines in functions() if lines > 60}
    assert too_long == {}


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_files_are_small_and_named_for_what_they_hold(path):
    assert len(path.read_text("utf-8").splitlines()) <= 400
    assert path.stem not in FORBIDDEN_NAMES


def test_broad_handlers_stand_at_the_boundaries_only():
    found = {
        name: sum(
            is_broad(node)
            for node in ast.walk(tree)
            if isinstance(node, ast.ExceptHandler)
        )
        for name, tree in TREES.items()
    }
    assert {name: n for name, n in found.items() if n} == dict.fromkeys(BOUNDARIES, 1)


def test_nothing_evaluates_or_unpickles():
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in UNSAFE_CALLS, (name, node.lineno)
            if isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
                assert not names & UNSAFE_MODULES, (name, node.lineno)
            if isinstance(node, ast.keyword) and node.arg == "shell":
                assert not getattr(node.value, "value", True), (name, node.value.lineno)


def test_no_global_statements():
    for name, tree in TREES.items():
        assert not any(isinstance(node, ast.Global) for node in ast.walk(tree)), name


def test_every_public_function_and_class_says_what_it_is():
    silent = [
        f"{name}:{node.name}"
        for name, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def called(node: ast.Call) -> str:
    """``yaml.load`` of ``yaml.load(...)``; empty for what has no plain name."""
    return ast.unparse(node.func) if isinstance(node.func, ast.Attribute) else ""


def test_nothing_loads_what_may_be_a_program():
    unsafe = {"yaml.load", "yaml.unsafe_load", "torch.load", "numpy.load", "np.load"}
    unsafe |= {"os.system", "os.popen", "subprocess.getoutput", "joblib.load"}
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in UNSAFE_MODULES, name
            if isinstance(node, ast.Call) and called(node) in unsafe:
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                safe = given.get("weights_only") == "True"
                safe |= given.get("allow_pickle") == "False"
                assert safe, (name, node.lineno, called(node))
