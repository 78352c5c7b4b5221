"""Throughput of PyTorch's eager f32 mode, to compare `understudy bench` with.

Install     python -m venv venv && venv/bin/pip install torch transformers
            (written with torch 2.15.0 and transformers 5.23.0)
Run         venv/bin/python tests/bench/pytorch.py > pytorch.jsonl      (some minutes; on an idle machine)
            --threads 2 · --models student,teacher · --modes train,forward · --batch-sizes 16,64,128
            --min-steps 5 · --min-seconds 5 · --fused (AdamW's fused kernel instead of the default loop)

What is measured: BertForTokenClassification without pooler, random weights and random ids, no
padding, vocabulary 28,996, 9 labels, attn_implementation="eager", 24 sub-words a sentence.
    student   hidden 384, 6 layers, 6 heads, intermediate 1024
    teacher   hidden 768, 6 layers, 12 heads, intermediate 3072
    train     train mode, dropout 0.1: zero_grad, forward, cross entropy, backward, clip_grad_norm_
              1.0, AdamW with weight decay 0.01 on all parameters
    forward   eval mode under no_grad
    gemm      one 2048 x 2048 x 2048 f32 torch.mm, median of 10: what the machine can do
Two steps to warm up, then at least `--min-steps` steps and at least `--min-seconds` seconds; the
MEDIAN step counts. FLOPs of a sub-word, forward: 2 * (matrix weights of encoder and classifier)
+ 4 * seq_len * hidden per layer (scores and their product with the values); training is 3 times
that. Look-ups, LayerNorm, softmax, GELU and the optimizer count as time but not as FLOPs.

Output: on stdout one JSON object a line, {"model", "mode", "batch_size", "seq_len",
"subwords_per_second", "gflops_per_second", "gemm_fraction"}; the gemm's line has null for what it
lacks. On stderr the same as a table.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import transformers
from transformers import BertConfig, BertForTokenClassification

SEQ_LEN, VOCAB_SIZE, NUM_LABELS = 24, 28_996, 9
MODELS = {
    "student": dict(hidden_size=384, num_hidden_layers=6, num_attention_heads=6, intermediate_size=1024),
    "teacher": dict(hidden_size=768, num_hidden_layers=6, num_attention_heads=12, intermediate_size=3072),
}
NUM_PARAMETERS = {"student": 19_620_489}
GEMM_SIZE, GEMM_REPEATS, WARMUP_STEPS = 2048, 10, 2


def median_seconds(step, min_steps, min_seconds, warmup_steps=WARMUP_STEPS):
    for _ in range(warmup_steps):
        step()
    times = []
    while len(times) < min_steps or sum(times) < min_seconds:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def gemm_gflops():
    a, b = torch.randn(GEMM_SIZE, GEMM_SIZE), torch.randn(GEMM_SIZE, GEMM_SIZE)
    out = torch.empty(GEMM_SIZE, GEMM_SIZE)
    seconds = median_seconds(lambda: torch.mm(a, b, out=out), GEMM_REPEATS, 0)
    return 2 * GEMM_SIZE**3 / seconds / 1e9


def build(name):
    config = BertConfig(
        vocab_size=VOCAB_SIZE,
        num_labels=NUM_LABELS,
        max_position_embeddings=512,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        attn_implementation="eager",
        **MODELS[name],
    )
    model = BertForTokenClassification(config)
    count = sum(p.numel() for p in model.parameters())
    assert count == NUM_PARAMETERS.get(name, count), count
    return model


def forward_flops_per_subword(model):
    matrices = [*model.bert.encoder.parameters(), *model.classifier.parameters()]
    weights = sum(p.numel() for p in matrices if p.dim() == 2)
    attention = 4 * SEQ_LEN * model.config.hidden_size * model.config.num_hidden_layers
    return 2 * weights + attention


def train_step(model, batch_size, fused):
    model.train()
    optim = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=fused or None)
    input_ids = torch.randint(0, VOCAB_SIZE, (batch_size, SEQ_LEN))
    attention_mask = torch.ones_like(input_ids)
    labels = torch.randint(0, NUM_LABELS, (batch_size, SEQ_LEN))

    def step():
        optim.zero_grad()
        model(input_ids=input_ids, attention_mask=attention_mask, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optim.step()

    return step


def forward_step(model, batch_size):
    model.eval()
    input_ids = torch.randint(0, VOCAB_SIZE, (batch_size, SEQ_LEN))
    attention_mask = torch.ones_like(input_ids)

    @torch.no_grad()
    def step():
        model(input_ids=input_ids, attention_mask=attention_mask)

    return step


def report(row):
    print(json.dumps(row), flush=True)
    cells = [row["model"], row["mode"], f"{row['batch_size'] or '-'} x {row['seq_len'] or '-'}"]
    subwords = row["subwords_per_second"]
    cells += ["-" if subwords is None else f"{subwords:,.0f}", f"{row['gflops_per_second']:.1f}", f"{row['gemm_fraction']:.2f}"]
    print("{:<8} {:<8} {:>9} {:>14} {:>10} {:>8}".format(*cells), file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", default="student,teacher")
    parser.add_argument("--modes", default="train,forward")
    parser.add_argument("--batch-sizes", default="16,64,128")
    parser.add_argument("--min-steps", type=int, default=5)
    parser.add_argument("--min-seconds", type=float, default=5.0)
    parser.add_argument("--fused", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, {args.threads} threads"
    print(versions, file=sys.stderr)
    print("model    mode         shape     subwords/s     GFLOP/s  of gemm", file=sys.stderr)

    peak = gemm_gflops()
    report(
        {
            "model": "gemm",
            "mode": f"{GEMM_SIZE}^3",
            "batch_size": None,
            "seq_len": None,
            "subwords_per_second": None,
            "gflops_per_second": peak,
            "gemm_fraction": 1.0,
        }
    )
    for name in args.models.split(","):
        for mode in args.modes.split(","):
            for batch_size in map(int, args.batch_sizes.split(",")):
                model = build(name)
                flops = forward_flops_per_subword(model) * (3 if mode == "train" else 1)
                step = train_step(model, batch_size, args.fused) if mode == "train" else forward_step(model, batch_size)
                subwords = batch_size * SEQ_LEN / median_seconds(step, args.min_steps, args.min_seconds)
                report(
                    {
                        "model": name,
                        "mode": mode,
                        "batch_size": batch_size,
                        "seq_len": SEQ_LEN,
                        "subwords_per_second": subwords,
                        "gflops_per_second": subwords * flops / 1e9,
                        "gemm_fraction": subwords * flops / 1e9 / peak,
                    }
                )


if __name__ == "__main__":
    main()
