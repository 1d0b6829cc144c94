"""The worklist with a hospital's years in it; see ``measuring``."""
