"""Asking people: a page of blind pairs, and what their votes say."""
