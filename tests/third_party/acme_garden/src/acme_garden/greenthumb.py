"""A trainer that waits for things to grow."""


class Greenthumb:
    """Learns by waiting."""

    name = "greenthumb"
