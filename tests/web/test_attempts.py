"""Guessing passwords and tokens: slower and slower, for nobody else, never for good."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Barrier, Thread

import pytest
from fastapi.testclient import TestClient

from dicomnode import web
from dicomnode.web.access import Accounts, Role
from dicomnode.web.attempts import (
    FREE_OF_ACCOUNT,
    FREE_OF_ADDRESS,
    LONGEST_OF_ACCOUNT_SECONDS,
    LONGEST_OF_ADDRESS_SECONDS,
    MOST_REMEMBERED,
    Attempts,
    TooMany,
)
from tests.web.conftest import PASSWORD, account, browser, csrf, sign_in

ANNA = account("anna", Role.ADMIN)
NAMES = {"anna": ANNA}


@dataclass
class Watch:
    """Seconds, as far as a test lets them pass."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def guess(attempts: Attempts, name="anna", address="10.0.0.9", **more) -> float:
    """One wrong password; the seconds to wait after it."""
    return attempts.check(name, address, NAMES, lambda: None, **more)[1]


def right(attempts: Attempts, address: str, **more) -> bool:
    found, _ = attempts.check("anna", address, NAMES, lambda: ANNA, **more)
    return found is ANNA


def guess_on(attempts: Attempts, watch: Watch, times: int, **more) -> list[float]:
    """Guess as soon as it is allowed."""
    waits = []
    for _ in range(times):
        waits.append(guess(attempts, **more))
        watch.seconds += waits[-1]
    return waits


def test_waits_of_an_account_grow_to_half_a_minute():
    watch = Watch()
    attempts = Attempts(watch)
    waits = [
        guess_on(attempts, watch, 1, address=f"10.0.0.{number}")[0]
        for number in range(FREE_OF_ACCOUNT + 8)
    ]
    assert waits[:FREE_OF_ACCOUNT] == [0.0] * FREE_OF_ACCOUNT
    assert waits[FREE_OF_ACCOUNT:] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert max(waits) == LONGEST_OF_ACCOUNT_SECONDS


def test_waits_of_an_address_grow_to_a_quarter_of_an_hour():
    watch = Watch()
    attempts = Attempts(watch)
    waits = [
        guess_on(attempts, watch, 1, name=f"guess{number}")[0]
        for number in range(FREE_OF_ADDRESS + 13)
    ]
    assert waits[:FREE_OF_ADDRESS] == [0.0] * FREE_OF_ADDRESS
    assert waits[FREE_OF_ADDRESS:][:4] == [1, 2, 4, 8]
    assert waits[-1] == LONGEST_OF_ADDRESS_SECONDS


def test_during_a_wait_nothing_is_tried_and_only_the_first_is_told():
    watch = Watch()
    attempts = Attempts(watch)
    guess_on(attempts, watch, FREE_OF_ACCOUNT + 2)
    assert guess(attempts) == 4
    with pytest.raises(TooMany, match="try again in 4 s") as first:
        attempts.check("anna", "10.0.0.9", NAMES, lambda: pytest.fail("was tried"))
    with pytest.raises(TooMany) as second:
        guess(attempts)
    assert (first.value.told, second.value.told) == (False, True)
    watch.seconds += 4
    assert right(attempts, "10.0.0.9")


def guess_on_waiting(attempts: Attempts, watch: Watch) -> None:
    for number in range(40):
        guess_on(attempts, watch, 1, address=f"10.1.0.{number}")
    watch.seconds -= 1  # the last wait is not over


def test_guessers_elsewhere_lock_nobody_out():
    watch = Watch()
    attempts = Attempts(watch)
    assert right(attempts, "10.0.0.1")
    guess_on_waiting(attempts, watch)
    assert right(attempts, "10.0.0.1")  # has signed in from there before
    guess_on_waiting(attempts, watch)
    assert right(attempts, "127.0.0.1", local=True)  # sits at the machine
    guess_on_waiting(attempts, watch)
    with pytest.raises(TooMany) as refused:
        right(attempts, "10.0.0.2")
    watch.seconds += refused.value.seconds
    assert right(attempts, "10.0.0.2")


def test_an_ipv6_host_has_no_new_address_for_each_guess():
    watch = Watch()
    attempts = Attempts(watch)
    for number in range(FREE_OF_ADDRESS + 1):
        guess(attempts, name=f"n{number}", address=f"2001:db8::{number}")
    with pytest.raises(TooMany):
        guess(attempts, name="other", address="2001:db8::ffff")
    assert guess(attempts, name="other", address="2001:db8:0:1::1") == 0


