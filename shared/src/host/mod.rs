//! Work on host memory: what Burn's CPU backend (`flex`) would do in many passes on one thread, done
//! in one pass on all threads.
//!
//! Flex spreads its matrix products over the threads, but little else: on two cores a third of a
//! training step was element-wise work on one of them. The three operations of an encoder layer here
//! ([`ops`]) take the matrix products from the library that flex uses, and fuse what stands between
//! them, forward and backward.
//! Every one is tested against the same formula in Burn's own tensor operations, which other devices
//! use.
//!
//! | module | holds |
//! | --- | --- |
//! | [`parallel`] | chunks of slices, on all threads with the feature `rayon`, else on this one |
//! | [`math`] | `exp`, `erf`, GELU and sums that the compiler vectorises |
//! | [`gemm`] | matrix products of slices; `panel` has those of a browser |
//! | [`mask`] | dropout masks from a seed, any part of them at any time |
//! | [`ops`] | the operations as Burn backend extensions, with their gradients |

mod add_norm;
mod attention;
pub mod gemm;
mod linear;
pub mod mask;
pub mod math;
pub mod ops;
#[cfg(any(test, target_arch = "wasm32"))]
mod panel;
pub mod parallel;
