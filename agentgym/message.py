"""`Message`: what chat templates, conversations and policies call a chat message."""

from typing import Any

Message = dict[str, Any]
"""A chat message: role ("system", "user", "assistant"), content (text).

Where there is something to see, "image" is an (H, W, 3) uint8 array.
"""
