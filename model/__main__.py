"""python -m model <verb>: prepare, check-leak, advise, train, evaluate, shortcuts,
explain, quality, pack, verify, sign, zip, commission, export, robustness.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model import export, robustness
from model.bundle import BundleError, load
from model.bundle import verbs as bundle_verbs
from model.commission import verb as commission_verb
from model.data import boxes, leaks, prepare
from model.data.manifest import ManifestError
from model.evaluate.verbs import add_verbs, rows_of
from model.train import RecipeError, advise, load_recipe, train

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; exit code 0, or 1 with a message that ends with the remedy."""
    parsed = _parser().parse_args(arguments)
    verb: Callable[[argparse.Namespace], str] = parsed.verb
    try:
        said = verb(parsed)
    except (BundleError, ManifestError, RecipeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    one = verbs.add_parser("prepare", help="a published data set as a manifest")
    prepare.add_arguments(one)
    one.set_defaults(verb=prepare.run)
    one = verbs.add_parser("check-leak", help="what training saw of the other parts")
    leaks.add_arguments(one)
    one.set_defaults(verb=leaks.run)
    boxes.add_arguments(
        verbs.add_parser("boxes", help="what people marked, as one table")
    )
    advise.add_arguments(
        verbs.add_parser("advise", help="what to train for a manifest, on this machine")
    )
    _add_train(verbs)
    one = verbs.add_parser("pack", help="calibrate, evaluate and write the bundle")
    one.add_argument("--run", type=Path, required=True, help="run folder")
    one.add_argument("--data", type=Path, default=Path(), help="folder of the images")
    one.add_argument("--bundle", type=Path, required=True, help="its .bundle.toml")
    one.add_argument("--out", type=Path, required=True, help="bundle folder")
    one.set_defaults(verb=_pack)
    add_verbs(verbs)
    bundle_verbs.add_verify(
        verbs.add_parser("verify", help="check every file and the test vector")
    )
    bundle_verbs.add_sign(verbs.add_parser("sign", help="sign the manifest (Ed25519)"))
    bundle_verbs.add_zip(verbs.add_parser("zip", help="the bundle as one .zip"))
    commission_verb.add_arguments(
        verbs.add_parser("commission", help="re-set thresholds with local studies")
    )
    export.add_arguments(
        verbs.add_parser("export", help="the network for another runtime")
    )
    one = verbs.add_parser("robustness", help="worse images and attacks")
    one.add_argument("bundle", type=Path)
    one.add_argument("--manifest", type=Path, required=True)
    one.add_argument("--data", type=Path, action="append", required=True)
    one.add_argument("--split", default="val")
    one.set_defaults(verb=_robustness)
    return parser


def _add_train(verbs: Any) -> None:
    one = verbs.add_parser("train", help="train a recipe, or go on with its run")
    one.add_argument("--config", type=Path, required=True, help="recipe (TOML)")
    one.add_argument("--data", type=Path, default=Path(), help="folder with labels.csv")
    one.add_argument("--out", type=Path, required=True, help="run folder")
    one.add_argument("--cache", type=Path, help="folder for decoded images")
    one.add_argument("--smoke", action="store_true", help="a few steps, a few images")
    one.add_argument("--device", default="cpu", help="cpu or cuda")
    one.add_argument("--seed", type=int, help="another than the recipe's")
    one.add_argument(
        "--shuffle-labels", action="store_true", help="for `explain --shuffled`"
    )
    one.set_defaults(verb=_train)


def _train(parsed: argparse.Namespace) -> str:
    recipe = load_recipe(parsed.config)
    if parsed.seed is not None:
        recipe = replace(recipe, seed=parsed.seed)
    if parsed.shuffle_labels:
        recipe = replace(recipe, data=replace(recipe.data, shuffled=True))
    weights = train(
        recipe,
        parsed.data,
        parsed.out,
        cache=parsed.cache,
        smoke=parsed.smoke,
        device=parsed.device,
    )
    return (
        f"weights: {weights}\nnext: python -m model pack --run {parsed.out} "
        f"--data {parsed.data} --bundle SPEC.bundle.toml --out BUNDLE"
    )


def _pack(parsed: argparse.Namespace) -> str:
    from model.evaluate import pack  # noqa: PLC0415 - heavy, and only here

    description, _ = pack(parsed.run, parsed.data, parsed.bundle, parsed.out)
    return (
        f"{description.name} {description.version} {description.digest}\n"
        f"next: dicomnode model try {parsed.out} DICOM --out tried; then "
        f"dicomnode model install {parsed.out} --shadow"
    )


def _robustness(parsed: argparse.Namespace) -> str:
    rows = rows_of(parsed.manifest, parsed.split)
    found = robustness.robustness(load(parsed.bundle), rows, parsed.data)
    if not found:
        raise ManifestError(
            "no label has 20 images of either class here: give a larger manifest"
        )
    return robustness.table(found)


if __name__ == "__main__":
    sys.exit(main())
