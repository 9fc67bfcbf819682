from __future__ import annotations

import pytest

from simulator.config.compatibility import check_compatibility, inputs_in_order


def model(*, inputs=(("x", "float32", ["batch", 1, 28, 28]),), outputs=(("y", "float32", ["batch", 10]),)):
    keys = ("name", "dtype", "shape")
    return {
        "inputs": [dict(zip(keys, one, strict=True)) for one in inputs],
        "outputs": [dict(zip(keys, one, strict=True)) for one in outputs],
    }


def dataset(*, shape=(1, 28, 28), dtype="uint8", kind="class", classes=10, target=(), more=()):
    inputs = [{"name": "x", "dtype": dtype, "shape": list(shape)}, *more]
    return {
        "inputs": inputs,
        "targets": {"dtype": "int64", "shape": list(target), "kind": kind},
        "classes": classes,
    }


def test_a_classifier_and_labelled_images_are_a_classification():
    fit = check_compatibility(model(), dataset())
    assert fit.task == "classification"
    assert fit.faults == ()


def test_real_targets_of_the_outputs_shape_are_a_regression():
    fit = check_compatibility(
        model(outputs=[("y", "float32", ["batch", 2])]), dataset(kind="real", classes=None, target=[2])
    )
    assert fit.task == "regression"


def test_open_sizes_fit_everything():
    fit = check_compatibility(
        model(inputs=[("x", "float32", ["batch", 12, None])]), dataset(shape=(12, 29), dtype="float32")
    )
    assert fit.task == "classification"


@pytest.mark.parametrize("shape", [(1, 8, 8), (28, 28), (784,)])
def test_samples_of_another_shape_are_refused_with_both_shapes(shape):
    (fault,) = check_compatibility(model(), dataset(shape=shape)).faults
    assert fault.code == "dataset_mismatch"
    assert "[batch, 1, 28, 28]" in fault.message
    assert str(list(shape)) in fault.message


def test_a_network_with_fewer_outputs_than_classes_is_refused():
    (fault,) = check_compatibility(model(), dataset(classes=12)).faults
    assert "[batch, 10]" in fault.message
    assert "12 classes" in fault.message


def test_a_network_with_more_outputs_than_classes_fits():
    assert check_compatibility(model(), dataset(classes=7)).task == "classification"


def test_token_ids_need_a_network_that_takes_integers():
    wanted = [("ids", "int64", ["batch", 16])]
    assert (
        check_compatibility(model(inputs=wanted), dataset(shape=(16,), dtype="int32")).task
        == "classification"
    )
    (fault,) = check_compatibility(model(inputs=wanted), dataset(shape=(16,), dtype="float32")).faults
    assert "int64" in fault.message
    assert "float32" in fault.message


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_floating_point_networks_of_any_width_take_floats(dtype):
    fit = check_compatibility(model(inputs=[("x", dtype, ["n", 4])]), dataset(shape=(4,), dtype="float32"))
    assert fit.faults == ()


def test_another_number_of_inputs_is_refused():
    more = [{"name": "mask", "dtype": "float32", "shape": [4]}]
    (fault,) = check_compatibility(model(), dataset(more=more)).faults
    assert "1 inputs" in fault.message


def test_a_task_that_the_targets_contradict_is_refused():
    (fault,) = check_compatibility(model(), dataset(), "regression").faults
    assert (fault.pointer, fault.code) == ("/task", "task_mismatch")


def test_faults_of_inputs_and_outputs_are_told_together():
    assert len(check_compatibility(model(), dataset(shape=(8, 8), classes=99)).faults) == 2


def test_a_network_with_two_outputs_is_refused():
    outputs = [("y", "float32", ["batch", 10]), ("z", "float32", ["batch", 10])]
    (fault,) = check_compatibility(model(outputs=outputs), dataset()).faults
    assert fault.pointer == "/model"


TOKENS = {"shape": (7,), "dtype": "int64", "classes": 9, "target": [7]}


def language_model(*output):
    return model(inputs=[("ids", "int64", ["batch", "time"])], outputs=[("y", "float32", ["batch", *output])])


def test_zeros_and_ones_of_the_outputs_shape_are_labels():
    labels = dataset(kind="labels", classes=None, target=[10])
    assert check_compatibility(model(), labels).task == "multi_label"
    assert check_compatibility(model(), labels, "regression").task == "regression"


def test_classes_of_every_position_want_one_more_dimension():
    fit = check_compatibility(
        model(outputs=[("y", "float32", ["batch", 9, 28, 28])]),
        dataset(kind="class_per_position", classes=9, target=[28, 28]),
    )
    assert fit.task == "token_classification"
    few = check_compatibility(
        model(outputs=[("y", "float32", ["batch", 3, 28, 28])]),
        dataset(kind="class_per_position", classes=9, target=[28, 28]),
    )
    assert "9 classes" in few.faults[0].message


def test_tokens_of_tokens_are_ambiguous_until_the_task_is_said():
    given = dataset(kind="class_per_position", **TOKENS)
    (fault,) = check_compatibility(language_model("time", 9), given).faults
    assert (fault.pointer, fault.code) == ("/task", "task_ambiguous")
    assert "token_classification or next_token" in fault.message
    for task in ("token_classification", "next_token"):
        assert check_compatibility(language_model("time", 9), given, task).task == task
    assert check_compatibility(language_model("time"), given).task == "regression"


def test_positions_that_differ_are_told_with_both_shapes():
    given = dataset(kind="class_per_position", **TOKENS)
    (fault,) = check_compatibility(language_model(5, 9), given, "next_token").faults
    assert "[batch, 5, 9]" in fault.message
    assert "[7]" in fault.message


