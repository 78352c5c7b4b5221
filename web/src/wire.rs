//! The protocol and the list of models as JSON, for the page, which does without `serde`'s readers
//! ([`crate::json`]).
//!
//! Records and choices are listed once more here; one whose fields do not agree with its definition does not
//! compile, and the tests below compare with what `serde` writes and reads.

use crate::json::{Json, Wire};
use crate::manifest::{FileEntry, Manifest, ModelEntry};
use crate::position::Place;
use crate::protocol::{
    Action, Answer, Backend, Command, Entity, KeptCommand, KeptStudent, Lesson, LessonSpan, Loaded,
    Options, Progress, Request, Response, Role, RunState, ScoreRow, Scored, Stage, Tagged, Token,
    TrainReport, TrainSettings,
};

/// Structs: an object with a value for each field.
macro_rules! record {
    ($name:ident: $($field:ident)*) => {
        impl Wire for $name {
            fn to_json(&self) -> Json {
                Json::object(vec![$((stringify!($field), self.$field.to_json())),*])
            }

            fn from_json(mut json: Json) -> Option<Self> {
                Some(Self { $($field: Wire::from_json(json.take(stringify!($field)))?),* })
            }
        }
    };
}

/// Enums: a name alone, a name with one content, or a name with fields.
macro_rules! choice {
    ($name:ident:
        $($plain:ident $plain_name:literal)*;
        $($one:ident $one_name:literal)*;
        $($many:ident $many_name:literal { $($field:ident)* })*
    ) => {
        impl Wire for $name {
            fn to_json(&self) -> Json {
                match self {
                    $(Self::$plain => Json::Text($plain_name.to_owned()),)*
                    $(Self::$one(content) => {
                        Json::object(vec![($one_name, content.to_json())])
                    })*
                    $(Self::$many { $($field),* } => {
                        let fields = vec![$((stringify!($field), $field.to_json())),*];
                        Json::object(vec![($many_name, Json::object(fields))])
                    })*
                }
            }

            fn from_json(json: Json) -> Option<Self> {
                // A name alone has no content.
                let (name, content) = match json {
                    Json::Text(name) => (name, Json::Null),
                    Json::Object(mut fields) if fields.len() == 1 => fields.pop()?,
                    _ => return None,
                };
                #[allow(unused_mut, reason = "not every enum has variants with fields")]
                let mut content = content;
                match name.as_str() {
                    $($plain_name => matches!(content, Json::Null).then_some(Self::$plain),)*
                    $($one_name => Some(Self::$one(Wire::from_json(content)?)),)*
                    $($many_name => Some(Self::$many {
                        $($field: Wire::from_json(content.take(stringify!($field)))?),*
                    }),)*
                    _ => None,
                }
            }
        }
    };
}

choice!(Role: Teacher "teacher" Student "student" Former "former"; ;);
choice!(Backend: Cpu "cpu" Webgpu "webgpu"; ;);
choice!(Stage: Download "download" Cache "cache" Prepare "prepare" Tag "tag" Rehearse "rehearse"
    Label "label"; ;);
choice!(Action: Pause "pause" Resume "resume" Step "step" Stop "stop"; ;);
choice!(RunState: Running "running" Paused "paused" Finished "finished" Stopped "stopped"
    NotFinite "not_finite" MemoryFull "memory_full"; ;);
choice!(Command:
    Continue "continue" Reset "reset";
    Kept "kept";
    Start "start" { backend }
    Load "load" { role model base }
    LoadFiles "load_files" { role name files }
    Tag "tag" { role text options }
    Score "score" { role file options }
    Measure "measure" { role subwords sentences rounds }
    Train "train" { settings lessons text }
    Control "control" { request action }
    Cancel "cancel" { request }
);
choice!(KeptCommand:
    List "list";
    ;
    Save "save" { name }
    Rename "rename" { id name }
    Delete "delete" { id }
    Load "load" { id }
    Download "download" { id }
);
choice!(Answer:
    Cancelled "cancelled";
    Progress "progress" Loaded "loaded" Tagged "tagged" Scored "scored" Trained "trained" Kept "kept";
    Started "started" { version backend }
    Measured "measured" { millis }
    Files "files" { names }
    Failed "failed" { message can_retry }
    Crashed "crashed" { message }
);
record!(Request: id command);
record!(Response: id answer);
record!(Options: aggregation constrained threshold);
record!(Progress: stage done total);
record!(Loaded: role name parameters size_bytes labels shape from_cache f1 fetch_millis prepare_millis
    warm_up_millis memory_bytes teaching);
