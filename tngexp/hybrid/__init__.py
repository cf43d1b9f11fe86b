"""Standard image files that a network restores: what it is told of them."""
