"""Exports trained networks to ONNX and torch.export files.

``layer`` has the layers in operations that both formats know, ``program`` makes a file's bytes of
a module and runs them, ``check`` holds the one against the other.
"""
