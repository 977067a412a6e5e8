"""From settings to the results of a run.

``assembly`` makes data, model, callbacks and trainer of settings, ``folder`` claims the folder
that a run writes to, ``resume`` finds the checkpoint that it continues, ``trained`` reads a run
that has ended. ``settings`` and ``errors`` explain in one line what is wrong with a setting.
"""
