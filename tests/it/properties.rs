//! What holds for all inputs: losses, tags and spans, alignment, windows, stored logits. Sentences
//! are made of words of the tiny corpus and cut by its tokenizer.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use std::sync::LazyLock;
use understudy_shared::data::align::Continuation;
use understudy_shared::data::batch::{Batch, BatchCounts, counts};
use understudy_shared::data::conll::Sentence;
use understudy_shared::data::example::{
    Example, ExampleOptions, labelled_examples, unlabelled_examples,
};
use understudy_shared::data::label::LabelSet;
use understudy_shared::data::span::{Mode, spans, tags_of};
use understudy_shared::data::tokenize::SubwordTokenizer;
use understudy_shared::infer::chunk::{from_bytes, to_bytes};
use understudy_shared::infer::decode::{Decoding, decode};
use understudy_shared::infer::teacher::TeacherLogits;
use understudy_shared::loss::objective::{Combination, Objective, SoftReduction};
use understudy_shared::model::{BertConfig, Noise, TokenClassifier};

use crate::support::{Random, TRAIN, VALID, examples, sentences, tokenizer, values};

static TOKENIZER: LazyLock<SubwordTokenizer> = LazyLock::new(tokenizer);

static SENTENCES: LazyLock<Vec<Sentence>> = LazyLock::new(|| sentences(VALID, usize::MAX));

static EXAMPLES: LazyLock<Vec<Example>> =
    LazyLock::new(|| examples(TRAIN, 30, &ExampleOptions::default()));

static MODEL: LazyLock<TokenClassifier> = LazyLock::new(|| {
    let config = BertConfig {
        max_position_embeddings: 128,
        initializer_range: 0.2,
        ..BertConfig::tiny(600)
    };
    TokenClassifier::init(&config, 9, 3, &Device::flex())
});

static TEACHER: LazyLock<TeacherLogits> = LazyLock::new(|| random_logits(&EXAMPLES, 5).0);

/// Logits between -8 and 8, stored and as they were.
fn random_logits(examples: &[Example], seed: u64) -> (TeacherLogits, Vec<Vec<f32>>) {
    let mut random = Random(seed);
    let mut logits = TeacherLogits::zeros(examples, 9);
    let mut plain = Vec::new();
    for (index, example) in examples.iter().enumerate() {
        let values: Vec<f32> =
            (0..example.input_ids.len() * 9).map(|_| 8.0 * random.signed()).collect();
        logits.set(index, &values);
        plain.push(values);
    }
    (logits, plain)
}

/// Total, hard and soft loss of the examples with these indices, as part of a step with `whole`.
fn losses(indices: &[usize], objective: Objective, whole: &BatchCounts) -> [f32; 3] {
    let device = Device::flex();
    let chosen: Vec<&Example> = indices.iter().map(|index| &EXAMPLES[*index]).collect();
    let batch = Batch::new(&chosen, 0, &device);
    let [_, seq_len] = batch.input_ids.dims();
    let (input_ids, mask) = (batch.input_ids.clone(), batch.attention_mask.clone());
    let logits = MODEL.forward(input_ids, mask, batch.is_padded, &mut Noise::off());
    let teacher = TEACHER.select(indices).batch([indices.len(), seq_len], &device);
    let losses = objective.losses(logits, Some(teacher), vec![], &batch, whole);
    let soft = losses.soft.unwrap_or_else(|| Tensor::zeros([1], &device));
    [losses.total, losses.hard, soft].map(|loss| values(loss)[0])
}

fn objectives() -> [Objective; 3] {
    let combination = Combination::Weighted { alpha: 0.7 };
    let soft_reduction = SoftReduction::CountedMean;
    let weighted = Objective { combination, temperature: 3.0, soft_reduction, ..Objective::hard() };
    [Objective::hard(), Objective::reference(), weighted]
}

