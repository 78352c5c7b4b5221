//! Weights and bundles written and read again, and every way in which a file can be wrong.

use burn::tensor::Device;
use proptest::prelude::*;
use proptest::sample::Index;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use understudy_shared::checkpoint::bundle::{Bundle, BundleError, BundleFiles, to_files};
use understudy_shared::checkpoint::weights::{
    Head, NamedTensor, StoredAs, WeightsError, load, read_back, to_bytes,
};
use understudy_shared::data::label::LabelSet;
use understudy_shared::model::{BertConfig, TokenClassifier};

use crate::support::{TOKENIZER, max_difference, model_bytes, random_tensors};

const NUM_LABELS: usize = 3;

fn config() -> BertConfig {
    BertConfig {
        num_hidden_layers: 1,
        hidden_size: 8,
        intermediate_size: 6,
        ..BertConfig::tiny(11)
    }
}

fn read(bytes: &[u8]) -> Result<TokenClassifier, WeightsError> {
    load(bytes, &config(), NUM_LABELS, Head::Trained, &Device::flex())
}

/// What a file of these bytes holds once it was read into a model.
fn read_again(bytes: &[u8]) -> Vec<NamedTensor> {
    pollster::block_on(read_back(&read(bytes).expect("a whole file")))
}

/// A file of raw tensors: name, type, shape, bytes.
fn file(tensors: &[(String, Dtype, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).expect("bytes that fill the shape"))
    });
    safetensors::serialize(views, None).expect("valid names")
}

/// The largest difference, relative to the value, after storing with 2 bytes a weight.
fn check_half(stored: &[u8], tolerance: f32) {
    let (want, got) = (random_tensors(&config(), NUM_LABELS, 1), read_again(stored));
    let mut worst: f32 = 0.0;
    for (want, got) in want.iter().zip(&got) {
        assert_eq!((&want.name, &want.shape), (&got.name, &got.shape));
        for (want, got) in want.values.iter().zip(&got.values) {
            worst = worst.max((want - got).abs() / want.abs().max(1e-3));
        }
    }
    println!("{worst:e}");
    assert!(worst > 0.0 && worst <= tolerance, "{worst}");
}

#[test]
fn f32_weights_come_back_bit_for_bit() {
    let want = random_tensors(&config(), NUM_LABELS, 1);
    assert_eq!(read_again(&to_bytes(&want, StoredAs::F32).expect("finite")), want);
}

#[test]
fn f16_weights_come_back_within_half_a_unit_of_the_last_place() {
    let bytes = to_bytes(&random_tensors(&config(), NUM_LABELS, 1), StoredAs::F16).expect("finite");
    check_half(&bytes, 0.5 / 1024.0);
    let f32_size = model_bytes(&config(), NUM_LABELS, 1).len();
    assert!(bytes.len() < f32_size * 7 / 10, "{} of {f32_size} bytes", bytes.len());
}

#[test]
fn bf16_weights_are_read() {
    let tensors = random_tensors(&config(), NUM_LABELS, 1);
    let cut = |value: &f32| ((value.to_bits() >> 16) as u16).to_le_bytes();
    let tensors = tensors.into_iter().map(|tensor| {
        let bytes = tensor.values.iter().flat_map(cut).collect();
        (tensor.name, Dtype::BF16, tensor.shape, bytes)
    });
    check_half(&file(&tensors.collect::<Vec<_>>()), 1.0 / 128.0);
}

#[test]
fn int8_matrices_come_back_within_half_a_step_of_their_row() {
    let want = random_tensors(&config(), NUM_LABELS, 1);
    let bytes = to_bytes(&want, StoredAs::Int8).expect("finite");
    let got = read_again(&bytes);
    for (want, got) in want.iter().zip(&got) {
        assert_eq!((&want.name, &want.shape), (&got.name, &got.shape));
        let [_, columns] = *want.shape else {
            assert_eq!(want, got, "vectors stay as they are");
            continue;
        };
        for (want, got) in want.values.chunks(columns).zip(got.values.chunks(columns)) {
            let largest = want.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            let worst = want.iter().zip(got).map(|(want, got)| (want - got).abs());
            assert!(worst.fold(0.0, f32::max) <= 0.501 * largest / 127.0);
        }
    }
    assert!(bytes.len() < model_bytes(&config(), NUM_LABELS, 1).len());
}

