//! BERT with a linear classifier over every sub-word (`BertForTokenClassification`, without pooler).

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Bool, Device, FloatDType, Int, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};

use super::embedding::Embeddings;
use super::encoder::{AttentionBias, EncoderLayer, SelfAttention};
use super::{BertConfig, Noise};
use crate::data::batch::Feed;

/// A BERT encoder with one linear layer that scores every label for every sub-word.
#[derive(Module, Debug)]
pub struct TokenClassifier {
    /// Input embeddings.
    pub embeddings: Embeddings,
    /// Encoder layers, first to last.
    pub layers: Vec<EncoderLayer>,
    /// `[hidden_size, num_labels]`
    pub classifier: Linear,
    dropout: f64,
    #[module(skip)]
    feed: Feed,
}

/// What a forward pass returns.
#[derive(Clone, Debug)]
pub struct ClassifierOutput {
    /// `[batch_size, seq_len, num_labels]`
    pub logits: Tensor<3>,
    /// `num_hidden_layers + 1` tensors `[batch_size, seq_len, hidden_size]`: the embeddings' output,
    /// then each layer's; empty unless asked for.
    pub hidden_states: Vec<Tensor<3>>,
}

impl TokenClassifier {
    /// A new model: weights from N(0, `initializer_range`²), biases 0, LayerNorm 1 and 0, as
    /// `BertPreTrainedModel._init_weights` does, but for the row of `[PAD]`, which that sets to 0 and nothing
    /// reads; the same `seed` gives the same model everywhere.
    pub fn init(config: &BertConfig, num_labels: usize, seed: u64, device: &Device) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let deviation = config.initializer_range as f32;
        Self::skeleton(config, num_labels, device).map(&mut Initialize {
            rng,
            deviation,
            path: vec![],
        })
    }

    /// A model of the right shapes whose parameters are not set yet.
    pub(crate) fn skeleton(config: &BertConfig, num_labels: usize, device: &Device) -> Self {
        Self {
            embeddings: Embeddings::skeleton(config, device),
            layers: (0..config.num_hidden_layers)
                .map(|_| EncoderLayer::skeleton(config, device))
                .collect(),
            classifier: LinearConfig::new(config.hidden_size, num_labels).init(device),
            dropout: config.classifier_dropout.unwrap_or(config.hidden_dropout_prob),
            feed: Feed::default(),
        }
    }

    /// How it is best given its examples.
    pub fn feed(&self) -> Feed {
        self.feed
    }

    /// Says how it is best given its examples.
    pub fn with_feed(self, feed: Feed) -> Self {
        Self { feed, ..self }
    }

    /// The same model with the matrices of its layers in half precision. Their products are taken in
    /// half precision, all else stays in full; only for reading, not for training.
    pub fn with_half_products(mut self) -> Self {
        let halve = |linear: &mut Linear| {
            let weight = linear.weight.val().cast(FloatDType::F16);
            linear.weight = Param::from_tensor(weight);
        };
        for layer in &mut self.layers {
            let SelfAttention { query, key, value, output, .. } = &mut layer.attention;
            let feed_forward = [&mut layer.intermediate, &mut layer.output];
            [query, key, value, output].into_iter().chain(feed_forward).for_each(halve);
        }
        self
    }

    /// The longest input it can read, in sub-words.
    pub fn max_position_embeddings(&self) -> usize {
        self.embeddings.position_embeddings.weight.lazy_shape()[0]
    }

    /// Says that the model's tensors are host memory, as those of Burn's CPU backend are: some
    /// element-wise work is then done on slices, which is faster.
    pub fn on_host(mut self) -> Self {
        self.layers.iter_mut().for_each(|layer| layer.on_host = true);
        self
    }

    /// Without dropout from now on: for short runs on few sentences, and where the lowest layers are run
    /// once and their output is kept.
    pub fn without_dropout(mut self) -> Self {
        self.dropout = 0.0;
        self.embeddings.dropout = 0.0;
        self.layers.iter_mut().for_each(EncoderLayer::drop_nothing);
        self
    }

    /// The smallest model there is, to stand in while another is moved; nothing of it is allocated.
    pub(crate) fn placeholder(device: &Device) -> Self {
        let config = BertConfig { num_hidden_layers: 0, ..BertConfig::tiny(1) };
        Self::skeleton(&config, 1, device)
    }

    /// The device its parameters are on.
    pub fn device(&self) -> Device {
        self.classifier.weight.lazy_device()
    }

    /// Width of its hidden states.
    pub fn hidden_size(&self) -> usize {
        self.embeddings.layer_norm.gamma.lazy_shape()[0]
    }

    /// The logits of a batch.
    ///
    /// # Shapes
    ///
    /// - `input_ids`: `[batch_size, seq_len]`
    /// - `attention_mask`: `[batch_size, seq_len]`, `true` = a sub-word, `false` = padding
    /// - returns: `[batch_size, seq_len, num_labels]`
    pub fn forward(
        &self,
        input_ids: Tensor<2, Int>,
        attention_mask: Tensor<2, Bool>,
        is_padded: bool,
        noise: &mut Noise,
    ) -> Tensor<3> {
        self.run(input_ids, AttentionBias::new(attention_mask, is_padded), noise, false).logits
    }

    /// The logits and all hidden states of a batch, in the shapes of [`TokenClassifier::forward`].
    pub fn forward_with_hidden_states(
        &self,
        input_ids: Tensor<2, Int>,
        attention_mask: Tensor<2, Bool>,
        noise: &mut Noise,
    ) -> ClassifierOutput {
        self.run(input_ids, AttentionBias::new(attention_mask, true), noise, true)
    }

    /// What the embeddings and the lowest `layers` layers make of a batch, without dropout.
    ///
    /// # Shapes
    ///
    /// - `input_ids`, `attention_mask`: `[batch_size, seq_len]`
    /// - returns: `[batch_size * seq_len, hidden_size]`
    pub fn forward_lower(
        &self,
        input_ids: Tensor<2, Int>,
        attention_mask: Tensor<2, Bool>,
        is_padded: bool,
        layers: usize,
    ) -> Tensor<2> {
        let (bias, mut noise) = (AttentionBias::new(attention_mask, is_padded), Noise::off());
        let embedded = self.embeddings.forward(input_ids, &mut noise);
        let lower = self.layers[..layers].iter();
        lower.fold(embedded, |hidden, layer| layer.forward(hidden, &bias, &mut noise))
    }

    /// The logits of a batch from what [`TokenClassifier::forward_lower`] made of it.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[batch_size * seq_len, hidden_size]`; where padded any finite numbers
    /// - `attention_mask`: `[batch_size, seq_len]`
    /// - returns: `[batch_size, seq_len, num_labels]`
    pub fn forward_upper(
        &self,
        hidden: Tensor<2>,
        attention_mask: Tensor<2, Bool>,
        is_padded: bool,
        layers: usize,
        noise: &mut Noise,
    ) -> Tensor<3> {
        let [batch_size, seq_len] = attention_mask.dims();
        let bias = AttentionBias::new(attention_mask, is_padded);
        let upper = self.layers[layers..].iter();
        let hidden = upper.fold(hidden, |hidden, layer| layer.forward(hidden, &bias, noise));
        let logits = self.classifier.forward(noise.dropout(hidden, self.dropout));
        let num_labels = logits.dims()[1];
        logits.reshape([batch_size, seq_len, num_labels])
    }

    fn run(
        &self,
        input_ids: Tensor<2, Int>,
        bias: AttentionBias,
        noise: &mut Noise,
        keep_hidden_states: bool,
    ) -> ClassifierOutput {
        let [batch_size, seq_len] = input_ids.dims();
        let mut hidden_states = Vec::new();
        let mut hidden = self.embeddings.forward(input_ids, noise);
        let hidden_size = hidden.dims()[1];
        let mut keep = |hidden: &Tensor<2>| {
            if keep_hidden_states {
                hidden_states.push(hidden.clone().reshape([batch_size, seq_len, hidden_size]));
            }
        };
        keep(&hidden);
        for layer in &self.layers {
            hidden = layer.forward(hidden, &bias, noise);
            keep(&hidden);
        }
        let logits = self.classifier.forward(noise.dropout(hidden, self.dropout));
        let num_labels = logits.dims()[1];
        ClassifierOutput {
            logits: logits.reshape([batch_size, seq_len, num_labels]),
            hidden_states,
        }
    }
}

