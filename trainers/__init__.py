"""RL algorithms for LLM agents: one file per algorithm, over small shared parts.

Start reading at `loop.py` (what every trainer shares), `policy_gradient.py` (what the on-policy
ones share) and `grpo.py` (the shortest algorithm). A critic that learns from replay is in
`utterance_critic.py`, over `double_critic.py`, `encoders.py` and `transitions.py`; `archer.py` uses
it. Trainers are found by name through the registry.
"""
