"""Running alembic from code: no ini file, also from an installed package."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def run_upgrade(connection: Connection, revision: str) -> None:
    """Migrate up to ``revision`` in the transaction of ``connection``."""
    command.upgrade(_config(connection), revision)


def run_downgrade(connection: Connection, revision: str) -> None:
    """Migrate down to ``revision`` in the transaction of ``connection``."""
    command.downgrade(_config(connection), revision)


def _config(connection: Connection) -> Config:
    config = Config()
    # A % in the path would be read as the start of a placeholder.
    folder = str(Path(__file__).parent).replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
