"""From settings to the results of a run.

``assembly`` creates data, model, callbacks and trainer from settings, ``folder`` claims the folder
of a run, ``resume`` finds the checkpoint to resume, and ``trained`` reads a finished run.
``settings`` and ``errors`` explain invalid settings in one line.
"""
