"""The command line as a program: what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from driftline import Driftline
from tests.contract.conftest import Story
from tests.waiting import until

ROOT = Path(__file__).parents[4]
MODEL = ROOT / "examples" / "mnist_cnn.onnx"


@pytest.fixture
def cli(api, tmp_path):
    """Run the command line in an empty folder."""

    def run(*arguments: object, stdin: str = "", url: str = api.url) -> subprocess.CompletedProcess[str]:
        found = subprocess.run(
            [sys.executable, "-m", "driftline", *map(str, arguments)],
            env=environment(url), cwd=tmp_path, input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in found.stderr, found.stderr
        return found

    return run


def environment(url: str) -> dict[str, str]:
    return {**os.environ, "DRIFTLINE_URL": url, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}


@pytest.fixture
def job(driftline: Driftline) -> str:
    spec = {
        "name": "digits on PCM", "model": driftline.upload_model(MODEL), "dataset": "builtin:mnist10k",
        "rpu_config": {"preset": "PCMExamplePreset"}, "evaluate": {"t_inference": [1], "repeats": 2},
    }  # fmt: skip
    return driftline.submit(spec).id


def test_help_names_commands_and_exit_codes(cli):
    found = cli("--help")
    assert found.returncode == 0
    for part in ("submit", "models", "Exit codes", "DRIFTLINE_API_KEY", "--install-completion"):
        assert part in found.stdout
    assert cli().returncode == 2
    assert cli("--version").stdout.startswith("driftline ")


@pytest.mark.parametrize(
    "command",
    ["up", "open", "presets", "validate", "submit", "jobs", "watch", "results", "summary", "compare", "cost", "profiles", "export", "cancel",
     "retry", "delete", "models add", "models list", "models show", "data add", "data list"],
)  # fmt: skip
def test_each_command_has_help(cli, command):
    assert cli(*command.split(), "--help").returncode == 0


def test_the_cost_of_a_model_and_of_a_job(cli, job, tmp_path):
    found = cli("cost", "--model", MODEL, "--profile", "HERMES14nm")
    assert found.returncode == 0
    assert "energy of an inference" in found.stdout
    assert "assumed: " in found.stderr
    as_json = json.loads(cli("cost", job, "--profile", "NeuRRAM130nm", "--json").stdout)
    assert as_json["profile"] == "NeuRRAM130nm"
    assert cli("cost", job, "--profile", "ISAAC32nm", "-o", tmp_path / "cost.csv").returncode == 0
    assert (tmp_path / "cost.csv").read_text().startswith("layer,op,kind,component")
    profile = tmp_path / "mine.json"
    profile.write_text(cli("profiles", "ISAAC32nm").stdout.replace('"ISAAC32nm"', '"mine"'))
    assert "by mine;" in cli("cost", "--model", MODEL, "--profile", profile).stdout


def test_a_cost_needs_a_job_or_a_model_and_hardware(cli, job):
    assert cli("cost").returncode == 2
    assert cli("cost", job, "--model", MODEL).returncode == 2
    assert "names no hardware" in cli("cost", job).stderr
    assert "HERMES14nm" in cli("cost", "--model", MODEL).stderr
    assert cli("profiles", "nothing").returncode == 3
    assert "63.1 TOPS (42 to 94.6)" in cli("profiles").stdout


def test_from_a_model_to_a_queued_job(cli, tmp_path):
    added = cli("models", "add", MODEL, "--name", "digits")
    assert added.returncode == 0
    model = added.stdout.strip()
    assert model in cli("models", "list").stdout
    assert "on tiles" in cli("models", "show", model).stdout
    assert json.loads(cli("models", "show", model, "--json").stdout)["name"] == "digits"

    table = tmp_path / "iris.csv"
    table.write_text("a,b,label\n" + "".join(f"{n},{n * n},{'xy'[n % 2]}\n" for n in range(10)))
    dataset = cli("data", "add", table, "--test-fraction", "0.3").stdout.strip()
    assert dataset in cli("data", "list").stdout

    options = ["--model", model, "--data", "builtin:mnist10k", "--times", "1 s, 1 month", "--repeats", "3"]
    options += [
        "--set",
        "/rpu_config/overrides/forward/out_noise=0.08",
        "--name",
        "mine",
        "--tag",
        "pcm",
        "--seed",
        "7",
    ]
    estimate = cli("submit", *options, "--dry-run")
    assert "6 cells" in estimate.stdout
    submitted = cli("submit", *options, "--json")
    job = json.loads(submitted.stdout)
    assert job["spec"]["evaluate"]["t_inference"] == [1.0, 2592000.0]
    assert job["effective_config"]["forward"]["out_noise"] == 0.08
    assert (job["name"], job["tags"], job["seed"]) == ("mine", ["pcm"], 7)

    listed = cli("jobs", "--tag", "pcm", "--state", "queued", "--model", model)
    assert job["id"] in listed.stdout
    assert cli("jobs", "--tag", "other").stdout == ""
    assert [one["id"] for one in json.loads(cli("jobs", "--json").stdout)] == [job["id"]]


def test_a_file_can_be_submitted_and_options_replace_its_fields(cli, tmp_path):
    spec = {
        "model": str(MODEL), "dataset": "builtin:mnist10k", "rpu_config": {"preset": "PCMExamplePreset"},
        "evaluate": {"t_inference": ["1 day"]}, "seed": 1,
    }  # fmt: skip
    file = tmp_path / "job.json"
    file.write_text(json.dumps(spec))
    job = json.loads(cli("submit", file, "--seed", "2", "--finetune-epochs", "3", "--json").stdout)
    assert (job["seed"], job["spec"]["finetune"]["epochs"]) == (2, 3)
    assert job["spec"]["evaluate"]["t_inference"] == [86400.0]
    assert job["spec"]["evaluate"]["variants"] == ["digital", "direct", "hwa"]
    assert cli("submit", "-", stdin=json.dumps(spec)).returncode == 0


def test_files_are_checked(cli, tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"preset": "PCMExamplePreset"}')
    assert cli("validate", file).stdout.startswith("valid: ")
    refused = cli("validate", "-", stdin='{"forward": {"out_noize": 1, "inp_bound": "one"}}')
    assert refused.returncode == 2
    assert "/forward/out_noize" in refused.stderr
    assert "/forward/inp_bound" in refused.stderr
    assert cli("validate", "-", stdin='{"dataset": "builtin:digits"}').returncode == 2


def test_presets_are_shown(cli):
    assert "PCMExamplePreset" in cli("presets").stdout
    assert "noise_model" in json.loads(cli("presets", "PCMExamplePreset").stdout)
    unknown = cli("presets", "PCMExamplPreset")
    assert (unknown.returncode, "PCMExamplePreset" in unknown.stderr) == (3, True)


def test_a_job_is_found_by_its_name_or_a_part_of_its_id(cli, job):
    for text in (job, job[:13], job[-6:], "digits on PCM"):
        assert json.loads(cli("results", text, "--json").stdout)["job"] == job
    assert cli("results", "digits").returncode == 3


def test_a_name_of_several_jobs_is_not_guessed(cli, driftline, job):
    driftline.submit({**driftline.job(job).spec, "name": "digits on PCM", "seed": 5})
    found = cli("cancel", "digits on PCM")
    assert found.returncode == 2
    assert job in found.stderr


def test_jobs_are_cancelled_retried_and_deleted(cli, job):
    assert cli("cancel", job).stdout == "cancelled\n"
    assert cli("cancel", job).returncode == 2
    again = cli("retry", job).stdout.strip()
    assert again != job
    for answer in ("n\n", ""):
        kept = cli("delete", job, stdin=answer)
        assert (kept.returncode, "nothing was deleted" in kept.stderr) == (2, True)
    assert cli("delete", job, "--yes").returncode == 0
    assert cli("delete", job, "--yes").returncode == 3


def test_results_of_a_job_without_any(cli, job, tmp_path):
    found = cli("results", job)
    assert (found.returncode, found.stdout) == (0, "")
    assert "no results yet" in found.stderr
    for ending in ("csv", "svg", "png", "json", "parquet"):
        assert cli("results", job, "-o", f"out.{ending}").returncode == 0
        assert (tmp_path / f"out.{ending}").stat().st_size > 0
    wrong = cli("results", job, "-o", "out.pdf")
    assert (wrong.returncode, "out.pdf ends in none of" in wrong.stderr) == (2, True)


def test_a_page_is_opened_by_its_address(cli, api, job):
    assert cli("open", job, "--print").stdout == f"{api.url}/jobs/{job}\n"
    assert cli("open", "--print").stdout == f"{api.url}/\n"


def test_a_job_without_fine_tuning_has_no_network_to_export(cli, job):
    found = cli("export", job, "out")
    assert (found.returncode, "not fine-tuned" in found.stderr) == (2, True)


def test_watching_a_cancelled_job_ends_with_1(cli, job):
    cli("cancel", job)
    found = cli("watch", job)
    assert (found.returncode, found.stdout) == (1, "")
    assert "was cancelled" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["bogus"], 2), (["jobs", "--limit", "0"], 2), (["jobs", "--state", "no"], 2), (["submit", "gone.json"], 2),
     (["models", "add", "gone.onnx"], 2), (["models", "show", "x"], 3), (["watch", "00000000-0000-7000-8000-000000000000"], 3),
     (["--url", "http://127.0.0.1:1", "jobs"], 4), (["--url", "nonsense", "jobs"], 2), (["compare", "x"], 3)],
)  # fmt: skip
def test_exit_codes_say_what_went_wrong(cli, arguments, code):
    found = cli(*arguments)
    assert found.returncode == code, found.stderr
    assert found.stdout == ""
    assert found.stderr


def test_all_faults_are_told_at_once_and_json_stays_clean(cli):
    found = cli("submit", "--model", "m", "--data", "d", "--set", "/sede=1", "--set", "/seed=x", "--json")
    assert (found.returncode, found.stdout) == (2, "")
    assert "/sede" in found.stderr
    assert "/seed" in found.stderr


def test_a_closed_pipe_ends_quietly(api, job):
    command = f'"{sys.executable}" -m driftline jobs --json | head -c 1; echo "${{PIPESTATUS[0]}}"'
    found = subprocess.run(
        ["bash", "-c", command],
        env=environment(api.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.stderr == ""
    assert found.stdout == "[0\n"


# `python -m driftline` that heeds Ctrl-C, even where the tests run in the background of a shell: it has its
# processes ignore the signal, and they hand that on to their children.
HEEDING = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from driftline.__main__ import main; sys.exit(main())"
)


def test_ctrl_c_ends_quietly(api):
    story = Story(api.services.database.all_projects)
    command = [sys.executable, "-c", HEEDING, "watch", story.id]
    with subprocess.Popen(
        command, env=environment(api.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        told = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        try:
            out, rest = process.communicate(timeout=30)
        finally:
            process.kill()
    assert told
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in rest


def test_a_shell_can_have_the_completion(api):
    command = Path(sys.executable).with_name("driftline")
    asked = {**environment(api.url), "_DRIFTLINE_COMPLETE": "source_bash"}
    found = subprocess.run([command], env=asked, capture_output=True, text=True, timeout=60, check=True)
    assert "complete -o default" in found.stdout or "COMPREPLY" in found.stdout


def test_watching_follows_a_job_to_its_end(api):
    story = Story(api.services.database.all_projects)
    command = [sys.executable, "-m", "driftline", "watch", story.id, "--json"]
    with subprocess.Popen(
        command, env=environment(api.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline()
        story.end()
        until(lambda: process.poll() is not None, "the end of watching")
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["state"] == "succeeded"
    assert process.returncode == 0


def test_analyses_are_printed_and_written(cli, driftline, job, tmp_path):
    found = cli("analyses", job)
    assert (found.returncode, found.stdout) == (0, "")
    assert "asked for no analysis" in found.stderr
    spec = driftline.job(job).spec
    asked = driftline.submit({**spec, "analyses": [{"type": "error_budget"}]}).id
    found = cli("analyses", asked)
    assert "output_noise" in found.stdout
    assert "2 chips" in found.stdout
    assert json.loads(cli("analyses", asked, "--json").stdout)[0]["type"] == "error_budget"
    assert cli("analyses", asked, "error_budget", "-o", "budget.csv").returncode == 0
    assert (tmp_path / "budget.csv").read_text().startswith("variant,t_inference,group")
    assert cli("analyses", asked, "-o", "budget.csv").returncode == 2
    evaluate = {**spec["evaluate"], "t_inference": [1, 1e6], "repeats": 20}
    plan = {"type": "maintenance_plan", "do": ["reprogram"]}
    planned = driftline.submit({**spec, "evaluate": evaluate, "analyses": [plan]}).id
    assert "reprogram (direct): not known yet" in cli("analyses", planned).stdout
    assert cli("analyses", asked, "unknown").returncode == 3
