//! A student's first weights from its teacher.
//!
//! **Tables.** A narrower student gets the teacher's tables in the directions of the largest singular
//! values of the token table (Mukherjee and Awadallah 2020, XtremeDistil, arXiv:2004.05686, section
//! 3.1, who take the SVD of the word embeddings): with `E = U S Vᵀ` and `V'` the first columns of `V`,
//! as many as the student is wide, `E V'`, and the position and type tables times the same `V'`. A
//! student as wide as its teacher keeps the teacher's own directions. Each row of `E` weighs as much as
//! its token is frequent in the text to learn from ([`super::frequency`]).
//!
//! **Layers.** A student as wide as its teacher can have the teacher's layers too, evenly spread from
//! the first to the last (Sanh et al. 2019, DistilBERT, arXiv:1910.01108, section 3), with the
//! feed-forward layer cut to the student's width ([`super::neurons`]), and the teacher's classifier.

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};

use super::frequency::TokenCounts;
use super::neurons::{Activations, keep_neurons};
use super::student_fit::{StudentInitError, check_embeddings, check_layers, rows};
use super::svd::truncated_svd;
use crate::checkpoint::weights::read_tensors;
use crate::data::example::Example;
use crate::model::{BertConfig, TokenClassifier};

/// Gives a student its teacher's token, position and type tables in the student's width; `counts` are
/// of the text that it will learn from.
///
/// # Errors
///
/// Those of [`check_embeddings`].
pub async fn init_embeddings(
    student: TokenClassifier,
    config: &BertConfig,
    teacher: &TokenClassifier,
    teacher_config: &BertConfig,
    counts: &TokenCounts,
) -> Result<TokenClassifier, StudentInitError> {
    check_embeddings(config, teacher_config)?;
    let from = teacher_config.hidden_size;
    let theirs = &teacher.embeddings;
    let factor = theirs.word_embeddings.weight.val().without_autodiff();
    let tokens = match &theirs.projection {
        Some(projection) => factor.matmul(projection.weight.val().without_autodiff()),
        None => factor,
    };
    let mut tables = read([
        tokens,
        theirs.position_embeddings.weight.val().without_autodiff(),
        theirs.token_type_embeddings.weight.val().without_autodiff(),
    ])
    .await;
    for (table, (_, rows)) in tables.iter_mut().zip(rows(config)) {
        table.truncate(rows * from);
    }
    let weights = counts.weights(config.vocab_size);
    Ok(match config.hidden_size == from {
        true => same_width(student, config, tables, &weights),
        false => narrower(student, config, from, tables, &weights),
    })
}

/// Token, position and type table, the token table factorised where the student's is.
fn same_width(
    mut student: TokenClassifier,
    config: &BertConfig,
    [tokens, positions, types]: [Vec<f32>; 3],
    weights: &[f64],
) -> TokenClassifier {
    let width = config.hidden_size;
    let device = student.device();
    let parameter = |values: Vec<f32>, columns: usize| {
        let shape = [values.len() / columns, columns];
        Param::from_data(TensorData::new(values, shape), &device)
    };
    let ours = &mut student.embeddings;
    ours.position_embeddings.weight = parameter(positions, width);
    ours.token_type_embeddings.weight = parameter(types, width);
    let (Some(rank), Some(projection)) = (config.embedding_rank, &mut ours.projection) else {
        ours.word_embeddings.weight = parameter(tokens, width);
        return student;
    };
    let svd = truncated_svd(&tokens, [config.vocab_size, width], rank, Some(weights));
    projection.weight = parameter(svd.right, width);
    ours.word_embeddings.weight = parameter(svd.left, rank);
    student
}