def test_memory_is_bounded_and_invented_names_do_not_hide_a_real_one(monkeypatch):
    monkeypatch.setattr("dicomnode.web.attempts.MOST_REMEMBERED", 100)
    assert MOST_REMEMBERED == 10_000
    watch = Watch()
    attempts = Attempts(watch)
    for number in range(FREE_OF_ACCOUNT):
        guess(attempts, address=f"10.0.0.{number}")
    for number in range(500):
        guess(attempts, name=f"n{number}", address=f"10.2.{number // 250}.{number}")
    assert len(attempts) <= 301
    assert guess(attempts, address="10.3.0.1") == 1.0


def test_guesses_at_once_get_no_more_tries_than_guesses_in_turn():
    attempts, tried, ready = Attempts(Watch()), [], Barrier(30)

    def one(number: int) -> None:
        ready.wait()
        with suppress(TooMany):
            attempts.check("anna", f"10.0.0.{number}", NAMES, lambda: tried.append(1))

    threads = [Thread(target=one, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tried) <= FREE_OF_ACCOUNT + 4


def test_the_form_says_when_to_come_back_and_the_trail_has_it(closed):
    client = browser(closed)
    form = {"csrf": csrf(client.get("/sign-in").text), "name": "anna"}
    for _ in range(FREE_OF_ACCOUNT + 1):
        assert (
            client.post("/sign-in", data={**form, "password": "x"}).status_code == 401
        )
    for _ in range(3):
        answer = client.post("/sign-in", data={**form, "password": PASSWORD})
        assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "1"
    assert "too many attempts; try again in 1 s" in answer.text
    seen = closed.room.witness.seen
    assert seen.count(("anna", "signed in", "wrong name or secret")) == FREE_OF_ACCOUNT
    assert seen[-2:] == [
        (
            "anna",
            "signed in",
            "wrong name or secret; the next attempt is refused for 1 s",
        ),
        ("anna", "signed in", "too many attempts; try again in 1 s"),
    ]


def test_tokens_are_guessed_no_faster_and_sessions_go_on(closed):
    signed_in, client = browser(closed), browser(closed)
    sign_in(signed_in, "vera")
    wrong = {"Authorization": "Bearer otto:guessed"}
    codes = {
        client.get("/api/v1/status", headers=wrong).status_code
        for _ in range(FREE_OF_ACCOUNT + 2)
    }
    assert codes == {403, 429}
    token = {"Authorization": f"Bearer otto:{PASSWORD}"}
    assert client.get("/api/v1/status", headers=token).status_code == 429
    assert signed_in.get("/problems").status_code == 200


def proxied(closed, **more) -> TestClient:
    accounts = Accounts(
        closed.room.accounts.known, Role.NONE, "X-Remote-User", frozenset({"10.0.0.5"})
    )
    room = replace(closed.room, accounts=accounts)
    app = web.create(room, "secret", session_seconds=3600)
    return TestClient(app, base_url="http://node", client=("10.0.0.5", 5000), **more)


def test_a_proxy_is_believed_who_signed_in_and_where_from(closed):
    client = proxied(closed)
    headers = {"X-Remote-User": "anna", "X-Forwarded-For": "6.6.6.6, 10.0.0.77"}
    assert client.get("/audit", headers=headers).status_code == 200
    stranger = TestClient(client.app, client=("10.0.0.6", 5000))
    assert stranger.get("/audit", headers=headers).history


def test_behind_a_proxy_each_browser_waits_for_its_own_guesses(closed):
    client = proxied(closed)

    def codes(address: str) -> list[int]:
        headers = {"X-Forwarded-For": f"1.1.1.1, {address}"}
        form = {"csrf": csrf(client.get("/sign-in", headers=headers).text)}
        return [
            client.post(
                "/sign-in",
                data={**form, "name": f"guess{number}", "password": "x"},
                headers=headers,
            ).status_code
            for number in range(FREE_OF_ADDRESS + 2)
        ]

    assert codes("10.0.0.77")[-1] == 429
    assert codes("10.0.0.78")[0] == 401


def test_a_form_token_of_any_letters_is_refused_and_breaks_nothing(closed):
    client = browser(closed)
    client.get("/sign-in")
    form = {"csrf": "ü" * 22, "name": "anna", "password": PASSWORD}
    assert client.post("/sign-in", data=form).status_code == 403
