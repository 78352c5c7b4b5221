//! What the tests in `it/` and the fuzz targets in `fuzz/` have in common.

pub mod hostile;