/// All three tables in the directions of the token table's largest singular values.
fn narrower(
    mut student: TokenClassifier,
    config: &BertConfig,
    from: usize,
    [tokens, positions, types]: [Vec<f32>; 3],
    weights: &[f64],
) -> TokenClassifier {
    let width = config.hidden_size;
    let rank = config.embedding_rank.unwrap_or(width);
    let svd = truncated_svd(&tokens, [config.vocab_size, from], width, Some(weights));
    let device = student.device();
    let parameter = |values: Vec<f32>, columns: usize| {
        let shape = [values.len() / columns, columns];
        Param::from_data(TensorData::new(values, shape), &device)
    };
    let ours = &mut student.embeddings;
    // The first columns of E V' belong to the largest singular values.
    let left = svd.left.chunks_exact(width);
    let tokens: Vec<f32> = left.flat_map(|row| row[..rank].iter().copied()).collect();
    ours.word_embeddings.weight = parameter(tokens, rank);
    if let Some(projection) = &mut ours.projection {
        let identity =
            (0..rank * width).map(|place| f32::from(u8::from(place / width == place % width)));
        projection.weight = parameter(identity.collect(), width);
    }
    let narrow = |table: &[f32]| {
        let project = |row: &[f32]| -> Vec<f32> {
            let directions = svd.right.chunks_exact(from);
            directions.map(|direction| dot(row, direction)).collect()
        };
        table.chunks_exact(from).flat_map(project).collect::<Vec<f32>>()
    };
    ours.position_embeddings.weight = parameter(narrow(&positions), width);
    ours.token_type_embeddings.weight = parameter(narrow(&types), width);
    student
}

/// Which of the teacher's layers each layer of the student begins as, counted from 0: evenly spread,
/// the first is the first and the last the last.
pub fn initial_layers(student_layers: usize, teacher_layers: usize) -> Vec<usize> {
    let (last, steps) = (teacher_layers - 1, student_layers.saturating_sub(1).max(1));
    (0..student_layers).map(|layer| (2 * layer * last + steps) / (2 * steps)).collect()
}

