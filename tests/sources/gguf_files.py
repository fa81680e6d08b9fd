"""Small GGUF files as the gguf package writes them, and the tensors of a small Llama."""

import numpy as np
from gguf import GGMLQuantizationType, GGUFEndian, GGUFWriter
from gguf.quants import quant_shape_to_byte_shape

BLOCK = {
    "attn_norm": (256,), "attn_q": (256, 256), "attn_k": (128, 256), "attn_v": (128, 256), "attn_output": (256, 256),
    "ffn_norm": (256,), "ffn_gate": (512, 256), "ffn_up": (512, 256), "ffn_down": (256, 512),
}  # fmt: skip
ENDS = {"token_embd.weight": (320, 256), "output_norm.weight": (256,), "output.weight": (320, 256)}
SIZES = {
    "block_count": 2, "context_length": 2048, "embedding_length": 256, "feed_forward_length": 512,
    "attention.head_count": 4, "attention.head_count_kv": 2, "attention.layer_norm_rms_epsilon": 1e-5,
}  # fmt: skip


def blocks(*each, **more):
    """Tensors of blocks by name, ``more`` in all of them; None leaves one out."""
    found = {}
    for number, own in enumerate(each or ({}, {})):
        for kind, shape in {**BLOCK, **more, **own}.items():
            if shape:
                found[f"blk.{number}.{kind}.weight"] = shape
    return found


LLAMA = {**ENDS, **blocks()}


def made(path, architecture, tensors, *, tokens=320, endian=GGUFEndian.LITTLE, plain=False, **pairs):
    """A file of Q4_K matrices, where their rows are long enough, and float32 vectors; its path in words.

    ``plain`` is all in float32."""
    writer = GGUFWriter(path, architecture, endianess=endian)
    for key, value in pairs.items():
        name = key.replace("__", ".") if "__" in key else f"{architecture}.{key}"
        add = {float: writer.add_float32, int: writer.add_uint32, str: writer.add_string, bool: writer.add_bool}
        add.get(type(value), writer.add_array)(name, value)
    if tokens:
        writer.add_token_list([f"t{number}" for number in range(tokens)])
    for name, shape in tensors.items():
        if len(shape) == 2 and shape[-1] % 256 == 0 and not plain:
            kind = GGMLQuantizationType.Q4_K
            writer.add_tensor(name, np.zeros(quant_shape_to_byte_shape(shape, kind), dtype=np.uint8), raw_dtype=kind)
        else:
            writer.add_tensor(name, np.zeros(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


def elements(tensors):
    return sum(int(np.prod(shape)) for shape in tensors.values())
