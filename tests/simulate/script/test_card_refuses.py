"""What a card refuses by the values of indices, and what of it is not simulated, with the script's line."""

from __future__ import annotations

import pytest

from inspector.errors import InspectorError

RANGES = """
    import torch
    import torch.nn.functional as F
    from torch import nn

    def card(*values):
        return torch.tensor(values).cuda()

    x = torch.randn(4, 8, device="cuda")
    good = {
        "ignored": lambda: F.cross_entropy(x, card(0, -100, 3, 7)),
        "negative": lambda: x[card(-4, 3)],
        "masked": lambda: x[torch.tensor([True, False, True, True]).cuda()],
        "unknown": lambda: F.cross_entropy(x[:3, :1], torch.randn(3, 5000, device="cuda").argmax(1)),
        "padding": lambda: F.embedding(card(0, 7), x.T, padding_idx=7),
    }
    bad = {
        "label": lambda: F.cross_entropy(x, card(0, 8, 3, 7)),
        "pixel": lambda: F.nll_loss(x.view(1, 4, 2, 4), torch.full((1, 2, 4), 4).cuda()),
        "token": lambda: nn.Embedding(9, 4, device="cuda")(card(9)),
        "row": lambda: x.index_select(0, card(-1)),
        "index": lambda: x[:, card(8)],
        "gather": lambda: x.gather(1, card([8])),
        "scatter": lambda: torch.zeros_like(x).scatter_(0, card([4]), 1.0),
    }
    for name, does in good.items():
        does()
    for name, does in bad.items():
        try:
            does()
            print(name, "passed")
        except torch.AcceleratorError as error:
            print(name, str(error).split("failed: ")[1].strip(), str(error).splitlines()[0])
    bad["token"]()
"""


def test_indices_out_of_range_are_asserted_at_their_line(dry):
    report, out, err = dry(RANGES)
    said = "CUDA error: device-side assert triggered"
    assert out.splitlines() == [
        f"label 8 is not from 0 to 7 {said}",
        f"pixel 4 is not from 0 to 3 {said}",
        f"token 9 is not from 0 to 8 {said}",
        f"row -1 is not from 0 to 3 {said}",
        f"index 8 is not from -8 to 7 {said}",
        f"gather 8 is not from 0 to 7 {said}",
        f"scatter 4 is not from 0 to 3 {said}",
    ]
    assert report.script_exit_code == 1
    assert err.rstrip().endswith("embedding: Assertion `srcIndex < srcSelectDimSize` failed: 9 is not from 0 to 8")
    assert '    bad["token"]()' in err.splitlines()


@pytest.mark.parametrize(
    "makes", ["torch.eye(3).to_sparse().cuda()", "torch.eye(3).cuda().to_sparse()",
              "torch.sparse_coo_tensor(torch.tensor([[0], [1]]).cuda(), torch.ones(1).cuda(), (2, 3))"]
)  # fmt: skip
def test_sparse_tensors_are_named(dry, makes):
    with pytest.raises(InspectorError) as caught:
        dry(f"import torch\ntorch.eye(2).to_sparse()\n{makes}\n")
    assert caught.value.message == "train.py:3: sparse tensors on the card: not simulated"