fn near(ours: [f32; 3], theirs: [f32; 3]) -> bool {
    ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() <= 2e-5 * b.abs().max(1e-3))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn batch_order_does_not_change_a_loss(
        (indices, order) in subsequence((0..30).collect::<Vec<usize>>(), 1..10)
            .prop_flat_map(|indices| (Just(indices.clone()), Just(indices).prop_shuffle()))
    ) {
        let chosen: Vec<&Example> = indices.iter().map(|index| &EXAMPLES[*index]).collect();
        for objective in objectives() {
            let whole = counts(&chosen);
            let (sorted, shuffled) =
                (losses(&indices, objective, &whole), losses(&order, objective, &whole));
            prop_assert!(near(shuffled, sorted), "{:?}: {:?} {:?}", objective, shuffled, sorted);
        }
    }

    /// Alone a sentence is not padded; together all but the longest are.
    #[test]
    fn padding_does_not_change_a_loss(
        indices in subsequence((0..30).collect::<Vec<usize>>(), 1..10)
    ) {
        let chosen: Vec<&Example> = indices.iter().map(|index| &EXAMPLES[*index]).collect();
        let whole = counts(&chosen);
        for objective in objectives() {
            let together = losses(&indices, objective, &whole);
            let mut alone = [0.0; 3];
            for index in &indices {
                let parts = losses(&[*index], objective, &whole);
                alone.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
            }
            prop_assert!(near(together, alone), "{:?}: {:?} {:?}", objective, together, alone);
        }
    }
}

/// Words of the corpus and odd ones, each with a label id.
fn labelled_words() -> impl Strategy<Value = Sentence> {
    let odd = ["\u{200b}", "ß—x", "🙂", "x", "Ünïcödé-Straßenbahn", "§§§", "a\u{301}bc"];
    let known = (any::<Index>(), any::<Index>()).prop_map(|(sentence, word)| {
        let sentence = sentence.get(&SENTENCES);
        word.get(&sentence.tokens).clone()
    });
    let odd = prop::sample::select(odd.to_vec()).prop_map(str::to_owned);
    let word = prop_oneof![8 => known, 1 => odd];
    prop::collection::vec((word, 0usize..9), 1..40).prop_map(|words| {
        let labels = LabelSet::conll2003();
        let (tokens, ids): (Vec<_>, Vec<_>) = words.into_iter().unzip();
        Sentence { tokens, tags: ids.into_iter().map(|id| labels.name(id).to_owned()).collect() }
    })
}

fn options() -> impl Strategy<Value = ExampleOptions> {
    let continuation = prop::sample::select(vec![Continuation::Inside, Continuation::Ignore]);
    (8usize..60, 0usize..20, continuation).prop_map(|(max_length, context, continuation)| {
        ExampleOptions { max_length, context, continuation }
    })
}

