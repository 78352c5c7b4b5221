//! Smaller models from larger ones: the token table as a product of two thin matrices, a student's
//! first weights from its teacher's.

pub mod factorize;
pub mod frequency;
pub mod neurons;
pub mod student_fit;
pub mod student_init;
pub mod svd;
