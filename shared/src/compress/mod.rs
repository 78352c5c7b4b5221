//! Smaller models from larger ones: the token table as a product of two thin matrices.

pub mod factorize;
pub mod svd;
