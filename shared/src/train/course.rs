//! All that a short run needs, prepared from lessons, text and rehearsal: the source of its examples and
//! the exams it is measured by. The same natively and in a browser, which pauses on the way.

use super::exam::{Exam, logits};
use super::lesson::{Lesson, LessonError, LessonSettings, labelled_texts};
use super::lesson_source::{LessonSource, Part};
use crate::checkpoint::bundle::Bundle;
use crate::data::batch::{BatchBudget, sorted_batches};
use crate::data::example::{Example, ExampleError, ExampleOptions, unlabelled_examples};
use crate::infer::chunk;
use crate::infer::states::KeptStates;
use crate::infer::teacher::TeacherLogits;
use crate::model::TokenClassifier;

/// Lessons that are asked in the exam, the first ones.
const NEW_SENTENCES: usize = 32;
/// Sentences that were never learned from and are asked in an exam, of the rehearsal and of the text.
const HELD_OUT_SENTENCES: usize = 48;
/// Of so many sentences of the text one is held out.
const HELD_OUT_EVERY: usize = 5;
/// Values of kept states, at most: 64 MB. Longer texts are run through all layers each time.
const MOST_STATES: usize = 16 << 20;

/// What is learned from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Material<'a> {
    /// Texts with their entities.
    pub lessons: &'a [Lesson],
    /// Sentences that a teacher labels; every fifth is held out.
    pub text: &'a [String],
    /// Sentences of what the student knew; every second is held out.
    pub rehearsal: &'a [String],
}

/// Who labels the text.
#[derive(Clone, Copy, Debug)]
pub enum Teaching<'a> {
    /// Nobody: there is no text.
    Nobody,
    /// A model on a plain device, with the student's vocabulary and labels.
    Teacher(&'a TokenClassifier),
    /// A teacher did, and [`Course::taught`] gave these bytes.
    Known(&'a [u8]),
}

/// What a pause is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The former student tags what is rehearsed.
    Rehearse,
    /// The teacher labels the text.
    Label,
}

/// Scores between 0 and 1, where there is something to score.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Marks {
    /// Entity F1 on the lessons.
    pub new: Option<f64>,
    /// Agreement with the teacher on the held-out text.
    pub teacher: Option<f64>,
    /// Agreement with the former student on the held-out rehearsal.
    pub kept: Option<f64>,
}

/// A run, prepared.
#[derive(Clone, Debug)]
pub struct Course {
    /// The training examples.
    pub source: LessonSource,
    new: Option<Exam>,
    teacher: Option<Exam>,
    kept: Option<Exam>,
    /// Examples whose teacher's logits are kept, and those, where somebody taught.
    taught: Option<(Vec<Example>, TeacherLogits)>,
}

/// Sentences as examples, cut into those to learn from and those held out, each numbered from 0.
struct Split {
    learned: Vec<Example>,
    held_out: Vec<Example>,
}

impl Split {
    fn new(texts: &[String], every: usize, student: &Bundle) -> Result<Self, LessonError> {
        let options = options(student);
        let of = |chosen: Vec<String>| {
            let examples = unlabelled_examples(&chosen, &student.tokenizer, &options);
            examples.map_err(|error| match error {
                ExampleError::Tokenize(error) => LessonError::Tokenize(error),
                ExampleError::UnknownTag { .. } => unreachable!("there are no tags"),
            })
        };
        let is_held_out = |index: usize| index % every == every - 1;
        let part = |held_out: bool| {
            let chosen =
                texts.iter().enumerate().filter(|(index, _)| is_held_out(*index) == held_out);
            let chosen =
                chosen.map(|(_, text)| text.clone()).filter(|text| !text.trim().is_empty());
            chosen.take(if held_out { HELD_OUT_SENTENCES } else { usize::MAX }).collect::<Vec<_>>()
        };
        Ok(Self { learned: of(part(false))?, held_out: of(part(true))? })
    }
}

fn options(student: &Bundle) -> ExampleOptions {
    ExampleOptions::for_model(student.config.max_position_embeddings)
}

