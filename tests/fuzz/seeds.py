"""First inputs for the fuzz targets, small and of every form that the readers know.

    python tests/fuzz/seeds.py

Writes tests/fuzz/corpus/TARGET/seed-*. Needs Python 3.9 alone.
"""

import json
import struct
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIXTURES = HERE.parent / "fixtures"
TOY = FIXTURES / "models/tiny-teacher"


def tensors(tensors, metadata=None):
    header, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, (dtype, shape, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def line(tokens, tags, **more):
    return json.dumps({"tokens": tokens, "tags": tags, **more}, ensure_ascii=False)


config = json.loads((TOY / "config.json").read_text())
tokenizer = json.loads((TOY / "tokenizer.json").read_text())
few = {token: id for token, id in tokenizer["model"]["vocab"].items() if id < 60}
small = {**tokenizer, "model": {**tokenizer["model"], "vocab": few}}
plain = {key: config[key] for key in config if key != "id2label" and key != "label2id"}
floats = struct.pack("<4f", 0.5, -1, 2, 0)
lesson = {"text": "Ada né", "spans": [{"entity_type": "PER", "start_byte": 0, "end_byte": 3}]}
model = {"folder": "a", "role": "student", "parameters": 9, "dtype": "int8", "f1": None,
         "files": [{"name": "config.json", "size": 3, "sha256": "ab"}]}

SEEDS = {
    "conll": [
        "-DOCSTART- -X- O\n\nNorvik NNP B-ORG\nsells VBZ O\r\n\nMara NNP B-PER\n",
        "Norvik I-ORG\nVell B-ORG\n \t\nß\tO\n", "\ufeffAda B-PER", "Ada\n", "O\nB-PER\nI-PER\nB-LOC\n",
        "One sentence.\r\n\n  Another – one.\n", "Ada B-\n", "a b c\nd e\n",
    ],
    "jsonl": [
        line(["Ada", "né"], ["B-PER", "O"]) + "\n", line(["é"], ["I-x"], id=7) + "\r\n\n",
        line([], []), line(["a"], ["O", "O"]), line(["a"], [0]), "[]", '{"tokens": ["\\ud800"], "tags": ["O"]}',
    ],
    "tokenizer": [
        json.dumps(small), json.dumps({**small, "pre_tokenizer": None}), json.dumps({**small, "normalizer": None}),
        json.dumps({"version": "1.0", "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}}),
        "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n", "a\na\n", "{}",
    ],
    "config": [
        json.dumps(config), json.dumps(plain), json.dumps({**config, "embedding_rank": 8}),
        json.dumps({**plain, "vocab_size": 2**40}), json.dumps({**plain, "num_attention_heads": 0}),
        json.dumps({**config, "id2label": {"0": "O", "1": "B-X", "3": "I-X"}}),
        json.dumps({"model_type": "distilbert", "vocab_size": 9, "dim": 8, "n_layers": 1, "n_heads": 2,
                    "hidden_dim": 8, "max_position_embeddings": 8}),
    ],
    "safetensors": [
        tensors({}), tensors({"classifier.bias": ("F32", [4], floats)}),
        tensors({"a": ("I8", [2, 2], b"\1\2\3\4"), "a_scale": ("F32", [2], floats[:8])}),
        tensors({"a": ("F16", [2], b"\0\x3c\0\x3c")}, {"step": "3"}),
        struct.pack("<Q", 2**40) + b"{}", b"\0" * 8, (TOY / "model.safetensors").read_bytes(),
        json.dumps({"metadata": {"total_size": 4}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}),
    ],
    "bundle": [
        json.dumps(config), json.dumps({**config, "hidden_size": 2**20}), json.dumps({**config, "vocab_size": 3}),
        json.dumps(tokenizer), json.dumps(small), tensors({"classifier.bias": ("F32", [4], floats)}),
    ],
    "protocol": [
        json.dumps({"id": 1, "command": {"start": {"backend": "cpu"}}}),
        json.dumps({"id": 2, "command": {"load": {"role": "student", "model": model, "base": "http://a/"}}}),
        json.dumps({"id": 3, "command": {"tag": {"role": "teacher", "text": "\u00e9\ud83d\ude00", "options": {
            "aggregation": "first", "constrained": True, "threshold": 0.5}}}}),
        json.dumps({"id": 4, "command": {"train": {"settings": {
            "scope": "last:1", "learning_rate": 1e-3, "steps": 5, "batch_size": 4, "rehearsal": 0.5,
            "temperature": 2, "alpha": 0.5, "seed": 1}, "lessons": [lesson], "text": "a"}}}),
        json.dumps({"id": 5, "command": "reset"}), json.dumps({"id": 6, "command": {"kept": {"load": {"id": "x"}}}}),
        json.dumps({"id": 1, "answer": {"failed": {"message": "no", "can_retry": False}}}),
        json.dumps({"id": 1, "answer": {"progress": {"stage": "tag", "done": 1, "total": 2}}}),
        json.dumps({"format": 1, "models": [model]}), "[" * 300, '{"id":1e400}', "\0" * 512,
    ],
}

for target, seeds in SEEDS.items():
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(seed if isinstance(seed, bytes) else seed.encode())
