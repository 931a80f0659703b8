#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

/// A small Llama with `changes` laid over it; `null` in `changes` removes a field.
fn parse(changes: Value) -> Result<ModelConfig, ModelError> {
    let mut config = json!({
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 300,
        "max_position_embeddings": 512,
    });
    for (field, value) in changes.as_object().unwrap() {
        config[field] = value.clone();
    }
    ModelConfig::parse(CONFIG, config.to_string().as_bytes(), None)
}

fn message(changes: Value) -> String {
    parse(changes).unwrap_err().to_string()
}

#[test]
fn absent_fields_take_the_defaults_of_transformers() {
    let config = parse(json!({ "num_key_value_heads": null, "head_dim": null })).unwrap();
    let shape = LayerShape { heads: 4, kv_heads: 4, head_dim: 16, intermediate: 128 };
    assert_eq!((config.even_shape(), config.shapes().len()), (Some(shape), 6));
    assert_eq!(config.norm_eps, 1e-6);
    assert_eq!(config.rope, Rope { theta: 10_000.0, scaling: RopeScaling::None });
    assert!(
        !config.tied && !config.qkv_bias && !config.o_bias && !config.mlp_bias && !config.qk_norm
    );
    assert_eq!((config.bos, config.eos, config.sliding), (None, vec![], None));
    let qwen3 = parse(json!({ "architectures": ["Qwen3ForCausalLM"] })).unwrap();
    assert_eq!(qwen3.layer(5).head_dim, 128);
    assert!(qwen3.qk_norm && !qwen3.qkv_bias);
}

#[test]
fn lists_give_each_layer_a_shape() {
    let shapes = |changes| parse(changes).unwrap().shapes().to_vec();
    let uneven = json!({
        "num_attention_heads": [4, 2, 0, 4, 4, 6],
        "num_key_value_heads": [2, 2, 9, 1, 4, 3],
        "head_dim": 16,
        "intermediate_size": [128, 100, 7, 0, 1, 128],
    });
    let shape = |heads, kv_heads, head_dim, intermediate| LayerShape {
        heads,
        kv_heads,
        head_dim,
        intermediate,
    };
    assert_eq!(
        shapes(uneven.clone()),
        [
            shape(4, 2, 16, 128),
            shape(2, 2, 16, 100),
            shape(0, 0, 0, 7),
            shape(4, 1, 16, 0),
            shape(4, 4, 16, 1),
            shape(6, 3, 16, 128),
        ]
    );
    let mut widths = uneven.clone();
    widths["head_dim"] = json!([16, 8, 0, 2, 16, 4]);
    let found: Vec<usize> = shapes(widths).iter().map(|shape| shape.head_dim).collect();
    assert_eq!(found, [16, 8, 0, 2, 16, 4]);
    let lists = json!({ "num_attention_heads": vec![4; 6], "intermediate_size": vec![128; 6] });
    assert_eq!(parse(lists).unwrap(), parse(json!({})).unwrap(), "equal entries are one number");

    let mut changed = parse(json!({})).unwrap();
    changed = changed.with_layers(parse(uneven).unwrap().shapes().to_vec()).unwrap();
    assert_eq!((changed.layers, changed.layer(3).intermediate), (6, 0));
    let refused = |shapes| changed.with_layers(shapes).unwrap_err().to_string();
    assert!(refused(vec![]).contains("num_hidden_layers is 0"));
    assert!(refused(vec![shape(4, 3, 16, 1)]).contains("num_key_value_heads is 3"));
    assert!(refused(vec![shape(4, 2, 16, 1), shape(0, 1, 0, 1)]).contains("head width in layer 1"));
}

