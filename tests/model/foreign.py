"""A hospital that never was: its images, and its keys."""

from __future__ import annotations

import numpy as np
import torch
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from torchvision.transforms.v2 import functional as v2


def foreign(image, seed, strength=1.0):
    """Display pixels (rows, columns) as another site would store them.

    Another detector response, contrast, aspect and border, each a little different
    from image to image.
    """
    random = np.random.default_rng(seed)
    stretch = 1 + strength * random.uniform(0.25, 0.4)
    size = [image.shape[0], round(image.shape[1] * stretch)]
    wide = v2.resize(torch.from_numpy(np.ascontiguousarray(image))[None], size)[0]
    grey = np.clip(wide.numpy(), 0, 1) ** (1 + strength * random.uniform(0.6, 1.0))
    curve = 1 / (1 + np.exp(-(4 + 4 * strength) * (grey - 0.35)))
    low, high = 1 / (1 + np.exp(0.35 * (4 + 4 * strength))), curve.max()
    grey = np.clip((curve - low) / (high - low), 0, 1)
    return framed(grey.astype(np.float32), random, strength)


def framed(grey, random, strength):
    """Black collimation of another width on each side."""
    rows, columns = grey.shape
    top, bottom, left, right = strength * random.uniform(0.1, 0.2, 4)
    above, below = round(top * rows), round(bottom * rows)
    return np.pad(
        grey, ((above, below), (round(left * columns), round(right * columns)))
    )


def key_pair(folder):
    """Private and public Ed25519 key files in PEM."""
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = folder / "private.pem", folder / "public.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
    )
    return private, public
