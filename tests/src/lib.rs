//! Nothing to use from here: the tests of this package are in `it/`.
