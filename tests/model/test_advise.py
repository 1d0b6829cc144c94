"""python -m model advise: the table of rules, and what it is fed with."""

from __future__ import annotations

import math

import pytest

from model.__main__ import main
from model.data.manifest import ManifestError, Row, write
from model.network import ARCHITECTURES
from model.train.advise import as_text, facts_of, measured, noise
from model.train.config import parse_recipe
from model.train.rules import TABLE, Facts, advise


def facts(n, positives=1000, doubt=0.0):
    return Facts(n, n // 2, {"Edema": positives}, doubt)


def fast(_):
    return 1e6


def row(name, **more):
    plain = {
        "path": f"{name}.png",
        "patient": name,
        "study": name,
        "view": "PA",
        "labels": {"Edema": 1.0},
        "split": "train",
        "source": "x",
        "sha256": name,
    }
    return Row(**(plain | more))


def test_the_table_grows_and_names_what_there_is():
    assert [rule.up_to for rule in TABLE] == sorted(rule.up_to for rule in TABLE)
    assert TABLE[-1].up_to == math.inf
    assert [rule.size for rule in TABLE] == sorted(rule.size for rule in TABLE)
    assert {rule.architecture for rule in TABLE} <= set(ARCHITECTURES)


@pytest.mark.parametrize(
    ("n", "architecture", "size"),
    [
        (500, "slim", 128),
        (2_000, "slim", 128),
        (2_001, "slim", 160),
        (20_001, "resnet18", 224),
        (100_000, "densenet121", 224),
        (223_414, "densenet121", 320),
    ],
)
def test_more_images_carry_a_larger_network(n, architecture, size):
    rule = advise(facts(n), 1e9, fast).rule
    assert (rule.architecture, rule.size) == (architecture, size)


def test_steps_are_epochs_of_all_images():
    advice = advise(facts(4_800), 1e9, fast)
    assert advice.steps == 25 * 4_800 / 48
    assert advice.hours == pytest.approx(25 * 4_800 / 1e6 / 3600)


def test_few_positives_ask_for_less_and_too_few_are_named():
    advice = advise(facts(30_000, positives=99), 1e9, fast)
    assert advice.rule.architecture == "slim"
    assert any("fewer than 100 positives" in reason for reason in advice.reasons)
    named = advise(facts(500, positives=19), 1e9, fast).reasons
    assert any("Edema: 19 positives are too few" in reason for reason in named)


def test_little_time_goes_down_the_table_then_cuts_epochs():
    speeds = {"densenet121": 1.0, "resnet18": 2.0, "slim": 100.0}
    asked = []

    def measure(rule):
        asked.append(rule.architecture)
        return speeds[rule.architecture]

    advice = advise(facts(30_000), 4.0, measure)
    assert (advice.rule.architecture, advice.rule.size) == ("slim", 160)
    assert asked == ["resnet18", "slim"]
    assert advice.hours <= 4
    hurried = advise(facts(30_000), 0.5, measure)
    assert hurried.rule.size == 128
    assert 2 <= hurried.rule.epochs < 60
    assert "epochs cut" in hurried.reasons[-1]


def test_doubtful_labels_are_smoothed():
    assert advise(facts(500, doubt=0.1), 1e9, fast).label_smoothing == 0.1
    assert advise(facts(500, doubt=0.09), 1e9, fast).label_smoothing == 0.03


def test_doubt_is_counted_from_marks_and_contradictions():
    rows = [
        row("a"),
        row("b", study="a", labels={"Edema": 0.0}),  # the study contradicts itself
        row("c", labels={}, uncertain=frozenset({"Edema"})),
        row("d", labels={"Edema": 0.6}),
    ]
    assert noise(rows) == pytest.approx(3 / 4)
    assert noise([]) == 0
    found = facts_of([*rows, row("v", split="val")])
    assert (found.n_images, found.n_patients, found.positives) == (4, 4, {"Edema": 1})
    with pytest.raises(ManifestError, match="prepare the manifest"):
        facts_of([row("v", split="val")])


def test_the_advice_is_a_part_of_a_recipe():
    import tomllib

    known = facts(500)
    table = tomllib.loads(as_text(known, advise(known, 1e9, fast)))
    heads = [{"name": "x", "classes": ["x"], "activation": "sigmoid"}]
    recipe = parse_recipe(table | {"name": "x", "heads": heads})
    assert recipe.optimiser.steps == 625


def test_the_verb_measures_this_machine(tmp_path, capsys):
    write(tmp_path / "m.csv", [row(str(i)) for i in range(30)])
    assert main(["advise", "--manifest", str(tmp_path / "m.csv")]) == 0
    said = capsys.readouterr().out
    assert 'architecture = "slim"' in said
    assert "images/s here" in said
    assert measured("cpu")(TABLE[0]) > 0
