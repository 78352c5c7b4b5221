//! From the page's words to those of `shared`.

use understudy_shared::train::lesson::{Lesson, LessonSettings, LessonSpan};
use web::protocol::{self, TrainSettings};

use crate::worker::Stop;

/// Good settings, which stand in `shared`.
pub fn defaults() -> TrainSettings {
    let settings = LessonSettings::default();
    TrainSettings {
        scope: settings.scope.to_string(),
        learning_rate: settings.learning_rate,
        steps: settings.steps,
        batch_size: settings.batch_size,
        rehearsal: settings.rehearsal,
        temperature: settings.temperature,
        alpha: settings.alpha,
        seed: settings.seed,
    }
}

/// The settings of a run.
///
/// # Errors
///
/// A scope that is none; other ranges are checked when a run is prepared.
pub fn settings(settings: TrainSettings) -> Result<LessonSettings, Stop> {
    Ok(LessonSettings {
        scope: settings.scope.parse().map_err(Stop::failed)?,
        learning_rate: settings.learning_rate,
        steps: settings.steps,
        batch_size: settings.batch_size,
        rehearsal: settings.rehearsal,
        temperature: settings.temperature,
        alpha: settings.alpha,
        seed: settings.seed,
    })
}

/// The lessons of a run.
pub fn lessons(lessons: Vec<protocol::Lesson>) -> Vec<Lesson> {
    let span = |span: protocol::LessonSpan| LessonSpan {
        entity_type: span.entity_type,
        start_byte: span.start_byte,
        end_byte: span.end_byte,
    };
    let lesson = |lesson: protocol::Lesson| Lesson {
        text: lesson.text,
        spans: lesson.spans.into_iter().map(span).collect(),
    };
    lessons.into_iter().map(lesson).collect()
}