/// What is said of a file in which the int8 head and its scales were changed.
fn int8_error(change: impl Fn(&mut Vec<(String, Dtype, Vec<usize>, Vec<u8>)>)) -> String {
    let bytes = to_bytes(&random_tensors(&config(), NUM_LABELS, 1), StoredAs::Int8);
    let bytes = bytes.expect("finite");
    let stored = SafeTensors::deserialize(&bytes).expect("our own file");
    let parts = stored.iter().map(|(name, view)| {
        (name.to_owned(), view.dtype(), view.shape().to_vec(), view.data().to_vec())
    });
    let mut parts: Vec<_> = parts.collect();
    change(&mut parts);
    read(&file(&parts)).expect_err("a damaged file").to_string()
}

#[test]
fn eight_bits_need_their_scales() {
    let name = "classifier.weight";
    let missing = int8_error(|parts| parts.retain(|part| part.0 != "classifier.weight_scale"));
    let want = "tensor `classifier.weight` is I8 of shape [3, 8] and its scales are missing; \
                expected a matrix [rows, columns] and a tensor `classifier.weight_scale` of F32 [rows]";
    assert!(missing.contains(want), "{missing}");
    let short = int8_error(|parts| {
        let scales = parts.iter_mut().find(|part| part.0 == format!("{name}_scale"));
        let scales = scales.expect("it is there");
        (scales.2, scales.3) = (vec![2], scales.3[..8].to_vec());
    });
    assert!(short.contains("its scales are F32 [2]"), "{short}");
    let not_finite = int8_error(|parts| {
        let scales = parts.iter_mut().find(|part| part.0 == format!("{name}_scale"));
        scales.expect("it is there").3[..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    });
    assert!(not_finite.contains("`classifier.weight_scale` holds inf at index 0"), "{not_finite}");
    let alone = int8_error(|parts| parts.retain(|part| part.0 != name));
    assert!(alone.contains("missing `classifier.weight`"), "{alone}");
    assert!(alone.contains("unexpected `classifier.weight_scale`"), "{alone}");
}

#[test]
fn a_weight_too_large_for_half_precision_is_named() {
    let mut tensors = random_tensors(&config(), NUM_LABELS, 1);
    tensors[0].values[5] = 7e4;
    let error = to_bytes(&tensors, StoredAs::F16).expect_err("too large").to_string();
    assert!(error.contains("holds 70000 at index 5; expected at most 65504"), "{error}");
    assert!(to_bytes(&tensors, StoredAs::Int8).is_ok());
}

#[test]
fn an_encoder_is_written_without_a_head_and_says_how_its_tokenizer_is_read() {
    let tensors = random_tensors(&config(), NUM_LABELS, 1);
    let files = to_files(&config(), None, TOKENIZER, &tensors, StoredAs::F32).expect("finite");
    let [(_, json), (_, weights), (_, tokenizer), (name, tokenizer_config)] = files;
    let (read, labels) = BertConfig::parse(&json).expect("our own");
    assert_eq!((read, labels), (config(), None));
    let stored = SafeTensors::deserialize(&weights).expect("our own file");
    assert!(stored.names().iter().all(|name| name.starts_with("bert.")));
    assert_eq!((tokenizer.as_slice(), name), (TOKENIZER, "tokenizer_config.json"));
    let settings: serde_json::Value = serde_json::from_slice(&tokenizer_config).expect("JSON");
    assert_eq!(settings["do_lower_case"], false);
    assert_eq!(settings["model_max_length"], 64);
}

#[test]
fn saved_names_and_shapes_are_those_of_transformers() {
    let bytes = model_bytes(&config(), NUM_LABELS, 1);
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("our own file");
    let format = header.metadata().as_ref().and_then(|metadata| metadata.get("format"));
    assert_eq!(format.map(String::as_str), Some("pt"));
    let file = SafeTensors::deserialize(&bytes).expect("our own file");
    let saved: BTreeMap<String, Vec<usize>> =
        file.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec())).collect();
    let (hidden, inner) = (8, 6);
    let mut want = BTreeMap::new();
    let mut add = |name: &str, shape: &[usize]| want.insert(name.to_owned(), shape.to_vec());
    for (table, rows) in [("word", 11), ("position", 64), ("token_type", 2)] {
        add(&format!("bert.embeddings.{table}_embeddings.weight"), &[rows, hidden]);
    }
    let mut pair = |module: &str, weight: &[usize]| {
        add(&format!("{module}.weight"), weight);
        add(&format!("{module}.bias"), &weight[..1]);
    };
    pair("bert.embeddings.LayerNorm", &[hidden]);
    for module in ["self.query", "self.key", "self.value", "output.dense"] {
        pair(&format!("bert.encoder.layer.0.attention.{module}"), &[hidden, hidden]);
    }
    pair("bert.encoder.layer.0.attention.output.LayerNorm", &[hidden]);
    pair("bert.encoder.layer.0.intermediate.dense", &[inner, hidden]);
    pair("bert.encoder.layer.0.output.dense", &[hidden, inner]);
    pair("bert.encoder.layer.0.output.LayerNorm", &[hidden]);
    pair("classifier", &[NUM_LABELS, hidden]);
    assert_eq!(saved, want);
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let bytes = model_bytes(&config(), NUM_LABELS, 1);
    for len in (0..200).chain((200..bytes.len()).step_by(97)).chain([bytes.len() - 1]) {
        let error = read(&bytes[..len]).expect_err("a part of a file");
        assert!(matches!(error, WeightsError::Parse(_)), "{len}: {error}");
        assert!(error.to_string().ends_with("expected a whole safetensors file"), "{error}");
    }
}

