//! A student taught natively as a tab teaches it: one function, for the golden, for tests, and for the
//! example that looks for good settings.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use understudy_shared::checkpoint::bundle::{Bundle, BundleFiles};
use understudy_shared::data::text::read_text;
use understudy_shared::model::TokenClassifier;
use understudy_shared::train::adamw::{AdamW, Placement};
use understudy_shared::train::course::{Course, Marks, Material, Teaching, Work};
use understudy_shared::train::fit::{Control, Event, Task, fit_with_pauses};
use understudy_shared::train::lesson::{Lesson, LessonError, LessonSettings, sentences};
use understudy_shared::train::scope::merged;
use understudy_shared::train::state::{Progress, TrainState};
use understudy_shared::train::trainee::Trainee;

/// What a run learns from, as a golden keeps it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Learned {
    /// Texts with their entities.
    pub lessons: Vec<Lesson>,
    /// Text that the teacher labels, line by line.
    #[serde(default)]
    pub text: Vec<String>,
}

/// What a run told.
#[derive(Debug)]
pub struct Taught {
    /// Loss, hard and soft part of each step.
    pub losses: Vec<[f64; 3]>,
    /// Scores with the step they were taken after.
    pub marks: Vec<(usize, Marks)>,
    /// The student afterwards.
    pub model: TokenClassifier,
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("in the repository").to_owned()
}

/// Reads a bundle.
pub fn bundle(folder: &Path) -> Bundle {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let (config, tokenizer, weights) =
        (read("config.json"), read("tokenizer.json"), read("model.safetensors"));
    let files = BundleFiles { config: &config, tokenizer: &tokenizer, weights: &weights };
    let mut bundle = Bundle::load(&files, &Device::flex()).expect("a bundle");
    bundle.model = bundle.model.on_host();
    bundle
}

/// The sentences that the page rehearses with a student; for a toy those of its invented language.
pub fn rehearsal(student: &Bundle) -> Vec<String> {
    let is_toy = student.config.vocab_size < 2_000;
    let toys = "tests/fixtures/tiny/unlabelled.txt";
    let name = if is_toy { toys } else { "web/static/rehearsal.txt" };
    let bytes = fs::read(root().join(name)).expect("a file");
    read_text(&bytes).expect("plain text")
}

/// Teaches a student.
pub fn teach(
    student: &Bundle,
    teacher: Option<&Bundle>,
    learned: &Learned,
    settings: &LessonSettings,
) -> Result<Taught, LessonError> {
    pollster::block_on(teach_async(student, teacher, learned, settings))
}

async fn teach_async(
    student: &Bundle,
    teacher: Option<&Bundle>,
    learned: &Learned,
    settings: &LessonSettings,
) -> Result<Taught, LessonError> {
    let rehearsal = rehearsal(student);
    // As a worker does with the text it is given.
    let text = sentences(&learned.text.join("\n"));
    let material = Material { lessons: &learned.lessons, text: &text, rehearsal: &rehearsal };
    let teaching = teacher.map_or(Teaching::Nobody, |teacher| Teaching::Teacher(&teacher.model));
    let mut pause = async |_: Work, _, _| Ok::<_, LessonError>(());
    let course = Course::prepare(student, None, teaching, material, settings, &mut pause).await?;
    let config = settings.train_config();
    let model = student.model.clone().train().without_dropout();
    let mut state = TrainState {
        model: Trainee::new(settings.scope.apply(model, settings.seed)),
        optimizer: AdamW::new(config.optimizer, Placement::Host),
        progress: Progress::default(),
    };
    let task = Task {
        train: &course.source,
        teacher: None,
        dev: None,
        labels: &student.labels,
        pad_token_id: student.config.pad_token_id,
        mask_token_id: student.tokenizer.mask_id(),
    };
    let (mut losses, mut marks) = (vec![], vec![]);
    let mut never = async |_, _| Ok::<_, Infallible>(());
    let first = course.measure(&student.model, student, &mut never).await;
    marks.push((0, first.expect("nothing stops it")));
    let observe = async |event: Event<'_>, trainee: &Trainee| -> Result<_, Infallible> {
        if let Event::Step(record) = event {
            losses.push([record.loss, record.hard_loss, record.soft_loss.unwrap_or(0.0)]);
            if Course::is_measured(record.step, settings.steps) {
                let model = merged(&trainee.classifier);
                marks.push((record.step, course.measure(&model, student, &mut never).await?));
            }
        }
        Ok(Control::Continue)
    };
    fit_with_pauses(&mut state, &task, &config, observe).await.expect("finite losses");
    Ok(Taught { losses, marks, model: merged(&state.model.classifier) })
}
