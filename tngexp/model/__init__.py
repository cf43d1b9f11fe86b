"""A codec as a module: its parts wired together, and the files that it is kept in."""
