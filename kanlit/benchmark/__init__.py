"""The paper's benchmarks, sharp functions and equations: runs, their results and reports.

>>> from kanlit.benchmark import build_matrix, choose_tasks, densities_by_class
>>> matrix = build_matrix(choose_tasks("helmholtz"), densities_by_class(["InputDensity"]))
>>> len(matrix.runs)
12
"""

from kanlit.benchmark.cluster import dask_engine
from kanlit.benchmark.engine import Engine, local_engine
from kanlit.benchmark.matrix import Matrix, Run, build_matrix
from kanlit.benchmark.recipes import densities_by_class, load_recipe, load_variants
from kanlit.benchmark.results import Key, Results, Row, curve_path
from kanlit.benchmark.runner import Tally, run_matrix
from kanlit.benchmark.tasks import SUITES, TASKS, Suite, Task, choose_tasks
from kanlit.benchmark.training import Outcome, train

__all__ = [
    "SUITES",
    "TASKS",
    "Engine",
    "Key",
    "Matrix",
    "Outcome",
    "Results",
    "Row",
    "Run",
    "Suite",
    "Tally",
    "Task",
    "build_matrix",
    "choose_tasks",
    "curve_path",
    "dask_engine",
    "densities_by_class",
    "load_recipe",
    "load_variants",
    "local_engine",
    "run_matrix",
    "train",
]
