"""Image ↔ latent and latent ↔ hyper-latent: one analysis/synthesis pair per file."""
