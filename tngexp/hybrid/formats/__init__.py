"""The syntax of image files, as far as quantizer steps and a small field of one's own need it."""
