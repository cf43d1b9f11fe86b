"""What a configuration may contain: names, types and ranges."""
