//! What a run trains: the model, and the projections that take its hidden states to the teacher's
//! width while it learns to match them. Only the model is kept in the end.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};

use crate::loss::hidden_match::uniform_layer_map;
use crate::model::{BertConfig, TokenClassifier};

/// A model in training.
#[derive(Module, Debug)]
pub struct Trainee {
    /// The model.
    pub classifier: TokenClassifier,
    /// One for each hidden state of the model, `[hidden_size, teacher's hidden_size]` without bias;
    /// none where hidden states are not matched.
    pub projections: Vec<Linear>,
}

impl Trainee {
    /// A model alone.
    pub fn new(classifier: TokenClassifier) -> Self {
        Self { classifier, projections: vec![] }
    }

    /// A model with new projections to the teacher's hidden states: from N(0, 1 / hidden_size), or the
    /// identity where both are equally wide.
    pub fn matching(
        classifier: TokenClassifier,
        student: &BertConfig,
        teacher: &BertConfig,
        seed: u64,
    ) -> Self {
        let device = classifier.device();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (rows, columns) = (student.hidden_size, teacher.hidden_size);
        let normal = Normal::new(0.0, 1.0 / (rows as f32).sqrt()).expect("a positive deviation");
        let mut projection = || {
            let values: Vec<f32> = match rows == columns {
                true => (0..rows * columns)
                    .map(|place| f32::from(u8::from(place / columns == place % columns)))
                    .collect(),
                false => normal.sample_iter(&mut rng).take(rows * columns).collect(),
            };
            let weight = Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), &device);
            let linear = LinearConfig::new(rows, columns).with_bias(false).init(&device);
            Linear { weight: linear.weight.map(|_| weight.require_grad()), ..linear }
        };
        let projections = (0..=student.num_hidden_layers).map(|_| projection()).collect();
        Self { classifier, projections }
    }

    /// Hidden states of the model in the teacher's width, each with the index of the teacher's hidden
    /// state that it is compared with.
    ///
    /// # Shapes
    ///
    /// - `hidden_states`, returns: `[batch_size, seq_len, width]` each
    pub fn project(
        &self,
        hidden_states: &[Tensor<3>],
        teacher_layers: usize,
    ) -> Vec<(Tensor<3>, usize)> {
        let map = uniform_layer_map(self.projections.len().saturating_sub(1), teacher_layers);
        let project = |(projection, hidden): (&Linear, &Tensor<3>)| {
            let [batch_size, seq_len, width] = hidden.dims();
            let rows = projection.forward(hidden.clone().reshape([batch_size * seq_len, width]));
            let width = rows.dims()[1];
            rows.reshape([batch_size, seq_len, width])
        };
        self.projections.iter().zip(hidden_states).map(project).zip(map).collect()
    }

    /// The smallest there is, to stand in while another is moved.
    pub(super) fn placeholder(device: &Device) -> Self {
        Self::new(TokenClassifier::placeholder(device))
    }
}