#[test]
fn refused_lists_name_the_field_and_the_layer() {
    for (changes, expected) in [
        (json!({ "intermediate_size": [1, 2] }), "intermediate_size has 2 entries for 6 layers"),
        (json!({ "intermediate_size": [1, 2, 3, 4, 5, -6] }), "must be whole numbers, one a layer"),
        (json!({ "intermediate_size": [0, 0, 0, 0, 0, 0] }), "no layer with a feed-forward block"),
        (
            json!({ "num_attention_heads": [0, 0, 0, 0, 0, 0], "head_dim": 8 }),
            "no layer with an attention block",
        ),
        (
            json!({ "intermediate_size": [1, 2, 3, 4, 5, 1u64 << 40] }),
            "intermediate_size is 1099511627776 in layer 5; it must be at most 1048576",
        ),
        (
            json!({ "num_key_value_heads": [2, 2, 3, 2, 2, 2] }),
            "num_key_value_heads is 3, which does not divide num_attention_heads 4 in layer 2",
        ),
        (
            json!({ "num_key_value_heads": [2, 2, 0, 2, 2, 2] }),
            "num_key_value_heads is 0, which does not divide num_attention_heads 4 in layer 2",
        ),
        (
            json!({ "num_attention_heads": [4, 4, 4, 4, 4, 2] }),
            "head_dim is missing; layers of different heads need it",
        ),
        (json!({ "head_dim": [8, 8, 8, 8, 8, 7] }), "head_dim is 7"),
        (json!({ "num_hidden_layers": [6] }), "num_hidden_layers is [6]"),
    ] {
        let message = message(changes);
        assert!(message.starts_with("config.json: ") && message.contains(expected), "{message}");
    }
}

#[test]
fn biases_by_family() {
    let biases = |changes| parse(changes).map(|c| (c.qkv_bias, c.o_bias, c.mlp_bias)).unwrap();
    assert_eq!(biases(json!({ "attention_bias": true, "mlp_bias": true })), (true, true, true));
    assert_eq!(biases(json!({ "architectures": ["Qwen2ForCausalLM"] })), (true, false, false));
    assert_eq!(
        biases(json!({ "architectures": ["Qwen3ForCausalLM"], "attention_bias": true })),
        (true, true, false)
    );
    assert_eq!(
        biases(json!({ "architectures": ["MistralForCausalLM"], "attention_bias": true })),
        (false, false, false)
    );
}

#[test]
fn both_spellings_of_rotary_parameters() {
    let scaling = json!({
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    });
    let mut old = scaling.clone();
    old["rope_type"] = "llama3".into();
    let mut new = old.clone();
    new["rope_theta"] = 500_000.0.into();
    let expected = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_context: 64,
    };
    let expected = Rope { theta: 500_000.0, scaling: expected };
    assert_eq!(
        parse(json!({ "rope_theta": 500_000.0, "rope_scaling": old })).unwrap().rope,
        expected
    );
    assert_eq!(parse(json!({ "rope_parameters": new })).unwrap().rope, expected);

    let linear =
        parse(json!({ "rope_scaling": { "type": "linear", "factor": 2.0 } })).unwrap().rope;
    assert_eq!(linear.scaling, RopeScaling::Linear { factor: 2.0 });
    let default =
        parse(json!({ "rope_parameters": { "rope_theta": 1e6, "rope_type": "default" } }))
            .unwrap()
            .rope;
    assert_eq!(default, Rope { theta: 1e6, scaling: RopeScaling::None });
}

#[test]
fn sliding_windows() {
    let sliding = |changes| parse(changes).unwrap().sliding;
    let window = |window, first_layer| Some(SlidingWindow { window, first_layer });
    let mistral = |rest: Value| {
        let mut changes = rest;
        changes["architectures"] = json!(["MistralForCausalLM"]);
        sliding(changes)
    };
    assert_eq!(mistral(json!({ "sliding_window": 8 })), window(8, 0));
    assert_eq!(mistral(json!({ "sliding_window": null })), None);
    assert_eq!(mistral(json!({})), window(4096, 0));

    let qwen = json!({
        "architectures": ["Qwen2ForCausalLM"],
        "use_sliding_window": true,
        "sliding_window": 16,
        "max_window_layers": 4,
    });
    let config = parse(qwen.clone()).unwrap();
    assert_eq!(config.sliding, window(16, 4));
    assert_eq!((config.window(3), config.window(4)), (None, Some(16)));
    let mut off = qwen.clone();
    off["use_sliding_window"] = false.into();
    assert_eq!(sliding(off), None);
    let mut beyond = qwen.clone();
    beyond["max_window_layers"] = 6.into();
    assert_eq!(sliding(beyond), None);

    let (full, windowed) = ("full_attention", "sliding_attention");
    let mut listed = qwen.clone();
    listed["layer_types"] = json!([full, full, windowed, windowed, windowed, windowed]);
    assert_eq!(sliding(listed), window(16, 2));
    let mut mixed = qwen;
    mixed["layer_types"] = json!([full, windowed, full, windowed, full, windowed]);
    assert!(message(mixed).contains("layer_types"));
}

