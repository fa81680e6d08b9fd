"""What leaves no module to adapt is named: not the targets where they are there and another field takes them away."""

import pytest

from inspector.errors import InspectorError
from inspector.lora.adapter import adapter
from inspector.lora.spec import LoraSpec
from inspector.sources.bundled import load_bundled


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"layers_to_transform": (99,)}, r"layers_to_transform 99 \(its layers are 0 to 15\) leaves none"),
        ({"layers_to_transform": (99,), "layers_pattern": ("layers",)}, "layers_to_transform 99 .* leaves none"),
        ({"layers_to_transform": (0,), "layers_pattern": ("h",)}, "layers_pattern h leaves none"),
        ({"modules_to_save": ("q_proj",)}, "modules_to_save q_proj leaves none"),
        ({"exclude_modules": ".*attn.*"}, r"exclude_modules \.\*attn\.\* leaves none"),
        ({"target_modules": ("qq",), "exclude_modules": ("v_proj",)}, "no module of .* matches 'qq'"),
        ({"target_modules": (), "target_parameters": ("experts.up",)}, "no parameter of .* matches 'experts.up'"),
    ],
)
def test_the_field_that_leaves_nothing_is_named(fields, said):
    skeleton = load_bundled("meta-llama/Llama-3.2-1B")
    with pytest.raises(InspectorError, match=said):
        adapter(skeleton, LoraSpec(**{"target_modules": ("q_proj",), **fields}))
