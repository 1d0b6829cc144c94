"""What is raised when pixels cannot be read rightly."""


class UnsupportedPixels(ValueError):
    """These pixels cannot be shown as they were meant.

    The message ends with the remedy or the plain reason.
    """


class Doubtful(ValueError):
    """Of a decoder: a frame that the others shall look at."""