def targets(kind, *, shape=(), classes=None):
    return dataset(shape=(8,), dtype="float32", kind=kind, target=shape, classes=classes)


def network(*output, activation=None):
    made = model(inputs=[("x", "float32", ["n", 8])], outputs=[("y", "float32", ["n", *output])])
    made["outputs"][0]["activation"] = activation
    return made


@pytest.mark.parametrize("output", [(1,), ()])
@pytest.mark.parametrize("classes", [1, 2])
def test_one_output_is_enough_for_two_classes(output, classes):
    assert check_compatibility(network(*output), targets("class", classes=classes)).task == "classification"


def test_one_output_is_too_few_for_three_classes():
    (fault,) = check_compatibility(network(1), targets("class", classes=3)).faults
    assert "3 classes" in fault.message


def test_one_hot_targets_are_classes_and_that_is_said():
    fit = check_compatibility(network(4), targets("one_hot", shape=(4,), classes=4))
    assert fit.task == "classification"
    assert [warning.code for warning in fit.warnings] == ["one_hot_labels"]


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_one_hot_targets_are_what_the_job_says(task):
    fit = check_compatibility(network(4), targets("one_hot", shape=(4,), classes=4), task)
    assert (fit.task, fit.warnings) == (task, ())


def test_one_hot_targets_of_positions_are_classes_of_positions():
    fit = check_compatibility(network(5, 4), targets("one_hot", shape=(5, 4), classes=4))
    assert fit.task == "token_classification"


def test_one_hot_targets_need_as_many_outputs():
    (fault,) = check_compatibility(network(3), targets("one_hot", shape=(4,), classes=4)).faults
    assert "4 classes" in fault.message


@pytest.mark.parametrize(
    ("outputs", "shape", "classes", "task"),
    [
        (1, (1,), 2, "classification"),
        (1, (), 2, "classification"),
        (4, (1,), 4, "classification"),
        (4, (), 4, "classification"),
        (1, (1,), 9, "regression"),
        (1, (), 9, "regression"),
    ],
)
def test_whole_numbers_are_classes_where_the_output_fits(outputs, shape, classes, task):
    fit = check_compatibility(network(outputs), targets("class_or_value", shape=shape, classes=classes))
    assert fit.task == task
    assert [warning.code for warning in fit.warnings] == ["task_inferred"]


def test_whole_numbers_are_values_if_the_job_says_so():
    found = targets("class_or_value", shape=(1,), classes=2)
    fit = check_compatibility(network(1), found, "regression")
    assert (fit.task, fit.warnings) == ("regression", ())


@pytest.mark.parametrize(
    "activation", ["sigmoid", "softmax", "log_softmax", "probabilities", "log_probabilities"]
)
def test_what_the_output_ends_in_is_said(activation):
    fit = check_compatibility(network(4, activation=activation), targets("class", classes=4))
    (warning,) = fit.warnings
    assert warning.code == "output_activation"
    assert "'y'" in warning.message
    assert "logits" in warning.message


def test_a_regression_takes_outputs_as_they_are():
    fit = check_compatibility(network(4, activation="sigmoid"), targets("real", shape=(4,)))
    assert (fit.task, fit.warnings) == ("regression", ())


def test_a_model_of_several_outputs_says_how_to_choose():
    several = network(4)
    several["outputs"].append({"name": "features", "dtype": "float32", "shape": ["n", 9]})
    (fault,) = check_compatibility(several, targets("class", classes=4)).faults
    assert "features" in fault.message
    assert "POST /v1/models?outputs=y" in fault.hint


def test_classes_are_values_only_if_the_job_says_so():
    assert check_compatibility(network(1), targets("class", classes=9), "regression").task == "regression"
    (fault,) = check_compatibility(network(1), targets("class", classes=9)).faults
    assert "9 classes" in fault.message


NAMED = [(name, "int64", ["batch", 4]) for name in ("ids", "segments", "mask")]


def named(*names):
    more = [{"name": name, "dtype": "int64", "shape": [4]} for name in names]
    return dataset(shape=(4,), dtype="int64", more=more)


@pytest.mark.parametrize(
    ("further", "order"),
    [
        (("segments", "mask"), (0, 1, 2)),
        (("mask", "segments"), (0, 2, 1)),  # as a file that sorts its arrays has them
        (("mask", "ids"), (2, 0, 1)),
        (("one", "other"), (0, 1, 2)),  # names that say nothing: the order of the file
        (("mask", "other"), None),
    ],
)
def test_inputs_are_found_by_their_names_where_they_have_those_of_the_model(further, order):
    names = [name for name, _, _ in NAMED]
    assert inputs_in_order(names, ["x", *further]) == order


def test_shapes_are_compared_with_the_input_of_the_same_name():
    wanted = [
        ("ids", "int64", ["batch", 4]),
        ("segments", "int64", ["batch", 4]),
        ("lengths", "int64", ["batch"]),
    ]
    given = named("lengths", "segments")
    given["inputs"][1]["shape"] = []
    assert check_compatibility(model(inputs=wanted), given).faults == ()


def test_an_input_that_the_model_does_not_have_is_named_with_what_to_do():
    (fault,) = check_compatibility(model(inputs=NAMED), named("mask", "other")).faults
    assert "x_other" in fault.message
    assert "x_<name of its input>" in fault.hint


@pytest.mark.parametrize(
    ("wanted", "given", "word"), [("float32", "int64", "float32"), ("int64", "float32", "int64")]
)
def test_another_type_than_the_model_takes_says_how_to_store_it(wanted, given, word):
    fit = check_compatibility(model(inputs=[("x", wanted, ["batch", 4])]), dataset(shape=(4,), dtype=given))
    assert word in fit.faults[0].hint
