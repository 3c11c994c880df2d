"""Where model-written code runs: one backend per file.

Found by name through the entry-point group `agentgym.sandboxes`. `zygotes.py` and `seccomp.py` are
the host's half of `bubblewrap.py`; `jail/` is what runs inside. `lender.py` is the HTTP of
`remote.py`, whose server is `agentgym/server/`. A new backend is a file here, an
entry point, and a line in `tests/conformance/test_sandboxes.py`.
"""