#[test]
fn appended_bytes_are_refused() {
    for extra in [1, 2, 4, 1000] {
        let mut bytes = model_bytes(&config(), NUM_LABELS, 1);
        bytes.extend(vec![0; extra]);
        assert!(matches!(read(&bytes), Err(WeightsError::Parse(_))), "{extra} bytes more");
    }
}

#[test]
fn all_wrong_tensors_are_named_at_once() {
    let mut tensors = random_tensors(&config(), NUM_LABELS, 1);
    let missing = ["bert.embeddings.LayerNorm.bias", "classifier.bias"];
    tensors.retain(|tensor| !missing.contains(&tensor.name.as_str()));
    let extra = ["bert.encoder.layer.1.output.dense.bias", "something"];
    tensors.extend(extra.map(|name| NamedTensor {
        name: name.to_owned(),
        shape: vec![1],
        values: vec![0.0],
    }));
    let misshapen = ["bert.encoder.layer.0.intermediate.dense.weight", "classifier.weight"];
    for tensor in tensors.iter_mut().filter(|tensor| misshapen.contains(&tensor.name.as_str())) {
        tensor.shape.reverse();
    }
    let error =
        read(&to_bytes(&tensors, StoredAs::F32).expect("finite")).expect_err("another model's");
    let want = format!(
        "model.safetensors does not fit config.json:\n  missing `{}`\n  missing `{}`\n  \
         unexpected `{}`\n  unexpected `{}`\n  \
         misshapen `{}`: found [8, 6], expected [6, 8]\n  \
         misshapen `{}`: found [8, 3], expected [3, 8]",
        missing[0], missing[1], extra[0], extra[1], misshapen[0], misshapen[1]
    );
    assert_eq!(error.to_string(), want);
}

/// A file that is right but for one tensor.
fn with_one(name: &str, dtype: Dtype, bytes: impl Fn(&NamedTensor) -> Vec<u8>) -> Vec<u8> {
    let tensors = random_tensors(&config(), NUM_LABELS, 1).into_iter().map(|tensor| {
        let plain = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let is_it = tensor.name == name;
        let (dtype, bytes) = if is_it { (dtype, bytes(&tensor)) } else { (Dtype::F32, plain) };
        (tensor.name, dtype, tensor.shape, bytes)
    });
    file(&tensors.collect::<Vec<_>>())
}

#[test]
fn weights_that_are_no_floats_are_refused() {
    for (dtype, size) in [(Dtype::I32, 4), (Dtype::I64, 8), (Dtype::U8, 1), (Dtype::F64, 8)] {
        let bytes = with_one("classifier.bias", dtype, |_| vec![0; 3 * size]);
        let message = read(&bytes).expect_err("no floats").to_string();
        let want = format!(
            "model.safetensors: tensor `classifier.bias` is {dtype:?}; expected F32, F16, BF16, or I8 with scales"
        );
        assert_eq!(message, want);
    }
}

#[test]
fn weights_that_are_not_finite_are_refused_with_their_place() {
    for (wrong, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let bytes = with_one("classifier.weight", Dtype::F32, |tensor| {
            let mut values = tensor.values.clone();
            values[5] = wrong;
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        });
        let message = read(&bytes).expect_err("not finite").to_string();
        let want = format!(
            "model.safetensors: tensor `classifier.weight` holds {shown} at index 5; \
             expected finite weights"
        );
        assert_eq!(message, want);
    }
}

