"""From settings to results: where a run writes, and what is left of it."""

from kanlit.runs.folder import Run, Started, start_run
from kanlit.runs.resume import checkpoint_to_resume

__all__ = ["Run", "Started", "checkpoint_to_resume", "start_run"]
