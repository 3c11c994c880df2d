"""A garden, an almanac and a way to learn gardening, for agentgym."""
