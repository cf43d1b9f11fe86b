"""Image ↔ latent and latent ↔ side latent: one analysis/synthesis pair per file."""
