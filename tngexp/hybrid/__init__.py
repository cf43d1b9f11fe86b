"""Conventional codecs with a network behind them: standard files, better pictures."""
