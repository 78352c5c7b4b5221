//! Safetensors bytes to a model and back, strictly: every tensor is accounted for by name.
//!
//! Format: <https://github.com/huggingface/safetensors/blob/v0.6.2/README.md#format>.

mod read;
mod write;

use safetensors::tensor::Dtype;
use thiserror::Error;

pub use read::{Head, load};
pub(crate) use write::Gather;
pub use write::{
    NamedTensor, StoredAs, file_parts, read_back, read_tensors, to_bytes, to_parts, without_head,
};

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

/// What a tensor's scales are called: the tensor's name and this.
const SCALE: &str = "_scale";

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
