"""The example notebook runs from top to bottom, and draws what it promises."""

import json
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("Agg")
NOTEBOOK = Path(__file__).parents[3] / "examples" / "analog_hardware.ipynb"


@pytest.fixture(scope="module")
def namespace():
    """What the code cells of the notebook leave behind."""
    import matplotlib.pyplot as plt

    names = {}
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
        for cell in json.loads(NOTEBOOK.read_text())["cells"]:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), cell["id"], "exec"), names)  # noqa: S102 - our own
        plt.close("all")
    return names | {"shown": shown}


def test_three_pictures_are_drawn_with_labelled_axes(namespace):
    labels = [figure.axes[0].get_xlabel() for figure in namespace["shown"]]
    assert labels == ["time after programming (s)", "ideal output", "time after programming"]


def test_conductances_fall_and_small_ones_relatively_faster(namespace):
    mean = namespace["g_over_time"].mean(dim=1)
    smallest, *others = (mean[-1] / mean[0]).tolist()  # 2.5 uS, where exponents are larger; 10 and 20 uS
    assert 0.3 < smallest < min(others)
    assert max(others) < 0.6


def test_tiles_clip_without_bound_management_alone(namespace):
    largest = {name: float(y.abs().max()) for name, y in namespace["transfer"].items()}
    assert largest["coarse"] == largest["with noise"] == pytest.approx(4)
    assert largest["with noise, managed"] > 4.5


def test_hardware_aware_training_helps_at_every_time(namespace):
    curves = {name: values.mean(dim=0) for name, values in namespace["curves"].items()}
    assert (curves["hardware-aware"] > curves["direct"]).all()
    assert (curves["direct"].diff() < 0).all()


def test_the_notebook_is_committed_with_its_pictures():
    outputs = [
        output
        for cell in json.loads(NOTEBOOK.read_text())["cells"]
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(outputs) == 3
