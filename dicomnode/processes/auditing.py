"""The audit trail of a process, from the configuration; who opens it can audit."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast
from urllib.parse import quote

from dicomnode.audit import (
    AuditedStudy,
    AuditMessage,
    Emitter,
    Forwarder,
    Journal,
    Keeping,
    Node,
    Participant,
    Peer,
    Silent,
    Source,
    Target,
    Trail,
    codes,
    events,
    syslog,
)
from dicomnode.audit.codes import Code
from dicomnode.audit.events import Alert, Query
from dicomnode.audit.gathering import Refusals, Transfers
from dicomnode.audit.summary import summary_of
from dicomnode.config import Config, Destination
from dicomnode.ports import Archive, Clock, Intake, Jobs, Sender, Upkeep
from dicomnode.processes import changes
from dicomnode.processes.audited import (
    AuditedArchive,
    AuditedIntake,
    AuditedJobs,
    AuditedSender,
    AuditedUpkeep,
    study_of,
)
from dicomnode.processes.clock import SystemClock
from dicomnode.views import Views


@dataclass(frozen=True, slots=True)
class Auditor:
    """What a process audits with; ``emitter`` is Silent when no trail is kept."""

    node: Node
    emitter: Emitter
    clock: Clock
    transfers: Transfers
    refusals: Refusals
    by: tuple[Participant, ...] = field(default=())
    """Who acts in this process: itself, and the person who started a command."""

    def intake(self, intake: Intake) -> Intake:
        """The port, audited: transfers to us, and refused associations."""
        audited = AuditedIntake(intake, self.emitter, self.transfers, self.refusals)
        return cast(Intake, audited)

    def sender(self, sender: Sender, destination: Destination) -> Sender:
        """The port, audited: transfers to a destination."""
        peer = Peer(destination.ae_title, destination.host)
        audited = AuditedSender(sender, self.emitter, self.node, peer, self.clock)
        return cast(Sender, audited)

    def archive(
        self,
        archive: Archive,
        peer: Destination,
        as_asked: Callable[[Mapping[str, str]], Query],
    ) -> Archive:
        """The port, audited: what an archive was asked for; ``as_asked`` encodes it."""
        about = Peer(peer.ae_title, peer.host)

        def told(query: Mapping[str, str], error: str) -> None:
            now, asked = self.clock.now(), as_asked(query)
            self.emitter.emit(events.queried(self.by, about, asked, now, error))

        return cast(Archive, AuditedArchive(archive, told))

    def jobs(self, jobs: Jobs, views: Views) -> Jobs:
        """The port, audited: studies that were analysed."""
        return cast(Jobs, AuditedJobs(jobs, self.emitter, self.node, views))

    def upkeep(self, upkeep: Upkeep, views: Views) -> Upkeep:
        """The port, audited: studies that the retention has deleted."""
        return cast(Upkeep, AuditedUpkeep(upkeep, self.emitter, self.node, views))

    def network(self, *, attached: bool) -> None:
        """The receiver listens, or has ended to."""
        now = self.clock.now()
        self.emitter.emit(events.network_entry(self.node, now, attached=attached))

    def study_of(self, views: Views, study_instance_uid: str) -> AuditedStudy:
        """A study as it is named here; ask before its rows are gone."""
        return study_of(views, study_instance_uid)

    def study_deleted(self, study: AuditedStudy, reason: str, error: str = "") -> None:
        """A person has purged a study; ``error``: has tried to, in vain."""
        now = self.clock.now()
        self.emitter.emit(events.study_deleted(self.by, study, now, reason, error))

    def study_shown(self, views: Views, study_instance_uid: str) -> None:
        """A person has read the report of a study, or its images."""
        study = study_of(views, study_instance_uid)
        by = self.by[-1]
        self.emitter.emit(events.instances_accessed(by, study, self.clock.now()))

    def exported(self, views: Views, study_instance_uid: str, uri: str) -> None:
        """A person has written data of a study to ``uri``."""
        study = study_of(views, study_instance_uid)
        now = self.clock.now()
        self.emitter.emit(events.exported(self.by, uri, study, now))

    def restricted(self, what: str, about: str, kind: Code | None = None) -> None:
        """An admin has used a verb: ``what`` was done, ``about`` which job or thing."""
        alert = Alert(kind or codes.RESTRICTED_FUNCTION, f"{what}: {about}")
        message = events.security_alert(
            self.by, alert, f"urn:dicomnode:{quote(about)}", self.clock.now()
        )
        self.emitter.emit(message)

    def on_behalf(self, user: str, address: str) -> Auditor:
        """The same trail, where the acting person is ``user`` of the web pages."""
        person = Participant(user, is_requestor=True, address=address)
        return replace(self, by=(self.node.participant(), person))

    def trail_read(self, folder: Path) -> None:
        """A person has read the audit trail itself."""
        uri = folder.resolve().as_uri()
        self.emitter.emit(events.audit_log_used(self.by, uri, self.clock.now()))

    def authenticated(
        self, user: str, address: str, kind: Code, error: str = ""
    ) -> None:
        """Somebody has logged in (codes.LOGIN) or out; ``error``: why it failed."""
        person = Participant(user, is_requestor=True, address=address)
        now = self.clock.now()
        self.emitter.emit(
            events.user_authentication(self.node, person, now, kind, error)
        )


@contextmanager
def audited_role(role: str, config: Config) -> Iterator[Auditor]:
    """The trail of a role: its start and stop, and what the configuration has become.

    With a collector configured, the trail is sent from here too.
    """
    with _auditor(role, config, forward=True) as auditor:
        _note_activity(auditor, started=True)
        note_changes(auditor, config)
        try:
            yield auditor
        finally:
            _note_open(auditor)
            _note_activity(auditor, started=False)


@contextmanager
def audited_command(name: str, config: Config) -> Iterator[Auditor]:
    """The trail of a command that a person gives; a running role sends it on."""
    with _auditor(name, config, forward=False) as auditor:
        try:
            yield auditor
        finally:
            _note_open(auditor)


@contextmanager
def _auditor(name: str, config: Config, *, forward: bool) -> Iterator[Auditor]:
    clock = SystemClock()
    node = Node(config.node.ae_title, socket.gethostname(), name, os.getpid())
    transfers, refusals = Transfers(node), Refusals(node)
    person = Participant(
        account(), is_requestor=True, user_name=_behind_sudo(), address=node.host
    )
    by = (node.participant(), person)
    if not config.audit.enabled:
        yield Auditor(node, Silent(), clock, transfers, refusals, by)
        return
    keeping = _keeping(config, forward=forward)
    trail = Trail(node, keeping, clock.now, (transfers, refusals))
    trail.start()
    try:
        yield Auditor(node, trail, clock, transfers, refusals, by)
    finally:
        trail.close()


def audit_folder(config: Config) -> Path:
    """Where the trail lies."""
    return config.audit.folder or config.node.data_dir / "audit"


def last_entries(config: Config, limit: int) -> list[str]:
    """The end of the trail in words without patient identity, the newest first."""
    journal = Journal(audit_folder(config), config.audit.rotate_bytes)
    return [summary_of(line) for line in journal.last(limit)]


def _keeping(config: Config, *, forward: bool) -> Keeping:
    audit = config.audit
    journal = Journal(audit_folder(config), audit.rotate_bytes)
    source = Source(f"{config.node.ae_title}@{socket.gethostname()}", audit.site_id)
    target = target_of(config) if forward else None
    forwarder = None if target is None else _forwarder(target, journal)
    return Keeping(journal, source, forwarder, audit.keep_days)


def target_of(config: Config) -> Target | None:
    """The configured collector."""
    given = config.audit.syslog
    if not (config.audit.enabled and given.host):
        return None
    return Target(
        host=given.host,
        port=given.port,
        tls=given.tls,
        ca=given.ca,
        certificate=given.certificate,
        private_key=given.private_key,
        timeout_seconds=given.timeout_seconds,
    )


def _forwarder(target: Target, journal: Journal) -> Forwarder:
    return Forwarder(journal, lambda messages: syslog.send(target, messages))


def lag_bytes(config: Config) -> int:
    """How much of the trail the collector does not have yet."""
    journal = Journal(audit_folder(config), config.audit.rotate_bytes)
    sent = Forwarder(journal, lambda _messages: None).sent()
    sizes = {
        number: journal.path_of(number).stat().st_size for number in journal.numbers()
    }
    after = (size for number, size in sizes.items() if number > sent.segment)
    return sum(after) + max(0, sizes.get(sent.segment, 0) - sent.offset)


def account() -> str:
    """Whose process this is, as PS3.15 A.5.2.1 writes a person: login@node."""
    try:
        # Not getpass: it believes the environment, which anybody may set.
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run a number without a name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def _behind_sudo() -> str:
    before = os.environ.get("SUDO_USER", "")
    return f"sudo by {before}" if before else ""


def _note_activity(auditor: Auditor, *, started: bool) -> None:
    now, node = auditor.clock.now(), auditor.node
    auditor.emitter.emit(events.application(node, account(), now, started=started))


def _note_open(auditor: Auditor) -> None:
    """The end of what is under way belongs before the end of the process."""
    now = auditor.clock.now()
    for gatherer in (auditor.transfers, auditor.refusals):
        for message in gatherer.rest(now):
            auditor.emitter.emit(message)


def note_changes(auditor: Auditor, config: Config) -> None:
    """Audit which keys are new in ``config``; another process may have done so."""
    for message in _changed(auditor, config):
        auditor.emitter.emit(message)


def _changed(auditor: Auditor, config: Config) -> Iterator[AuditMessage]:
    if not config.audit.enabled:
        return
    uri = config.file.as_uri() if config.file else "urn:dicomnode:defaults"
    by = (auditor.node.participant(),)
    for kind, keys in changes.since_last_start(config, audit_folder(config)):
        alert = Alert(kind, f"changed in the configuration: {', '.join(keys)}")
        yield events.security_alert(by, alert, uri, auditor.clock.now())