/// Gives a student its teacher's tables, as [`init_embeddings`] does, and its teacher's layers and
/// classifier. Neurons that a narrower feed-forward layer has no room for are chosen and made up for by
/// what the teacher computes on `sample`.
///
/// Both models have the same labels; the teacher is on a device without autodiff.
///
/// # Errors
///
/// Those of [`check_layers`].
pub async fn init_layers(
    student: TokenClassifier,
    config: &BertConfig,
    teacher: &TokenClassifier,
    teacher_config: &BertConfig,
    counts: &TokenCounts,
    sample: &[Example],
) -> Result<TokenClassifier, StudentInitError> {
    check_layers(config, teacher_config)?;
    let mut student = init_embeddings(student, config, teacher, teacher_config, counts).await?;
    let chosen = initial_layers(config.num_hidden_layers, teacher_config.num_hidden_layers);
    let narrower = config.intermediate_size < teacher_config.intermediate_size;
    if narrower && sample.is_empty() {
        return Err(StudentInitError::NoExamples);
    }
    let activations = match narrower {
        true => Activations::of(teacher, &chosen, sample, config.pad_token_id).await,
        false => vec![],
    };
    student.embeddings.layer_norm = teacher.embeddings.layer_norm.clone();
    student.classifier = teacher.classifier.clone();
    for (place, layer) in chosen.iter().enumerate() {
        let (theirs, ours) = (&teacher.layers[*layer], &mut student.layers[place]);
        let attention = &mut ours.attention;
        attention.query = theirs.attention.query.clone();
        attention.key = theirs.attention.key.clone();
        attention.value = theirs.attention.value.clone();
        attention.output = theirs.attention.output.clone();
        ours.attention_norm = theirs.attention_norm.clone();
        ours.output_norm = theirs.output_norm.clone();
        (ours.intermediate, ours.output) = match activations.get(place) {
            Some(activations) => keep_neurons(theirs, activations, config.intermediate_size).await,
            None => (theirs.intermediate.clone(), theirs.output.clone()),
        };
    }
    Ok(student)
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

async fn read<const N: usize>(tensors: [Tensor<2>; N]) -> [Vec<f32>; N] {
    let flat = tensors.map(|tensor| (String::new(), tensor.dims().to_vec(), tensor.reshape([-1])));
    let mut values = read_tensors(flat.into()).await.into_iter().map(|tensor| tensor.values);
    std::array::from_fn(|_| values.next().expect("as many as were asked for"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::batch::Batch;
    use crate::model::Noise;
    use burn::module::Module;
    use burn::tensor::Device;

    fn teacher_config() -> BertConfig {
        BertConfig::tiny(60)
    }

    fn student(config: &BertConfig) -> Result<TokenClassifier, StudentInitError> {
        let device = Device::flex();
        let teacher = TokenClassifier::init(&teacher_config(), 3, 1, &device);
        let fresh = TokenClassifier::init(config, 3, 2, &device);
        let counts = TokenCounts::new(60);
        pollster::block_on(init_embeddings(fresh, config, &teacher, &teacher_config(), &counts))
    }

    /// Inner products of the rows of a table.
    fn products(table: Tensor<2>) -> Tensor<2> {
        table.clone().matmul(table.transpose())
    }

    #[test]
    fn a_student_of_the_teachers_width_keeps_all_inner_products() {
        let config = BertConfig { num_hidden_layers: 1, ..teacher_config() };
        let device = Device::flex();
        let teacher = TokenClassifier::init(&teacher_config(), 3, 1, &device).embeddings;
        let student = student(&config).expect("as wide").embeddings;
        for (theirs, ours) in [
            (teacher.word_embeddings.weight, student.word_embeddings.weight),
            (teacher.position_embeddings.weight, student.position_embeddings.weight),
            (teacher.token_type_embeddings.weight, student.token_type_embeddings.weight),
        ] {
            let difference = (products(theirs.val()) - products(ours.val())).abs().max();
            assert!(difference.into_scalar::<f32>() < 1e-6);
        }
    }

    #[test]
    fn a_thin_table_keeps_the_tokens_of_the_text_best() {
        let config = BertConfig { embedding_rank: Some(4), ..teacher_config() };
        let device = Device::flex();
        let teacher = TokenClassifier::init(&teacher_config(), 3, 1, &device);
        let error = |tokens: &[u32]| {
            let mut counts = TokenCounts::new(60);
            counts.add(tokens.iter().copied());
            let fresh = TokenClassifier::init(&config, 3, 2, &device);
            let theirs = teacher_config();
            let start = init_embeddings(fresh, &config, &teacher, &theirs, &counts);
            let thin = pollster::block_on(start).expect("as wide").embeddings;
            let table = thin.word_embeddings.weight.val();
            let table = table.matmul(thin.projection.expect("factorised").weight.val());
            let lost = teacher.embeddings.word_embeddings.weight.val() - table;
            lost.slice([0..8, 0..32]).square().mean().into_scalar::<f32>()
        };
        let (read, not_read) = (error(&[0, 1, 2, 3, 4, 5, 6, 7].repeat(100)), error(&[]));
        assert!(read < 0.7 * not_read, "{read} against {not_read}");
    }

    #[test]
    fn a_narrower_student_has_its_own_shapes_and_a_factorised_one_the_same_leading_columns() {
        let narrow =
            BertConfig { hidden_size: 16, max_position_embeddings: 40, ..teacher_config() };
        let dense = student(&narrow).expect("narrower").embeddings;
        assert_eq!(dense.word_embeddings.weight.dims(), [60, 16]);
        assert_eq!(dense.position_embeddings.weight.dims(), [40, 16]);
        let config = BertConfig { embedding_rank: Some(4), ..narrow };
        let thin = student(&config).expect("narrower").embeddings;
        let product = thin.word_embeddings.weight.val();
        let product = product.matmul(thin.projection.expect("factorised").weight.val());
        let want = dense.word_embeddings.weight.val().slice([0..60, 0..4]);
        let difference = (product.clone().slice([0..60, 0..4]) - want).abs().max();
        assert!(difference.into_scalar::<f32>() < 1e-6);
        let rest = product.slice([0..60, 4..16]).abs().max().into_scalar::<f32>();
        assert_eq!(rest, 0.0);
    }

    #[test]
    fn a_wider_student_is_refused() {
        let config = BertConfig { hidden_size: 64, ..teacher_config() };
        let message = student(&config).expect_err("wider").to_string();
        assert!(message.starts_with("the student is 64 wide, its teacher 32"), "{message}");
        let config = BertConfig { max_position_embeddings: 65, ..teacher_config() };
        let message = student(&config).expect_err("longer").to_string();
        assert!(message.starts_with("position table: the student has 65 rows"), "{message}");
    }

    #[test]
    fn layers_are_spread_from_the_first_to_the_last() {
        assert_eq!(initial_layers(4, 6), [0, 2, 3, 5]);
        assert_eq!(initial_layers(6, 12), [0, 2, 4, 7, 9, 11]);
        assert_eq!(initial_layers(3, 3), [0, 1, 2]);
        assert_eq!(initial_layers(1, 6), [0]);
    }

    fn sample() -> Vec<Example> {
        let example = |start: u32| Example {
            sentence: 0,
            input_ids: (0..30).map(|step| (start + 7 * step) % 59 + 1).collect(),
            word_ids: vec![Some(0); 30],
            counted: vec![true; 30],
            label_ids: vec![-100; 30],
        };
        (0..20).map(example).collect()
    }

    fn with_layers(config: &BertConfig) -> Result<TokenClassifier, StudentInitError> {
        let device = Device::flex();
        let teacher = TokenClassifier::init(&teacher_config(), 3, 1, &device);
        let fresh = TokenClassifier::init(config, 3, 2, &device);
        let (theirs, counts) = (teacher_config(), TokenCounts::new(60));
        pollster::block_on(init_layers(fresh, config, &teacher, &theirs, &counts, &sample()))
    }

    fn logits(model: &TokenClassifier) -> Tensor<3> {
        let sample = sample();
        let batch = Batch::new(&sample.iter().collect::<Vec<_>>(), 0, &Device::flex());
        model.forward(batch.input_ids, batch.attention_mask, false, &mut Noise::off())
    }

    #[test]
    fn a_student_of_the_teachers_shape_is_the_teacher() {
        let student = with_layers(&teacher_config()).expect("the same shape");
        let teacher = TokenClassifier::init(&teacher_config(), 3, 1, &Device::flex());
        assert_eq!(logits(&student).into_data(), logits(&teacher).into_data());
    }

    #[test]
    fn a_cut_student_starts_nearer_to_its_teacher_than_a_random_one() {
        let config =
            BertConfig { intermediate_size: 24, embedding_rank: Some(16), ..teacher_config() };
        let teacher = TokenClassifier::init(&teacher_config(), 3, 1, &Device::flex());
        let far = TokenClassifier::init(&config, 3, 2, &Device::flex());
        let near = with_layers(&config).expect("smaller");
        assert_eq!(near.num_params(), far.num_params());
        let distance = |student: &TokenClassifier| {
            let difference = (logits(student) - logits(&teacher)).square().mean();
            difference.into_scalar::<f32>()
        };
        assert!(distance(&near) < 0.5 * distance(&far));
    }

    #[test]
    fn layers_of_another_shape_are_refused() {
        for (config, expected) in [
            (BertConfig { hidden_size: 16, ..teacher_config() }, "hidden_size is 16"),
            (BertConfig { num_attention_heads: 2, ..teacher_config() }, "num_attention_heads is 2"),
            (BertConfig { num_hidden_layers: 3, ..teacher_config() }, "expected as many or fewer"),
            (BertConfig { intermediate_size: 65, ..teacher_config() }, "intermediate_size is 65"),
        ] {
            let message = with_layers(&config).expect_err("another shape").to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
