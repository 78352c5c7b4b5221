"""Writes a BERT token classifier as ONNX, f32, for the browser's peer.

    python tests/bench/export_onnx.py MODEL_FOLDER OUT.onnx

MODEL_FOLDER is a bundle in f32, which transformers opens. Needs torch, transformers and onnx.
"""

import sys

import torch
from transformers import AutoModelForTokenClassification


class Logits(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


model = AutoModelForTokenClassification.from_pretrained(sys.argv[1], attn_implementation="eager")
ids = torch.ones(2, 16, dtype=torch.int64)
axes = {0: "batch", 1: "sequence"}
torch.onnx.export(
    Logits(model.eval()),
    (ids, ids),
    sys.argv[2],
    input_names=["input_ids", "attention_mask"],
    output_names=["logits"],
    dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": axes},
    opset_version=17,
    dynamo=False,
)
