"""Rate-distortion comparisons for eyes: tables, plots, and one HTML report."""
