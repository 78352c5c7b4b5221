//! Whether a student can begin as a part of its teacher ([`super::student_init`]).

use thiserror::Error;

use crate::model::BertConfig;

/// Why a student cannot take its teacher's weights.
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
    /// No text to compare the teacher's neurons on.
    #[error(
        "there are no examples to compare the teacher's neurons on; expected some, to take a part of them"
    )]
    NoExamples,
    /// Layers of another shape.
    #[error(
        "the student's {field} is {student}, its teacher's {teacher}; expected {expected}, to take \
         the teacher's layers"
    )]
    Layers {
        /// Which size.
        field: &'static str,
        /// The student's.
        student: usize,
        /// The teacher's.
        teacher: usize,
        /// What it may be.
        expected: &'static str,
    },
}

/// Checks that a student can take its teacher's tables.
///
/// # Errors
///
/// A student that is wider than its teacher or has more rows in a table.
pub fn check_embeddings(
    config: &BertConfig,
    teacher_config: &BertConfig,
) -> Result<(), StudentInitError> {
    let (student, teacher) = (config.hidden_size, teacher_config.hidden_size);
    if student > teacher {
        return Err(StudentInitError::Wider { student, teacher });
    }
    for ((table, student), (_, teacher)) in rows(config).into_iter().zip(rows(teacher_config)) {
        if student > teacher {
            return Err(StudentInitError::Rows { table, student, teacher });
        }
    }
    Ok(())
}

/// The tables and their rows.
pub(super) fn rows(config: &BertConfig) -> [(&'static str, usize); 3] {
    [
        ("token table", config.vocab_size),
        ("position table", config.max_position_embeddings),
        ("type table", config.type_vocab_size),
    ]
}

/// Checks that a student can take its teacher's layers.
///
/// # Errors
///
/// Those of [`check_embeddings`], and a student of another width or number of heads, with more layers
/// or a wider feed-forward layer.
pub fn check_layers(
    config: &BertConfig,
    teacher_config: &BertConfig,
) -> Result<(), StudentInitError> {
    let sizes = |config: &BertConfig| {
        let BertConfig { hidden_size, num_attention_heads, .. } = *config;
        let BertConfig { num_hidden_layers, intermediate_size, .. } = *config;
        [hidden_size, num_attention_heads, num_hidden_layers, intermediate_size]
    };
    let fields = ["hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size"];
    for (place, (student, teacher)) in
        sizes(config).into_iter().zip(sizes(teacher_config)).enumerate()
    {
        let (fits, expected) = match place {
            0 | 1 => (student == teacher, "the same"),
            _ => (student <= teacher, "as many or fewer"),
        };
        if !fits {
            let field = fields[place];
            return Err(StudentInitError::Layers { field, student, teacher, expected });
        }
    }
    check_embeddings(config, teacher_config)
}
