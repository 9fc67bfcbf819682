"""Write the datasets that scikit-learn carries as `.npz` files: run it as a script.

The split is by a seeded permutation; tabular features are standardised over the training set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn import datasets

FOLDER = Path(__file__).parent
SEED = 0
TEST_SHARE = 1 / 3


def main() -> None:
    """Write all three files."""
    digits = datasets.load_digits()
    _write("digits", digits.data.astype(np.uint8), digits.target)
    for name, bunch in (("wine", datasets.load_wine()), ("breast_cancer", datasets.load_breast_cancer())):
        _write(name, bunch.data.astype(np.float64), bunch.target)


def _write(name: str, features: np.ndarray, targets: np.ndarray) -> None:
    order = np.random.default_rng(SEED).permutation(len(targets))
    cut = len(targets) - round(len(targets) * TEST_SHARE)
    train, test = order[:cut], order[cut:]
    if features.dtype != np.uint8:
        mean, std = features[train].mean(axis=0), features[train].std(axis=0)
        features = ((features - mean) / std).astype(np.float32)
    np.savez_compressed(
        FOLDER / f"{name}.npz",
        x_train=features[train],
        y_train=targets[train].astype(np.uint8),
        x_test=features[test],
        y_test=targets[test].astype(np.uint8),
    )


if __name__ == "__main__":
    main()
