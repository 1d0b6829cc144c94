"""One file for each OS process; the only place that names concrete classes."""
