"""Is the node well, and what to do if not: asked by the command line and the pages."""
