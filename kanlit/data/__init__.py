"""Data modules, their loader, and the standardization of tables."""

from kanlit.data.base import TensorDataModule
from kanlit.data.class_table import ClassTableData
from kanlit.data.classes import ClassData, stratified_split
from kanlit.data.draws import PointDraw, ResidualDraw
from kanlit.data.equations import EquationData
from kanlit.data.formula import FormulaData
from kanlit.data.functions import FeynmanData, FunctionData, SharpData, SyntheticData
from kanlit.data.helmholtz import HelmholtzData
from kanlit.data.loader import EpochSampler, TensorLoader
from kanlit.data.scikit import ScikitData
from kanlit.data.table import TableData
from kanlit.scaling import Standardization

__all__ = [
    "ClassData",
    "ClassTableData",
    "EpochSampler",
    "EquationData",
    "FeynmanData",
    "FormulaData",
    "FunctionData",
    "HelmholtzData",
    "PointDraw",
    "ResidualDraw",
    "ScikitData",
    "SharpData",
    "Standardization",
    "SyntheticData",
    "TableData",
    "TensorDataModule",
    "TensorLoader",
    "stratified_split",
]
