"""Habits of scripts with transformers and PEFT that no trainer is in: ``python habits_models.py FOLDER NAME ...``.

Models are loaded before, as a CPU counts what it reads from files, and a card what comes to it.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from measuring import DEVICE, measured, warm
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    StoppingCriteria,
    get_linear_schedule_with_warmup,
    pipeline,
)

FOLDER = Path(sys.argv[1])
TEXTS = ["the film was good", "there was little to see in it", "a play of light and water", "none of it held together"]


def load(kind, name, **words):
    return kind.from_pretrained(FOLDER / name, dtype=torch.float32, attn_implementation="eager", **words).to(DEVICE)


def tokens(name, texts=TEXTS):
    tokenizer = AutoTokenizer.from_pretrained(FOLDER / name, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer(texts, return_tensors="pt", padding=True).to(DEVICE)


def pipelines():
    """Inference alone: what people paste from a model's card."""
    texts = pipeline("text-generation", model=str(FOLDER / "causal"), device=DEVICE, dtype=torch.float32)
    vectors = pipeline("feature-extraction", model=str(FOLDER / "encoder"), device=DEVICE)

    def run():
        # Its end is chance: a model of random weights may say it at once.
        out = texts(TEXTS[:2], min_new_tokens=8, max_new_tokens=8, do_sample=True, top_k=5, return_full_text=False)
        return len(out), [len(row[0][0]) for row in vectors(TEXTS, batch_size=2)]

    return run


def classifies():
    """Adapters on a classifier, its evaluation gathered on the host."""
    model = load(AutoModelForSequenceClassification, "causal", num_labels=3)
    model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=4, target_modules="all-linear"))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    schedule = get_linear_schedule_with_warmup(optimizer, 1, 4)
    batch, labels = tokens("causal"), torch.tensor([0, 1, 2, 0], device=DEVICE)
    halves = [{name: each[n : n + 2] for name, each in batch.items()} for n in (0, 2)]

    def run():
        for _ in range(2):
            model(**batch, labels=labels).loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            logits = [model(**half).logits.cpu().numpy() for half in halves]
        return [each.argmax(-1).shape for each in logits], sum(p.requires_grad for p in model.parameters())

    return run


class Enough(StoppingCriteria):
    def __call__(self, ids, scores, **_):
        return torch.full((ids.shape[0],), ids.shape[1] >= 20, device=ids.device, dtype=torch.bool)


def generates():
    """A criterion of one's own, a cache that is kept and gone on with."""
    model, batch = load(AutoModelForCausalLM, "causal").eval(), tokens("causal")

    def run():
        ended = model.generate(
            **batch, max_new_tokens=64, do_sample=False, stopping_criteria=[Enough()], eos_token_id=-1
        )
        with torch.inference_mode():
            first = model(**batch, use_cache=True)
            again = first.logits[:, -1:].argmax(-1)
            more = model(input_ids=again, past_key_values=first.past_key_values, use_cache=True)
        return ended.shape[1], more.past_key_values.get_seq_length()

    return run


def beams():
    """Several beams, to their end and before it; sampled ones."""
    model, batch = load(AutoModelForCausalLM, "causal").eval(), tokens("causal")
    ways = {"num_return_sequences": 2}, {"early_stopping": True}, {"do_sample": True, "num_beams": 3}

    def run():
        wanted = {"num_beams": 2, "min_new_tokens": 4, "max_new_tokens": 4}
        outs = [model.generate(**batch, **{**wanted, **way}) for way in ways]
        return [(len(out), out.shape[1] - batch.input_ids.shape[1]) for out in outs]

    return run


def distils():
    """A teacher without a gradient, a student of half of its layers, mixed losses."""
    teacher, student = (load(AutoModelForCausalLM, "causal") for _ in range(2))
    teacher.eval().requires_grad_(False)
    student.model.layers = student.model.layers[:1]
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    batch = tokens("causal")

    def run():
        for _ in range(2):
            with torch.no_grad():
                wanted = teacher(**batch, output_hidden_states=True)
            out = student(**batch, labels=batch.input_ids, output_hidden_states=True)
            soft = F.kl_div(F.log_softmax(out.logits / 2, -1), F.softmax(wanted.logits / 2, -1), reduction="batchmean")
            loss = out.loss + 4 * soft + F.mse_loss(out.hidden_states[-1], wanted.hidden_states[-1])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return len(wanted.hidden_states)

    return run


def adapters():
    """Two adapters on one base, one switched off, one merged."""
    model = get_peft_model(load(AutoModelForCausalLM, "causal"), LoraConfig(r=4, use_dora=True), adapter_name="one")
    model.add_adapter("two", LoraConfig(r=8, target_modules=["o_proj"], modules_to_save=["lm_head"]))
    batch = tokens("causal")

    def run():
        for name in ("one", "two"):
            model.set_adapter(name)
            model(**batch, labels=batch.input_ids).loss.backward()
        with model.disable_adapter(), torch.no_grad():
            plain = model(**batch).logits
        model.zero_grad()
        return len(plain), type(model.merge_and_unload(adapter_names=["one"])).__name__

    return run


def contrasts():
    """Two towers by hand: means over a mask, a loss over all pairs."""
    model, batch = load(AutoModel, "encoder").eval(), tokens("encoder")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def run():
        for _ in range(2):
            towers = []
            for _ in range(2):
                hidden, mask = model(**batch).last_hidden_state, batch.attention_mask.unsqueeze(-1)
                towers.append(F.normalize((hidden * mask).sum(1) / mask.sum(1).clamp(min=1), dim=-1))
            scores = towers[0] @ towers[1].t() / 0.05
            F.cross_entropy(scores, torch.arange(len(scores), device=DEVICE)).backward()
            optimizer.step()
            optimizer.zero_grad()
        return tuple(scores.shape)

    return run


def translates():
    """An encoder and a decoder, frozen below, labels with holes."""
    model, batch = load(AutoModelForSeq2SeqLM, "seq2seq", dropout_rate=0.0), tokens("seq2seq")
    model.encoder.requires_grad_(False)

    def run():
        labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
        for _ in range(2):
            model(**batch, labels=labels).loss.backward()
        return sum(p.grad is not None for p in model.parameters())

    return run


def sees():
    """Pictures and words, from a config: the vision tower frozen, the projector trained."""
    torch.manual_seed(0)
    layers = {"intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(hidden_size=32, image_size=16, patch_size=8, **layers),
        text_config=LlamaConfig(hidden_size=64, vocab_size=128, **layers),
        image_token_index=100, vision_feature_layer=-1, image_seq_length=4,
    )  # fmt: skip
    model = AutoModelForImageTextToText.from_config(config, attn_implementation="eager").to(DEVICE)
    model.model.vision_tower.requires_grad_(False)
    ids = torch.tensor([[1, *[100] * 4, 7, 8, 9]] * 2, device=DEVICE)

    def run():
        for _ in range(2):
            pictures = torch.randn(2, 3, 16, 16, device=DEVICE)
            model(input_ids=ids, pixel_values=pictures, labels=ids).loss.backward()
            model.zero_grad()
        return sum(p.requires_grad for p in model.parameters())

    return run


if __name__ == "__main__":
    warm()
    for name in sys.argv[2:]:
        run, said = globals()[name](), []
        for _, peak, left in measured({name: lambda run=run, said=said: said.append(run())}):
            print("PIECE", name, peak, left, flush=True)
        print("SAYS", name, *said, flush=True)
        del run, said
