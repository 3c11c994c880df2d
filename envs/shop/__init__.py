"""A shop in text, as in WebShop. Start reading at `env.py`."""

from agentgym.envs.shop.env import ShopEnv

__all__ = ["ShopEnv"]