/// Sets every parameter of a skeleton from one random stream, in the order of the module's fields.
struct Initialize {
    rng: ChaCha8Rng,
    deviation: f32,
    path: Vec<String>,
}

impl ModuleMapper for Initialize {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.lazy_shape();
        let len = shape.num_elements();
        let values: Vec<f32> = match self.path.last().map(String::as_str) {
            Some("gamma") => vec![1.0; len],
            Some("beta" | "bias") => vec![0.0; len],
            _ => Normal::new(0.0, self.deviation)
                .expect("initializer_range is checked with the configuration")
                .sample_iter(&mut self.rng)
                .take(len)
                .collect(),
        };
        Param::from_data(TensorData::new(values, shape), &param.lazy_device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(config: &BertConfig) -> usize {
        TokenClassifier::skeleton(config, 9, &Device::flex()).num_params()
    }

    #[test]
    fn parameter_counts_of_the_reference_models() {
        assert_eq!(parameters(&BertConfig::bert_base_cased()), 107_726_601);
        let factorized = BertConfig { embedding_rank: Some(64), ..BertConfig::bert_base_cased() };
        assert_eq!(parameters(&factorized), 87_362_569);
        assert_eq!(parameters(&BertConfig::reference_student()), 19_620_489);
    }

    #[test]
    fn hidden_states_are_the_embeddings_and_every_layer() {
        let config = BertConfig::tiny(30);
        let device = Device::flex();
        let model = TokenClassifier::init(&config, 3, 1, &device);
        let input_ids = Tensor::<2, Int>::from_data([[1, 2, 3], [4, 5, 0]], &device);
        let mask = input_ids.clone().not_equal_elem(0);
        let output =
            model.forward_with_hidden_states(input_ids.clone(), mask.clone(), &mut Noise::off());
        assert_eq!(output.hidden_states.len(), config.num_hidden_layers + 1);
        assert_eq!(output.logits.dims(), [2, 3, 3]);
        let logits = model.forward(input_ids, mask, true, &mut Noise::off());
        assert_eq!(logits.into_data(), output.logits.into_data());
    }

    #[test]
    fn products_in_half_precision_change_little() {
        let device = Device::flex();
        let model = TokenClassifier::init(&BertConfig::tiny(30), 3, 1, &device);
        let input_ids = Tensor::<2, Int>::from_data([[1, 2, 3], [4, 5, 0]], &device);
        let mask = input_ids.clone().not_equal_elem(0);
        let logits = |model: &TokenClassifier| {
            model.forward(input_ids.clone(), mask.clone(), true, &mut Noise::off())
        };
        let half = logits(&model.clone().with_half_products());
        assert_eq!(half.dtype(), burn::tensor::DType::F32);
        let difference = (half - logits(&model)).abs().max().into_scalar::<f32>();
        // A half has 11 bits: about 5e-4 of logits below 1.
        assert!(difference > 0.0 && difference < 2e-3, "{difference}");
    }

    #[test]
    fn lower_and_upper_layers_make_the_whole() {
        let device = Device::flex();
        for on_host in [false, true] {
            let mut model = TokenClassifier::init(&BertConfig::tiny(30), 3, 1, &device);
            if on_host {
                model = model.on_host();
            }
            let ids = Tensor::<2, Int>::from_data([[1, 2, 3], [4, 5, 0]], &device);
            let mask = ids.clone().not_equal_elem(0);
            let want = model.forward(ids.clone(), mask.clone(), true, &mut Noise::off());
            for layers in 0..=2 {
                let hidden = model.forward_lower(ids.clone(), mask.clone(), true, layers);
                let noise = &mut Noise::off();
                let got = model.forward_upper(hidden, mask.clone(), true, layers, noise);
                assert_eq!(got.into_data(), want.clone().into_data(), "{layers} layers below");
            }
        }
    }

    #[test]
    fn without_dropout_noise_changes_nothing() {
        let device = Device::flex();
        let model = TokenClassifier::init(&BertConfig::tiny(30), 3, 1, &device).without_dropout();
        let ids = Tensor::<2, Int>::from_data([[1, 2, 3]], &device);
        let mask = ids.clone().not_equal_elem(0);
        let logits =
            |mut noise| model.forward(ids.clone(), mask.clone(), false, &mut noise).into_data();
        assert_eq!(logits(Noise::seeded(4)), logits(Noise::off()));
    }

    #[test]
    fn padding_does_not_change_the_logits() {
        let device = Device::flex();
        let model = TokenClassifier::init(&BertConfig::tiny(30), 3, 1, &device);
        let short = Tensor::<2, Int>::from_data([[7, 8]], &device);
        let long = Tensor::<2, Int>::from_data([[7, 8, 0, 0]], &device);
        let mask = long.clone().not_equal_elem(0);
        let all = short.clone().not_equal_elem(0);
        let want = model.forward(short, all, false, &mut Noise::off());
        let got = model.forward(long, mask, true, &mut Noise::off()).slice([0..1, 0..2]);
        let difference = (want - got).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-6, "{difference}");
    }
}
