"""The manifests for Kubernetes are valid, and say nothing that the service does not know."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from app.settings import Settings
from app.start import variable

FOLDER = Path(__file__).parents[3] / "deploy" / "kubernetes"
MAIN = list(yaml.safe_load_all((FOLDER / "driftline.yaml").read_text()))
SCALING = list(yaml.safe_load_all((FOLDER / "autoscaling.yaml").read_text()))


@pytest.mark.parametrize("manifest", MAIN, ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_each_manifest_is_one_that_kubernetes_takes(manifest, version):
    kubernetes_validate.validate(manifest, version, strict=True)


def test_every_setting_is_one_of_the_service():
    known = {variable(name) for name in Settings.model_fields}
    said = {name for name in MAIN[0]["data"] if name.startswith("DRIFTLINE_")}
    assert said
    assert said <= known


def test_containers_run_as_the_images_user_and_write_only_where_they_may():
    for manifest in MAIN:
        if manifest["kind"] not in ("Deployment", "Job"):
            continue
        pod = manifest["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsUser"] == 10001
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            written = {mount["mountPath"] for mount in container["volumeMounts"]}
            assert written == {"/data", "/tmp"}  # noqa: S108 - the folder of a container
            assert "memory" in container["resources"]["limits"]


def test_the_number_of_workers_follows_a_query_that_the_database_answers(database):
    (query,) = (one["metadata"]["query"] for one in SCALING[1]["spec"]["triggers"])
    with database.reading() as session:
        assert session.connection().exec_driver_sql(query).scalar_one() == 0
    assert SCALING[1]["spec"]["scaleTargetRef"]["name"] in {one["metadata"]["name"] for one in MAIN}


def test_commands_are_modules_that_there_are():
    commands = re.findall(r'"-m", "([\w.]+)"', (FOLDER / "driftline.yaml").read_text())
    root = Path(__file__).parents[3]
    for module in commands:
        path = root / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module
