"""Where model-written code runs: one backend per file.

Found by name through the entry-point group `agentgym.sandboxes`. `zygotes.py` is the host's half of
`bubblewrap.py`; `containers.py` and `engine.py` are that of `docker.py`; `kept.py` is what they
share, and `jail/` what runs inside of both. A new backend is a file here, an entry point, and a
line in `tests/conformance/test_sandboxes.py`.
"""
