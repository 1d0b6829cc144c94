"""How often somebody may guess a password or a token: growing waits, bounded memory.

Nobody is locked out for good. What guessers far away do to an account makes everyone
wait half a minute at most, and neither who has signed in from the same address before
nor who sits at the machine itself. Only an address that guesses waits longer.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Container
from dataclasses import dataclass
from math import ceil
from threading import Lock, Semaphore
from time import monotonic

from dicomnode.web.access import Account

FREE_OF_ACCOUNT, LONGEST_OF_ACCOUNT_SECONDS = 5, 30.0
FREE_OF_ADDRESS, LONGEST_OF_ADDRESS_SECONDS = 10, 900.0
FORGOTTEN_SECONDS = 3600.0
"""So long without a failure, and the next one counts as the first."""
MOST_REMEMBERED = 10_000
AT_ONCE = 4
"""Each check of a password takes 16 MiB and a core for 50 ms; others wait."""
PATIENCE_SECONDS = 5.0


class TooMany(Exception):
    """Nothing was tried; ``told``: this wait has refused somebody before."""

    def __init__(self, seconds: float, *, told: bool = False) -> None:
        self.seconds = ceil(seconds)
        self.told = told
        super().__init__(f"too many attempts; try again in {self.seconds} s")


@dataclass(slots=True)
class _Tally:
    failures: int = 0
    last_at: float = 0.0
    free_at: float = 0.0
    told: bool = False


class _Tallies:
    """Failures by a key; the longest untouched is forgotten when there are too many."""

    def __init__(self, free: int, longest_seconds: float) -> None:
        self._free, self._longest_seconds = free, longest_seconds
        self._of: OrderedDict[str, _Tally] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def find(self, key: str) -> _Tally:
        """The tally of ``key``; an empty one if there is none."""
        return self._of.get(key, _Tally())

    def fail(self, key: str, now: float) -> float:
        """Count a failure; the seconds to wait now."""
        tally = self._of.setdefault(key, _Tally())
        self._of.move_to_end(key)
        if now - tally.last_at > FORGOTTEN_SECONDS:
            tally.failures = 0
        tally.failures += 1
        beyond = min(tally.failures - self._free, 20)
        wait = min(self._longest_seconds, 2.0 ** (beyond - 1)) if beyond > 0 else 0.0
        tally.last_at, tally.free_at, tally.told = now, now + wait, False
        while len(self._of) > MOST_REMEMBERED:
            self._of.popitem(last=False)
        return wait

    def forget(self, key: str) -> None:
        """It was right: what came before was mistyped."""
        self._of.pop(key, None)


class Attempts:
    """Counts failures by account and by address; safe for many threads.

    ``clock`` gives seconds that never go back. A name that no account has is counted
    like one that exists, or the difference would tell which do.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock, self._checks = Lock(), Semaphore(AT_ONCE)
        self._known = _Tallies(FREE_OF_ACCOUNT, LONGEST_OF_ACCOUNT_SECONDS)
        # Apart, so that invented names cannot push out the count of a real one.
        self._unknown = _Tallies(FREE_OF_ACCOUNT, LONGEST_OF_ACCOUNT_SECONDS)
        self._addresses = _Tallies(FREE_OF_ADDRESS, LONGEST_OF_ADDRESS_SECONDS)
        self._welcome: OrderedDict[tuple[str, str], None] = OrderedDict()

    def __len__(self) -> int:
        """How much is remembered."""
        counted = len(self._known) + len(self._unknown) + len(self._addresses)
        return counted + len(self._welcome)

    def check(
        self,
        name: str,
        address: str,
        names: Container[str],
        right: Callable[[], Account | None],
        *,
        local: bool = False,
    ) -> tuple[Account | None, float]:
        """What ``right`` finds, and after a failure the seconds to wait.

        ``names`` are those of the accounts. Raises TooMany before ``right`` is asked.
        """
        place = place_of(address)
        # Where most guesses end: without a slot, and without a hash.
        self._refuse(name, place, names, local=local)
        if not self._checks.acquire(timeout=PATIENCE_SECONDS):
            raise TooMany(PATIENCE_SECONDS, told=True)
        try:
            # Again: those before us in the queue may have used up what was free.
            self._refuse(name, place, names, local=local)
            found = right()
            return found, self._note(name, place, names, well=found is not None)
        finally:
            self._checks.release()

    def _accounts(self, name: str, names: Container[str]) -> _Tallies:
        return self._known if name in names else self._unknown

    def _refuse(
        self, name: str, place: str, names: Container[str], *, local: bool
    ) -> None:
        now = self._clock()
        with self._lock:
            tallies = [self._addresses.find(place)]
            if not local and (name, place) not in self._welcome:
                tallies.append(self._accounts(name, names).find(name))
            held = max(tallies, key=lambda one: one.free_at)
            if held.free_at > now:
                told, held.told = held.told, True
                raise TooMany(held.free_at - now, told=told)

    def _note(
        self, name: str, place: str, names: Container[str], *, well: bool
    ) -> float:
        now, accounts = self._clock(), self._accounts(name, names)
        with self._lock:
            if not well:
                return max(accounts.fail(name, now), self._addresses.fail(place, now))
            # The address keeps its count: one right password may hide many guesses.
            accounts.forget(name)
            self._welcome[name, place] = None
            self._welcome.move_to_end((name, place))
            while len(self._welcome) > MOST_REMEMBERED:
                self._welcome.popitem(last=False)
            return 0.0


def place_of(address: str) -> str:
    """Whom an address counts for: an IPv6 host has a whole /64 to choose from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:  # noqa: PLR2004
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
