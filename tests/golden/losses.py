"""Makes losses.json: token losses and their gradients, as PyTorch computes them.

Made with   Python 3, torch 2.15.0, numpy 2.4.6
Seed        20240607 (numpy PCG64); the cases do not depend on each other's order
Run         python tests/golden/losses.py        (writes losses.json beside this file)
Tolerance   |ours - golden| <= 2e-5 + 2e-5 * |golden|.
            Inputs are float32 numbers, everything is computed in float64 and rounded to float32
            once at the end, so the golden itself is right to half a unit in the last place (6e-8
            relative). The rest is the f32 error of the code under test: a log-softmax of logits
            up to 30 loses about 30 * 2^-24 = 2e-6, and T^2 = 64 multiplies one of logits already
            divided by 8. The script also computes everything in float32 and prints how much of
            the tolerance that uses: 0.4 of it, the rest is for another order of summation.

Definitions (s = student, t = teacher, p = softmax(t/T), q = softmax(s/T), counted = label != -100)
    cross_entropy        mean over counted of -log softmax(s)[label]; 0 where nothing is counted
                         (torch itself gives nan there; a trainer must not)
    kl_batchmean         T^2 * sum over ALL positions, padding too, of KL(p || q) / B
                         = KLDivLoss("batchmean")(log_softmax(s/T), softmax(t/T)) * T^2
    kl_counted_mean      T^2 * sum over counted of KL(p || q) / number counted; 0 where none is
    reference_sum        kl_batchmean at T = 2 + cross_entropy
    weighted_sum         alpha * kl_counted_mean at T = 2 + (1 - alpha) * cross_entropy, alpha = 0.5
Each gradient is with respect to the student logits, shaped [B, S, C], flat in row-major order.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

SEED = 20240607
IGNORE_INDEX = -100
TEMPERATURES = (1.0, 2.0, 8.0)
SUM_TEMPERATURE = 2.0
ALPHA = 0.5
ABSOLUTE = 2e-5
RELATIVE = 2e-5


def number(value):
    """The shortest decimal that reads back as the same float32."""
    text = np.format_float_scientific(np.float32(value), unique=True, trim="0")
    return float(text) + 0.0  # and no -0.0


def flat(tensor):
    return [number(v) for v in tensor.detach().reshape(-1).tolist()]


def cross_entropy(student, teacher, labels):
    if not (labels != IGNORE_INDEX).any():
        return student.sum() * 0.0
    return F.cross_entropy(student.reshape(-1, student.shape[-1]), labels.reshape(-1), ignore_index=IGNORE_INDEX)


def kl_batchmean(student, teacher, temperature):
    loss = torch.nn.KLDivLoss(reduction="batchmean")
    return loss(F.log_softmax(student / temperature, -1), F.softmax(teacher / temperature, -1)) * temperature**2


def kl_counted_mean(student, teacher, labels, temperature):
    counted = labels != IGNORE_INDEX
    if not counted.any():
        return student.sum() * 0.0
    log_q = F.log_softmax(student / temperature, -1)
    p = F.softmax(teacher / temperature, -1)
    per_position = F.kl_div(log_q, p, reduction="none").sum(-1)
    return per_position[counted].sum() / counted.sum() * temperature**2


def value_and_gradient(loss, student):
    leaf = student.clone().requires_grad_(True)
    value = loss(leaf)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(leaf.grad).all()
    return {"value": number(value.item()), "gradient": flat(leaf.grad)}


def case(name, shape, scale, mask, rng, dtype=torch.float64):
    """`mask`: how labels are ignored: a share of positions, "first_row" or "all"."""
    student = (rng.standard_normal(shape) * scale).astype(np.float32)
    teacher = (rng.standard_normal(shape) * scale).astype(np.float32)
    if scale > 8:  # extreme: full range, with exact ends, agreeing and opposed
        student, teacher = np.clip(student, -30, 30), np.clip(teacher, -30, 30)
        student[0, 0, :], teacher[0, 0, :] = -30, -30
        student[0, 0, 0], teacher[0, 0, 1] = 30, 30  # opposed
        student[0, 1, :], teacher[0, 1, :] = -30, -30
        student[0, 1, 2], teacher[0, 1, 2] = 30, 30  # agreeing
    labels = rng.integers(0, shape[-1], shape[:2])
    if mask == "all":
        labels[:] = IGNORE_INDEX
    elif mask == "first_row":
        labels[0, :] = IGNORE_INDEX
        labels[1:, 0] = IGNORE_INDEX
    else:
        ignored = rng.random(shape[:2]) < mask
        ignored[0, :2] = False
        labels[ignored] = IGNORE_INDEX
    s = torch.tensor(student, dtype=dtype)
    t = torch.tensor(teacher, dtype=dtype)
    y = torch.tensor(labels, dtype=torch.int64)
    return {
        "name": name,
        "shape": list(shape),
        "student_logits": flat(s),
        "teacher_logits": flat(t),
        "labels": labels.reshape(-1).tolist(),
        "cross_entropy": value_and_gradient(lambda x: cross_entropy(x, t, y), s),
        "kl": [
            {
                "temperature": temperature,
                "batchmean": value_and_gradient(lambda x: kl_batchmean(x, t, temperature), s),
                "counted_mean": value_and_gradient(lambda x: kl_counted_mean(x, t, y, temperature), s),
            }
            for temperature in TEMPERATURES
        ],
        "reference_sum": value_and_gradient(
            lambda x: kl_batchmean(x, t, SUM_TEMPERATURE) + cross_entropy(x, t, y), s
        ),
        "weighted_sum": value_and_gradient(
            lambda x: ALPHA * kl_counted_mean(x, t, y, SUM_TEMPERATURE) + (1 - ALPHA) * cross_entropy(x, t, y), s
        ),
    }


def share_of_tolerance(single, double):
    """Largest |single - double| / (absolute + relative * |double|) anywhere in two equal structures."""
    if isinstance(double, dict):
        return max(share_of_tolerance(single[k], double[k]) for k in double)
    if isinstance(double, list):
        return max((share_of_tolerance(a, b) for a, b in zip(single, double)), default=0.0)
    if isinstance(double, str):
        return 0.0
    return abs(single - double) / (ABSOLUTE + RELATIVE * abs(double))


def main():
    specs = [
        ("ordinary", (2, 5, 9), 2.0, 0.3),
        ("nothing_ignored", (2, 5, 9), 3.0, 0.0),
        ("other_shape", (3, 7, 5), 2.0, 0.4),
        ("one_row_all_ignored", (3, 4, 9), 2.0, "first_row"),
        ("everything_ignored", (1, 3, 9), 2.0, "all"),
        ("extreme_logits", (2, 5, 9), 15.0, 0.3),
        ("two_labels_one_sentence", (1, 6, 2), 1.0, 0.3),
    ]
    cases = [case(*spec, np.random.default_rng([SEED, i])) for i, spec in enumerate(specs)]

    singles = [case(*spec, np.random.default_rng([SEED, i]), torch.float32) for i, spec in enumerate(specs)]
    worst = max(share_of_tolerance(single, double) for single, double in zip(singles, cases))
    print(f"float32 against float64: {worst:.2f} of the tolerance")
    assert worst < 0.5

    # The same teacher and student: KL and its gradient are zero.
    for c in cases:
        s = torch.tensor(c["student_logits"], dtype=torch.float64).reshape(c["shape"])
        assert abs(kl_batchmean(s, s, 2.0).item()) < 1e-12
    out = {
        "about": "made by tests/golden/losses.py; see its head for definitions and tolerance",
        "torch": torch.__version__,
        "seed": SEED,
        "tolerance": {"absolute": ABSOLUTE, "relative": RELATIVE},
        "ignore_index": IGNORE_INDEX,
        "sum_temperature": SUM_TEMPERATURE,
        "alpha": ALPHA,
        "cases": cases,
    }
    path = Path(__file__).with_name("losses.json")
    path.write_text(json.dumps(out, separators=(",", ":"), allow_nan=False).replace('{"name"', '\n{"name"') + "\n")
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
