"""Messages of every PyTorch, wrapped and cut at any place; and what the figures add up to."""

import itertools

import pytest

import inspector
from inspector.explain.sizes import as_printed, asked, read_size, request_of
from inspector.units import GiB, MiB
from tests.explain.messages import put

PRINTED = {
    "tried": "1.96 GiB", "gpu": 3, "capacity": "23.69 GiB", "free": "1.30 GiB", "allocated_by_pytorch": "19.21 GiB",
    "reserved_unallocated": "802.51 MiB", "this_process": "22.38 GiB", "reserved_total": "19.99 GiB",
    "cached": "802.51 MiB", "in_private_pools": "50.00 MiB", "other_processes": ["0 bytes", "1022.00 MiB"],
}  # fmt: skip
FORMS = {
    "F1": "1.0 to 1.3", "F2": "1.4 to 2.0", "F3": "1.10 to 2.0", "F4": "2.1", "F5": "2.2 to 2.8", "F5p": "2.2 to 2.8",
    "F6": "2.9 or newer",
}  # fmt: skip
SAID = {
    "F1": {"tried", "capacity", "free", "allocated_by_pytorch", "cached"},
    "F2": {"tried", "capacity", "free", "allocated_by_pytorch", "reserved_total"},
}
NEW = {
    "tried", "capacity", "free", "this_process", "allocated_by_pytorch", "reserved_unallocated", "in_private_pools",
    "allowed",
}  # fmt: skip


def one(text, model=None, **options):
    (error,) = inspector.explain_error(text, model, **options).errors
    return error


@pytest.mark.parametrize("form", FORMS)
def test_every_form_in_every_dress(form):
    printed = PRINTED | {"allowed": "20.00 GiB"}
    whole = put(form, printed)
    words = whole.split(" ")
    dresses = {
        "plain": whole, "hip": put(form, printed, "HIP"), "xpu": put(form, printed, "XPU"),
        "wrapped": "\n".join(" ".join(each) for each in itertools.batched(words, 7)) if hasattr(itertools, "batched")
        else "\n".join(" ".join(words[at : at + 7]) for at in range(0, len(words), 7)),
        "coloured": f"\x1b[31m\x1b[1mtorch.OutOfMemoryError\x1b[0m: {whole}\x1b[0m",
        "windows": f"Traceback (most recent call last):\r\n{whole}\r\n",
        "after a bar": f"  3%|#  | 1/30\r  6%|## | 2/30\r{whole}",
        "of a rank": f"[rank3]: {whole}",
    }  # fmt: skip
    for name, text in dresses.items():
        error = one(text)
        found = {key: size.text for key, size in error.figures.sizes().items()}
        assert found == {key: printed[key] for key in SAID.get("F2" if form == "F3" else form, NEW)}, (form, name)
        assert (error.figures.gpu, error.figures.torch) == (3, FORMS[form]), (form, name)
        others = [size.text for size in error.figures.other_processes]
        assert others == (printed["other_processes"] if form > "F3" else []), (form, name)


def test_a_message_that_is_cut_anywhere_says_what_it_still_says():
    whole = put("F5p", PRINTED)
    full = one(whole).figures.sizes()
    for end in range(whole.index("1.96 GiB") + 8, len(whole), 3):
        found = one(whole[:end]).figures.sizes()
        assert found["tried"] == full["tried"]
        # A number cut in its middle is another number; never is one taken for what it is not.
        wrong = {
            name
            for name in found
            if name not in full or (not whole[:end].endswith(found[name].text) and found[name] != full[name])
        }
        assert not wrong, whole[:end]


@pytest.mark.parametrize("nbytes", [1, 512, MiB, MiB + 1, 9 * MiB, 10 * MiB, 43 * MiB, 135_790_592, 5 * GiB + 12_345])
def test_a_tensor_is_among_those_that_print_its_request(nbytes):
    printed = read_size(as_printed(asked(nbytes)))
    request = request_of(printed)
    assert request.holds(nbytes)
    for edge in (request.low, request.high):
        assert request.open or as_printed(asked(edge)) == printed.text
    assert request.open or as_printed(asked(request.low - 1)) != printed.text
    assert request.open or as_printed(asked(request.high + 1)) != printed.text


CAUSES = {
    # No allowance is printed but where one was set; more than the card has is Windows' own.
    "full": {"reserved_unallocated": "102.00 MiB", "other_processes": None},
    "fragmented": {"reserved_unallocated": "2.20 GiB", "other_processes": None},
    "limit": {"allowed": "20.00 GiB", "other_processes": None},
    "spilled": {"allocated_by_pytorch": "31.50 GiB", "this_process": None, "other_processes": None},
    "larger than the card": {"tried": "272.00 GiB", "other_processes": None},
    "other processes": {"allocated_by_pytorch": "4.00 GiB", "this_process": "5.00 GiB",
                        "reserved_unallocated": "10.00 MiB", "other_processes": ["17.00 GiB"]},
}  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES)
def test_why_there_was_no_memory(cause):
    error = one(put("F5", PRINTED | CAUSES[cause]))
    assert error.verdict.cause == cause
    assert len(error.verdict.lines) >= 3


def test_pieces_and_free_memory_together():
    error = one(put("F5", PRINTED | {"other_processes": None}))
    assert (error.verdict.cause, error.verdict.missing) == ("fragmented", 0)
    assert "in pieces" in error.verdict.lines[-1]


def test_in_a_container_a_process_is_not_taken_for_another():
    """It stands among the others there; the smallest that can be it is it."""
    filled = PRINTED | {"this_process": None, "reserved_unallocated": "300.00 MiB", "allocated_by_pytorch": "21.90 GiB"}
    alone = one(put("F5", filled | {"other_processes": ["22.39 GiB"]}))
    assert (alone.verdict.cause, alone.verdict.others) == ("full", 0)
    shared = one(
        put("F5", filled | {"allocated_by_pytorch": "600.00 MiB", "other_processes": ["21.30 GiB", "1.09 GiB"]})
    )
    assert (shared.verdict.cause, shared.verdict.others) == ("other processes", read_size("21.30 GiB").nbytes)


def test_by_the_rounding_it_cannot_be_told():
    error = one(put("F5", PRINTED | {"tried": "2.08 GiB", "other_processes": None}))
    assert error.verdict.cause == "unknown"
    assert "rounding" in error.verdict.lines[-1]
