"""`Message`: what chat templates, conversations and policies call a chat message."""

from typing import Any

Message = dict[str, Any]
"""A chat message: role ("system", "user", "assistant"), content (text).

An observation that came with an image has it beside them, as image: (H, W, 3) uint8.
"""
