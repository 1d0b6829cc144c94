"""The science half: data, network, training, evaluation, bundles.

It knows nothing of the node. The node sees only `model.bundle`, `model.pixels`
and `model.phantom`.
"""
