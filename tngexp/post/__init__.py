"""Networks behind a conventional decoder: from the decoded picture to a better one."""

from __future__ import annotations

from tngexp.post.base import FEATURES, Post, features
from tngexp.post.depthwise import DepthwisePost

__all__ = ["FEATURES", "DepthwisePost", "Post", "features"]
