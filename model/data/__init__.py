"""Readers that yield one manifest, and the one data set that consumes it."""
