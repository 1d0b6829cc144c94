"""What a node must have in its configuration to be tested, as the lines to add."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

from pydicom.dataset import Dataset

from dicomnode.acceptance.phantoms import MARK
from dicomnode.config import Config, Destination, Pipeline
from dicomnode.domain.rules import holds
from dicomnode.errors import ConfigError
from dicomnode.processes.wiring import rule_of

CALLING_AE_TITLE = "DNACCEPTANCE"
DESTINATION = "ACCEPTANCE"
PACS_AE_TITLE = "DNFAKEPACS"
PACS_PORT = 11119
PIPELINE = "acceptance"

_TEMPLATE = """\
# For `dicomnode acceptance`; remove it when the site has been accepted.
[[peer]]
ae_title = "{calling}"
hosts = ["{address}"]

[[pipeline]]
name = "{pipeline}"
bundle = {bundle}
match = {{ InstitutionName = "{mark}", Modality = ["CR", "DX"] }}
results = ["sr", "sc"]
destinations = ["{destination}"]

[[destination]]
name = "{destination}"
ae_title = "{pacs}"
host = "127.0.0.1"
port = {port}
storage_commitment = "off"
"""


def lines(config: Config, calling: str = CALLING_AE_TITLE, host: str = "") -> str:
    """The tables to add, for a kit that calls from here."""
    bundle = config.pipeline[0].bundle if config.pipeline else "cxr-qc"
    return _TEMPLATE.format(
        calling=calling,
        address=own_address(host or listening_host(config), config.receiver.port),
        pipeline=PIPELINE,
        bundle=json.dumps(bundle),
        mark=MARK,
        destination=DESTINATION,
        pacs=PACS_AE_TITLE,
        port=PACS_PORT,
    )


def listening_host(config: Config) -> str:
    """Where the receiver of this machine can be reached."""
    host = config.receiver.host
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def own_address(host: str, port: int) -> str:
    """The address of this machine that ``host`` sees."""
    try:
        family, kind, *_, at = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(at)  # a datagram socket: nothing is sent
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ConfigError(f"{host} cannot be reached; correct --to") from error


def destination(config: Config) -> Destination:
    """Where the fake PACS has to listen; raises ConfigError with the lines to add."""
    for one in config.destination:
        if one.name == DESTINATION:
            return one
    raise ConfigError(_missing(config, f"there is no destination {DESTINATION}"))


def check(config: Config, calling: str, headers: tuple[Dataset, ...]) -> None:
    """Raise ConfigError unless phantoms go to the fake PACS, and nowhere else."""
    if config.receiver.tls.required:
        message = "the node takes TLS only, which the fake scanner does not speak"
        raise ConfigError(f"{message}; run with --own-node")
    known = {one.ae_title for one in config.peer}
    if calling not in known and config.receiver.unknown_peers == "refuse":
        raise ConfigError(_missing(config, f"{calling} is no peer"))
    found = list(dict.fromkeys(_straying(config, headers)))
    if found:
        raise ConfigError(_strays(found))
    if not any(_goes_to(one, DESTINATION) for one in config.pipeline):
        raise ConfigError(_missing(config, f"no pipeline sends to {DESTINATION}"))


def _straying(config: Config, headers: tuple[Dataset, ...]) -> Iterator[str]:
    for one in config.pipeline:
        wants = any(_selects(one, header) for header in headers)
        if wants and set(one.destinations) - {DESTINATION}:
            yield one.name


def _selects(pipeline: Pipeline, header: Dataset) -> bool:
    return all(
        holds(condition, _values(header, keyword))
        for keyword, condition in rule_of(pipeline).conditions.items()
    )


def _values(header: Dataset, keyword: str) -> tuple[str, ...]:
    value = header.get(keyword)
    if value is None or value == "":
        return ()
    return (str(value),) if isinstance(value, str) else tuple(_parts(value))


def _parts(value: object) -> Iterator[str]:
    if isinstance(value, list | tuple) or hasattr(value, "__iter__"):
        yield from map(str, value)
    else:
        yield str(value)


def _goes_to(pipeline: Pipeline, name: str) -> bool:
    return pipeline.mode == "active" and set(pipeline.destinations) == {name}


def _strays(pipelines: list[str]) -> str:
    named = ", ".join(pipelines)
    add = f'InstitutionName = {{ not = "{MARK}" }}'
    return (
        f"phantoms would go through pipeline {named} to a real PACS; add {add} to its "
        "match and start the node again, or run with --own-node"
    )


def _missing(config: Config, what: str) -> str:
    return (
        f"{what}; add these lines, start the node again, and run this again (or use "
        f"--own-node):\n\n{lines(config)}"
    )