impl Course {
    /// Prepares a run of `student`, on a plain device: what it was before it ever learned. `current` is
    /// what it is now, where that is something else. `pause` is awaited between portions with what is
    /// done, how much of it, and of how much.
    ///
    /// # Errors
    ///
    /// Settings or lessons that do not fit, nothing to learn from, or whatever `pause` says.
    pub async fn prepare<E: From<LessonError>>(
        student: &Bundle,
        current: Option<&TokenClassifier>,
        teaching: Teaching<'_>,
        material: Material<'_>,
        settings: &LessonSettings,
        pause: &mut impl AsyncFnMut(Work, usize, usize) -> Result<(), E>,
    ) -> Result<Self, E> {
        settings.check()?;
        let Bundle { tokenizer, labels, config, .. } = student;
        let lessons = labelled_texts(material.lessons, tokenizer, labels, &options(student))?;
        let text = if matches!(teaching, Teaching::Nobody) { &[] } else { material.text };
        let text = Split::new(text, HELD_OUT_EVERY, student)?;
        let rehearsal = Split::new(material.rehearsal, 2, student)?;
        if lessons.is_empty() && text.learned.is_empty() {
            return Err(LessonError::Empty.into());
        }
        if !lessons.is_empty() && settings.alpha == 1.0 {
            let expected = "less than 1, for lessons are learned by the hard loss";
            let found = settings.alpha;
            return Err(LessonError::Setting { setting: "alpha", found, expected }.into());
        }
        let asked = &lessons[..lessons.len().min(NEW_SENTENCES)];
        let examples = asked.iter().flat_map(|text| text.examples.clone()).collect();
        let tags = asked.iter().map(|text| text.tags.clone()).collect();
        let new = (!lessons.is_empty()).then(|| Exam::new(examples, tags));
        let lessons = lessons.into_iter().flat_map(|text| text.examples).collect();
        let (taught, rehearsed) = (text.learned, rehearsal.learned);
        let source = LessonSource::new(lessons, taught, rehearsed, labels.len(), settings);
        let mut course = Self { source, new, teacher: None, kept: None, taught: None };
        let model = current.unwrap_or(&student.model);
        let frozen = settings.scope.frozen_layers(config.num_hidden_layers);
        let pad = config.pad_token_id;
        let held_out = rehearsal.held_out;
        let mut pause_here = async |done, total| pause(Work::Rehearse, done, total).await;
        course.keep_states(model, frozen, pad, &mut pause_here).await?;
        // States are those of the model that learns; as long as that is the former one, they are its too.
        let is_former = current.is_none();
        let used = course.source.used(Part::Rehearsed);
        let chosen = course.examples(&used);
        let states =
            course.source.states().filter(|_| is_former).map(|states| states.select(&used));
        let (former, states) = (&student.model, states.as_ref());
        for (index, values) in
            used.iter().zip(logits(former, &chosen, states, pad, &mut pause_here).await?)
        {
            course.source.set_logits(*index, &values);
        }
        if !held_out.is_empty() {
            let values = logits(former, &held_out, None, pad, &mut pause_here).await?;
            let exam = Exam::of_logits(held_out, &values, labels);
            course.kept =
                Some(course.with_states(exam, model, frozen, pad, &mut pause_here).await?);
        }
        if let Some(exam) = course.new.take() {
            course.new = Some(course.with_states(exam, model, frozen, pad, &mut pause_here).await?);
        }
        let mut pause_here = async |done, total| pause(Work::Label, done, total).await;
        course.label(teaching, text.held_out, student, &mut pause_here).await?;
        if let Some(exam) = course.teacher.take() {
            course.teacher =
                Some(course.with_states(exam, model, frozen, pad, &mut pause_here).await?);
        }
        Ok(course)
    }

    fn examples(&self, indices: &[usize]) -> Vec<Example> {
        indices.iter().map(|index| self.source.examples()[*index].clone()).collect()
    }

