//! Safetensors bytes to a model and back, strictly: every tensor is accounted for by name.
//!
//! Format: <https://github.com/huggingface/safetensors/blob/v0.6.2/README.md#format>.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData, Transaction};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo, TensorView};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::key_map::{TOKEN_TYPE_TABLE, bert_name, canonical_name, is_distilbert, is_head};
use super::quantize::{dequantize, quantize};
use crate::model::{BertConfig, TokenClassifier};

/// What can be wrong with a weights file.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// Not safetensors, truncated, or with bytes left over.
    #[error("model.safetensors: {0}; expected a whole safetensors file")]
    Parse(#[from] safetensors::SafeTensorError),
    /// The tensors are not those that the configuration describes.
    #[error("model.safetensors does not fit config.json:{}", list(missing, unexpected, misshapen))]
    Mismatch {
        /// Names the model needs and the file lacks.
        missing: Vec<String>,
        /// Names the file has and the model does not know.
        unexpected: Vec<String>,
        /// Name, shape found, shape expected.
        misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
    },
    /// A tensor that is no float.
    #[error(
        "model.safetensors: tensor `{name}` is {found:?}; expected F32, F16, BF16, or I8 with scales"
    )]
    Dtype {
        /// Name in the file.
        name: String,
        /// Its type.
        found: Dtype,
    },
    /// Eight-bit values without the scales that give them a meaning.
    #[error(
        "model.safetensors: tensor `{name}` is I8 of shape {shape:?} and its scales are {scales}; \
         expected a matrix [rows, columns] and a tensor `{name}{SCALE}` of F32 [rows]"
    )]
    Scales {
        /// Name in the file.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// What stands in the scales' place.
        scales: String,
    },
    /// A weight that is no number.
    #[error(
        "model.safetensors: tensor `{name}` holds {found} at index {index}; expected finite weights"
    )]
    NotFinite {
        /// Name in the file.
        name: String,
        /// Position in the flat tensor.
        index: usize,
        /// `NaN`, `inf` or `-inf`.
        found: f32,
    },
    /// A weight that half precision cannot hold.
    #[error(
        "tensor `{name}` holds {found} at index {index}; expected at most 65504 for f16: export as f32 or int8"
    )]
    TooLarge {
        /// Its name.
        name: String,
        /// Position in the flat tensor.
        index: usize,
        /// The value.
        found: f32,
    },
}

fn list(
    missing: &[String],
    unexpected: &[String],
    misshapen: &[(String, Vec<usize>, Vec<usize>)],
) -> String {
    let mut text = String::new();
    for name in missing {
        text += &format!("\n  missing `{name}`");
    }
    for name in unexpected {
        text += &format!("\n  unexpected `{name}`");
    }
    for (name, found, expected) in misshapen {
        text += &format!("\n  misshapen `{name}`: found {found:?}, expected {expected:?}");
    }
    text
}

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

/// What a tensor's scales are called: the tensor's name and this.
const SCALE: &str = "_scale";

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

/// `[rows, columns]` to `[columns, rows]`, in blocks that stay in the cache.
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let mut transposed = vec![0.0; values.len()];
    for row in (0..rows).step_by(BLOCK) {
        for column in (0..columns).step_by(BLOCK) {
            for i in row..rows.min(row + BLOCK) {
                for j in column..columns.min(column + BLOCK) {
                    transposed[j * rows + i] = values[i * columns + j];
                }
            }
        }
    }
    transposed
}

/// A tensor read back from the device.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Its name in a file.
    pub name: String,
    /// Its shape in a file.
    pub shape: Vec<usize>,
    /// Its values, row by row.
    pub values: Vec<f32>,
}

/// The type weights are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredAs {
    /// As they are.
    F32,
    /// Half precision: half the size.
    F16,
    /// Matrices in eight bits with a scale a row, the rest as it is: a quarter of the size.
    Int8,
}

/// Reads all weights of a model back, under BERT's names and in PyTorch's layout.
pub async fn read_back(model: &TokenClassifier) -> Vec<NamedTensor> {
    let mut gather = Gather::default();
    model.visit(&mut gather);
    read_tensors(gather.tensors).await.into_iter().map(in_file_layout).collect()
}

/// Those tensors that an encoder has without a classification head.
pub fn without_head(tensors: &[NamedTensor]) -> Vec<NamedTensor> {
    tensors.iter().filter(|tensor| !is_head(&tensor.name)).cloned().collect()
}

fn in_file_layout(tensor: NamedTensor) -> NamedTensor {
    let file = bert_name(&tensor.name);
    if !file.transposed {
        return NamedTensor { name: file.name, ..tensor };
    }
    let (rows, columns) = (tensor.shape[0], tensor.shape[1]);
    let values = transpose(&tensor.values, rows, columns);
    NamedTensor { name: file.name, shape: vec![columns, rows], values }
}

