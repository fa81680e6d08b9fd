"""Mistakes as people make them, a function each: says what Python said of each, and the line of this file that it named."""

import io
import json
import os
import sys
import traceback

import torch
import torch.nn.functional as F
from torch import nn

DEVICE = os.environ.get("DEVICE", "cuda")
MISTAKES = {}


def mistake(function):
    MISTAKES[function.__name__] = function


def ones(*shape, **options):
    return torch.ones(shape, device=DEVICE, **options)


@mistake
def a_wrong_width():
    nn.Linear(8, 4, device=DEVICE)(ones(2, 9))


@mistake
def shapes_that_do_not_broadcast():
    return ones(3, 4) + ones(3, 5)


@mistake
def a_view_that_does_not_fit():
    ones(3, 4).view(5, 3)


@mistake
def parts_that_do_not_join():
    torch.cat([ones(2, 3), ones(2, 4)])


@mistake
def a_half_that_meets_a_float():
    nn.Linear(3, 2, device=DEVICE, dtype=torch.float16)(ones(4, 3))


@mistake
def a_vector_of_another_dtype():
    ones(2, 3) @ ones(3, dtype=torch.float64)


@mistake
def a_source_of_another_dtype():
    ones(3, 3).index_add_(0, torch.zeros(2, dtype=torch.long, device=DEVICE), ones(2, 3, dtype=torch.float64))


@mistake
def a_loss_with_targets_of_another_batch():
    F.cross_entropy(ones(4, 10), torch.zeros(3, dtype=torch.long, device=DEVICE))


@mistake
def a_loss_with_targets_that_are_no_classes():
    F.cross_entropy(ones(4, 10), ones(4))


@mistake
def backward_twice():
    loss = (ones(3, requires_grad=True) ** 2).sum()
    loss.backward()
    loss.backward()


@mistake
def backward_of_what_needs_no_gradient():
    ones(3).sum().backward()


@mistake
def backward_of_more_than_a_number():
    (ones(3, requires_grad=True) * 2).backward()


@mistake
def a_leaf_changed_in_place():
    weights = ones(3, requires_grad=True)
    weights += 1


@mistake
def a_saved_tensor_changed_in_place():
    x = ones(3, requires_grad=True).exp()
    y = (x * x).sum()
    x.zero_()
    y.backward()


@mistake
def numpy_of_what_needs_a_gradient():
    ones(3, requires_grad=True).cpu().numpy()


@mistake
def an_optimizer_of_nothing():
    torch.optim.AdamW([])


@mistake
def an_optimizer_of_no_tensors():
    torch.optim.AdamW(["weights"])


@mistake
def a_state_that_does_not_match():
    nn.Linear(3, 4, device=DEVICE).load_state_dict(nn.Linear(3, 5, device=DEVICE).state_dict())


@mistake
def a_state_with_other_names():
    nn.Linear(3, 4, device=DEVICE).load_state_dict({"wieght": ones(4, 3)})


@mistake
def an_argument_that_there_is_not():
    nn.Linear(3, 4, device=DEVICE, dropout=0.1)


@mistake
def an_attribute_that_there_is_not():
    nn.Linear(3, 4, device=DEVICE).wieght


@mistake
def the_truth_of_several_values():
    if ones(2) > 0:
        return


@mistake
def an_index_beyond_the_end():
    ones(3, 4)[3]


@mistake
def more_names_than_values():
    first, second, third = ones(2, 3)


@mistake
def a_number_of_several_values():
    ones(2).item()


@mistake
def heads_that_do_not_divide():
    nn.MultiheadAttention(10, 3, device=DEVICE)


@mistake
def a_convolution_of_other_channels():
    nn.Conv2d(3, 8, 3, device=DEVICE)(ones(1, 4, 8, 8))


@mistake
def a_kernel_larger_than_the_picture():
    nn.Conv2d(3, 8, 9, device=DEVICE)(ones(1, 3, 8, 8))


@mistake
def rows_of_different_lengths():
    loader = torch.utils.data.DataLoader([torch.ones(3), torch.ones(4)], batch_size=2)
    next(iter(loader))


