//! Slots: the one that takes a request, and what it keeps.

use super::*;
use crate::support::{Device, greedy};

fn one_slot() -> EngineConfig {
    EngineConfig { slots: 1, ..EngineConfig::default() }
}

#[test]
fn the_next_message_of_a_chat_is_computed_alone() {
    let model = model();
    let served = local(model.path(), one_slot());
    let first = user("The hat told the cloud a story.");
    let answer = served.ask(rendered(&first, 12));
    assert_eq!(answer.done().cached_tokens, 0);
    let held = answer.done().prompt_tokens + answer.done().completion_tokens;
    let next =
        [tokens(&first), answer.ids(), tokens(&format!("<|im_end|>\n{}", user("More.")))].concat();
    let answer = served.ask(request(next, 4));
    let finished = answer.done();
    // The last token of an answer is confirmed without having been uploaded.
    assert!(finished.cached_tokens + 2 >= held, "{} of {held} were kept", finished.cached_tokens);
    assert!(finished.cached_tokens < finished.prompt_tokens);
    served.end();
}

#[test]
fn what_was_kept_changes_nothing() {
    let model = model();
    let device = Device::load(model.path(), CUT, HiddenCodec::F16z);
    let prompt = device.prompt("The hat told the cloud a story.");
    let longer = [&prompt[..], &device.prompt("And then?")].concat();
    let served = local(model.path(), one_slot());
    for tokens in [&prompt, &longer, &prompt] {
        let reference = device.reference(&greedy(tokens.clone(), 20));
        let answer = served.ask(request(tokens.clone(), 20));
        assert_eq!(answer.done().report.token_ids, reference.token_ids);
        assert_eq!(answer.text, device.text(tokens, &reference.token_ids));
    }
    assert!(served.engine.figures().cached_tokens > 0);
}

/// This model's answers are cut by the tokenizer in other ways than it writes them, so that only a
/// part of them is kept.
#[test]
fn a_chat_is_answered_alike_by_a_slot_that_holds_it_and_by_one_that_does_not() {
    let model = model();
    let served = local(model.path(), one_slot());
    let mut chat = user("The hat told the cloud a story.");
    for _ in 0..4 {
        let held = served.ask(rendered(&chat, 12));
        let fresh = local(model.path(), one_slot()).ask(rendered(&chat, 12));
        assert_eq!(
            (held.ids(), held.done().prompt_tokens),
            (fresh.ids(), fresh.done().prompt_tokens)
        );
        chat = format!("{chat}{}<|im_end|>\n{}", held.text.trim(), user("More."));
    }
    assert!(served.engine.figures().cached_tokens > 0);
}

#[test]
fn chats_in_turns_keep_their_slots() {
    let model = model();
    let served = local(model.path(), EngineConfig { slots: 3, ..EngineConfig::default() });
    let mut chats = ["The hat told a story.", "A cloud was lost.", "The hat was lost."].map(user);
    for turn in 0..3 {
        for chat in &mut chats {
            let answer = served.ask(rendered(chat, 6));
            let kept = answer.done().cached_tokens;
            // With a system message or a template's first words in common, no chat takes a slot
            // from another while one is empty.
            assert_eq!(kept > 10, turn > 0, "{kept} tokens kept in turn {turn}");
            chat.push_str(&format!("{}<|im_end|>\n{}", answer.text, user("More.")));
        }
    }
    assert_eq!(served.engine.figures().conversations, 3);
}

#[test]
fn a_conversation_that_nobody_goes_on_with_gives_back_its_memory() {
    let model = model();
    let served =
        local(model.path(), EngineConfig { idle: Duration::from_millis(20), ..one_slot() });
    served.ask(rendered(&user("hi"), 4)).done();
    until("the slot is empty", || (served.engine.figures().kv_bytes == 0).then_some(()));
    assert_eq!(served.engine.figures().conversations, 0);
    assert_eq!(served.ask(rendered(&user("hi"), 4)).done().cached_tokens, 0);
}

#[test]
fn conversations_that_nobody_goes_on_with_make_room_in_a_full_cloud() {
    let model = model();
    let cloud = Cloud::start_with(model.path(), CUT, 0, &["--max-sessions", "1"]);
    let served =
        remote(model.path(), &cloud.url(), EngineConfig { slots: 2, ..EngineConfig::default() });
    let first = served.ask(rendered(&user("The hat told a story."), 6));
    assert_eq!(served.ask(rendered(&user("A cloud was lost."), 6)).done().cached_tokens, 0);
    assert_eq!(served.engine.figures().conversations, 1);
    assert_eq!(served.ask(rendered(&user("The hat told a story."), 6)).ids(), first.ids());
}

#[test]
fn a_full_cloud_is_told_from_one_that_is_gone() {
    let model = model();
    let cloud = Cloud::start_with(model.path(), CUT, 0, &["--max-sessions", "1"]);
    let (one, two) = (
        remote(model.path(), &cloud.url(), one_slot()),
        remote(model.path(), &cloud.url(), one_slot()),
    );
    one.ask(rendered(&user("hi"), 4)).done();
    for _ in 0..2 {
        let refused = two.ask(rendered(&user("hi"), 4));
        assert!(
            matches!(refused.failed(), DeviceError::Transport(TransportError::NoRoom(_))),
            "{:?}",
            refused.failed()
        );
    }
    one.end();
    two.ask(rendered(&user("hi"), 4)).done();
}

#[test]
fn what_crosses_the_wire_is_told_where_it_is_asked_for() {
    let model = model();
    let cloud = Cloud::start(model.path(), CUT);
    let served = remote(model.path(), &cloud.url(), one_slot());
    let quiet = served.ask(rendered(&user("hi"), 12));
    assert_eq!((quiet.rounds, quiet.done().report.wire.len()), (0, 0));
    let told = served.ask(GenerationRequest {
        trace: true,
        ..rendered(&user("The hat told the cloud a story."), 12)
    });
    assert!(told.rounds > 1);
    let wire = &told.done().report.wire;
    assert!(!wire.is_empty() && wire.len() <= 16);
    assert!(
        wire.iter().all(|sample| sample.bytes > 0
            && !sample.values.is_empty()
            && sample.values.len() <= 32)
    );
    assert_eq!(
        told.ids(),
        served.ask(rendered(&user("The hat told the cloud a story."), 12)).ids()
    );
}
