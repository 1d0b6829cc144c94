"""A batch on several threads of a CPU, each with images of its own.

Two threads that share the rows of one image wait for each other after every layer, and
what is done between two layers is done by one of them. With images of its own a thread
waits for nobody.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


class Lanes:
    """As many threads as torch may use here, each of which computes alone.

    Raises RuntimeError when the system gives no more threads.
    """

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads
        self._pool = ThreadPoolExecutor(n_threads, "lane", initializer=_alone)
        all_there = Barrier(n_threads)
        try:
            list(self._pool.map(lambda _: all_there.wait(), range(n_threads)))
        except RuntimeError:
            all_there.abort()  # those that did start must not wait for the others
            raise
        finally:
            # `_alone` also says it to threads that are yet to come, who are not meant.
            torch.set_num_threads(n_threads)

    def run(
        self, work: Callable[[Tensor], Tensor], parts: Sequence[Tensor]
    ) -> list[Tensor]:
        """``work`` of each part, in inference mode, in the order of the parts."""

        def one(part: Tensor) -> Tensor:
            with torch.inference_mode():  # is said for each thread
                return work(part)

        return list(self._pool.map(one, parts))


def parted(
    images: Tensor, at_once: int, n_threads: int
) -> tuple[tuple[Tensor, ...], bool]:
    """The images in parts of at most ``at_once``, and whether threads take one each.

    They do from one image for each thread on; the parts are then as large as one
    another, and as many as make the threads end together.
    """
    n_images = len(images)
    if not 1 < n_threads <= n_images:
        return torch.split(images, at_once), False
    rounds = -(-n_images // (n_threads * at_once))
    n_parts = min(n_images, n_threads * rounds)
    return torch.tensor_split(images, n_parts), True


def _alone() -> None:
    torch.get_num_threads()  # else the first layer would set what is set here again
    torch.set_num_threads(1)