#[test]
fn a_new_head_ignores_the_one_in_the_file() {
    let bytes = model_bytes(&config(), NUM_LABELS, 1);
    let head = Head::New { seed: 9 };
    let based =
        |labels| load(&bytes, &config(), labels, head, &Device::flex()).expect("an encoder");
    let again = pollster::block_on(read_back(&based(7)));
    for (ours, old) in again.iter().zip(random_tensors(&config(), NUM_LABELS, 1)) {
        let is_head = ours.name.starts_with("classifier.");
        assert_eq!(ours.values == old.values, !is_head, "{}", ours.name);
    }
    let twice = pollster::block_on(read_back(&based(7)));
    assert!(again.iter().zip(&twice).all(|(a, b)| max_difference(&a.values, &b.values) == 0.0));
}

/// A bundle's error where its config is changed by `change`.
fn bundle_error(change: impl FnOnce(&mut BertConfig), labels: bool) -> BundleError {
    let mut config = BertConfig { vocab_size: 600, ..config() };
    let labels_of = LabelSet::conll2003();
    let tensors = random_tensors(&config, labels_of.len(), 1);
    change(&mut config);
    let [(_, mut json), (_, weights), ..] =
        to_files(&config, Some(&labels_of), TOKENIZER, &tensors, StoredAs::F32).expect("finite");
    if !labels {
        let mut object: serde_json::Value = serde_json::from_slice(&json).expect("our own");
        object.as_object_mut().expect("an object").remove("id2label");
        json = object.to_string().into_bytes();
    }
    let files = BundleFiles { config: &json, tokenizer: TOKENIZER, weights: &weights };
    Bundle::load(&files, &Device::flex()).expect_err("files that do not fit together")
}

#[test]
fn files_of_a_bundle_must_fit_together() {
    let check = |error: BundleError, part: &str| {
        let message = error.to_string();
        assert!(message.contains(part), "{message}");
    };
    let vocabulary = bundle_error(|config| config.vocab_size = 601, true);
    assert!(matches!(vocabulary, BundleError::Vocabulary { tokenizer: 600, config: 601 }));
    check(vocabulary, "tokenizer.json has 600 entries, config.json says vocab_size 601");
    let unlabelled = bundle_error(|_| (), false);
    assert!(matches!(unlabelled, BundleError::NoLabels));
    check(unlabelled, "config.json names no labels");
    check(bundle_error(|config| config.hidden_size = 12, true), "misshapen `classifier.weight`");
    check(
        bundle_error(|config| config.num_hidden_layers = 2, true),
        "missing `bert.encoder.layer.1.",
    );
    check(
        bundle_error(|config| config.num_attention_heads = 3, true),
        "`num_attention_heads` is 3",
    );
}

#[test]
fn a_bundle_comes_back_with_its_labels() {
    let config = BertConfig { vocab_size: 600, ..config() };
    let labels = LabelSet::from_tags(["B-x", "I-y"]).expect("tags");
    let tensors = random_tensors(&config, labels.len(), 1);
    let [(_, json), (_, weights), ..] =
        to_files(&config, Some(&labels), TOKENIZER, &tensors, StoredAs::F32).expect("finite");
    let files = BundleFiles { config: &json, tokenizer: TOKENIZER, weights: &weights };
    let bundle = Bundle::load(&files, &Device::flex()).expect("our own bundle");
    assert_eq!((&bundle.config, &bundle.labels), (&config, &labels));
    assert_eq!(pollster::block_on(read_back(&bundle.model)), tensors);
    let labels = LabelSet::conll2003();
    let base = Bundle::load_base(&files, labels.clone(), 1, &Device::flex()).expect("a base");
    assert_eq!(base.labels, labels);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Most changes fall on the header and on the first weights; whatever a file holds, it is
    /// refused or read, and what is read is finite.
    #[test]
    fn no_damaged_file_panics(
        is_int8: bool,
        changes in prop::collection::vec((any::<u8>(), any::<Index>(), any::<u8>()), 1..5),
    ) {
        let stored_as = if is_int8 { StoredAs::Int8 } else { StoredAs::F16 };
        let mut bytes = to_bytes(&random_tensors(&config(), 2, 1)[..], stored_as).expect("finite");
        for (kind, place, byte) in changes {
            let end = if kind % 2 == 0 { bytes.len() } else { bytes.len().min(2600) };
            if end == 0 {
                break;
            }
            let at = place.index(end);
            match kind % 7 {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                3 => bytes.extend_from_within(at..),
                _ => bytes[at] = byte,
            }
        }
        if let Ok(model) = load(&bytes, &config(), 2, Head::Trained, &Device::flex()) {
            let tensors = pollster::block_on(read_back(&model));
            prop_assert!(tensors.iter().flat_map(|tensor| &tensor.values).all(|value| value.is_finite()));
        }
    }
}
