"""Trainers other than trl's by their names, a few steps each: what they say of themselves, and what the training takes.

``python whole_trainers.py FOLDER trainer seq2seq ...``: on a card, or for real on a CPU (``DEVICE=cpu``). FOLDER has a
folder for each model: ``causal``, ``seq2seq``, ``vision``, ``encoder``.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from measuring import DEVICE, measured, warm
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainingArguments,
)

FOLDER = Path(sys.argv[1])
TEXTS = ["the film was good", "there was little to see in it", "a play of light and water", "none of it held together"]
ROWS = [{"pixel_values": torch.tensor(noise), "labels": n % 2}
        for n, noise in enumerate(np.random.default_rng(0).random((8, 3, 32, 32), dtype=np.float32))]  # fmt: skip
USUAL = {
    "output_dir": "out", "per_device_train_batch_size": 2, "max_steps": 2, "report_to": "none", "disable_tqdm": True,
    "use_cpu": DEVICE == "cpu", "logging_steps": 1, "save_strategy": "no", "optim": "sgd", "max_grad_norm": 0.0,
}  # fmt: skip


def load(kind, name, **words):
    return kind.from_pretrained(FOLDER / name, dtype=torch.float32, attn_implementation="eager", **words)


def trainer():
    """A classifier with evaluation whose logits come to numpy."""
    tokenizer = AutoTokenizer.from_pretrained(FOLDER / "causal")
    rows = Dataset.from_list([{**tokenizer(TEXTS[n % 4] * (1 + n)), "label": n % 2} for n in range(8)])

    def measures(said):
        return {"rows": len(said.label_ids), "right": float((np.argmax(said.predictions, -1) == said.label_ids).mean())}

    made = Trainer(
        load(AutoModelForSequenceClassification, "causal", num_labels=2),
        TrainingArguments(**USUAL, eval_strategy="steps", eval_steps=1),
        train_dataset=rows, eval_dataset=rows, compute_metrics=measures, data_collator=DataCollatorWithPadding(tokenizer),
    )  # fmt: skip
    return made.train, lambda: sorted({name for row in made.state.log_history for name in row})


def seq2seq():
    """Summaries, evaluated by generating them."""
    tokenizer = AutoTokenizer.from_pretrained(FOLDER / "seq2seq")
    model = load(AutoModelForSeq2SeqLM, "seq2seq")
    rows = Dataset.from_list([tokenizer(text * 3, text_target=text) for text in TEXTS])
    shapes = []

    def measures(said):
        shapes.append((np.asarray(said.predictions).shape, said.label_ids.shape))
        return {}

    made = Seq2SeqTrainer(
        model, Seq2SeqTrainingArguments(**USUAL, predict_with_generate=True, generation_max_length=6),
        train_dataset=rows, eval_dataset=rows, compute_metrics=measures,
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
    )  # fmt: skip

    def train():
        made.train()
        made.evaluate()

    return train, lambda: shapes[0]


def vision():
    """Pictures of noise, by a small ViT."""
    model = load(AutoModelForImageClassification, "vision")
    made = Trainer(model, TrainingArguments(**USUAL), train_dataset=ROWS)
    return made.train, lambda: sorted(made.state.log_history[0])


def accelerated():
    """A loop by accelerate, which accumulates."""
    from accelerate import Accelerator

    accelerator = Accelerator(gradient_accumulation_steps=2, cpu=DEVICE == "cpu")
    tokenizer = AutoTokenizer.from_pretrained(FOLDER / "causal")
    rows = [tokenizer(TEXTS[n % 4], padding="max_length", max_length=16, return_tensors="pt")["input_ids"][0]
            for n in range(8)]  # fmt: skip
    model = load(AutoModelForCausalLM, "causal")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, foreach=False)
    model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(rows, batch_size=2))
    model.train()
    stepped = []

    def train():
        for ids in loader:
            with accelerator.accumulate(model):
                accelerator.backward(model(input_ids=ids, labels=ids).loss)
                optimizer.step()
                optimizer.zero_grad()
            stepped.append(accelerator.sync_gradients)

    return train, lambda: stepped


def lightning():
    """Lightning's Trainer."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = load(AutoModelForCausalLM, "causal")

        def training_step(self, ids):
            return self.model(input_ids=ids, labels=ids).loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1, foreach=False)

    module = Module()
    made = lightning.Trainer(accelerator="cpu" if DEVICE == "cpu" else "gpu", devices=1, max_steps=2, logger=False,
                             enable_checkpointing=False, enable_progress_bar=False)  # fmt: skip
    rows = DataLoader(torch.randint(0, 100, (8, 16)), batch_size=2)
    return lambda: made.fit(module, rows), lambda: (made.global_step, next(module.parameters()).requires_grad)


def sentences():
    """Sentence embeddings from pairs."""
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
        losses,
        models,
    )

    words = models.Transformer(str(FOLDER / "encoder"), model_args={"attn_implementation": "eager"})
    model = SentenceTransformer(modules=[words, models.Pooling(words.get_word_embedding_dimension())],
                                device=None if DEVICE == "cuda" else DEVICE)  # fmt: skip
    rows = Dataset.from_list([{"anchor": text, "positive": text * 2} for text in TEXTS * 2])
    made = SentenceTransformerTrainer(
        model, SentenceTransformerTrainingArguments(**USUAL), train_dataset=rows,
        loss=losses.MultipleNegativesRankingLoss(model),
    )  # fmt: skip
    return made.train, lambda: (made.state.global_step, model.encode(TEXTS).shape)


if __name__ == "__main__":
    warm()
    for name in sys.argv[2:]:
        train, facts = globals()[name]()
        for _, peak, left in measured({name: train}):
            print("PIECE", name, peak, left, flush=True)
        print("SAYS", name, facts(), flush=True)
        del train, facts