/// Every window fits, and every word is counted in one window, whole unless it is longer than that.
fn check_windows(examples: &[Example], options: &ExampleOptions, words: usize, subwords: usize) {
    let mut next = 0;
    let mut counted = 0;
    for example in examples {
        assert!(example.input_ids.len() <= options.max_length, "{}", example.input_ids.len());
        for (word, _) in
            example.word_ids.iter().zip(&example.counted).filter(|(_, counted)| **counted)
        {
            let word = word.expect("special tokens do not count");
            assert!(word == next || word + 1 == next, "word {word} after {next}");
            next = word + 1;
            counted += 1;
        }
    }
    assert_eq!(next, words);
    assert!(counted <= subwords);
    if options.max_length > 30 {
        assert_eq!(counted, subwords);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn alignment_inverts_through_windows_and_decoding(
        sentences in prop::collection::vec(labelled_words(), 1..4), options in options()
    ) {
        let labels = LabelSet::conll2003();
        let examples = labelled_examples(&sentences, &TOKENIZER, &labels, &options).expect("tags");
        // A model that is sure of every label it was given, and of the last one elsewhere.
        let logits: Vec<Vec<f32>> = examples.iter().map(|example| {
            let row = |label: &i32| {
                let label = usize::try_from(*label).unwrap_or(8);
                (0..9).map(move |other| if other == label { 9.0 } else { 0.0 })
            };
            example.label_ids.iter().flat_map(row).collect()
        }).collect();
        let decoded = decode(&examples, &logits, &LabelSet::conll2003(), sentences.len(), Decoding::default());
        for (index, (sentence, decoded)) in sentences.iter().zip(&decoded).enumerate() {
            let tags: Vec<&str> = decoded.words.iter().map(|word| labels.name(word.label)).collect();
            prop_assert_eq!(&tags, &sentence.tags);
            let subwords = TOKENIZER.encode_words(&sentence.tokens).expect("words");
            let windows: Vec<Example> =
                examples.iter().filter(|example| example.sentence == index).cloned().collect();
            check_windows(&windows, &options, sentence.tokens.len(), subwords.ids.len());
            for example in &windows {
                for (word, tag) in sentence.tags.iter().enumerate() {
                    let first = example.word_ids.iter().position(|id| *id == Some(word));
                    let Some(first) = first.filter(|first| example.counted[*first]) else { continue };
                    let label = labels.name(example.label_ids[first] as usize);
                    prop_assert_eq!(label, tag);
                }
            }
        }
    }

    #[test]
    fn raw_text_keeps_its_places(text in "(\\PC|[ \t\u{0}\u{301}\u{200b}\u{feff}éß🙂.,A-z-]){0,40}") {
        let (subwords, words) = TOKENIZER.encode_text(&text).expect("text");
        let mut end_of_last = 0;
        for (start, end) in &words {
            prop_assert!(text.get(*start..*end).is_some(), "{:?} {}..{}", text, start, end);
            prop_assert!(*start >= end_of_last && start < end, "{:?} {}..{}", text, start, end);
            end_of_last = *end;
        }
        for ((start, end), word) in subwords.offsets.iter().zip(&subwords.word_ids) {
            prop_assert!(words[*word].0 <= *start && *end <= words[*word].1);
        }
        let mut seen = subwords.word_ids.clone();
        seen.dedup();
        prop_assert!(seen.into_iter().eq(0..words.len()), "rising, and every word has a sub-word");
    }

    #[test]
    fn tags_survive_spans(parts in prop::collection::vec((0usize..4, 1usize..5), 0..20)) {
        let types = ["", "PER", "ORG", "creative-work"];
        let tags: Vec<String> = parts.iter().flat_map(|(kind, len)| (0..*len).map(move |idx| match *kind {
            0 => "O".to_owned(),
            kind => format!("{}-{}", if idx == 0 { "B" } else { "I" }, types[kind]),
        })).collect();
        for mode in [Mode::Default, Mode::Strict] {
            prop_assert_eq!(tags_of(&spans(&tags, mode), tags.len()), tags.clone());
        }
    }

    #[test]
    fn stored_logits_come_back_within_half_precision(
        chosen in subsequence((0..30).collect::<Vec<usize>>(), 0..8), seed: u64
    ) {
        let examples: Vec<Example> = chosen.iter().map(|index| EXAMPLES[*index].clone()).collect();
        let (logits, plain) = random_logits(&examples, seed);
        let read = from_bytes(&to_bytes(&examples, &logits), &examples, 9).expect("our own");
        prop_assert_eq!(&read, &logits);
        for (index, plain) in plain.iter().enumerate() {
            let longer = examples[index].input_ids.len() + 2;
            let mut got = values(read.select(&[index]).batch([1, longer], &Device::flex()));
            prop_assert_eq!(got.split_off(plain.len()), [0.0; 18]);
            let near = |(got, want): (&f32, &f32)| (got - want).abs() <= want.abs() / 2048.0 + 1e-7;
            prop_assert!(got.iter().zip(plain).all(near));
        }
        prop_assert!(from_bytes(&to_bytes(&examples, &logits), &examples, 8).is_err());
    }
}

/// The corpus itself, in windows of every length and with any context.
#[test]
fn windows_of_the_corpus_cover_every_word_once() {
    let labels = LabelSet::conll2003();
    let texts: Vec<String> = SENTENCES.iter().map(|sentence| sentence.tokens.join(" ")).collect();
    for (max_length, context) in [(128, 32), (64, 8), (31, 9), (31, 0), (12, 40), (3, 1)] {
        let options = ExampleOptions { max_length, context, ..ExampleOptions::default() };
        let labelled = labelled_examples(&SENTENCES, &TOKENIZER, &labels, &options).expect("tags");
        let raw = unlabelled_examples(&texts, &TOKENIZER, &options).expect("text");
        for (index, (sentence, text)) in SENTENCES.iter().zip(&texts).enumerate() {
            let of = |examples: &[Example]| -> Vec<Example> {
                examples.iter().filter(|example| example.sentence == index).cloned().collect()
            };
            let subwords = TOKENIZER.encode_words(&sentence.tokens).expect("words").ids.len();
            check_windows(&of(&labelled), &options, sentence.tokens.len(), subwords);
            let (subwords, words) = TOKENIZER.encode_text(text).expect("text");
            check_windows(&of(&raw), &options, words.len(), subwords.ids.len());
        }
    }
    let options = ExampleOptions { max_length: 64, context: 8, ..ExampleOptions::default() };
    let cut = labelled_examples(&SENTENCES, &TOKENIZER, &labels, &options).expect("tags");
    assert!(cut.len() > SENTENCES.len(), "the corpus has sentences that are cut");
}
