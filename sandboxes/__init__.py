"""Where model-written code runs: one backend per file.

Found by name through the entry-point group `agentgym.sandboxes`. `zygotes.py` is the host's half of
`bubblewrap.py`, `bubblewrap_command.py` how it is started, and `cgroups.py` what limits its boxes;
`proxy.py`, with `proxy_request.py` and `relay.py`, is the way out of them to what a spec lists.
`containers.py`, `meeting.py` and `engine.py` are the host's half of `docker.py`. `kept.py`,
`together.py` and `idle.py` are what these two share, and `jail/` what runs inside of both.
`lender.py` is the HTTP of `remote.py`, whose server is `agentgym/server/`. A new backend is a file
here, an entry point, and a line in `tests/conformance/test_sandboxes.py`.
"""
