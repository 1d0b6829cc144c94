"""Which roles live on which host, and what only one of them can read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from dicomnode.domain.hosts import STALE_SECONDS
from dicomnode.health.moments import age, moment
from dicomnode.health.spool import LATE_SECONDS

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HostedRole:
    """The processes of one role on one host, and the last that was heard of them."""

    host: str
    role: str
    n_live: int
    n_silent: int
    version: str
    heartbeat_at: str
    leads: bool

    @property
    def is_silent(self) -> bool:
        """Whether none of its processes lives."""
        return not self.n_live

    def __str__(self) -> str:
        """One word for a line of all roles of a host."""
        many = f" x{self.n_live}" if self.n_live > 1 else ""
        leading = " (leads)" if self.leads else ""
        return f"{self.role}{many}{leading}"


def hosted_roles(rows: Sequence[Row], now: datetime) -> list[HostedRole]:
    """The rows of ``v1_roles``, by host and role."""
    ordered = sorted(rows, key=_host_and_role)
    return [
        _hosted(host, role, list(of_it), now)
        for (host, role), of_it in groupby(ordered, _host_and_role)
    ]


def told(row: HostedRole) -> dict[str, Any]:
    """As `status --json` and the pages give it."""
    return {
        "host": row.host,
        "role": row.role,
        "n_live": row.n_live,
        "n_silent": row.n_silent,
        "version": row.version,
        "heartbeat_at": row.heartbeat_at,
        "leads": row.leads,
    }


def silent_hosts(
    rows: Sequence[Row], now: datetime
) -> Iterator[tuple[str, str, str, str]]:
    """Of each host with a silent role: its name, what is wrong, the remedy, a key."""
    silent = [one for one in hosted_roles(rows, now) if one.is_silent]
    living = {one.host for one in hosted_roles(rows, now) if one.n_live}
    for host, of_it in groupby(silent, lambda one: one.host):
        found = list(of_it)
        names = ", ".join(one.role for one in found)
        since = age(max(one.heartbeat_at for one in found), now)
        if host in living:
            what = f"{names} on host {host} not heard of for {since}"
            remedy = f"start it there again: `dicomnode {found[0].role}`; read its log"
        else:
            what = f"host {host} ({names}) not heard of for {since}"
            remedy = (
                "start it again, or its network; a host that is gone for good is "
                "forgotten after a day"
            )
        yield host, what, remedy, f"silent-host:{host}"


def hosts_of(rows: Sequence[Row], now: datetime) -> Iterator[tuple[str, str]]:
    """Each host, with its roles and the last that was heard of it."""
    for host, of_it in groupby(hosted_roles(rows, now), lambda one: one.host):
        found = list(of_it)
        words = ", ".join(
            f"{one} (silent)" if one.is_silent else str(one) for one in found
        )
        heard = age(max(one.heartbeat_at for one in found), now)
        yield host, f"{words}; heard of {heard} ago"


def late_spools(
    spools: Sequence[Row], roles: Sequence[Row], now: datetime
) -> Iterator[tuple[str, str, str, int]]:
    """Of each host whose spool waits: what is wrong, the remedy, a key, how many."""
    receiving = {
        one.host for one in hosted_roles(roles, now) if one.role == "receive" and
        one.n_live
    }  # fmt: skip
    for row in spools:
        host, is_live = str(row["host"]), row["host"] in receiving
        waited = (now - moment(row["oldest_at"])).total_seconds()
        if is_live and waited < LATE_SECONDS:
            continue
        what = (
            f"{row['n_studies']} study(ies) wait for {row['n_instances']} instance(s) "
            f"in the spool of host {host}, the oldest for {age(row['oldest_at'], now)}"
        )
        remedy = (
            f"see the log of `dicomnode receive` on {host}, and `dicomnode doctor`"
            if is_live
            else f"start `dicomnode receive` on {host}, which hands them over; if its "
            "disk is lost, have the studies sent again"
        )
        yield what, remedy, f"spool:{host}", int(row["n_studies"])


def _hosted(host: str, role: str, rows: list[Row], now: datetime) -> HostedRole:
    live = [one for one in rows if _lives(one, now)]
    latest = max(rows, key=lambda one: str(one["heartbeat_at"]))
    return HostedRole(
        host=host,
        role=role,
        n_live=len(live),
        n_silent=len(rows) - len(live),
        version=str(latest["version"]),
        heartbeat_at=str(latest["heartbeat_at"]),
        leads=any(_leads(one, now) for one in live),
    )


def _lives(row: Row, now: datetime) -> bool:
    return (now - moment(row["heartbeat_at"])).total_seconds() <= STALE_SECONDS


def _leads(row: Row, now: datetime) -> bool:
    return bool(row["leads_until"]) and moment(row["leads_until"]) >= now


def _host_and_role(row: Row) -> tuple[str, str]:
    return str(row["host"]), str(row["role"])
