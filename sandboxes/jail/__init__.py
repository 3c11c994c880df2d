"""What runs inside a sandbox: the zygote, the keeper of a box, the program; a folder of modules."""

COMMON = (
    *("wire", "kernel", "report", "files", "interpreter", "session", "program"),
    *("exits", "launcher", "process", "keeper", "network"),
)
"""What every sandbox is sent of this folder, each after those that it imports."""