@mistake
def a_file_that_is_not_there():
    torch.load("nowhere.pt", map_location=DEVICE)


@mistake
def a_name_that_is_not_there():
    return modle(ones(2))  # noqa: F821


@mistake
def a_key_that_is_not_there():
    return {"input_ids": ones(2)}["labels"]


@mistake
def rows_that_are_no_table():
    torch.tensor([[1, 2], [3]], device=DEVICE)


@mistake
def an_option_that_there_is_not():
    torch.tensor([1], devise=DEVICE)


@mistake
def a_device_that_there_is_not():
    ones(2).to("gpu")


@mistake
def a_size_below_nothing():
    torch.zeros(-1, device=DEVICE)


@mistake
def a_parameter_of_whole_numbers():
    nn.Parameter(torch.ones(2, dtype=torch.long, device=DEVICE))


@mistake
def a_data_file_that_is_not_there():
    with open("nowhere/data.txt") as file:
        file.read()


@mistake
def a_folder_that_is_not_there():
    with open("/nowhere/of/mine/log.txt", "w") as file:
        file.write("a")


@mistake
def a_folder_in_one_that_is_not_there():
    os.mkdir("/nowhere/of/mine")


@mistake
def something_to_remove_that_is_not_there():
    os.remove("nowhere.txt")


@mistake
def what_cannot_be_pickled():
    torch.save(lambda: 1, io.BytesIO())


@mistake
def settings_of_a_compiler_that_exclude_each_other():
    torch.compile(nn.Linear(2, 2), mode="default", options={"a": 1})


@mistake
def an_index_of_no_whole_number():
    ones(3, 3).index_select(0, ones(1))


@mistake
def a_loss_of_two_dtypes():
    F.binary_cross_entropy(ones(3), ones(3, dtype=torch.float64))


@mistake
def weights_of_classes_of_another_dtype():
    labels = torch.zeros(4, dtype=torch.long, device=DEVICE)
    F.cross_entropy(ones(4, 3), labels, weight=ones(3, dtype=torch.float64))


@mistake
def values_of_another_dtype_put_in():
    ones(3)[torch.tensor([0], device=DEVICE)] = ones(1, dtype=torch.float64)


@mistake
def attention_of_two_dtypes():
    heads = ones(1, 2, 4, 8)
    F.scaled_dot_product_attention(heads, heads.double(), heads)


# What is done where something of the simulation breaks: never said to be the script's.
FAULTS = {
    "_carry": lambda: ones(2) + ones(2),
    "_place_all": lambda: ones(2).exp(),
    "_made": lambda: ones(2),
    "_arrives": lambda: torch.ones(2).to(DEVICE),
    "mark": lambda: nn.Linear(2, 2, device=DEVICE)(ones(1, 2)).sum().backward(),
    "enter": lambda: nn.Linear(2, 2, device=DEVICE)(ones(1, 2)),
}


def break_each(errors):
    """A fault in a method of the simulated card: raised by a line of ours, as its own would be."""
    from inspector.simulate.script.child.card_tracer import CardTracer

    for name, function in FAULTS.items():
        made = {}
        exec(compile("def broken(*_, **__): raise KeyError('ours')", errors.__file__, "exec"), made)
        kept = getattr(CardTracer, name)
        setattr(CardTracer, name, made["broken"])
        try:
            function()
        except KeyError as error:
            print("WHOSE", name, errors.is_ours(error), flush=True)
        finally:
            setattr(CardTracer, name, kept)


if __name__ == "__main__":
    errors = sys.modules.get("inspector.simulate.script.child.errors")
    for name, function in MISTAKES.items():
        try:
            function()
        except Exception as error:
            frames = [
                frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith("broken.py")
            ]
            said = " ".join(str(error).split())[:60]
            print("MISTAKE", json.dumps([name, type(error).__name__, frames[-1].lineno, said]), flush=True)
            if errors is not None:
                print("WHOSE", name, errors.is_ours(error), flush=True)
        else:
            print("MISTAKE", json.dumps([name, "none"]), flush=True)
    if errors is not None:
        break_each(errors)
