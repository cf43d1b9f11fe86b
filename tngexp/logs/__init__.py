"""Loggers, and what is written to them."""
