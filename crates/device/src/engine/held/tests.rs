use super::*;
use std::{path::Path, sync::LazyLock};
use tricorn_model::ModelSource;

static PROMPTER: LazyLock<Prompter> = LazyLock::new(|| {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/llama");
    Prompter::load(&ModelSource::open(&model).unwrap()).unwrap()
});
/// `<|im_end|>`
const END: u32 = 279;

fn user(text: &str) -> String {
    format!("<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n")
}

fn rendered(text: &str) -> Prompt {
    Prompt::Rendered(text.to_owned())
}

/// An answer of one token a byte, as the tokenizer would not cut it.
fn bytewise(text: &str) -> (Vec<u32>, ReplyText) {
    let tokens = text.chars().flat_map(|char| PROMPTER.special(&char.to_string()).unwrap()).collect();
    let ends = (1..=text.len()).map(|bytes| Boundary { tokens: bytes, bytes }).collect();
    (tokens, ReplyText { text: text.to_owned(), ends })
}

/// What is held after `prompt` was answered with `reply` and a token that ends it.
fn answered(held: Held, prompt: &str, reply: &str) -> Held {
    let resolved = held.resolve(rendered(prompt), &PROMPTER).unwrap();
    let (tokens, reply) = bytewise(reply);
    let all = [&resolved.tokens[..], &tokens, &[END]].concat();
    held.after(&resolved, reply, &all)
}

fn resolve(held: &Held, prompt: &str) -> Vec<u32> {
    held.resolve(rendered(prompt), &PROMPTER).unwrap().tokens
}

#[test]
fn an_answers_own_tokens_are_kept_where_the_text_goes_on() {
    let first = user("hello there");
    let held = answered(Held::default(), &first, "hello there");
    let next = format!("{first}hello there<|im_end|>\n{}", user("again"));
    let tokens = resolve(&held, &next);
    assert!(tokens.starts_with(&held.tokens), "the token that ended the answer is the template's");
    assert_ne!(tokens, PROMPTER.special(&next).unwrap(), "the tokenizer cuts that answer in another way");
    assert_eq!(PROMPTER.tokenizer().decode(&tokens).unwrap(), PROMPTER.tokenizer().decode(&PROMPTER.special(&next).unwrap()).unwrap());

    let held = answered(held, &next, "hello there");
    let third = format!("{next}hello there<|im_end|>\n{}", user("and again"));
    assert!(resolve(&held, &third).starts_with(&held.tokens));
}

#[test]
fn white_space_around_an_answer_may_differ() {
    let first = user("hi");
    let held = answered(Held::default(), &first, "\nhello \n");
    let trimmed = format!("{first}hello<|im_end|>\n{}", user("again"));
    let kept = held.turns[0].asked_tokens + "\nhello".len();
    let tokens = resolve(&held, &trimmed);
    assert_eq!(tokens[..kept], held.tokens[..kept]);
    assert_eq!(tokens[kept], END);
    let doubled = format!("{first}  \nhello \n<|im_end|>\n{}", user("again"));
    assert_eq!(resolve(&held, &doubled)[..kept], held.tokens[..kept]);
}

#[test]
fn an_answer_that_a_stop_text_cut_goes_on_from_its_last_whole_token() {
    let first = user("hi");
    let resolved = Held::default().resolve(rendered(&first), &PROMPTER).unwrap();
    // The second token's text is half in the answer, the third is behind it.
    let ends = vec![Boundary { tokens: 1, bytes: 2 }];
    let reply = ReplyText { text: "abc".to_owned(), ends };
    let all = [&resolved.tokens[..], &[1, 2, 3]].concat();
    let held = Held::default().after(&resolved, reply, &all);
    let next = format!("{first}abc<|im_end|>\n");
    let rest = PROMPTER.special("c<|im_end|>\n").unwrap();
    assert_eq!(resolve(&held, &next), [&resolved.tokens[..], &[1], &rest].concat());
}

#[test]
fn a_changed_history_is_the_tokenizers() {
    let first = user("hello there");
    let held = answered(Held::default(), &first, "hello there");
    for other in [format!("{first}hello You<|im_end|>\n"), user("hello You"), "hello".to_owned()] {
        assert_eq!(resolve(&held, &other), PROMPTER.special(&other).unwrap());
    }
    assert_eq!(resolve(&held, &first), PROMPTER.special(&first).unwrap(), "another try");
}

#[test]
fn a_prompt_goes_on_with_the_conversation_or_tries_its_last_turn_again() {
    let system = "<|im_start|>system\nYou are a hat.<|im_end|>\n";
    let first = format!("{system}{}", user("hello there"));
    let held = answered(Held::default(), &first, "hello");
    let next = format!("{first}hello<|im_end|>\n{}", user("again"));
    let other = format!("{system}{}", user("another"));
    let fit = |held: &Held, prompt: &str| held.fit(&rendered(prompt));
    assert!(fit(&held, &next).goes_on);
    assert!(fit(&held, &first).goes_on);
    assert!(!fit(&held, &other).goes_on, "only the system's message is shared");
    assert!(fit(&held, &other).shared >= system.len());
    assert!(!fit(&Held::default(), &first).goes_on);

    let held = answered(held, &next, "hello");
    let retried = format!("{first}hello<|im_end|>\n{}", user("something else"));
    assert!(fit(&held, &next).goes_on);
    assert!(fit(&held, &retried).goes_on);
    assert!(!fit(&held, &other).goes_on);
}

#[test]
fn tokens_are_compared_as_they_are() {
    let held = Held::default();
    let resolved = held.resolve(Prompt::Tokens(vec![1, 2, 3]), &PROMPTER).unwrap();
    let (_, reply) = bytewise("ab");
    let held = held.after(&resolved, reply, &[1, 2, 3, 4, 5]);
    let fit = |tokens: &[u32]| held.fit(&Prompt::Tokens(tokens.to_vec()));
    assert_eq!(fit(&[1, 2, 3, 4, 5, 6]), Fit { shared: 5, lost: 0, goes_on: true });
    assert_eq!(fit(&[1, 2, 3]), Fit { shared: 3, lost: 2, goes_on: true });
    assert_eq!(fit(&[1, 2, 9]), Fit { shared: 2, lost: 3, goes_on: false });
    assert!(!held.fit(&rendered("hello")).goes_on);
}
