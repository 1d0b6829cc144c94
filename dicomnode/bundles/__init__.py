"""The node's shelf of bundles: which version is active, and the acts that change it."""
