"""Trained networks as files that other programs run: ONNX and torch.export.

``layer`` has the layers in operations that both formats know, ``program`` makes a file's bytes of
a module and runs them, ``check`` holds the one against the other.
"""
