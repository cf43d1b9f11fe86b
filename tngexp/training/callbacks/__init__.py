"""One concern of the training loop per file; ``conf/callbacks/*.yaml`` picks which ones run."""
