"""Makes bert_tiny/ and distilbert_tiny/: a tiny random token classifier each, and its forward pass.

Made with   Python 3, torch 2.15.0, transformers 5.23.0, safetensors 0.8.0
Seed        20240608 (torch), one stream per model
Run         python tests/golden/bert_tiny.py     (writes both folders beside this file)
Tolerance   |ours - golden| <= 1e-4, on hidden states and logits alike.
            The weights are float32; the forward pass is computed from them in float64 and rounded
            to float32 at the end. PyTorch's own float32 pass differs from it by at most
            `float32_max_difference` of each forward.json (1.5e-6), so 1e-4 leaves room for another
            order of summation and none for another formula: GELU by tanh moves values by 8e-4, a
            LayerNorm epsilon of 1e-5 by 3e-4, a mask that lets padding through by far more. The
            script checks these.

Each folder: config.json and model.safetensors, by save_pretrained (no pooler), and forward.json:
    input_ids, attention_mask  [3, 11], rows of 11, 7 and 4 sub-words; 1 = attended to. Ids in the
                               padding are NOT all [PAD], so that a leaking mask shows.
                               token_type_ids are 0 and positions 0..10.
    hidden_states              embeddings' output, then each layer's: {"shape", "values"}, flat,
                               row-major. Padding positions are queries like any other (only keys
                               are masked), so they are comparable too.
    logits                     {"shape", "values"}, [3, 11, 9]
Dropout is 0, attention is eager, the padding mask is torch.finfo.min added to the scores.
"""

import copy
import json
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import (
    BertConfig,
    BertForTokenClassification,
    DistilBertConfig,
    DistilBertForTokenClassification,
)

SEED = 20240608
LABELS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
VOCAB_SIZE = 97
LENGTHS = (11, 7, 4)
TOLERANCE = 1e-4
HERE = Path(__file__).parent


def number(value):
    """The shortest decimal that reads back as the same float32."""
    return float(np.format_float_scientific(np.float32(value), unique=True, trim="0")) + 0.0


def tensor(values):
    return {"shape": list(values.shape), "values": [number(v) for v in values.detach().reshape(-1).tolist()]}


def label_maps():
    return {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}


def bert():
    config = BertConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
        type_vocab_size=2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout=0.0,
        attn_implementation="eager",
        **label_maps(),
    )
    return randomised(BertForTokenClassification(config), SEED)


def distilbert():
    config = DistilBertConfig(
        vocab_size=VOCAB_SIZE,
        dim=32,
        n_layers=3,
        n_heads=4,
        hidden_dim=64,
        max_position_embeddings=40,
        sinusoidal_pos_embds=False,
        dropout=0.0,
        attention_dropout=0.0,
        seq_classif_dropout=0.0,
        qa_dropout=0.0,
        attn_implementation="eager",
        **label_maps(),
    )
    return randomised(DistilBertForTokenClassification(config), SEED + 1)


def randomised(model, seed):
    """Every parameter drawn anew, [PAD]'s row too, far from any default, so that a difference shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator) * 0.2
            is_norm_weight = name.endswith("weight") and parameter.dim() == 1
            parameter.copy_(1 + noise if is_norm_weight else noise)
    return model.eval()


def inputs():
    rng = np.random.default_rng(SEED)
    input_ids = torch.tensor(rng.integers(1, VOCAB_SIZE, (len(LENGTHS), max(LENGTHS))))
    attention_mask = torch.zeros_like(input_ids)
    for row, length in enumerate(LENGTHS):
        attention_mask[row, :length] = 1
    input_ids[1, 7:] = 0  # ordinary padding in one row, arbitrary ids in the other
    return input_ids, attention_mask


@torch.no_grad()
def forward(model, input_ids, attention_mask):
    out = model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
    return [*out.hidden_states, out.logits]


def double_copy(model):
    return copy.deepcopy(model).double()


def tanh_gelu(model):
    for module in model.modules():
        if isinstance(getattr(module, "intermediate_act_fn", None), torch.nn.Module):
            module.intermediate_act_fn = torch.nn.GELU(approximate="tanh")
        if isinstance(getattr(module, "activation", None), torch.nn.Module):
            module.activation = torch.nn.GELU(approximate="tanh")
    return model


def epsilon_1e5(model):
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-5
    return model


WRONG = {"GELU by tanh": tanh_gelu, "epsilon 1e-5": epsilon_1e5}


def write(folder, model):
    model.save_pretrained(folder)
    input_ids, attention_mask = inputs()
    single = forward(model, input_ids, attention_mask)
    double = forward(model.double(), input_ids, attention_mask)
    difference = max((a - b).abs().max().item() for a, b in zip(single, double))
    assert difference < 1e-5, difference

    # What the tolerance must tell apart from rounding.
    for what, change in WRONG.items():
        wrong = forward(change(double_copy(model)), input_ids, attention_mask)
        moved = max((a - b).abs().max().item() for a, b in zip(wrong, double))
        print(f"{what}: moves values by up to {moved:.1e}")
        assert moved > 2 * TOLERANCE

    # The mask matters, and padding ids do not.
    unmasked = forward(model, input_ids, torch.ones_like(attention_mask))
    assert (unmasked[-1] - double[-1]).abs().max() > 1e-2
    other_padding = torch.where(attention_mask == 1, input_ids, 5)
    attended = attention_mask.bool()
    assert (forward(model, other_padding, attention_mask)[-1] - double[-1])[attended].abs().max() < 1e-12

    out = {
        "about": "made by tests/golden/bert_tiny.py; see its head",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "seed": SEED,
        "tolerance": {"absolute": TOLERANCE},
        "float32_max_difference": number(difference),
        "input_ids": input_ids.tolist(),
        "attention_mask": attention_mask.tolist(),
        "hidden_states": [tensor(h) for h in double[:-1]],
        "logits": tensor(double[-1]),
    }
    (folder / "forward.json").write_text(json.dumps(out, separators=(",", ":"), allow_nan=False) + "\n")
    for path in sorted(folder.iterdir()):
        print(path, path.stat().st_size, "bytes")
    print("float32 against float64:", difference)


def main():
    write(HERE / "bert_tiny", bert())
    write(HERE / "distilbert_tiny", distilbert())


if __name__ == "__main__":
    main()
