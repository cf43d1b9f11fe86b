"""Accelerators, processes, memory and precision."""
