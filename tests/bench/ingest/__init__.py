"""Receivers side by side: same sender, same disk, same images; see ``running``."""
