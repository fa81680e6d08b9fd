"""Hold our reading of LLaMA-Factory's files to LLaMA-Factory's own argument classes, file by file.

Usage: trainer_arguments.py FOLDER...: every YAML below the folders that is one of LLaMA-Factory's. The package is found
on PYTHONPATH (``pip install --target LIBS --no-deps llamafactory omegaconf antlr4-python3-runtime==4.9.3``). What was
compared is kept in ``tests/simulate/readers/own_arguments.json`` with its date; a file that is there is not read anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from inspector.simulate.setup.configured import read_config

OUT = Path(__file__).parent.parent / "tests" / "simulate" / "readers" / "own_arguments.json"
os.environ["DISABLE_VERSION_CHECK"] = "1"


def theirs(content: dict[str, Any]) -> dict[str, Any]:
    """The settings as LLaMA-Factory's classes resolve them."""
    from llamafactory.hparams import DataArguments, FinetuningArguments, ModelArguments
    from transformers import HfArgumentParser, Seq2SeqTrainingArguments

    parser = HfArgumentParser((ModelArguments, DataArguments, Seq2SeqTrainingArguments, FinetuningArguments))
    plain = {name: value for name, value in content.items() if name not in {"deepspeed", "fsdp", "fsdp_config"}}
    # The key of older transformers, which today's class has no longer.
    if "evaluation_strategy" in plain:
        plain["eval_strategy"] = plain.pop("evaluation_strategy")
    said = {"output_dir": "x", "report_to": "none", **plain, "use_cpu": True, "bf16": False, "fp16": False}
    model, data, train, tuned = parser.parse_dict(said, allow_extra_keys=True)
    lora = tuned.finetuning_type == "lora"
    found: dict[str, Any] = {
        "model": model.model_name_or_path, "per_device_batch": train.per_device_train_batch_size,
        "gradient_accumulation": train.gradient_accumulation_steps, "max_grad_norm": train.max_grad_norm,
        "gradient_checkpointing.enabled": not model.disable_gradient_checkpointing,
        "gradient_checkpointing.reentrant": None if model.disable_gradient_checkpointing else model.use_reentrant_gc,
        # Packing takes one off, so that rounding up to 8 does not add one.
        "seq_len": data.cutoff_len + bool(data.packing),
        "packing": bool(data.packing if data.packing is not None else tuned.stage == "pt"),
        "eval_batch": train.per_device_eval_batch_size if train.eval_strategy != "no" or train.do_eval else None,
        "lora.r": tuned.lora_rank if lora else None, "lora.alpha": tuned.lora_alpha if lora else None,
        "lora.dropout": tuned.lora_dropout if lora else None,
        "lora.targets": ("all-linear" if tuned.lora_target == ["all"] else tuned.lora_target) if lora else None,
        "lora.modules_to_save": tuned.additional_target if lora else None,
        "lora.dora": (tuned.use_dora or None) if lora else None,
        "lora.rslora": (tuned.use_rslora or None) if lora else None,
    }  # fmt: skip
    if model.quantization_bit == 4 and model.quantization_method == "bnb":
        found |= {
            "quantization.scheme": model.quantization_type,
            "quantization.double_quant": model.double_quantization,
        }
    if tuned.stage == "dpo":
        found["beta"] = tuned.pref_beta
    return found


def main(folders: list[str]) -> None:
    """Compare every file, and keep what was found after each."""
    from importlib.metadata import version

    kept = (
        json.loads(OUT.read_text())
        if OUT.exists()
        else {"format": "inspector.own_arguments", "version": 1, "files": {}}
    )
    kept["libraries"] = {name: version(name) for name in ("llamafactory", "transformers")}
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.yaml")):
            text = path.read_text(encoding="utf-8")
            content = yaml.safe_load(text)
            name = f"{path.parent.name}/{path.name}"
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            if not isinstance(content, dict) or not {"stage", "model_name_or_path"} <= set(content):
                continue
            if kept["files"].get(name, {}).get("sha256") == digest:
                continue
            told = read_config(path)
            if told.tools[0] != "llama-factory":
                kept["files"][name] = {"sha256": digest, "differs": {"tool": [told.tools[0], "llama-factory"]}}
                continue
            own = theirs(content)
            differs = {key: [told.value(key), value] for key, value in own.items() if told.value(key) != value}
            kept["files"][name] = {"sha256": digest, "compared": len(own), "differs": differs}
            kept["date"] = datetime.now(UTC).date().isoformat()
            OUT.write_text(json.dumps(kept, indent=1) + "\n")
    found = kept["files"].values()
    print(f"{len(found)} files, {sum(one.get('compared', 0) for one in found)} settings")
    print(f"different: {json.dumps({name: one['differs'] for name, one in kept['files'].items() if one['differs']})}")


if __name__ == "__main__":
    main(sys.argv[1:])
