//! Parquet files of labelled sentences, as the hub's data sets have them: a column of words and a
//! column of tags, which are names, or numbers whose names stand in the file or on the data set's page.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use parquet::basic::CompressionCodec;
use parquet::data_type::AsBytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;
use serde_json::Value;
use understudy_shared::data::conll::{Sentence, to_bio};
use understudy_shared::data::tag::Tag;

/// What the columns are called, the usual name first.
const WORDS: [&str; 2] = ["tokens", "words"];
const TAGS: [&str; 3] = ["ner_tags", "tags", "labels"];
/// Where the `datasets` library keeps the types of the columns.
const FEATURES: &str = "huggingface";

/// Reads every row as a sentence; rows without words are skipped, IOB1 becomes BIO.
///
/// `page` is the data set's `README.md`, which is asked for names that the file does not have; returns
/// whether it had them.
///
/// # Errors
///
/// Bytes that are no Parquet, other columns, and the first row that is no sentence.
pub fn read_parquet(bytes: Bytes, page: Option<&str>) -> Result<(Vec<Sentence>, bool)> {
    let reader = SerializedFileReader::new(bytes).context("expected a whole Parquet file")?;
    for column in reader.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        check_codec(column.compression_codec())?;
    }
    let schema = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
    let columns = schema.get_fields();
    let column = |names: &[&str]| {
        let found =
            names.iter().find_map(|name| columns.iter().find(|column| column.name() == *name));
        found.cloned().with_context(|| {
            let all: Vec<&str> = columns.iter().map(|column| column.name()).collect();
            format!("columns {}; expected one of {}", all.join(", "), names.join(" / "))
        })
    };
    let (words, tags) = (column(&WORDS)?, column(&TAGS)?);
    let of_file = class_names(&reader, tags.name());
    let page = page.filter(|_| of_file.is_none());
    let of_page = page.and_then(|page| page_names(page, tags.name()));
    let is_of_page = of_page.is_some();
    let names = of_file.or(of_page);
    let tags_name = tags.name().to_owned();
    let wanted = Type::group_type_builder(schema.name())
        .with_fields(vec![Arc::clone(&words), Arc::clone(&tags)]);
    let rows = reader.get_row_iter(Some(wanted.build()?))?;
    let mut sentences = Vec::new();
    for (index, row) in rows.enumerate() {
        let row = row.map_err(|error| anyhow!("{error}; expected a whole Parquet file"));
        let sentence = row.and_then(|row| {
            let mut fields = row.into_columns();
            // In the order of the file, not of the projection.
            fields.sort_by_key(|(name, _)| *name == tags_name);
            sentence(&fields, names.as_deref())
        });
        let sentence = sentence.with_context(|| format!("row {}", index + 1))?;
        sentences.extend(Some(sentence).filter(|sentence| !sentence.tokens.is_empty()));
    }
    ensure!(!sentences.is_empty(), "no sentence found; expected rows of words and tags");
    Ok((sentences, is_of_page))
}

/// The others would need a library each.
fn check_codec(codec: CompressionCodec) -> Result<()> {
    ensure!(
        matches!(codec, CompressionCodec::UNCOMPRESSED | CompressionCodec::SNAPPY),
        "compressed with {codec:?}; expected Snappy, which is what `datasets` writes, or nothing: write \
         the file again with compression=\"snappy\", or as .jsonl"
    );
    Ok(())
}

fn sentence(fields: &[(String, Field)], names: Option<&[String]>) -> Result<Sentence> {
    let [(_, words), (_, tags)] = fields else { bail!("expected two columns") };
    let tokens = list(words)?.iter().map(text).collect::<Result<Vec<_>>>()?;
    let tags = list(tags)?.iter().map(|tag| tag_name(tag, names));
    let mut tags = tags.collect::<Result<Vec<_>>>()?;
    ensure!(
        tokens.len() == tags.len(),
        "{} tokens but {} tags: expected one tag for each token",
        tokens.len(),
        tags.len()
    );
    if let Some(index) = tokens.iter().position(|token| token.trim().is_empty()) {
        bail!("token {index} is blank: expected at least one visible character");
    }
    for tag in &tags {
        Tag::parse(tag)?;
    }
    to_bio(&mut tags);
    Ok(Sentence { tokens, tags })
}

fn list(field: &Field) -> Result<&[Field]> {
    match field {
        Field::ListInternal(list) => Ok(list.elements()),
        Field::Null => Ok(&[]),
        other => bail!("found {other}; expected a list"),
    }
}

fn text(field: &Field) -> Result<String> {
    match field {
        Field::Str(text) => Ok(text.clone()),
        Field::Bytes(bytes) => {
            Ok(String::from_utf8(bytes.as_bytes().to_vec()).context("expected text in UTF-8")?)
        }
        other => bail!("found {other}; expected a text"),
    }
}

