"""Layers that transforms and priors are made of."""
