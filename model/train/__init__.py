"""Training: recipe in, run folder with `model.safetensors` out."""

from model.train import advise
from model.train.config import Recipe, RecipeError, load_recipe
from model.train.loop import train

__all__ = ["Recipe", "RecipeError", "advise", "load_recipe", "train"]
