//! A data set of the hub, as Parquet files: written here, read by the program.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::hub::{hub_command, json_of};
use super::mirror::Mirror;
use super::{SMALL_STUDENT, tiny};

const DATA: &str = "datasets/owner/sentences";

/// Words and tags of the first sentences of a split of the tiny corpus.
fn sentences(split: &str, count: usize) -> Vec<Vec<(String, String)>> {
    let text = fs::read_to_string(tiny().join(format!("{split}.txt"))).expect("a split");
    let blocks = text.split("\n\n").map(|block| {
        let lines = block.lines().filter(|line| !line.trim().is_empty());
        let words = lines.map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            (columns[0].to_owned(), columns[columns.len() - 1].to_owned())
        });
        words.collect::<Vec<_>>()
    });
    blocks.filter(|words| !words.is_empty()).take(count).collect()
}

/// CoNLL-2003's tags in an order that is not ours.
const TAGS: [&str; 9] =
    ["B-LOC", "I-LOC", "O", "B-MISC", "I-MISC", "B-ORG", "I-ORG", "B-PER", "I-PER"];

/// A Parquet file as the `datasets` library writes it: words, tags as numbers, and, with `named`, what
/// the numbers mean.
fn parquet(sentences: &[Vec<(String, String)>], named: bool) -> Vec<u8> {
    let schema = "message schema {
        optional binary id (UTF8);
        optional group tokens (LIST) { repeated group list { optional binary element (UTF8); } }
        optional group ner_tags (LIST) { repeated group list { optional int64 element; } }
    }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let feature = json!({ "feature": { "names": TAGS, "_type": "ClassLabel" }, "_type": "List" });
    let features = json!({ "info": { "features": { "ner_tags": feature } } }).to_string();
    let metadata = named.then(|| vec![KeyValue::new("huggingface".to_owned(), features)]);
    let properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .set_key_value_metadata(metadata)
        .build();
    let mut bytes = Vec::new();
    let mut file =
        SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).expect("a file");
    let mut group = file.next_row_group().expect("a group");
    let rows = sentences.len();
    let ids: Vec<ByteArray> =
        (0..rows).map(|id| ByteArray::from(id.to_string().as_str())).collect();
    let mut column = group.next_column().expect("ids").expect("ids");
    column.typed::<ByteArrayType>().write_batch(&ids, Some(&vec![1; rows]), None).expect("written");
    column.close().expect("closed");
    // A list's first element begins a row.
    let lens: Vec<usize> = sentences.iter().map(Vec::len).collect();
    let repeated: Vec<i16> =
        lens.iter().flat_map(|len| (0..*len).map(|index| i16::from(index > 0))).collect();
    let defined = vec![3; repeated.len()];
    let words = sentences.iter().flatten();
    let tokens: Vec<ByteArray> = words.clone().map(|(word, _)| word.as_str().into()).collect();
    let mut column = group.next_column().expect("tokens").expect("tokens");
    let written =
        column.typed::<ByteArrayType>().write_batch(&tokens, Some(&defined), Some(&repeated));
    written.expect("written");
    column.close().expect("closed");
    let place = |tag: &str| TAGS.iter().position(|known| *known == tag).expect("a tag") as i64;
    let tags: Vec<i64> = words.map(|(_, tag)| place(tag)).collect();
    let mut column = group.next_column().expect("tags").expect("tags");
    column
        .typed::<Int64Type>()
        .write_batch(&tags, Some(&defined), Some(&repeated))
        .expect("written");
    column.close().expect("closed");
    group.close().expect("closed");
    file.close().expect("closed");
    bytes
}

pub fn put_data(mirror: &Mirror) -> String {
    let file = |split, count| parquet(&sentences(split, count), true);
    mirror.put(
        DATA,
        &[
            ("README.md", b"# Sentences\n".to_vec()),
            ("data/train-00000-of-00002.parquet", file("train", 40)),
            ("data/train-00001-of-00002.parquet", file("valid", 20)),
            ("data/validation-00000-of-00001.parquet", file("valid", 30)),
            ("data/test-00000-of-00001.parquet", file("test", 60)),
        ],
    )
}

/// The test sentences as a file of columns.
pub fn write_test(dir: &Path) {
    let blocks = sentences("test", 60).into_iter().map(|words| {
        words.into_iter().map(|(word, tag)| format!("{word} {tag}\n")).collect::<String>()
    });
    fs::write(dir.join("test.txt"), blocks.collect::<Vec<_>>().join("\n")).expect("written");
}

#[test]
fn parquet_in_a_folder_and_names_on_its_page() {
    let (dir, mirror) = (tempdir().expect("a folder"), Mirror::start());
    let dir = dir.path();
    fs::create_dir_all(dir.join("set/test")).expect("a folder");
    fs::write(dir.join("set/test/0000.parquet"), parquet(&sentences("test", 60), false))
        .expect("written");
    let evaluate = "evaluate --model {tiny}/teacher --data {dir}/set";
    let output = hub_command(dir, &mirror, evaluate).output().expect("it runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains("0000.parquet: row 1: the tags are numbers, and neither"),
        "{message}"
    );
    let names = TAGS.iter().enumerate().map(|(id, tag)| format!("          '{id}': {tag}\n"));
    let page = format!(
        "---\ndataset_info:\n  features:\n  - name: ner_tags\n    sequence:\n      class_label:\n        \
         names:\n{}---\n# Page\n",
        names.collect::<String>()
    );
    fs::write(dir.join("set/README.md"), page).expect("written");
    write_test(dir);
    let want = json_of(dir, &mirror, "evaluate --model {tiny}/teacher --data {dir}/test.txt");
    assert_eq!(json_of(dir, &mirror, evaluate)["word"], want["word"]);
    let message =
        hub_command(dir, &mirror, &format!("{evaluate} --split train")).output().expect("it runs");
    let message = String::from_utf8_lossy(&message.stderr).into_owned();
    assert!(message.contains("no train file; expected train.txt, .conll or .jsonl"), "{message}");
    // What a run learns depends on the page too, so it is one of the run's files.
    for (split, folder) in [("train", "set/train"), ("valid", "set/validation")] {
        fs::create_dir_all(dir.join(folder)).expect("a folder");
        let bytes = parquet(&sentences(split, 20), false);
        fs::write(dir.join(folder).join("0000.parquet"), bytes).expect("written");
    }
    let distil = format!(
        "distill --teacher {{tiny}}/teacher --data {{dir}}/set --cache {{dir}}/cache --out {{dir}}/run \
         {SMALL_STUDENT}"
    );
    json_of(dir, &mirror, &distil);
    let run = fs::read(dir.join("run/run.json")).expect("a snapshot");
    let run: Value = serde_json::from_slice(&run).expect("JSON");
    let page = dir.join("set/README.md");
    assert_eq!(run["files"][3]["path"], page.display().to_string(), "{run}");
    let text = fs::read_to_string(&page).expect("a page");
    fs::write(
        &page,
        text.replace("B-LOC", "B-X").replace("B-PER", "B-LOC").replace("B-X", "B-PER"),
    )
    .expect("written");
    let message =
        hub_command(dir, &mirror, &format!("{distil} --resume")).output().expect("it runs");
    let message = String::from_utf8_lossy(&message.stderr).into_owned();
    assert!(message.contains("cannot resume") && message.contains("files.3.sha256"), "{message}");
}
