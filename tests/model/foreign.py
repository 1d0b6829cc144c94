"""A hospital that never was: its images, and its keys."""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from PIL import Image


def foreign(image, seed):
    """Display pixels (rows, columns) as another site would store them, uint8.

    Films on a light box: another response curve, pixels that are wider than high taken
    for square, and the clear edge of the film, white, on both sides, a little different
    from image to image.
    """
    random = np.random.default_rng(seed)
    grey = np.clip(image, 0, 1) ** random.uniform(1.1, 1.3)
    rows, columns = grey.shape
    wide = (round(columns * random.uniform(1.25, 1.35)), rows)
    grey = np.clip(Image.fromarray(grey.astype(np.float32)).resize(wide), 0, 1)
    left, right = (round(x * grey.shape[1]) for x in random.uniform(0.4, 0.46, 2))
    framed = np.pad(grey, ((0, 0), (left, right)), constant_values=1.0)
    return np.rint(framed * 255).astype(np.uint8)


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
