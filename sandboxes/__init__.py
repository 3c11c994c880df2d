"""Where model-written code runs: one backend per file.

Found by name through the entry-point group `agentgym.sandboxes`.
"""