/// Reads tensors back from the device in one transaction.
pub async fn read_tensors(tensors: Vec<(String, Vec<usize>, Tensor<1>)>) -> Vec<NamedTensor> {
    let register =
        |all: Transaction, (_, _, tensor): &(_, _, Tensor<1>)| all.register(tensor.clone());
    let data = tensors.iter().fold(Transaction::default(), register).execute_async().await;
    let data = data.expect("a device that computed a tensor gives it back");
    let named = tensors.into_iter().zip(data);
    named
        .map(|((name, shape, _), data)| NamedTensor {
            name,
            shape,
            values: data.try_into_vec::<f32>().expect("parameters are f32"),
        })
        .collect()
}

/// Collects every parameter under our own path, flat.
#[derive(Default)]
pub(crate) struct Gather {
    path: Vec<String>,
    only_trained: bool,
    pub(crate) tensors: Vec<(String, Vec<usize>, Tensor<1>)>,
}

impl Gather {
    /// Collects those parameters alone that ask for gradients.
    pub(crate) fn of_trained() -> Self {
        Self { only_trained: true, ..Self::default() }
    }
}

impl ModuleVisitor for Gather {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.only_trained && !param.is_require_grad() {
            return;
        }
        let tensor = param.val().without_autodiff();
        let shape = tensor.dims().to_vec();
        self.tensors.push((self.path.join("."), shape, tensor.reshape([-1])));
    }
}

/// The bytes of a safetensors file; F32 and F16 files say `"format": "pt"`, so that `transformers`
/// opens them.
///
/// # Errors
///
/// A value that half precision cannot hold.
pub fn to_bytes(tensors: &[NamedTensor], stored_as: StoredAs) -> Result<Vec<u8>, WeightsError> {
    let mut encoded = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        encoded.extend(encode(tensor, stored_as)?);
    }
    let views = encoded.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes);
        (name, view.expect("the values fill the shape"))
    });
    let format = if stored_as == StoredAs::Int8 { "understudy-int8" } else { "pt" };
    let metadata = HashMap::from([("format".to_owned(), format.to_owned())]);
    Ok(safetensors::serialize(views, Some(metadata)).expect("names and shapes are valid"))
}

/// The pieces of a safetensors file in f32 with one entry of metadata, one after the other, so that it
/// need not be whole in memory a second time.
pub fn file_parts<'a>(
    tensors: &'a [NamedTensor],
    (key, value): (&str, String),
) -> impl Iterator<Item = Cow<'a, [u8]>> + use<'a> {
    let mut infos = Vec::with_capacity(tensors.len());
    let mut end = 0;
    for tensor in tensors {
        let start = end;
        end += tensor.values.len() * size_of::<f32>();
        let (shape, data_offsets) = (tensor.shape.clone(), (start, end));
        infos.push((tensor.name.clone(), TensorInfo { dtype: Dtype::F32, shape, data_offsets }));
    }
    let metadata = HashMap::from([(key.to_owned(), value)]);
    let header = Metadata::new(Some(metadata), infos).expect("offsets without gaps");
    let mut header = serde_json::to_vec(&header).expect("names and numbers");
    header.resize(header.len().next_multiple_of(8), b' ');
    let len = (header.len() as u64).to_le_bytes().to_vec();
    let tensors = tensors.iter().map(|tensor| bytemuck::cast_slice(&tensor.values));
    [len, header].into_iter().map(Cow::Owned).chain(tensors.map(Cow::Borrowed))
}

/// The pieces of a weights file in f32, as [`to_bytes`] with [`StoredAs::F32`] writes it whole.
pub fn to_parts(tensors: &[NamedTensor]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    file_parts(tensors, ("format", "pt".to_owned()))
}

type Encoded = (String, Dtype, Vec<usize>, Vec<u8>);

/// The tensors of a file that hold one of ours.
fn encode(tensor: &NamedTensor, stored_as: StoredAs) -> Result<Vec<Encoded>, WeightsError> {
    let NamedTensor { name, shape, values } = tensor;
    let as_f32 = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Ok(match (stored_as, shape.as_slice()) {
        (StoredAs::F16, _) => {
            let halves = values.iter().map(|value| f16::from_f32(*value));
            if let Some(index) = halves.clone().position(|value| !value.is_finite()) {
                let (name, found) = (name.clone(), values[index]);
                return Err(WeightsError::TooLarge { name, index, found });
            }
            let bytes = halves.flat_map(f16::to_le_bytes).collect();
            vec![(name.clone(), Dtype::F16, shape.clone(), bytes)]
        }
        (StoredAs::Int8, [rows, columns]) => {
            let quantized = quantize(values, *columns);
            let bytes = quantized.values.iter().map(|value| value.cast_unsigned()).collect();
            let scales =
                (format!("{name}{SCALE}"), Dtype::F32, vec![*rows], as_f32(&quantized.scales));
            vec![(name.clone(), Dtype::I8, shape.clone(), bytes), scales]
        }
        _ => vec![(name.clone(), Dtype::F32, shape.clone(), as_f32(values))],
    })
}