/// A tag that is a name, or a number with a name.
fn tag_name(field: &Field, names: Option<&[String]>) -> Result<String> {
    let id = match field {
        Field::Str(_) | Field::Bytes(_) => return text(field),
        Field::Byte(id) => i64::from(*id),
        Field::Short(id) => i64::from(*id),
        Field::Int(id) => i64::from(*id),
        Field::Long(id) => *id,
        Field::UByte(id) => i64::from(*id),
        Field::UShort(id) => i64::from(*id),
        Field::UInt(id) => i64::from(*id),
        other => bail!("found {other}; expected the name or the number of a tag"),
    };
    let names = names.context(
        "the tags are numbers, and neither the file nor README.md names them; expected a ClassLabel \
         with names",
    )?;
    let name = usize::try_from(id).ok().and_then(|id| names.get(id));
    name.cloned().with_context(|| format!("tag {id}; expected a number below {}", names.len()))
}

/// The names of a column's classes, from what `datasets` wrote into the file.
fn class_names(reader: &SerializedFileReader<Bytes>, column: &str) -> Option<Vec<String>> {
    let pairs = reader.metadata().file_metadata().key_value_metadata()?;
    let features = pairs.iter().find(|pair| pair.key == FEATURES)?.value.as_ref()?;
    let features: Value = serde_json::from_str(features).ok()?;
    names_in(&features["info"]["features"][column])
}

/// The first list called `names`, however deep: sequences were written in three ways by now.
fn names_in(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Object(object) => match object.get("names").and_then(Value::as_array) {
            Some(names) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
            None => object.values().find_map(names_in),
        },
        Value::Array(items) => items.iter().find_map(names_in),
        _ => None,
    }
}

/// The names of a column's classes, from the head of the data set's page. It is YAML, of which this
/// reads what `datasets` writes:
///
/// ```text
///   - name: ner_tags
///     sequence:
///       class_label:
///         names:
///           '0': O
/// ```
fn page_names(page: &str, column: &str) -> Option<Vec<String>> {
    let head = page.strip_prefix("---")?.split("\n---").next()?;
    let indent = |line: &str| line.len() - line.trim_start().len();
    let wanted = format!("- name: {column}");
    let mut lines = head.lines().skip_while(|line| line.trim_end().trim_start() != wanted);
    let depth = indent(lines.next()?);
    let mut names = Vec::new();
    for line in lines.take_while(|line| indent(line) > depth) {
        let Some((key, name)) = line.trim().split_once(": ") else { continue };
        let unquoted = |text: &str| text.trim().trim_matches(['\'', '"']).to_owned();
        if unquoted(key).parse() == Ok(names.len()) {
            names.push(unquoted(name));
        }
    }
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_all_three_forms() {
        let class = serde_json::json!({ "names": ["O", "B-A"], "_type": "ClassLabel" });
        for feature in [
            serde_json::json!({ "feature": class, "_type": "Sequence" }),
            serde_json::json!({ "_type": "List", "feature": class, "length": -1 }),
            serde_json::json!([class]),
        ] {
            assert_eq!(names_in(&feature), Some(vec!["O".to_owned(), "B-A".to_owned()]));
        }
        assert_eq!(names_in(&serde_json::json!({ "dtype": "int64" })), None);
    }

    #[test]
    fn names_are_found_on_the_page() {
        let page = "---\ndataset_info:\n  features:\n  - name: pos_tags\n    sequence:\n      class_label:\n\
                    \x20       names:\n          '0': NN\n  - name: ner_tags\n    sequence:\n      class_label:\n\
                    \x20       names:\n          '0': O\n          '1': B-PER\n          \"2\": I-PER\n  splits:\n\
                    \x20 - name: train\n    num_bytes: 3\n---\n# A data set\n";
        assert_eq!(page_names(page, "ner_tags").expect("names"), ["O", "B-PER", "I-PER"]);
        assert_eq!(page_names(page, "pos_tags").expect("names"), ["NN"]);
        assert_eq!(page_names(page, "tags"), None);
        assert_eq!(page_names("# No head", "ner_tags"), None);
    }

    #[test]
    fn compressions_that_are_not_read_are_told() {
        assert!(check_codec(CompressionCodec::UNCOMPRESSED).is_ok());
        assert!(check_codec(CompressionCodec::SNAPPY).is_ok());
        let error = check_codec(CompressionCodec::ZSTD).expect_err("not read").to_string();
        assert!(error.starts_with("compressed with ZSTD; expected Snappy"), "{error}");
    }

    #[test]
    fn numbers_without_a_name_are_told() {
        let name = |id, names: &[String]| tag_name(&Field::Long(id), Some(names));
        let names = ["O", "B-A"].map(str::to_owned);
        assert_eq!(name(1, &names).expect("a name"), "B-A");
        for (id, names) in [(2, &names[..]), (-1, &names[..]), (0, &[])] {
            let error = name(id, names).expect_err("no name").to_string();
            assert_eq!(error, format!("tag {id}; expected a number below {}", names.len()));
        }
    }

    #[test]
    fn bytes_that_are_no_parquet_are_told() {
        let error = read_parquet(Bytes::from_static(b"PAR1 or not"), None).expect_err("no Parquet");
        assert!(format!("{error:#}").contains("expected a whole Parquet file"), "{error:#}");
    }
}
