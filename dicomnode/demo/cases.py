"""The studies of the demonstration: what is wrong with each, and what must be found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dicomnode.demo.phantoms import (
    Exposure,
    Order,
    Pixels16,
    computed_radiograph,
    computed_tomograph,
    digital_radiograph,
    encoded,
)
from dicomnode.domain.delivery import Outgoing
from model.phantom import View, chest

NOT_ROUTED = "NOT_ROUTED"
ANALYSED = "ANALYSED"
NOT_ANALYSED = "NOT_ANALYSED"

_ROWS, _COLUMNS = 768, 640


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the node must say of a study.

    ``outcome`` is ANALYSED, NOT_ANALYSED or NOT_ROUTED; ``present`` are the labels
    of the findings that must be present, and no others.
    """

    outcome: str
    present: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Case:
    """One study as it goes over the network.

    ``story`` says in plain words what is special; ``thumbnail`` is uint16
    (rows, columns), the first image as displayed, 12 bits.
    """

    name: str
    title: str
    story: str
    expected: Expectation
    study_instance_uid: UID
    transfer_syntax_uid: UID
    instances: tuple[Outgoing, ...]
    thumbnail: Pixels16 = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A case before its pixels are made."""

    name: str
    title: str
    story: str
    transfer_syntax_uid: UID
    draw: Callable[[Order], tuple[Dataset, ...]]
    expected: Expectation = Expectation(ANALYSED)


def make_cases(folder: Path, now: datetime) -> tuple[Case, ...]:
    """Write the studies as files into ``folder``, acquired at the aware ``now``.

    Takes a few seconds.
    """
    plans = enumerate(_PLANS, start=1)
    return tuple(_made(plan, _order(number, now), folder) for number, plan in plans)


def _order(number: int, now: datetime) -> Order:
    names = ("ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
    given = names[number - 1] if number <= len(names) else f"NUMBER {number}"
    return Order(number, f"PHANTOM^{given}", "F" if number % 2 else "M", now)


def _made(plan: _Plan, order: Order, folder: Path) -> Case:
    datasets = plan.draw(order)
    return Case(
        name=plan.name,
        title=plan.title,
        story=plan.story,
        expected=plan.expected,
        study_instance_uid=order.uid(),
        transfer_syntax_uid=plan.transfer_syntax_uid,
        instances=tuple(
            _saved(ds, plan.transfer_syntax_uid, folder / f"{plan.name}-{number}.dcm")
            for number, ds in enumerate(datasets, start=1)
        ),
        thumbnail=_displayed(datasets[0]),
    )


def _saved(ds: Dataset, transfer_syntax_uid: UID, path: Path) -> Outgoing:
    path.write_bytes(encoded(ds, transfer_syntax_uid))
    return Outgoing(path, ds.SOPClassUID, ds.SOPInstanceUID, transfer_syntax_uid)


def _displayed(ds: Dataset) -> Pixels16:
    stored = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
    inverse = ds.PhotometricInterpretation == "MONOCHROME1"
    return np.asarray(4095 - stored if inverse else stored, np.uint16)


def _film(seed: int, view: View) -> Exposure:
    return Exposure(chest(seed, view=view, rows=_ROWS, columns=_COLUMNS), view)


def _upright_pa(order: Order) -> tuple[Dataset, ...]:
    return (digital_radiograph(order, _film(11, "PA")),)


def _bedside_ap(order: Order) -> tuple[Dataset, ...]:
    return (computed_radiograph(order, _film(12, "AP")),)


def _rotated_90(order: Order) -> tuple[Dataset, ...]:
    film = _film(13, "PA")
    turned = replace(film, pixels=np.rot90(film.pixels, -1))
    return (digital_radiograph(order, turned),)


def _rotated_180(order: Order) -> tuple[Dataset, ...]:
    film = _film(14, "PA")
    turned = replace(film, pixels=np.rot90(film.pixels, 2))
    return (computed_radiograph(order, turned),)


def _inverted(order: Order) -> tuple[Dataset, ...]:
    film = _film(15, "PA")
    return (digital_radiograph(order, replace(film, pixels=4095 - film.pixels)),)


def _monochrome1(order: Order) -> tuple[Dataset, ...]:
    return (computed_radiograph(order, replace(_film(16, "AP"), monochrome1=True)),)


def _wrong_view(order: Order) -> tuple[Dataset, ...]:
    return (digital_radiograph(order, replace(_film(17, "AP"), view="PA")),)


def _no_view(order: Order) -> tuple[Dataset, ...]:
    return (digital_radiograph(order, replace(_film(18, "PA"), view="")),)


def _two_images(order: Order) -> tuple[Dataset, ...]:
    second = _film(20, "PA")
    upside_down = replace(second, pixels=np.rot90(second.pixels, 2))
    return (
        digital_radiograph(order, _film(19, "PA"), 1),
        digital_radiograph(order, upside_down, 2),
    )


def _hand(order: Order) -> tuple[Dataset, ...]:
    return (digital_radiograph(order, Exposure(_hand_pixels(), "PA", "HAND")),)


def _water(order: Order) -> tuple[Dataset, ...]:
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    inside = x * x + y * y < 0.6  # noqa: PLR2004 - a disc of three quarters the width
    return (computed_tomograph(order, np.where(inside, 1024, 24).astype(np.uint16)),)


def _hand_pixels() -> Pixels16:
    """A palm and five fingers, bright on black."""
    y, x = np.mgrid[0:1:768j, 0:1:640j]
    hand = ((x - 0.5) / 0.2) ** 2 + ((y - 0.7) / 0.2) ** 2
    for finger in range(5):
        centre, top = 0.3 + 0.1 * finger, 0.25 + 0.05 * abs(finger - 2)
        tube = ((x - centre) / 0.035) ** 2 + (np.clip(top - y, 0, 1) / 0.05) ** 2
        hand = np.minimum(hand, np.where(y < 0.7, tube, 9))  # noqa: PLR2004 - the palm
    return np.asarray(3600 * np.clip(1.2 - hand, 0, 1) ** 0.5, np.uint16)


_PLANS = (
    _Plan(
        "upright",
        "A good frontal film",
        "Nothing is wrong with it; nothing may be reported.",
        ExplicitVRLittleEndian,
        _upright_pa,
    ),
    _Plan(
        "bedside",
        "A bedside film",
        "An antero-posterior CR image, correctly labelled.",
        ImplicitVRLittleEndian,
        _bedside_ap,
    ),
    _Plan(
        "rotated-90",
        "Lying on its side",
        "The image is turned 90 degrees clockwise; the header says upright.",
        JPEG2000Lossless,
        _rotated_90,
        Expectation(ANALYSED, frozenset({"rotated-90"})),
    ),
    _Plan(
        "rotated-180",
        "Upside down",
        "The image is turned 180 degrees; the header says upright.",
        JPEGLSLossless,
        _rotated_180,
        Expectation(ANALYSED, frozenset({"rotated-180"})),
    ),
    _Plan(
        "inverted",
        "Bones are black",
        "The values are inverted, the header says they are not (MONOCHROME2).",
        RLELossless,
        _inverted,
        Expectation(ANALYSED, frozenset({"inverted"})),
    ),
    _Plan(
        "monochrome1",
        "MONOCHROME1, as it should be",
        "Stored inverted and labelled so: a viewer shows it correctly.",
        DeflatedExplicitVRLittleEndian,
        _monochrome1,
    ),
    _Plan(
        "wrong-view",
        "Wrong view in the header",
        "An antero-posterior image whose ViewPosition says PA.",
        ExplicitVRBigEndian,
        _wrong_view,
        Expectation(ANALYSED, frozenset({"view-differs-from-header"})),
    ),
    _Plan(
        "no-view",
        "No view in the header",
        "ViewPosition is missing, as in a few percent of real studies.",
        JPEG2000Lossless,
        _no_view,
    ),
    _Plan(
        "two-images",
        "Two images in one study",
        "The first is good, the second upside down: one report for both.",
        ExplicitVRLittleEndian,
        _two_images,
        Expectation(ANALYSED, frozenset({"rotated-180"})),
    ),
    _Plan(
        "hand",
        "Not a chest",
        "A DX image of a hand: the report must say why it was not analysed.",
        ExplicitVRLittleEndian,
        _hand,
        Expectation(NOT_ANALYSED),
    ),
    _Plan(
        "ct",
        "Not for this node",
        "A CT image: no pipeline wants it, and the worklist says so.",
        ExplicitVRLittleEndian,
        _water,
        Expectation(NOT_ROUTED),
    ),
)