#[test]
fn ends_of_text_from_both_files() {
    let config = br#"{"model_type": "llama", "hidden_size": 8, "intermediate_size": 8,
        "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 10,
        "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 2}"#;
    let both = ModelConfig::parse(CONFIG, config, Some(br#"{"eos_token_id": [1, 2]}"#)).unwrap();
    assert_eq!((both.bos, both.eos), (Some(0), vec![1, 2]));
    assert_eq!(ModelConfig::parse(CONFIG, config, None).unwrap().eos, [2]);
    let error = ModelConfig::parse(CONFIG, config, Some(br#"{"eos_token_id": 10}"#))
        .unwrap_err()
        .to_string();
    assert!(error.contains("generation_config.json: eos_token_id is 10"), "{error}");
}

#[test]
fn refused_sizes_name_the_field_and_the_value() {
    for (changes, expected) in [
        (json!({ "hidden_size": 0 }), "hidden_size is 0"),
        (json!({ "hidden_size": null }), "hidden_size is missing"),
        (json!({ "hidden_size": -1 }), "hidden_size is -1"),
        (json!({ "vocab_size": 1u64 << 60 }), "vocab_size is 1152921504606846976"),
        (json!({ "num_hidden_layers": "six" }), "num_hidden_layers is \"six\""),
        (json!({ "num_key_value_heads": 3 }), "does not divide num_attention_heads 4"),
        (json!({ "num_attention_heads": 6 }), "num_attention_heads 6 does not divide"),
        (json!({ "head_dim": 15 }), "head_dim is 15"),
        (json!({ "rms_norm_eps": 0.0 }), "rms_norm_eps is 0"),
        (json!({ "rope_theta": -1.0 }), "rope_theta is -1"),
        (json!({ "bos_token_id": 300 }), "bos_token_id is 300"),
        (json!({ "rope_scaling": { "type": "linear" } }), "factor is missing"),
        (json!({ "rope_scaling": 3 }), "rope_scaling is 3"),
    ] {
        let message = message(changes);
        assert!(message.starts_with("config.json: ") && message.contains(expected), "{message}");
    }
}

#[test]
fn unsupported_models_are_named_with_a_mend() {
    for (changes, expected) in [
        (json!({ "architectures": ["GemmaForCausalLM"] }), "GemmaForCausalLM"),
        (json!({ "hidden_act": "gelu" }), "hidden_act gelu"),
        (json!({ "rope_scaling": { "rope_type": "yarn", "factor": 4.0 } }), "rope type yarn"),
        (
            json!({ "rope_parameters": {
                "rope_type": "longrope", "short_factor": [1.0], "long_factor": [2.0]
            } }),
            "rope type longrope",
        ),
        (json!({ "rope_scaling": { "type": "dynamic", "factor": 4.0 } }), "rope type dynamic"),
        (json!({ "partial_rotary_factor": 0.5 }), "partial_rotary_factor"),
        (json!({ "quantization_config": { "quant_method": "gptq" } }), "quantised with gptq"),
    ] {
        let message = message(changes);
        assert!(
            message.contains(expected) && message.contains("is not supported; use "),
            "{message}"
        );
    }
}

#[test]
fn broken_json_is_named() {
    let error = ModelConfig::parse(CONFIG, b"{", None).unwrap_err().to_string();
    assert!(error.starts_with("config.json is not what it should be"), "{error}");
}
