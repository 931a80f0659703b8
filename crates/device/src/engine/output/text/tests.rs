use super::*;
use crate::prompt::Prompter;
use proptest::prelude::*;
use std::{path::Path, sync::LazyLock};
use tricorn_model::ModelSource;

/// Its tokens are bytes and some pairs, so that characters and stop texts fall across tokens.
static PROMPTER: LazyLock<Prompter> = LazyLock::new(|| {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/llama");
    Prompter::load(&ModelSource::open(&model).unwrap()).unwrap()
});
const END: [u32; 1] = [279];

/// The text and tokens that a client sees.
#[derive(Debug, Default)]
struct Seen {
    text: String,
    tokens: Vec<TextToken>,
    /// Lengths of the text, one for each delta.
    lengths: Vec<usize>,
}

impl Seen {
    fn add(&mut self, (text, tokens): (String, Vec<TextToken>)) {
        self.text.push_str(&text);
        self.tokens.extend(tokens);
        self.lengths.push(self.text.len());
    }
}

fn generate(ids: &[u32], stops: &[String]) -> (Seen, Option<String>) {
    let mut text = GeneratedText::new(PROMPTER.reply(&[], &END).unwrap(), stops.to_vec());
    let mut seen = Seen::default();
    for &id in ids {
        let (token_text, bytes) = PROMPTER.token_text(id);
        seen.add(
            text.push(TextToken { id, drafted: false, text: token_text, bytes, logprobs: None })
                .unwrap(),
        );
        if text.stopped().is_some() {
            break;
        }
    }
    seen.add(text.flush().unwrap());
    let stopped = text.stopped().map(str::to_owned);
    (seen, stopped)
}

/// The whole text, found at once and cut.
fn naive(ids: &[u32], stops: &[String]) -> (String, Option<String>) {
    let mut reply = PROMPTER.reply(&[], &END).unwrap();
    ids.iter().for_each(|&id| drop(reply.push(id).unwrap()));
    let whole = reply.finish().unwrap().1;
    for end in (1..=whole.len()).filter(|&end| whole.is_char_boundary(end)) {
        let complete =
            stops.iter().filter(|stop| !stop.is_empty() && whole[..end].ends_with(*stop));
        if let Some(stop) = complete.max_by_key(|stop| stop.len()) {
            return (whole[..end - stop.len()].to_owned(), Some(stop.clone()));
        }
    }
    (whole, None)
}

fn encode(text: &str) -> Vec<u32> {
    PROMPTER.special(text).unwrap()
}

/// Texts in which much repeats, or any tokens at all, which are mostly no whole characters.
fn tokens() -> impl Strategy<Value = Vec<u32>> {
    prop_oneof![
        "[ab é\n🎩]{0,24}".prop_map(|text| encode(&text)),
        prop::collection::vec(0..277_u32, 0..40)
    ]
}

fn stops() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[ab é\n🎩]{0,4}", 0..4)
}

proptest! {
    #[test]
    fn the_text_is_that_of_the_naive_way_and_nothing_more_is_ever_seen(
        ids in tokens(),
        stops in stops(),
    ) {
        let (text, stop) = naive(&ids, &stops);
        let (seen, stopped) = generate(&ids, &stops);
        prop_assert_eq!(&seen.text, &text);
        prop_assert_eq!(stopped.as_ref().map(String::len), stop.as_ref().map(String::len));
        prop_assert!(seen.lengths.is_sorted());
    }

    #[test]
    fn tokens_come_in_order_with_their_text_and_none_of_a_stop_text(
        ids in tokens(),
        stops in stops(),
    ) {
        let (seen, stopped) = generate(&ids, &stops);
        let reported: Vec<u32> = seen.tokens.iter().map(|token| token.id).collect();
        prop_assert!(ids.starts_with(&reported));
        match stopped {
            None => prop_assert_eq!(reported.len(), ids.len()),
            Some(_) => {
                let mut before = PROMPTER.reply(&[], &END).unwrap();
                let all_but_one = reported.len().saturating_sub(1);
                let length: usize =
                    ids[..all_but_one].iter().map(|&id| before.push(id).unwrap().len()).sum();
                let within = reported.is_empty() || length < seen.text.len();
                prop_assert!(within, "the last token begins behind the text");
            }
        }
    }

    #[test]
    fn tokens_of_whole_characters_have_the_texts_bytes(
        text in "[ab é\n🎩]{0,24}",
        stops in stops(),
    ) {
        let (seen, _) = generate(&encode(&text), &stops);
        let bytes: Vec<u8> = seen.tokens.iter().flat_map(|token| token.bytes.clone()).collect();
        let reported = String::from_utf8_lossy(&bytes);
        prop_assert!(seen.text.as_bytes() == bytes, "{:?} is not {reported:?}", seen.text);
    }
}

#[test]
fn of_stop_texts_within_each_other_the_first_complete_counts() {
    let stops = ["bcd".to_owned(), "c".to_owned(), "abc".to_owned()];
    for ids in
        [encode("xabcd"), "xabcd".chars().flat_map(|char| encode(&char.to_string())).collect()]
    {
        let (seen, stopped) = generate(&ids, &stops);
        assert_eq!((seen.text.as_str(), stopped.as_deref()), ("x", Some("abc")));
    }
}

#[test]
fn the_token_that_ends_a_text_has_none() {
    let ids = [encode("hat"), END.to_vec()].concat();
    let (seen, _) = generate(&ids, &[]);
    assert_eq!((seen.text.as_str(), seen.tokens.len()), ("hat", ids.len() - 1));
}
