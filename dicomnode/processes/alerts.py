"""What alarms are made of in a running node, and the channels of its configuration."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from dicomnode.alerting.mail import MailChannel, Relay
from dicomnode.alerting.message import Origin
from dicomnode.alerting.watching import Alerts, Channel
from dicomnode.alerting.webhook import Hook, WebhookChannel
from dicomnode.config import Config
from dicomnode.domain import silence
from dicomnode.health.alarms import Alarm, Limits, Sender, Survey, alarms
from dicomnode.health.digest import Periods
from dicomnode.health.looking import look, surroundings
from dicomnode.health.moments import moment
from dicomnode.processes.certificates import certificates
from dicomnode.processes.clock import SystemClock
from dicomnode.views import Views
from dicomnode.worklist import Worklist


def channels(config: Config) -> list[Channel]:
    """Those that are configured; none when nobody is to be told."""
    return list(_channels(config, Origin(config.node.ae_title, socket.gethostname())))


def _channels(config: Config, origin: Origin) -> Iterator[Channel]:
    mail, hook = config.alert.mail, config.alert.webhook
    if mail.host:
        relay = Relay(
            mail.host,
            mail.port,
            mail.encryption,
            mail.ca,
            mail.user,
            mail.password.get_secret_value(),
            mail.timeout_seconds,
        )
        yield MailChannel(relay, mail.sender, mail.recipients, origin)
    if url := hook.url.get_secret_value():
        secret = hook.secret.get_secret_value()
        yield WebhookChannel(Hook(url, secret, hook.ca, hook.timeout_seconds), origin)


def alerts(config: Config, worklist: Worklist) -> Alerts:
    """The chore of the keeper."""
    alert = config.alert
    return Alerts(
        looker(config, worklist.views),
        channels(config),
        worklist.upkeep,
        worklist.views,
        SystemClock(),
        Periods(alert.digest_minutes * 60.0, alert.remind_hours * 3600.0),
    )


def looker(config: Config, views: Views) -> Callable[[], list[Alarm]]:
    """A function that gives the alarms of the moment."""
    around, alert = surroundings(config), config.alert
    limits = Limits(
        alert.destination_down_minutes, alert.disk_percent, alert.certificate_days
    )

    def looked() -> list[Alarm]:
        survey = Survey(
            snapshot=look(views, datetime.now(UTC), around),
            unsent=views.unsent(),
            senders=list(_senders(config, views)),
            certificates=list(certificates(config)),
        )
        return alarms(survey, limits)

    return looked


def _senders(config: Config, views: Views) -> Iterator[Sender]:
    for peer in config.peer:
        if peer.silent_after_minutes:
            newest = views.worklist(ae=peer.ae_title, limit=1)
            last_at = moment(newest[0]["received_at"]) if newest else None
            hours = silence.parsed(peer.silent_hours)
            yield Sender(peer.ae_title, last_at, peer.silent_after_minutes, hours)
