"""What a model can call: implementations of `agentgym.Tool`, one per file.

Found by name through the entry-point group `agentgym.tools`; environments that answer their calls
themselves need none of these.
"""
