//! A student's embeddings from its teacher's: the tables in the directions of the largest singular
//! values of the teacher's token table (Mukherjee and Awadallah 2020, XtremeDistil, arXiv:2004.05686, section 3.1,
//! who take the SVD of the word embeddings).
//!
//! With `E = U S Vᵀ` the teacher's token table and `V'` its first columns, as many as the student is
//! wide, the student gets `E V'`, and the position and type tables times the same `V'`. The encoder
//! layers stay as they were initialised.

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use thiserror::Error;

use super::svd::truncated_svd;
use crate::checkpoint::weights::read_tensors;
use crate::model::{BertConfig, TokenClassifier};

/// Why a student cannot take its teacher's embeddings.
#[derive(Debug, Error)]
pub enum StudentInitError {
    /// The student is wider.
    #[error(
        "the student is {student} wide, its teacher {teacher}; expected a student that is no wider, \
         to take the teacher's embeddings"
    )]
    Wider {
        /// The student's `hidden_size`.
        student: usize,
        /// The teacher's.
        teacher: usize,
    },
    /// The tables have different rows.
    #[error(
        "{table}: the student has {student} rows, its teacher {teacher}; expected as many or fewer"
    )]
    Rows {
        /// Which table.
        table: &'static str,
        /// The student's rows.
        student: usize,
        /// The teacher's.
        teacher: usize,
    },
}

/// Gives a student its teacher's token, position and type tables in the student's width.
///
/// # Errors
///
/// A student that is wider than its teacher or has more rows in a table.
pub async fn init_embeddings(
    mut student: TokenClassifier,
    config: &BertConfig,
    teacher: &TokenClassifier,
    teacher_config: &BertConfig,
) -> Result<TokenClassifier, StudentInitError> {
    let (width, from) = (config.hidden_size, teacher_config.hidden_size);
    if width > from {
        return Err(StudentInitError::Wider { student: width, teacher: from });
    }
    let rows = |config: &BertConfig| {
        [
            ("token table", config.vocab_size),
            ("position table", config.max_position_embeddings),
            ("type table", config.type_vocab_size),
        ]
    };
    for ((table, student), (_, teacher)) in rows(config).into_iter().zip(rows(teacher_config)) {
        if student > teacher {
            return Err(StudentInitError::Rows { table, student, teacher });
        }
    }
    let theirs = &teacher.embeddings;
    let factor = theirs.word_embeddings.weight.val().without_autodiff();
    let tokens = match &theirs.projection {
        Some(projection) => factor.matmul(projection.weight.val().without_autodiff()),
        None => factor,
    };
    let [tokens, positions, types] = read([
        tokens,
        theirs.position_embeddings.weight.val().without_autodiff(),
        theirs.token_type_embeddings.weight.val().without_autodiff(),
    ])
    .await;
    let rank = config.embedding_rank.unwrap_or(width);
    let svd = truncated_svd(&tokens, [teacher_config.vocab_size, from], width);
    let device = student.device();
    let parameter = |values: Vec<f32>, columns: usize| {
        let shape = [values.len() / columns, columns];
        Param::from_data(TensorData::new(values, shape), &device)
    };
    let ours = &mut student.embeddings;
    // The first columns of E V' belong to the largest singular values.
    let left = svd.left.chunks_exact(width).take(config.vocab_size);
    let tokens: Vec<f32> = left.flat_map(|row| row[..rank].iter().copied()).collect();
    ours.word_embeddings.weight = parameter(tokens, rank);
    if let Some(projection) = &mut ours.projection {
        let identity =
            (0..rank * width).map(|place| f32::from(u8::from(place / width == place % width)));
        projection.weight = parameter(identity.collect(), width);
    }
    let narrow = |table: &[f32], rows: usize| {
        let project = |row: &[f32]| -> Vec<f32> {
            let directions = svd.right.chunks_exact(from);
            directions.map(|direction| dot(row, direction)).collect()
        };
        table.chunks_exact(from).take(rows).flat_map(project).collect::<Vec<f32>>()
    };
    let positions = narrow(&positions, config.max_position_embeddings);
    ours.position_embeddings.weight = parameter(positions, width);
    ours.token_type_embeddings.weight = parameter(narrow(&types, config.type_vocab_size), width);
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
    use burn::tensor::Device;

    fn teacher_config() -> BertConfig {
        BertConfig::tiny(60)
    }

    fn student(config: &BertConfig) -> Result<TokenClassifier, StudentInitError> {
        let device = Device::flex();
        let teacher = TokenClassifier::init(&teacher_config(), 3, 1, &device);
        let fresh = TokenClassifier::init(config, 3, 2, &device);
        pollster::block_on(init_embeddings(fresh, config, &teacher, &teacher_config()))
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
}
