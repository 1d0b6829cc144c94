"""Decoding in processes of their own, which may die without taking the worker along.

A crafted or damaged object can crash a native decoder, make it run for ever or ask for
all memory. Here that costs one image: the process is replaced, the image is refused
with the reason. What a network is given is prepared there too, so that the worker's own
process is left with the network and the results. No torch, no network, no secrets in
these processes.
"""

from dicomnode.decoder.chunks import CHUNK
from dicomnode.decoder.decoding import Decoded, ImageWanted, Undecodable
from dicomnode.decoder.limits import DecodeLimits
from dicomnode.decoder.pool import Decoder, DecoderPool, InThisProcess
from dicomnode.decoder.prepared import PreparedPlanes, Wanted
from dicomnode.decoder.series import Planes

__all__ = [
    "CHUNK",
    "DecodeLimits",
    "Decoded",
    "Decoder",
    "DecoderPool",
    "ImageWanted",
    "InThisProcess",
    "Planes",
    "PreparedPlanes",
    "Undecodable",
    "Wanted",
]
