"""The words of the node in plain Python: no I/O, no clock, no framework."""
