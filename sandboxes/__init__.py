"""Where model-written code runs: one backend per file.

Found by name through the entry-point group `agentgym.sandboxes`. `zygotes.py` is the host's half of
`bubblewrap.py`; `containers.py` and `engine.py` are that of `docker.py`; `kept.py` is what they
share, and `jail/` what runs inside of both. `proxy.py`, with `proxy_request.py` and `relay.py`, is
the way out of `bubblewrap.py`'s boxes to what a spec lists. `lender.py` is the HTTP of `remote.py`,
whose server is `agentgym/server/`. A new backend is a file here, an entry point, and a line in
`tests/conformance/test_sandboxes.py`.
"""
