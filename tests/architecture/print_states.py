"""Prints docs/states.md from the tables: `make docs`."""

from __future__ import annotations

from dicomnode.domain.backfill import BACKFILL_STATES
from dicomnode.domain.delivery import DELIVERY_STATES
from dicomnode.domain.job import JOB_STATES
from dicomnode.domain.study import STUDY_STATES

HEAD = """# States

Printed from the tables in `dicomnode/domain/` by `make docs`; a test compares them.
Each arrow names its event and who causes it.

A hold (`dicomnode hold`), a pause (`pause`) and a drain (`drain`) are no states: what
is held or paused stays where it is until `release` or `resume`. A purge (`purge`) ends
a study in any state in which no worker and no sender has it: its rows are gone then.
"""

if __name__ == "__main__":
    print(HEAD)
    for machine in (STUDY_STATES, JOB_STATES, DELIVERY_STATES, BACKFILL_STATES):
        print(
            f"## {machine.name.capitalize()}\n\n```mermaid\n{machine.mermaid()}\n```\n"
        )
