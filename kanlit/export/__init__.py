"""Exports trained networks to ONNX and torch.export files.

``program`` makes a file's bytes of a module and runs them, ``check`` holds the one against the
other.
"""
