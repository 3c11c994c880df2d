"""The main job in one call: a tiny model learns ALFWorld, from nothing, on a laptop.

    build a model -> imitate an expert that sees no more than the model -> evaluate
                  -> ARPO -> evaluate again -> table and curve

Evaluation is on the `valid_unseen` split: rooms that neither the imitation nor the reinforcement
saw. What is trained and how stands in the YAML files beside this one; the same stages at other
sizes are
`agentgym model tiny`, `agentgym train sft` and `agentgym train arpo`.
"""

from agentgym.demo.stages import DemoResult, Stages, run_demo

__all__ = ["run_demo", "Stages", "DemoResult"]
