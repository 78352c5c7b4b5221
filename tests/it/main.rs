//! The one integration-test binary: what crosses a boundary between our code and other people's.

mod curve_golden;
mod forward_candle;
mod forward_golden;
mod hostile;
mod lesson_run;
mod lessons;
mod losses_golden;
mod properties;
mod readers;
mod resume;
mod round_trip;
mod seqeval_golden;
mod support;
mod tidy;
mod training;
