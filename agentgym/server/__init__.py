"""HTTP servers: what `agentgym serve` runs.

`serving.py` runs any of them: who may reach it, how it begins and how it ends. The sandbox server
is `sandbox_app.py` (its routes) over `boxes.py` (the boxes behind them), `turns.py` (who runs when)
and `sandbox_threads.py` (what blocks). `guards.py` stands before the routes, and `fusion.py`
answers as SandboxFusion does. `messages.py` is what goes over the wire, for the server and for its
client, `sandboxes/remote.py`, which needs nothing else of this folder.

DESIGN's map has the sandbox server under `sandboxes/`. It is here because it serves any backend
by name, a third party's too, as everything in `agentgym/` does: it knows `make_sandbox` and no
implementation. Nothing here is imported by `import agentgym`.
"""
