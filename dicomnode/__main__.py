"""``dicomnode`` and ``python -m dicomnode``."""

from __future__ import annotations

from dicomnode.cli.app import app


def main() -> None:
    """Run the command of the command line; ends the process with its exit code."""
    app(prog_name="dicomnode")


if __name__ == "__main__":
    main()
