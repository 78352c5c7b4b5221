//! A model to safetensors bytes.

use std::borrow::Cow;
use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, Transaction};
use half::f16;
use safetensors::tensor::{Dtype, Metadata, TensorInfo, TensorView};
use serde::{Deserialize, Serialize};

use super::super::key_map::{bert_name, is_head};
use super::super::quantize::quantize;
use super::{SCALE, WeightsError, transpose};
use crate::model::TokenClassifier;

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
