"""The trainers of transformers and TRL that `gloo_trainers` runs on real ranks, over rows of tokens of one length."""

from __future__ import annotations

import torch

LENGTH, PROMPT, SAMPLES = 16, 6, 2


def arguments(case, cls, **more):
    """A trainer's; its state then says that ranks are cards, as accelerate lets a CPU's ranks have DDP alone."""
    from accelerate import PartialState
    from accelerate.utils import DistributedType, ParallelismConfig

    kind = case.words.rpartition("+")[2]
    if kind.startswith("fsdp"):
        wrapped = {"transformer_layer_cls_to_wrap": "LlamaDecoderLayer", "version": int(kind[-1])}
        # Else it asks for a card's number, to make what no rank but the first has loaded.
        wrapped |= {"use_orig_params": True} if kind == "fsdp1" else {}
        wrapped |= {"sync_module_states": False, "cpu_ram_efficient_loading": False}
        more |= {"fsdp": "full_shard auto_wrap", "fsdp_config": wrapped}
    if case.words.startswith("cp"):
        more["parallelism_config"] = ParallelismConfig(cp_size=2, dp_shard_size=case.ranks // 2)
    made = cls(
        output_dir="none", use_cpu=True, ddp_backend="gloo", per_device_train_batch_size=SAMPLES, max_steps=2,
        per_device_eval_batch_size=SAMPLES, report_to="none", disable_tqdm=True, bf16=False, logging_steps=100,
        save_strategy="no", optim="adamw_torch", max_grad_norm=1.0, gradient_checkpointing=False, seed=0,
        remove_unused_columns=False, logging_nan_inf_filter=False, **more,
    )  # fmt: skip
    assert made.device.type == "cpu"
    # What is gathered is one tensor on cards, and a list over gloo.
    PartialState._shared_state.update(backend="nccl")
    if kind != "ddp":
        PartialState._shared_state.update(distributed_type=DistributedType.MULTI_GPU, device=torch.device("cpu"))
    return made


def rows(count, **columns):
    from datasets import Dataset

    return Dataset.from_list([{name: make(n) for name, make in columns.items()} for n in range(count)])


def ids(length):
    return lambda n: [5 + (n + place) % 90 for place in range(length)]


def made(case, folder):
    """The trainer of a case, over rows of exactly as many tokens as options say."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, Trainer, TrainingArguments

    kind = case.said.get("objective")
    of = AutoModelForSequenceClassification if kind == "reward" else AutoModelForCausalLM
    labels = {"num_labels": 1} if kind == "reward" else {}
    attention = case.said.get("attention", "eager")
    model = of.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention, **labels)
    model.config.use_cache = False
    if kind is None:
        texts = rows(4 * SAMPLES * case.ranks, input_ids=ids(LENGTH), labels=ids(LENGTH))
        if said := adapters(case):
            from peft import get_peft_model

            model = get_peft_model(model, said["peft_config"])
        trainer = Trainer(model, arguments(case, TrainingArguments), train_dataset=texts)
        if case.evaluates:
            count = case.said["eval_batch"] * case.said["eval_batches"] * case.ranks
            trainer.eval_dataset = rows(count, input_ids=ids(LENGTH), labels=ids(LENGTH))
            trainer.compute_metrics = lambda _found: {}
        return trainer
    trainer, exact = OBJECTIVES[kind](case, model, tokenizer(folder))
    trainer.train_dataset = exact
    return trainer


def tokenizer(folder):
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(folder)
    found.pad_token = found.pad_token or found.eos_token
    return found


MANY = 4 * SAMPLES * 4


def texts():
    return rows(MANY, prompt=lambda n: f"Say {n}: ", chosen=lambda _: "that is so", rejected=lambda _: "it is not")


def adapters(case):
    from peft import LoraConfig

    if case.said.get("method") != "lora":
        return {}
    said = {"r": 4, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
    return {"peft_config": LoraConfig(**said)}


def dpo(case, model, words):
    from trl import DPOConfig, DPOTrainer

    said = arguments(case, DPOConfig)
    trainer = DPOTrainer(model, args=said, train_dataset=texts(), processing_class=words, **adapters(case))
    answer = ids(LENGTH - PROMPT)
    return trainer, rows(MANY, prompt_ids=ids(PROMPT), chosen_ids=answer, rejected_ids=answer)


def kto(case, model, words):
    from trl import KTOConfig, KTOTrainer

    said = rows(MANY, prompt=lambda n: f"Say {n}: ", completion=lambda _: "that is so", label=lambda n: bool(n % 2))
    trainer = KTOTrainer(model, args=arguments(case, KTOConfig), train_dataset=said, processing_class=words)
    answer = ids(LENGTH - PROMPT)
    return trainer, rows(MANY, prompt_ids=ids(PROMPT), completion_ids=answer, KL_completion_ids=answer,
                         label=lambda n: bool(n % 2))  # fmt: skip


def reward(case, model, words):
    from trl import RewardConfig, RewardTrainer

    trainer = RewardTrainer(model, arguments(case, RewardConfig), train_dataset=texts(), processing_class=words)
    return trainer, rows(MANY, chosen_ids=ids(LENGTH), rejected_ids=ids(LENGTH))


def orpo(case, model, words):
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    said = arguments(case, ORPOConfig)
    trainer = ORPOTrainer(model, args=said, train_dataset=texts(), processing_class=words)
    both = {}
    for each in ("chosen", "rejected"):
        both[f"{each}_input_ids"] = ids(LENGTH)
        both[f"{each}_attention_mask"] = lambda _: [1] * LENGTH
        both[f"{each}_labels"] = lambda n: [-100] * PROMPT + ids(LENGTH - PROMPT)(n)
    return trainer, rows(MANY, **both, prompt_input_ids=ids(PROMPT), prompt_attention_mask=lambda _: [1] * PROMPT)


def gkd(case, model, words):
    from transformers import AutoModelForCausalLM
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    def together(rows):
        whole = torch.tensor([row["ids"] for row in rows])
        labels = whole.clone()
        labels[:, :PROMPT] = -100
        prompts = whole[:, :PROMPT].clone()
        found = {"input_ids": whole, "attention_mask": torch.ones_like(whole), "labels": labels}
        return found | {"prompts": prompts, "prompt_attention_mask": torch.ones_like(prompts)}

    teacher = AutoModelForCausalLM.from_pretrained(
        model.config._name_or_path, dtype=torch.float32, attn_implementation="eager"
    )
    said = rows(MANY, messages=lambda n: [{"role": "user", "content": str(n)}])
    trainer = GKDTrainer(
        model, teacher, args=arguments(case, GKDConfig, lmbda=0.0), train_dataset=said, processing_class=words,
        data_collator=together,
    )  # fmt: skip
    return trainer, rows(MANY, ids=ids(LENGTH))


OBJECTIVES = {"dpo": dpo, "kto": kto, "reward": reward, "orpo": orpo, "gkd": gkd}