record!(Place: start_byte end_byte start_utf16 end_utf16);
record!(Entity: entity_type place score);
record!(Token: start_byte end_byte word label logits);
record!(Tagged: role entities tokens words subwords millis computed memory_bytes);
record!(ScoreRow: name precision recall f1 support);
record!(Scored: role micro per_type sentences millis);
record!(TrainSettings: scope learning_rate steps batch_size rehearsal temperature alpha seed);
record!(Lesson: text spans);
record!(LessonSpan: entity_type start_byte end_byte);
record!(TrainReport: step of state loss new_f1 teacher_f1 kept_f1 millis memory_bytes message);
record!(KeptStudent: id name size_bytes saved_millis unfinished);
record!(Manifest: format models);
record!(ModelEntry: folder role parameters f1 files);
record!(FileEntry: name size sha256);

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::*;

    /// What either way writes, the other reads as the same.
    fn check<T: Wire + Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
        let theirs = serde_json::to_string(&value).expect("plain data");
        let ours = value.to_json().to_line();
        let read = Json::parse(&theirs).ok().and_then(T::from_json);
        assert_eq!(read.as_ref(), Some(&value), "{theirs}");
        assert_eq!(serde_json::from_str::<T>(&ours).ok().as_ref(), Some(&value), "{ours}");
    }

    fn settings() -> TrainSettings {
        TrainSettings {
            scope: "last:2".to_owned(),
            learning_rate: 5e-5,
            steps: 50,
            batch_size: 8,
            rehearsal: 0.5,
            temperature: 2.0,
            alpha: 0.1,
            seed: (1 << 53) - 1,
        }
    }

    fn loaded() -> Loaded {
        Loaded {
            role: Role::Student,
            name: "tiny \"quoted\"".to_owned(),
            parameters: 19_620_489,
            size_bytes: 78_000_000,
            labels: vec!["O".to_owned(), "B-PER".to_owned()],
            shape: [6, 384, 6],
            from_cache: true,
            f1: None,
            fetch_millis: 0.25,
            prepare_millis: 1e-7,
            warm_up_millis: 1234.5,
            memory_bytes: 1 << 33,
            teaching: settings(),
        }
    }

    fn tagged() -> Tagged {
        let place = Place { start_byte: 4, end_byte: 8, start_utf16: 4, end_utf16: 6 };
        let logits = vec![0.1, -1e-8, f32::MIN_POSITIVE, f32::MAX];
        let entity = Entity { entity_type: "PER".to_owned(), place, score: 0.1 };
        Tagged {
            role: Role::Former,
            entities: vec![entity],
            tokens: vec![Token { start_byte: 0, end_byte: 3, word: 0, label: 1, logits }],
            words: vec![(0, 3), (4, 8)],
            subwords: 2,
            millis: 0.1 + 0.2,
            computed: false,
            memory_bytes: 1,
        }
    }

    #[test]
    fn every_command_is_the_same_both_ways() {
        let (id, name) = ("kept-1".to_owned(), "Ada \u{1f600}\n\u{1}".to_owned());
        let span = LessonSpan { entity_type: "PER".to_owned(), start_byte: 0, end_byte: 3 };
        let lessons = vec![Lesson { text: name.clone(), spans: vec![span] }];
        let file = FileEntry { name: "config.json".to_owned(), size: 3, sha256: "ab".to_owned() };
        let model = ModelEntry {
            folder: "tiny".to_owned(),
            role: Role::Teacher,
            parameters: 3,
            f1: Some(0.75),
            files: vec![file],
        };
        let (role, options) = (Role::Student, Options::default());
        let commands = [
            Command::Start { backend: Backend::Webgpu },
            Command::Load { role, model, base: "https://host/models/".to_owned() },
            Command::LoadFiles { role, name: name.clone(), files: vec![name.clone()] },
            Command::Tag { role, text: name.clone(), options: options.clone() },
            Command::Score { role: Role::Former, file: name.clone(), options },
            Command::Measure { role, subwords: 32, sentences: 1, rounds: 7 },
            Command::Train { settings: settings(), lessons, text: String::new() },
            Command::Continue,
            Command::Control { request: 7, action: Action::Step },
            Command::Reset,
            Command::Kept(KeptCommand::List),
            Command::Kept(KeptCommand::Save { name: name.clone() }),
            Command::Kept(KeptCommand::Rename { id: id.clone(), name }),
            Command::Kept(KeptCommand::Delete { id: id.clone() }),
            Command::Kept(KeptCommand::Load { id: id.clone() }),
            Command::Kept(KeptCommand::Download { id }),
            Command::Cancel { request: 6 },
        ];
        commands.into_iter().enumerate().for_each(|(index, command)| {
            check(Request { id: index as u32, command });
        });
    }

    #[test]
    fn every_answer_is_the_same_both_ways() {
        let row =
            ScoreRow { name: "LOC".to_owned(), precision: 0.5, recall: 1.0, f1: 0.1, support: 3 };
        let (micro, per_type) = (row.clone(), vec![row]);
        let role = Role::Teacher;
        let scored = Scored { role, micro, per_type, sentences: 2, millis: 1.5 };
        let message = "what, where".to_owned();
        let kept = KeptStudent {
            id: "1".to_owned(),
            name: "mine".to_owned(),
            size_bytes: 5,
            saved_millis: 1.7e12,
            unfinished: Some((30, 50)),
        };
        let other = KeptStudent { unfinished: None, ..kept.clone() };
        let answers = [
            Answer::Started { version: 3, backend: Backend::Cpu },
            Answer::Loaded(Box::new(loaded())),
            Answer::Tagged(Box::new(tagged())),
            Answer::Scored(Box::new(scored)),
            Answer::Measured { millis: vec![1.0, 2.5] },
            Answer::Kept(vec![kept, other]),
            Answer::Files { names: vec!["config.json".to_owned()] },
            Answer::Cancelled,
            Answer::Failed { message: message.clone(), can_retry: true },
            Answer::Crashed { message },
        ];
        answers.into_iter().for_each(|answer| check(Response { id: 1, answer }));
    }

    #[test]
    fn every_stage_and_state_is_the_same_both_ways() {
        use Stage::{Cache, Download, Label, Prepare, Rehearse, Tag};
        for stage in [Download, Cache, Prepare, Tag, Rehearse, Label] {
            check(Answer::Progress(Progress { stage, done: 1, total: 1 << 40 }));
        }
        use RunState::{Finished, MemoryFull, NotFinite, Paused, Running, Stopped};
        for (step, state) in
            [Running, Paused, Finished, Stopped, NotFinite, MemoryFull].into_iter().enumerate()
        {
            check(Answer::Trained(Box::new(TrainReport {
                step,
                of: 50,
                state,
                loss: Some(1.5e-9),
                new_f1: None,
                teacher_f1: None,
                kept_f1: Some(1.0),
                millis: 12.0,
                memory_bytes: 7,
                message: Some("a loss was no number".to_owned()),
            })));
        }
        for action in [Action::Pause, Action::Resume, Action::Step, Action::Stop] {
            check(action);
        }
    }

    #[test]
    fn what_is_of_another_form_is_refused() {
        for text in [
            "{}",
            r#"{"id": 1}"#,
            r#"{"id": 1, "answer": "done"}"#,
            r#"{"id": 1, "answer": "loaded"}"#,
            r#"{"id": 1, "answer": {"cancelled": 1}}"#,
            r#"{"id": 1, "answer": {"measured": {"millis": ["1"]}}}"#,
            r#"{"id": 1, "answer": {"kept": []}, "answer": 2}"#,
            "[]",
        ] {
            let json = Json::parse(text).expect("JSON");
            let is_read = Response::from_json(json).is_some();
            assert_eq!(is_read, text.contains("answer\": 2"), "{text}");
        }
    }
}
