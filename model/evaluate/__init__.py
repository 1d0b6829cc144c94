"""Evaluation of a bundle and packing of a run: JSON, one HTML page, model card."""

from model.evaluate.figures import evaluate
from model.evaluate.pack import pack
from model.evaluate.report import render

__all__ = ["evaluate", "pack", "render"]
