"""The Secondary Captures: what is drawn, where, and what must never be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from dicomnode.domain.findings import BundleFacts, Code, StudyFindings
from dicomnode.picture import Picture, fit, views
from dicomnode.results import ReportContext, build
from dicomnode.results import page as page_module
from dicomnode.results.heatmap import COLD, HEAT, colours, opacity, overlay
from dicomnode.results.page import HEIGHT, VIEWS, WIDTH, Box, explained
from tests.unit.results import cases

VIEW = page_module._VIEW
SIDE = page_module._SIDE


def pages(findings: StudyFindings, bundle: BundleFacts) -> list[page_module.Page]:
    return list(page_module.pages(findings, bundle))


def captures(
    findings: StudyFindings, context: ReportContext | None = None
) -> list[Dataset]:
    built = build(context or cases.context(), findings, ["sc"])
    return [one.dataset for one in built]


def part(pixels: np.ndarray, box: Box) -> np.ndarray:
    return pixels[box.top : box.bottom, box.left : box.right].astype(int)


def warmth(pixels: np.ndarray) -> np.ndarray:
    """How much redder than blue."""
    return pixels[..., 0] - pixels[..., 2]


def test_a_summary_and_a_heat_map_for_each_positive() -> None:
    made = pages(cases.positive(), cases.BUNDLE)
    assert [one.caption.split(":")[0] for one in made] == [
        "Summary",
        "Heat map",
        "Heat map",
    ]
    assert "Pneumonia: present" in made[1].caption
    for one in made:
        assert one.pixels.shape == (HEIGHT, WIDTH, 3)
        assert one.pixels.dtype == np.uint8


def test_the_heat_lies_where_the_map_has_it() -> None:
    findings = StudyFindings(
        images=(
            cases.image(
                cases.finding("Pneumonia", 0.9, activation_map=cases.blob(0.2, 0.75)),
                display=np.full((900, 900), 60, np.uint8),
            ),
        ),
    )
    shown = part(pages(findings, cases.BUNDLE)[1].pixels, VIEW)
    heat = warmth(shown)
    light = shown.sum(axis=2)
    row, column = np.unravel_index(int(light.argmax()), light.shape)
    assert row / VIEW.height == pytest.approx(0.2, abs=0.06)
    assert column / VIEW.width == pytest.approx(0.75, abs=0.06)
    assert np.count_nonzero(heat > 20) < heat.size / 4


def test_a_negative_study_gets_one_page_without_any_heat() -> None:
    made = pages(cases.negative(), cases.BUNDLE)
    assert len(made) == 1
    assert made[0].caption == "Summary: No finding reached its operating point."
    assert np.all(warmth(part(made[0].pixels, VIEW)) == 0)
    # The captioned map of the most probable label is there, in cold colours only.
    side = part(made[0].pixels, SIDE)
    lower = side[side.shape[0] // 2 :]
    assert warmth(lower).max() <= 0
    assert np.count_nonzero(warmth(lower) < -30) > 500


def test_the_summary_explains_the_most_probable_label() -> None:
    chosen = explained(cases.negative())
    assert chosen is not None
    assert chosen.label == "Pneumonia"


def test_a_positive_is_explained_before_a_likelier_absent_label() -> None:
    low = cases.finding("Pneumonia", 0.6)
    high = cases.finding("Edema", 0.7, presence=cases.Presence.ABSENT)
    chosen = explained(StudyFindings(images=(cases.image(high, low),)))
    assert chosen == low


def test_without_maps_there_is_still_a_summary() -> None:
    finding = cases.finding("Pneumonia", 0.9, activation_map=None)
    assert len(pages(StudyFindings(images=(cases.image(finding),)), cases.BUNDLE)) == 1


def test_views_made_beforehand_are_shown() -> None:
    findings = cases.negative()
    [image] = findings.images
    [drawn] = pages(findings, cases.BUNDLE)
    with_views = replace(image, views=views(image.display, VIEWS))
    [shown] = pages(replace(findings, images=(with_views,)), cases.BUNDLE)
    assert np.array_equal(shown.pixels, drawn.pixels)
    white = {box: np.full_like(one, 255) for box, one in with_views.views.items()}
    [other] = pages(
        replace(findings, images=(replace(image, views=white),)), cases.BUNDLE
    )
    assert part(other.pixels, VIEW).mean() > part(drawn.pixels, VIEW).mean()


@pytest.mark.parametrize("shape", [(1500, 1301), (1100, 1400), (320, 288)])
def test_a_smaller_picture_is_made_of_the_nearest(shape: tuple[int, int]) -> None:
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] / shape[0]
    waves = 127 + 60 * np.sin(40 * rows) + 60 * np.cos(30 * columns)
    display = waves.astype(np.uint8)
    made = Picture(display, views(display, VIEWS))
    for box in ((968, 686), (440, 312), (300, 200)):
        expected = fit(display, box)
        shown = made.fitted(box)
        assert shown.shape == expected.shape
        assert np.abs(shown.astype(int) - expected).mean() < 1


def test_what_must_grow_grows_from_the_image_itself() -> None:
    display = cases.display()
    grey = {(90, 90): np.full((90, 73), 9, np.uint8)}
    np.testing.assert_array_equal(
        Picture(display, grey).fitted((180, 180)), fit(display, (180, 180))
    )


def test_without_a_display_image_there_is_still_a_page() -> None:
    findings = StudyFindings(
        images=(cases.image(cases.finding("Pneumonia", 0.9), display=None),)
    )
    assert len(pages(findings, cases.BUNDLE)) == 2


@pytest.mark.parametrize("shape", [(1, 1), (10, 3000), (3000, 10), (2500, 2048)])
def test_any_shape_of_image_fits(shape: tuple[int, int]) -> None:
    fitted = fit(np.zeros(shape, np.uint8), (VIEW.width, VIEW.height))
    assert max(fitted.shape) <= 1024
    assert fitted.shape[0] <= VIEW.height
    assert fitted.shape[1] <= VIEW.width
    findings = StudyFindings(
        images=(
            cases.image(
                cases.finding("Pneumonia", 0.9), display=np.zeros(shape, np.uint8)
            ),
        )
    )
    rows, columns, _ = pages(findings, cases.BUNDLE)[1].pixels.shape
    assert rows >= HEIGHT
    assert columns >= WIDTH
    assert rows / columns == pytest.approx(HEIGHT / WIDTH, abs=0.001)


def noise(rows: int, columns: int) -> np.ndarray:
    """A picture of which every pixel matters."""
    values = np.random.default_rng(7).integers(0, 256, (rows, columns))
    return values.astype(np.uint8)


def heated(display: np.ndarray) -> np.ndarray:
    """The heat map page of a picture, with activation in its right lower part."""
    found = cases.finding("Pneumonia", 0.9, activation_map=cases.blob(0.8, 0.8))
    findings = StudyFindings(images=(cases.image(found, display=display),))
    return pages(findings, cases.BUNDLE)[1].pixels


@pytest.mark.parametrize("shape", [(1500, 1301), (1100, 1400), (929, 900), (2500, 90)])
def test_the_heat_map_shows_every_pixel_of_the_image(shape: tuple[int, int]) -> None:
    rows, columns = shape
    display = noise(rows, columns)
    page = heated(display)
    # Where nothing is activated the image shows unchanged: its upper left part.
    part_of_it = display[: rows // 3, : columns // 3]
    assert _place_of(part_of_it, page) is not None
    assert page.shape[0] == pytest.approx(
        HEIGHT * max(rows / VIEW.height, columns / VIEW.width), abs=1
    )


def _place_of(wanted: np.ndarray, page: np.ndarray) -> tuple[int, int] | None:
    rows, columns = wanted.shape
    grey = page[..., 0]
    for top, left in np.argwhere(grey[:-rows, :-columns] == wanted[0, 0]):
        if np.array_equal(grey[top, left : left + columns], wanted[0]):
            found = grey[top : top + rows, left : left + columns]
            return (int(top), int(left)) if np.array_equal(found, wanted) else None
    return None


def test_a_huge_image_is_shown_at_most_2500_pixels_long() -> None:
    page = heated(np.full((4000, 3500), 90, np.uint8))
    assert page.shape[0] == pytest.approx(HEIGHT * 2500 / VIEW.height, abs=1)


def test_a_small_image_gets_the_smallest_page() -> None:
    assert heated(noise(320, 288)).shape == (HEIGHT, WIDTH, 3)


def test_the_text_grows_with_the_page() -> None:
    small = heated(np.full((928, 936), 90, np.uint8))
    large = heated(np.full((1856, 1872), 90, np.uint8))
    assert large.shape == (2 * HEIGHT, 2 * WIDTH, 3)
    side = slice(SIDE.top, SIDE.bottom), slice(SIDE.left, SIDE.right)
    twice = large[::2, ::2][side].astype(float), small[side].astype(float)
    inked = [np.count_nonzero(one.max(axis=2) > 100) for one in twice]
    assert inked[0] == pytest.approx(inked[1], rel=0.1)


def test_only_the_first_pages_are_large() -> None:
    many = _with_labels(6, "Found")
    image = replace(many.images[0], display=np.full((960, 936), 90, np.uint8))
    made = pages(replace(many, images=(image,)), cases.BUNDLE)
    tall = [one.pixels.shape[0] > HEIGHT for one in made]
    assert tall == [False, True, True, True, True, False, False]


def _with_labels(count: int, words: str) -> StudyFindings:
    one = cases.finding(
        "Pneumonia", 0.9, text=words, code=Code("X", "99DCMNODE", words[:60])
    )
    many = (replace(one, label=f"label {number}") for number in range(count))
    return StudyFindings(images=(cases.image(*many),))


def test_many_long_labels_stay_on_the_page() -> None:
    words = "An exceedingly long name of a finding that will not fit in its column"
    findings = _with_labels(40, words * 20)
    chosen = findings.positives[0]
    for made in (
        page_module.summary_page(findings, cases.BUNDLE),
        page_module.heat_page(chosen, findings, cases.BUNDLE),
    ):
        margin = made.pixels[:, SIDE.right + 2 :]
        middle = margin[page_module._BAND : HEIGHT - page_module._BAND]
        assert len(np.unique(middle.reshape(-1, 3), axis=0)) == 1


def test_a_long_name_never_hides_a_number() -> None:
    """Two probabilities make two captions, however long the name before them is."""
    top = SIDE.bottom - page_module._INSET - 80
    caption = Box(SIDE.left, top, SIDE.width, 24)
    one, other = (
        part(page_module.summary_page(_named(at), cases.BUNDLE).pixels, caption)
        for at in (0.97, 0.61)
    )
    assert (one != other).any()


def _named(probability: float) -> StudyFindings:
    name = Code("X", "99DCMNODE", "An exceedingly long name of a finding, with more")
    found = cases.finding("Pneumonia", probability, code=name)
    return StudyFindings(images=(cases.image(found),))


def test_the_number_of_pages_has_an_end() -> None:
    findings = _with_labels(30, "Found")
    assert len(list(page_module._heat_pages(findings, cases.BUNDLE))) == 24


def test_no_identity_reaches_the_pixels() -> None:
    first = captures(cases.positive())
    other = cases.context(
        cases.source(PatientName="Else^Someone", PatientID="P-999", StudyID="S9")
    )
    second = captures(cases.positive(), other)
    for one, two in zip(first, second, strict=True):
        assert one.PixelData == two.PixelData
        assert one.BurnedInAnnotation == "NO"


def test_the_capture_is_plain_rgb_with_its_source() -> None:
    first, second, _ = captures(cases.positive())
    assert first.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert first.Modality == "OT"
    assert first.PhotometricInterpretation == "RGB"
    assert len(first.PixelData) == 3 * first.Rows * first.Columns
    assert list(first.ImageType) == ["DERIVED", "SECONDARY", "OTHER"]
    assert first.ConversionType == "WSD"
    assert "Research use only" in first.ImageComments
    item = second.SourceImageSequence[0]
    assert item.ReferencedSOPInstanceUID == cases.IMAGES[0]
    assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert first.BodyPartExamined == "CHEST"
    assert "Laterality" not in first
    np.testing.assert_array_equal(
        first.pixel_array, pages(cases.positive(), cases.BUNDLE)[0].pixels
    )


def test_pages_are_numbered_and_revisions_do_not_collide() -> None:
    numbers = [int(one.InstanceNumber) for one in captures(cases.positive())]
    later = captures(cases.positive(), cases.context(instance_number=2))
    assert numbers == [1, 2, 3]
    assert [int(one.InstanceNumber) for one in later] == [101, 102, 103]


def test_the_past_of_the_source_is_not_hidden() -> None:
    source = cases.source(
        LossyImageCompression="01",
        LossyImageCompressionRatio="12.5",
        LossyImageCompressionMethod="ISO_10918_1",
        BurnedInAnnotation="YES",
    )
    capture = captures(cases.negative(), cases.context(source))[0]
    assert capture.LossyImageCompression == "01"
    assert str(capture.LossyImageCompressionRatio) == "12.5"
    assert capture.BurnedInAnnotation == "YES"
    assert "LossyImageCompression" not in captures(cases.negative())[0]


def overlaid(display: np.ndarray, activation: np.ndarray, anchors) -> np.ndarray:
    page = np.empty((*display.shape, 3), np.uint8)
    overlay(display, activation, anchors, page)
    return page


@pytest.mark.parametrize("anchors", [HEAT, COLD])
def test_lightness_orders_the_colours(
    anchors: tuple[tuple[int, int, int], ...],
) -> None:
    ramp = colours(np.linspace(0, 1, 64, dtype=np.float32), anchors)
    lightness = ramp @ np.array([0.2126, 0.7152, 0.0722])
    assert np.all(np.diff(lightness) > 0)


def test_low_activation_shows_the_image_unchanged() -> None:
    display = cases.display()
    shown = overlaid(display, np.full((4, 4), 0.1, np.float32), HEAT)
    np.testing.assert_array_equal(shown, np.repeat(display[..., None], 3, axis=2))


def test_a_map_that_is_no_number_hides_nothing() -> None:
    display = cases.display()
    shown = overlaid(display, np.full((4, 4), np.nan, np.float32), HEAT)
    np.testing.assert_array_equal(shown, np.repeat(display[..., None], 3, axis=2))


@pytest.mark.parametrize("anchors", [HEAT, COLD])
def test_a_mixed_pixel_is_colour_and_grey_by_opacity(anchors) -> None:
    display = np.arange(256, dtype=np.uint8).repeat(300).reshape(320, 240)
    activation = np.linspace(0, 1, 320, dtype=np.float32)[:, np.newaxis]
    activation = np.repeat(activation, 240, axis=1)
    steps = (np.rint(activation * 255) / 255).astype(np.float32)
    alpha = opacity(steps, anchors)[..., np.newaxis]
    mixed = colours(steps, anchors) * alpha + display[..., np.newaxis] * (1 - alpha)
    assert np.abs(overlaid(display, activation, anchors) - mixed).max() <= 0.51


def mixed_at_once(display: np.ndarray, activation: np.ndarray) -> np.ndarray:
    """The map spread over the whole image, then mixed, without any table."""
    rows, columns = display.shape
    cells = Image.fromarray(activation)
    wide = np.asarray(cells.resize((columns, rows), Image.Resampling.BICUBIC))
    steps = (np.rint(np.clip(wide, 0, 1) * 255) / 255).astype(np.float32)
    alpha = opacity(steps, HEAT)[..., np.newaxis]
    return colours(steps, HEAT) * alpha + display[..., np.newaxis] * (1 - alpha)


@pytest.mark.parametrize("most", [0.16, 1.0, 1.3])
@pytest.mark.parametrize("share", [0.01, 0.1, 1.0])
@pytest.mark.parametrize(
    ("shape", "cells"),
    [((700, 400), (20, 17)), ((300, 900), (9, 31)), ((90, 80), (200, 170))],
)
def test_what_is_mixed_where_it_shows_is_what_is_mixed_everywhere(
    shape: tuple[int, int], cells: tuple[int, int], share: float, most: float
) -> None:
    random = np.random.default_rng(11)
    display = random.integers(0, 256, shape).astype(np.uint8)
    lit = (random.random(cells) < share) * random.random(cells) * most
    activation = lit.astype(np.float32)
    difference = np.abs(
        overlaid(display, activation, HEAT) - mixed_at_once(display, activation)
    )
    # A step more or less where the map lies between two, and nothing else.
    assert difference.max() < 3
    assert np.count_nonzero(difference.max(axis=2) > 0.51) < 1e-4 * display.size + 2
