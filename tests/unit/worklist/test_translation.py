"""Errors of the database: ours, with the remedy, without patient data."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dicomnode.errors import LostLease, WorklistError
from dicomnode.worklist.translation import Unavailable, translated


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("database is locked", "dicomnode doctor"),
        ("attempt to write a readonly database", "writable for this user"),
        ("database or disk is full", "free space"),
        ("disk I/O error", "restart the node"),
        ("unable to open database file", "folder of the database"),
        ("database disk image is malformed", "dicomnode db restore"),
        ("no such table: jobs", "dicomnode db upgrade"),
        ("connection refused", "server runs"),
        ("something new", "dicomnode doctor"),
    ],
)
def test_every_failure_names_its_remedy(said: str, remedy: str) -> None:
    broken = sqlite3.OperationalError(said)
    with pytest.raises(Unavailable, match=remedy) as caught, translated():
        raise OperationalError("SELECT 1", {}, broken)
    assert isinstance(caught.value.__cause__, DBAPIError)


def test_only_the_first_line_and_no_parameters() -> None:
    broken = sqlite3.IntegrityError("duplicate key\nDETAIL: Key (name)=(Planted)")
    with pytest.raises(WorklistError) as caught, translated():
        raise DBAPIError("INSERT", {"name": "Planted"}, broken)
    assert "Planted" not in str(caught.value)
    assert not isinstance(caught.value, Unavailable)


def test_parameters_are_hidden_in_the_cause_too(tmp_path: Path) -> None:
    from dicomnode.worklist.sqlite import writer_engine

    engine = writer_engine(tmp_path / "some.db")
    with pytest.raises(OperationalError) as caught, engine.begin() as connection:
        connection.execute(text("SELECT :name FROM nothing"), {"name": "Planted"})
    engine.dispose()
    assert "Planted" not in str(caught.value)


def test_no_free_connection() -> None:
    with pytest.raises(Unavailable, match="fewer roles"), translated():
        raise PoolTimeout


def test_our_own_errors_pass() -> None:
    with pytest.raises(LostLease), translated():
        raise LostLease("gone")


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    engine = create_engine(f"postgresql+psycopg://nobody@/none?host={tmp_path}")
    with pytest.raises(Unavailable, match="server runs"), translated():
        engine.connect()
    engine.dispose()
