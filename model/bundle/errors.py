"""What goes wrong with a bundle; every message ends with the remedy."""


class BundleError(Exception):
    """The bundle is missing, changed, unsafe or does not fit this program."""


class NonFinite(BundleError):
    """The network's output is not a number; the image gets no result."""
