"""Environments: one folder each, with its contract in `env.py` and its page in `README.md`.

Found by id through Gymnasium's registry; see the entry-point group `agentgym.envs`.
"""
