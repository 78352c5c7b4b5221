//! Safetensors bytes to a model: every tensor is accounted for by name.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::super::key_map::{TOKEN_TYPE_TABLE, bert_name, canonical_name, is_distilbert, is_head};
use super::super::quantize::dequantize;
use super::{SCALE, WeightsError, transpose};
use crate::model::{BertConfig, TokenClassifier};

/// Where the classification head comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// From the file; a file without one is an error.
    Trained,
    /// New, initialised from a seed; one in the file is ignored.
    New {
        /// The seed.
        seed: u64,
    },
}

/// Reads the weights of a BERT or DistilBERT token classifier: F32, F16, BF16, or I8 with a scale a
/// row.
///
/// # Errors
///
/// Bytes that are no whole safetensors file; all missing, unexpected and misshapen tensors at once;
/// a tensor of another type; a weight that is not finite.
pub fn load(
    bytes: &[u8],
    config: &BertConfig,
    num_labels: usize,
    head: Head,
    device: &Device,
) -> Result<TokenClassifier, WeightsError> {
    let file = SafeTensors::deserialize(bytes)?;
    let skeleton = TokenClassifier::skeleton(config, num_labels, device);
    let mut expected = Shapes::default();
    skeleton.visit(&mut expected);
    let mut found = BTreeMap::new();
    let mut twice = Vec::new();
    for (name, view) in file.iter() {
        if name.strip_suffix(SCALE).is_some_and(|partner| is_quantized(&file, partner)) {
            continue;
        }
        if let Some(canonical) = canonical_name(name)
            && !(matches!(head, Head::New { .. }) && is_head(&canonical))
        {
            // Two names for one parameter, such as LayerNorm.gamma and LayerNorm.weight.
            if let Some((name, _)) = found.insert(canonical, (name.to_owned(), view)) {
                twice.push(name);
            }
        }
    }
    if matches!(head, Head::New { .. }) {
        expected.shapes.retain(|name, _| !is_head(name));
    }
    if is_distilbert(file.names().into_iter()) {
        expected.shapes.remove(TOKEN_TYPE_TABLE);
    }
    compare(&expected.shapes, &found, twice)?;
    let mut values = BTreeMap::new();
    for (canonical, (name, view)) in &found {
        values.insert(canonical.clone(), floats(name, view, &file)?);
    }
    // Only now that the file is known to hold such a model is anything of its size allocated.
    let model = match head {
        Head::Trained => skeleton,
        Head::New { seed } => TokenClassifier::init(config, num_labels, seed, device),
    };
    Ok(model.map(&mut Fill { values, path: vec![] }))
}

fn compare(
    expected: &BTreeMap<String, Vec<usize>>,
    found: &BTreeMap<String, (String, TensorView<'_>)>,
    twice: Vec<String>,
) -> Result<(), WeightsError> {
    let missing: Vec<String> =
        expected.keys().filter(|name| !found.contains_key(*name)).cloned().collect();
    let unexpected: Vec<String> = found
        .iter()
        .filter(|(name, _)| !expected.contains_key(*name))
        .map(|(_, (file_name, _))| file_name.clone())
        .chain(twice)
        .collect();
    let misshapen: Vec<_> = found
        .iter()
        .filter_map(|(name, (file_name, view))| {
            let shape = expected.get(name)?;
            (shape.as_slice() != view.shape())
                .then(|| (file_name.clone(), view.shape().to_vec(), shape.clone()))
        })
        .collect();
    if missing.is_empty() && unexpected.is_empty() && misshapen.is_empty() {
        return Ok(());
    }
    Err(WeightsError::Mismatch { missing, unexpected, misshapen })
}

/// The values of a tensor as `f32`, all of them finite.
fn floats(
    name: &str,
    view: &TensorView<'_>,
    file: &SafeTensors<'_>,
) -> Result<Vec<f32>, WeightsError> {
    let bytes = view.data();
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => {
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        }
        Dtype::F16 => {
            bytes.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes).into()).collect()
        }
        Dtype::BF16 => bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|bytes| bf16::from_le_bytes(*bytes).into())
            .collect(),
        Dtype::I8 => dequantized(name, view, file)?,
        found => return Err(WeightsError::Dtype { name: name.to_owned(), found }),
    };
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(values),
        Some(index) => {
            Err(WeightsError::NotFinite { name: name.to_owned(), index, found: values[index] })
        }
    }
}

fn is_quantized(file: &SafeTensors<'_>, name: &str) -> bool {
    file.tensor(name).is_ok_and(|view| view.dtype() == Dtype::I8)
}

/// The values of an eight-bit matrix.
fn dequantized(
    name: &str,
    view: &TensorView<'_>,
    file: &SafeTensors<'_>,
) -> Result<Vec<f32>, WeightsError> {
    let wrong = |scales: String| {
        Err(WeightsError::Scales { name: name.to_owned(), shape: view.shape().to_vec(), scales })
    };
    let scale_name = format!("{name}{SCALE}");
    let Ok(scales) = file.tensor(&scale_name) else { return wrong("missing".to_owned()) };
    match *view.shape() {
        [rows, columns] if scales.dtype() == Dtype::F32 && scales.shape() == [rows] => {
            let scales = floats(&scale_name, &scales, file)?;
            Ok(dequantize(view.data(), &scales, columns))
        }
        _ => wrong(format!("{:?} {:?}", scales.dtype(), scales.shape())),
    }
}

/// Collects the shape every tensor has in a file.
#[derive(Default)]
struct Shapes {
    path: Vec<String>,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl ModuleVisitor for Shapes {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let file = bert_name(&self.path.join("."));
        let mut shape = param.lazy_shape().to_vec();
        if file.transposed {
            shape.reverse();
        }
        self.shapes.insert(file.name, shape);
    }
}

/// Sets every parameter that has values, and the token-type table of DistilBERT to zero.
struct Fill {
    values: BTreeMap<String, Vec<f32>>,
    path: Vec<String>,
}

impl ModuleMapper for Fill {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let file = bert_name(&self.path.join("."));
        let shape = param.lazy_shape();
        let values = match self.values.remove(&file.name) {
            Some(values) if file.transposed => transpose(&values, shape[1], shape[0]),
            Some(values) => values,
            None if file.name == TOKEN_TYPE_TABLE => vec![0.0; shape.num_elements()],
            None => return param,
        };
        Param::from_data(TensorData::new(values, shape), &param.lazy_device())
    }
}
