"""What runs inside a sandbox: the zygote, the keeper of a box, the program; a folder of modules."""
