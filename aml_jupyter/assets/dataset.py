"""Dataset: the name under which everything about datasets is asked for."""

from __future__ import annotations

from .abstract_dataset import AbstractDataset


class Dataset(AbstractDataset):
    """``Dataset.File`` and ``Dataset.Tabular`` make datasets, ``get_by_name`` finds them."""
