"""A trunk with fewer passes over memory: what follows a convolution is done in it.

Batch normalisation of a finished network is a scale and a shift, so it goes into the
weights. On the CPU, oneDNN also adds the shortcut and takes the ReLU while a result is
still in the cache. The numbers stay those of the trunk but for rounding.
"""

from __future__ import annotations

import copy
import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

_ADDITIONS = (operator.add, operator.iadd, torch.add)
_RELUS = (torch.relu, nn.functional.relu)
_UNTRACEABLE = (TypeError, ValueError, RuntimeError, NotImplementedError)
"""Also torch.fx's own TraceError: a forward pass that depends on what is in it."""


def fused(trunk: nn.Module, *, joins: bool) -> nn.Module:
    """A copy of ``trunk`` for inference; one that cannot be traced as it is.

    joins: also put shortcut and ReLU into the convolutions (CPU only).
    """
    trunk = copy.deepcopy(trunk).eval()
    try:
        graph = fx.symbolic_trace(trunk)
    except _UNTRACEABLE:
        return trunk
    _skip_identities(graph)
    _fold_normalisation(graph)
    if joins and has_joined_convolutions():
        _join(graph)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def has_joined_convolutions() -> bool:
    """Whether this build of torch has oneDNN's convolutions with what follows them."""
    return hasattr(torch.ops.mkldnn, "_convolution_pointwise")


class Joined(nn.Module):
    """A convolution, what is added to its result, and the ReLU after, in one pass."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        sizes = (conv.padding, conv.stride, conv.dilation)
        self.sizes = (*map(list, sizes), conv.groups)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """(batch, inner, r, c), and what is to be added, (batch, outer, r', c')."""
        run: Any = torch.ops.mkldnn._convolution_pointwise  # noqa: SLF001 - its name
        if shortcut is None:
            found: Tensor = run(x, self.weight, self.bias, *self.sizes, "relu", [], "")
            return found
        rest: Any = ("add", 1.0, "relu", [], None)
        found = run.binary(x, shortcut, self.weight, self.bias, *self.sizes, *rest)
        return found


def _skip_identities(graph: fx.GraphModule) -> None:
    for node, _ in _modules(graph, nn.Identity):
        before: Any = node.args[0]
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)


def _fold_normalisation(graph: fx.GraphModule) -> None:
    for node, norm in _modules(graph, nn.BatchNorm2d):
        conv = _only_convolution(graph, node.args[0])
        if conv is not None:
            before: Any = node.args[0]
            graph.set_submodule(before.target, fuse_conv_bn_eval(conv, norm))
            node.replace_all_uses_with(before)
            graph.graph.erase_node(node)


def _join(graph: fx.GraphModule) -> None:
    for node in [one for one in graph.graph.nodes if _is_relu(graph, one)]:
        before = node.args[0]
        if _only_convolution(graph, before) is not None:
            _put_joined(graph, node, before, ())
        elif before.target in _ADDITIONS and len(before.users) == 1:
            one, other = before.args
            if _only_convolution(graph, one) is None:
                one, other = other, one
            if _only_convolution(graph, one) is not None:
                _put_joined(graph, node, one, (other,))


def _put_joined(
    graph: fx.GraphModule, relu: fx.Node, conv: fx.Node, shortcut: tuple[fx.Node, ...]
) -> None:
    name = str(conv.target)
    graph.set_submodule(name, Joined(_module(graph, conv)))
    with graph.graph.inserting_before(relu):
        joined = graph.graph.call_module(name, (conv.args[0], *shortcut))
    relu.replace_all_uses_with(joined)
    # In this order each has no user left: the ReLU, the addition if any, the rest.
    done: Any = dict.fromkeys((relu, relu.args[0], conv))
    for node in done:
        graph.graph.erase_node(node)


def _only_convolution(graph: fx.GraphModule, node: Any) -> nn.Conv2d | None:
    """The convolution that gives ``node``, if nobody else wants its result."""
    if not isinstance(node, fx.Node) or len(node.users) != 1:
        return None
    found = _module(graph, node)
    plain = isinstance(found, nn.Conv2d) and found.padding_mode == "zeros"
    return found if plain and not isinstance(found.padding, str) else None


def _is_relu(graph: fx.GraphModule, node: fx.Node) -> bool:
    called = node.op == "call_function" and node.target in _RELUS
    return called or isinstance(_module(graph, node), nn.ReLU)


def _module(graph: fx.GraphModule, node: fx.Node) -> Any:
    if node.op != "call_module":
        return None
    return graph.get_submodule(str(node.target))


def _modules(
    graph: fx.GraphModule, kind: type[nn.Module]
) -> Iterator[tuple[fx.Node, Any]]:
    for node in list(graph.graph.nodes):
        found = _module(graph, node)
        if isinstance(found, kind):
            yield node, found
