"""Training: the Lightning module, its callbacks, loggers and the engine that puts them together."""
