"""Play ALFWorld by hand, through Gymnasium alone.

    python examples/play.py

Type commands; an empty line does what the expert would do.
"""

import gymnasium

import agentgym  # registers the environments with Gymnasium

assert "agentgym/ALFWorld-v0" in agentgym.list_envs()


def main() -> None:
    env = gymnasium.make("agentgym/ALFWorld-v0", difficulty="tiny", expert=True)
    observation, info = env.reset(seed=0)
    print(observation["text"])
    terminated = truncated = False
    while not (terminated or truncated):
        print("\nYou can:", ", ".join(info["admissible_commands"]))
        command = input("> ").strip() or info["expert_action"]
        observation, reward, terminated, truncated, info = env.step(command)
        print(f"{command}\n{observation['text']}")
    print(f"\n{info['stop_reason']} after {info['turn']} turns, reward {reward:g}")
    env.close()


if __name__ == "__main__":
    main()
