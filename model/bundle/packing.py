"""The convolutions of a fused trunk as oneDNN takes them: laid out once, rounded well.

From its own layout torch would lay the weights out anew on each call, which takes an
eighth of the time of one image. In bfloat16, eight bits, errors that are the same for
each pixel do most harm: those of the biases, and those of the sum of a kernel, since
neighbouring pixels are alike. So biases stay in float32 wherever oneDNN takes them, and
weights are rounded so that the sum of each kernel stays.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from model.bundle.fusion import Joined, has_joined_convolutions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    Convolution = nn.Conv2d | Joined

_MAY_TAKE_A_SUM = "may take a sum"


def packed(trunk: nn.Module, example: Tensor, dtype: torch.dtype) -> nn.Module:
    """``trunk``, of `fusion.fused`, with its convolutions packed, in place.

    example: float32, as large as what it will get. dtype: float32 or bfloat16, of what
    goes from layer to layer; layers that are no convolution stay as they are. One that
    could not be traced is given back as it is.
    """
    if not (isinstance(trunk, fx.GraphModule) and has_joined_convolutions()):
        return trunk
    with torch.inference_mode():
        ShapeProp(trunk).propagate(example)
        _move_biases(trunk)
        for node, conv in list(_convolutions(trunk)):
            _pack(trunk, node, conv, dtype)
    trunk.delete_all_unused_submodules()
    trunk.recompile()
    return trunk


def _pack(
    trunk: fx.GraphModule, node: fx.Node, conv: Convolution, dtype: torch.dtype
) -> None:
    """The convolution at ``node`` as a call of oneDNN's, without a module around it.

    Packed tensors are no parameters: a change of type or layout would undo packing.
    """
    # Beside a shortcut it takes a bias of no other type than the input's.
    wide = torch.float32 if len(node.args) == 1 else dtype
    bias = None if conv.bias is None else conv.bias.detach().to(wide)
    kept = (_laid_out(conv, node, dtype), bias)
    with trunk.graph.inserting_before(node):
        found = _called(trunk.graph, conv, node.args, kept)
    found.meta.update(node.meta)  # its shape is asked for by what follows
    node.replace_all_uses_with(found)
    trunk.graph.erase_node(node)


def _called(
    graph: fx.Graph,
    conv: Convolution,
    given: tuple[Any, ...],
    kept: tuple[Tensor, Tensor | None],
) -> fx.Node:
    """given: the input and, if any, what is to be added."""
    anew: Any = torch.ops.mkldnn._convolution_pointwise  # noqa: SLF001 - its name
    there: Any = torch.ops.mkldnn._convolution_pointwise_
    how = (*kept, *sizes_of(conv))
    after = "relu" if isinstance(conv, Joined) else "none"
    x, *added = given
    if not added:
        found = graph.call_function(_one(anew.default, *how, after, [], ""), (x,))
        found.meta[_MAY_TAKE_A_SUM] = True
        return found
    how = (*how, "add", 1.0, after, [], None)
    [shortcut] = added
    if _MAY_TAKE_A_SUM in shortcut.meta and len(shortcut.users) == 1:
        # Nobody else wants what is added, so the sum may take its place.
        return graph.call_function(_two(there.binary, *how), (shortcut, x))
    return graph.call_function(_two(anew.binary, *how), (x, shortcut))


def _one(run: Any, *how: Any) -> Callable[[Tensor], Tensor]:
    """``run`` with all but the input, which is looked up once and not each time."""

    def packed(x: Tensor) -> Tensor:
        found: Tensor = run(x, *how)
        return found

    return packed


def _two(run: Any, *how: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """As `_one`, with all but two tensors."""

    def packed(x: Tensor, other: Tensor) -> Tensor:
        found: Tensor = run(x, other, *how)
        return found

    return packed


def _laid_out(conv: Convolution, node: fx.Node, dtype: torch.dtype) -> Tensor:
    reorder: Any = torch.ops.mkldnn._reorder_convolution_weight  # noqa: SLF001 - its name
    weight = rounded(conv.weight.detach(), dtype)
    weight = weight.to(memory_format=torch.channels_last)
    x: Any = node.args[0]
    shape = list(x.meta["tensor_meta"].shape)
    found: Tensor = reorder(weight, *sizes_of(conv), shape)
    return found


def rounded(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """float32 (outer, inner, r, c) -> dtype, the sum of each (r, c) as near as may be.

    Each number is one of the two nearest to it; what goes to the second nearest is
    what brings the sum nearest, one number after the other.
    """
    if dtype == torch.float32:
        return weight
    exact = weight.flatten(2)
    near = exact.to(dtype)
    beyond = torch.where(near > exact, -torch.inf, torch.inf).to(dtype)
    step = torch.nextafter(near, beyond).float() - near.float()
    found = near.float()
    for _ in range(exact.shape[2] // 2):
        off = (found - exact).sum(2, keepdim=True)
        best, where = (off + step).abs().min(2, keepdim=True)
        change = step.gather(2, where) * (best < off.abs())
        found.scatter_add_(2, where, change)
        step.scatter_(2, where, 0.0)
    return found.to(dtype).reshape(weight.shape)


def sizes_of(conv: Convolution) -> tuple[Any, ...]:
    """Padding, stride, dilation and groups, as oneDNN's convolutions take them."""
    if isinstance(conv, Joined):
        return conv.sizes
    return (*map(list, (conv.padding, conv.stride, conv.dilation)), conv.groups)


def _move_biases(trunk: fx.GraphModule) -> None:
    """The bias before an addition into the convolution of the shortcut, if it has one.

    There it stays in float32. The sum is the same.
    """
    convolutions: dict[Any, Any] = dict(_convolutions(trunk))
    for node, conv in convolutions.items():
        for before in node.args[1:]:
            shortcut = convolutions.get(before)
            if isinstance(shortcut, nn.Conv2d) and len(before.users) == 1:
                _add_bias(shortcut, conv.bias)
                conv.bias = None


def _add_bias(conv: nn.Conv2d, bias: Tensor | None) -> None:
    if bias is not None:
        whole = bias if conv.bias is None else conv.bias + bias
        conv.bias = nn.Parameter(whole, requires_grad=False)


def _convolutions(trunk: fx.GraphModule) -> Iterator[tuple[fx.Node, Any]]:
    """Those that oneDNN can take, each called at one place only."""
    called = [node for node in trunk.graph.nodes if node.op == "call_module"]
    times = Counter(node.target for node in called)
    for node in called:
        found = trunk.get_submodule(str(node.target))
        plain = isinstance(found, nn.Conv2d) and found.padding_mode == "zeros"
        fits = plain and not isinstance(found.padding, str)
        if times[node.target] == 1 and (fits or isinstance(found, Joined)):
            yield node, found
