"""Makes curve.json: ten training steps of bert_tiny/ as PyTorch takes them, three variants.

Made with   Python 3, torch 2.15.0, transformers 5.23.0
Seed        20240609 (numpy PCG64), for the batches; the weights are those of bert_tiny/
Run         python tests/golden/bert_tiny.py; python tests/golden/curve.py
Tolerance   per step |ours - golden| <= 1e-4 * max(1, |golden|) for loss and gradient norm;
            final weights |ours - golden| <= 1e-4.
            The golden is computed in float64 from float32 weights and rounded at the end.
            `float32_max_difference` of each curve tells how far PyTorch's own float32 run strays
            in ten steps. The tolerance is many times that, for another order of summation, and
            still far below what a wrong formula does: `wrong_formula_difference` lists some.

Each step, in this order (train mode, dropout 0):
    lr = the scheduler's; forward; loss; backward;
    gradient_norm = clip_grad_norm_(all parameters, 1.0): the norm BEFORE clipping; gradients are
        multiplied by min(1, 1.0 / (gradient_norm + 1e-6));
    AdamW (betas 0.9, 0.999, eps 1e-8, decoupled weight decay) with that lr; scheduler.step()
The schedule is get_linear_schedule_with_warmup(3, 10): `learning_rate` of a step is the one used
IN it: 0, 1/3, 2/3, 1, 6/7, ... 1/7 of the peak, so the first step moves nothing but fills the moments.

Curves
    cross_entropy            mean over labels != -100; weight decay on ALL parameters alike
    distillation             alpha * T^2 * KL mean per counted sub-word + (1 - alpha) * cross
                             entropy, alpha 0.5, T 2; weight decay on all alike
    cross_entropy_no_decay   as the first, but none on biases and LayerNorm weights
The gradient of every key.bias is zero but for rounding (softmax does not see a constant added to a
row of scores), and Adam turns such noise into steps of full size: do not compare key.bias, compare
what is stored. Ids in the padding are arbitrary, as in bert_tiny/: no gradient reaches them.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from transformers import BertForTokenClassification, get_linear_schedule_with_warmup

SEED = 20240609
HERE = Path(__file__).parent
IGNORE_INDEX = -100
NUM_STEPS, WARMUP_STEPS = 10, 3
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 0.01
MAX_NORM = 1.0
ALPHA, TEMPERATURE = 0.5, 2.0
BATCH_SIZE, SEQ_LEN, NUM_LABELS, VOCAB_SIZE = 4, 9, 9, 97
STEP_TOLERANCE = 1e-4
WEIGHT_TOLERANCE = 1e-4
STORED_WEIGHTS = (
    "classifier.weight",
    "classifier.bias",
    "bert.encoder.layer.1.attention.self.query.bias",
    "bert.encoder.layer.2.output.dense.bias",
    "bert.embeddings.LayerNorm.weight",
    "bert.embeddings.token_type_embeddings.weight",
)


def number(value):
    """The shortest decimal that reads back as the same float32."""
    return float(np.format_float_scientific(np.float32(value), unique=True, trim="0")) + 0.0


def tensor(values):
    return {"shape": list(values.shape), "values": [number(v) for v in values.detach().reshape(-1).tolist()]}


def batches():
    """Ten batches; a label is its id modulo 9 (learnable), the teacher leans to it, with noise."""
    rng = np.random.default_rng(SEED)
    known_ids = rng.permutation(np.arange(1, VOCAB_SIZE))[:8]
    out = []
    for _ in range(NUM_STEPS):
        input_ids = rng.choice(known_ids, (BATCH_SIZE, SEQ_LEN))
        lengths = rng.integers(4, SEQ_LEN + 1, BATCH_SIZE)
        lengths[0] = SEQ_LEN
        attention_mask = (np.arange(SEQ_LEN) < lengths[:, None]).astype(np.int64)
        labels = input_ids % NUM_LABELS
        lean = np.eye(NUM_LABELS)[labels] * 3
        labels = np.where(attention_mask == 1, labels, IGNORE_INDEX)
        labels[:, 0] = IGNORE_INDEX
        labels[rng.random(labels.shape) < 0.1] = IGNORE_INDEX
        teacher_logits = (rng.standard_normal((BATCH_SIZE, SEQ_LEN, NUM_LABELS)) * 1.5 + lean).round(3)
        out.append(
            {
                "input_ids": torch.tensor(input_ids),
                "attention_mask": torch.tensor(attention_mask),
                "labels": torch.tensor(labels),
                "teacher_logits": torch.tensor(teacher_logits.astype(np.float32)),
            }
        )
    return out


def token_loss(logits, batch, distil, temperature=TEMPERATURE):
    labels = batch["labels"]
    cross_entropy = F.cross_entropy(logits.reshape(-1, NUM_LABELS), labels.reshape(-1), ignore_index=IGNORE_INDEX)
    if not distil:
        return cross_entropy
    log_q = F.log_softmax(logits / temperature, -1)
    p = F.softmax(batch["teacher_logits"].to(logits.dtype) / temperature, -1)
    counted = labels != IGNORE_INDEX
    kl = F.kl_div(log_q, p, reduction="none").sum(-1)[counted].mean() * temperature**2
    return ALPHA * kl + (1 - ALPHA) * cross_entropy


def parameter_groups(model, decay_all):
    named = list(model.named_parameters())
    if decay_all:
        return [{"params": [p for _, p in named], "weight_decay": WEIGHT_DECAY}]
    spared = [p for n, p in named if n.endswith("bias") or "LayerNorm" in n]
    decayed = [p for n, p in named if not (n.endswith("bias") or "LayerNorm" in n)]
    return [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": spared, "weight_decay": 0.0}]


def train(data, dtype, distil, decay_all, optimizer=torch.optim.AdamW, max_norm=MAX_NORM):
    model = BertForTokenClassification.from_pretrained(
        HERE / "bert_tiny", attn_implementation="eager", dtype=torch.float32
    )
    model = model.to(dtype).train()
    optim = optimizer(parameter_groups(model, decay_all), lr=LEARNING_RATE, eps=1e-8)
    schedule = get_linear_schedule_with_warmup(optim, WARMUP_STEPS, NUM_STEPS)
    steps = []
    for batch in data:
        learning_rate = schedule.get_last_lr()[0]
        optim.zero_grad()
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss = token_loss(logits, batch, distil)
        loss.backward()
        gradient_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optim.step()
        schedule.step()
        steps.append({"loss": loss.item(), "learning_rate": learning_rate, "gradient_norm": gradient_norm.item()})
    weights = dict(model.named_parameters())
    return steps, {name: weights[name].detach().double() for name in STORED_WEIGHTS}


def step_difference(a, b):
    return max(
        abs(x[k] - y[k]) / max(1.0, abs(y[k])) for x, y in zip(a[0], b[0]) for k in ("loss", "gradient_norm")
    )


def weight_difference(a, b):
    return max((a[1][name] - b[1][name]).abs().max().item() for name in STORED_WEIGHTS)


def differences(a, b):
    return {"steps": number(step_difference(a, b)), "weights": number(weight_difference(a, b))}


def curve(data, name, distil, decay_all):
    golden = train(data, torch.float64, distil, decay_all)
    single = differences(train(data, torch.float32, distil, decay_all), golden)
    wrong = {
        "the_other_decay": train(data, torch.float64, distil, not decay_all),
        "adam_with_l2": train(data, torch.float64, distil, decay_all, optimizer=torch.optim.Adam),
        "no_clipping": train(data, torch.float64, distil, decay_all, max_norm=1e9),
    }
    wrong = {what: differences(run, golden) for what, run in wrong.items()}
    print(f"\n{name}\n  float32 {single}")
    for what, difference in wrong.items():
        print(f"  {what} {difference}")
        assert difference["steps"] > 3 * STEP_TOLERANCE or difference["weights"] > 3 * WEIGHT_TOLERANCE
    for step in golden[0]:
        print("  loss {loss:.5f}  lr {learning_rate:.6f}  norm {gradient_norm:.4f}".format(**step))
    assert single["steps"] < STEP_TOLERANCE / 5 and single["weights"] < WEIGHT_TOLERANCE / 5
    clipped = sum(step["gradient_norm"] > MAX_NORM for step in golden[0])
    assert 0 < clipped < NUM_STEPS and golden[0][-1]["loss"] < 0.7 * golden[0][0]["loss"]
    print(f"  clipped in {clipped} of {NUM_STEPS} steps")
    return {
        "name": name,
        "weight_decay": WEIGHT_DECAY,
        "decay_bias_and_layer_norm": decay_all,
        "alpha": ALPHA if distil else None,
        "temperature": TEMPERATURE if distil else None,
        "float32_max_difference": single,
        "wrong_formula_difference": wrong,
        "steps": [{k: number(v) for k, v in step.items()} for step in golden[0]],
        "final_weights": {n: tensor(w) for n, w in golden[1].items()},
    }


def main():
    torch.set_num_threads(1)
    data = batches()
    out = {
        "about": "made by tests/golden/curve.py; see its head",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "seed": SEED,
        "tolerance": {"steps": STEP_TOLERANCE, "weights": WEIGHT_TOLERANCE},
        "initial_weights": "bert_tiny/model.safetensors",
        "optimizer": {"peak_learning_rate": LEARNING_RATE, "betas": [0.9, 0.999], "epsilon": 1e-8, "max_norm": MAX_NORM},
        "schedule": {"warmup_steps": WARMUP_STEPS, "num_steps": NUM_STEPS},
        "batches": [
            {
                "input_ids": b["input_ids"].tolist(),
                "attention_mask": b["attention_mask"].tolist(),
                "labels": b["labels"].tolist(),
                "teacher_logits": tensor(b["teacher_logits"]),
            }
            for b in data
        ],
        "curves": [
            curve(data, "cross_entropy", distil=False, decay_all=True),
            curve(data, "distillation", distil=True, decay_all=True),
            curve(data, "cross_entropy_no_decay", distil=False, decay_all=False),
        ],
    }
    path = HERE / "curve.json"
    path.write_text(json.dumps(out, separators=(",", ":"), allow_nan=False) + "\n")
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
