//! The one integration-test binary: what crosses a boundary between our code and other people's.

mod readers;
mod seqeval_golden;
