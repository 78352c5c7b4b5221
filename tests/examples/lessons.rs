//! Teaches a student natively exactly as a tab does, to look for good settings and to write the golden:
//!
//! ```sh
//! cargo run -p tests --example lessons -- tests/fixtures/models/tiny-student LESSONS.json scope=last:1 steps=20
//! cargo run -p tests --example lessons -- tests/fixtures/models/tiny-student LESSONS.json golden=OUT.json teacher=tests/fixtures/models/tiny-teacher steps=20 scope=all
//! ```
//!
//! `LESSONS.json` is `{"lessons": [{"text": "…", "spans": […]}], "text": ["…"]}`; `teacher=FOLDER` labels
//! the text, and `tag=TEXT` is tagged before and after. The other settings are those of `LessonSettings`.

#[path = "../it/lesson_run.rs"]
mod lesson_run;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use lesson_run::{Learned, bundle, teach};
use serde_json::{Value, json};
use understudy_shared::checkpoint::bundle::Bundle;
use understudy_shared::infer::tagger::{TagOptions, tag};
use understudy_shared::train::lesson::LessonSettings;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [student, lessons, options @ ..] = arguments.as_slice() else {
        return Err("expected STUDENT_FOLDER LESSONS.json [key=value …]".into());
    };
    let learned: Learned = serde_json::from_slice(&fs::read(lessons)?)?;
    let mut settings = serde_json::to_value(LessonSettings::default())?;
    let (mut golden, mut teacher, mut texts) = (None, None, vec![]);
    for option in options {
        let (key, value) = option.split_once('=').ok_or("expected key=value")?;
        match key {
            "golden" => golden = Some(value),
            "teacher" => teacher = Some(bundle(Path::new(value))),
            "tag" => texts.push(value.to_owned()),
            _ => {
                let slot = settings.get_mut(key).ok_or("expected a setting's name")?;
                *slot = value.parse().unwrap_or_else(|_| Value::String(value.to_owned()));
            }
        }
    }
    let settings: LessonSettings = serde_json::from_value(settings)?;
    let mut student = bundle(Path::new(student));
    show(&student, &texts)?;
    let start = Instant::now();
    let taught = teach(&student, teacher.as_ref(), &learned, &settings)?;
    let seconds = start.elapsed().as_secs_f64();
    for (step, [loss, hard, soft]) in taught.losses.iter().enumerate() {
        println!("step {}: loss {loss:.5}, hard {hard:.5}, soft {soft:.5}", step + 1);
    }
    for (step, marks) in &taught.marks {
        println!("after {step}: {marks:?}");
    }
    println!("{seconds:.2} s");
    student.model = taught.model;
    show(&student, &texts)?;
    if let Some(path) = golden {
        let losses: Vec<f64> = taught.losses.iter().map(|losses| losses[0]).collect();
        let value = json!({
            "made_by": "cargo run -p tests --example lessons -- tests/fixtures/models/tiny-student THIS golden=THIS",
            "tolerance": 1e-4,
            "why": "sums of f32 in another order: a browser's matrix products are others",
            "settings": settings,
            "lessons": learned.lessons,
            "text": learned.text,
            "losses": losses,
        });
        fs::write(path, format!("{value:#}\n"))?;
    }
    Ok(())
}

fn show(student: &Bundle, texts: &[String]) -> Result<(), Box<dyn Error>> {
    let tagged = pollster::block_on(tag(student, texts, TagOptions::default()))?;
    for (text, entities) in texts.iter().zip(tagged) {
        let found: Vec<String> = entities
            .iter()
            .map(|entity| {
                format!("{} {}", entity.entity_type, &text[entity.start_byte..entity.end_byte])
            })
            .collect();
        println!("{text} -> {}", found.join(", "));
    }
    Ok(())
}