    /// Keeps what the frozen layers make of all training examples that are used.
    async fn keep_states<E>(
        &mut self,
        model: &TokenClassifier,
        frozen: usize,
        pad: u32,
        pause: &mut impl AsyncFnMut(usize, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let parts = [Part::Lesson, Part::Taught, Part::Rehearsed];
        let used: Vec<usize> = parts.into_iter().flat_map(|part| self.source.used(part)).collect();
        let examples = self.source.examples();
        if let Some(states) = states_of(model, examples, &used, frozen, pad, pause).await? {
            self.source.set_states(states);
        }
        Ok(())
    }

    async fn with_states<E>(
        &self,
        exam: Exam,
        model: &TokenClassifier,
        frozen: usize,
        pad: u32,
        pause: &mut impl AsyncFnMut(usize, usize) -> Result<(), E>,
    ) -> Result<Exam, E> {
        let all: Vec<usize> = (0..exam.examples().len()).collect();
        let states = states_of(model, exam.examples(), &all, frozen, pad, pause).await?;
        Ok(exam.with_states(states))
    }

    /// Has the text labelled that is learned from and that is held out.
    async fn label<E: From<LessonError>>(
        &mut self,
        teaching: Teaching<'_>,
        held_out: Vec<Example>,
        student: &Bundle,
        pause: &mut impl AsyncFnMut(usize, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let used = self.source.used(Part::Taught);
        let mut examples = self.examples(&used);
        examples.extend(held_out.iter().cloned());
        let num_labels = student.labels.len();
        let mut taught = TeacherLogits::zeros(&examples, num_labels);
        match teaching {
            Teaching::Nobody => return Ok(()),
            Teaching::Known(bytes) => {
                taught =
                    chunk::from_bytes(bytes, &examples, num_labels).map_err(LessonError::Taught)?;
            }
            Teaching::Teacher(teacher) => {
                let values = logits(teacher, &examples, None, student.config.pad_token_id, pause);
                for (index, values) in values.await?.iter().enumerate() {
                    taught.set(index, values);
                }
            }
        }
        for (place, index) in used.iter().enumerate() {
            self.source.set_logits(*index, &taught.of(place));
        }
        if !held_out.is_empty() {
            let values: Vec<Vec<f32>> =
                (used.len()..examples.len()).map(|i| taught.of(i)).collect();
            self.teacher = Some(Exam::of_logits(held_out, &values, &student.labels));
        }
        self.taught = Some((examples, taught));
        Ok(())
    }

    /// What the teacher said of the text, to be kept with a run's checkpoint: with no sentence in it where
    /// none is used, none where there was no teacher.
    pub fn taught(&self) -> Option<Vec<u8>> {
        self.taught.as_ref().map(|(examples, logits)| chunk::to_bytes(examples, logits))
    }

    /// Whether the run is measured after so many steps of all: before the first, every ten, and after the
    /// last.
    pub fn is_measured(step: usize, steps: usize) -> bool {
        step.is_multiple_of(10) || step == steps
    }

    /// Measures a model on a plain device. `pause` is awaited between portions.
    ///
    /// # Errors
    ///
    /// Whatever `pause` says.
    pub async fn measure<E>(
        &self,
        model: &TokenClassifier,
        student: &Bundle,
        pause: &mut impl AsyncFnMut(usize, usize) -> Result<(), E>,
    ) -> Result<Marks, E> {
        let mut marks = [None; 3];
        for (mark, exam) in marks.iter_mut().zip([&self.new, &self.teacher, &self.kept]) {
            if let Some(exam) = exam {
                let logits = exam.logits(model, student.config.pad_token_id, pause).await?;
                *mark = Some(exam.score(&logits, &student.labels));
            }
        }
        let [new, teacher, kept] = marks;
        Ok(Marks { new, teacher, kept })
    }
}

/// What the frozen lowest layers make of some examples; none where no layer is frozen, or where they
/// would take too much memory.
async fn states_of<E>(
    model: &TokenClassifier,
    examples: &[Example],
    indices: &[usize],
    frozen: usize,
    pad: u32,
    pause: &mut impl AsyncFnMut(usize, usize) -> Result<(), E>,
) -> Result<Option<KeptStates>, E> {
    let lengths: Vec<u32> =
        indices.iter().map(|index| examples[*index].input_ids.len() as u32).collect();
    let subwords: usize = lengths.iter().map(|len| *len as usize).sum();
    let width = model.hidden_size();
    if frozen == 0 || subwords * width > MOST_STATES {
        return Ok(None);
    }
    let mut states = KeptStates::new(frozen, width, examples.len());
    let mut done = 0;
    for portion in sorted_batches(&lengths, BatchBudget::Subwords(super::exam::PORTION)) {
        pause(done, indices.len()).await?;
        done += portion.len();
        let portion: Vec<usize> = portion.into_iter().map(|place| indices[place]).collect();
        states.compute(model, examples, &portion, pad).await;
    }
    Ok(Some(states))
}
