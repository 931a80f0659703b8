//! Writes GGUF files, by hand or from a directory in the Hugging Face layout, as llama.cpp's
//! converter does.

use std::path::Path;

use serde_json::Value;
use tricorn_kernels::Dtype;
use tricorn_model::{LayerShape, ModelSource, config::RopeScaling};

/// A GGUF file in the making.
#[derive(Clone, Default)]
pub(crate) struct GgufFile {
    pub(crate) version: u32,
    /// Key, and the value with its type before it.
    values: Vec<(String, Vec<u8>)>,
    tensors: Vec<Tensor>,
}

#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// Outputs first.
    pub(crate) shape: Vec<u64>,
    pub(crate) kind: u32,
    pub(crate) bytes: Vec<u8>,
}

const ALIGNMENT: usize = 32;

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

pub(crate) fn kind(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::F32 => 0,
        Dtype::F16 => 1,
        Dtype::Q4_0 => 2,
        Dtype::Q8_0 => 8,
        Dtype::Q4K => 12,
        Dtype::Q5K => 13,
        Dtype::Q6K => 14,
        Dtype::Bf16 => 30,
    }
}

impl GgufFile {
    pub(crate) fn new(architecture: &str) -> Self {
        let mut file = Self { version: 3, ..Self::default() };
        file.text("general.architecture", architecture);
        file
    }

    pub(crate) fn value(&mut self, key: &str, kind: u32, bytes: &[u8]) {
        self.values.push((key.to_owned(), [&kind.to_le_bytes()[..], bytes].concat()));
    }

    pub(crate) fn text(&mut self, key: &str, text: &str) {
        let mut bytes = Vec::new();
        put_text(&mut bytes, text);
        self.value(key, 8, &bytes);
    }

    pub(crate) fn count(&mut self, key: &str, count: u64) {
        self.value(key, 4, &u32::try_from(count).unwrap().to_le_bytes());
    }

    pub(crate) fn number(&mut self, key: &str, number: f64) {
        self.value(key, 6, &(number as f32).to_le_bytes());
    }

    pub(crate) fn texts<'a>(&mut self, key: &str, texts: impl IntoIterator<Item = &'a str>) {
        let mut elements = Vec::new();
        let mut count = 0_u64;
        for text in texts {
            put_text(&mut elements, text);
            count += 1;
        }
        self.array(key, 8, count, &elements);
    }

    pub(crate) fn integers(&mut self, key: &str, integers: &[i32]) {
        let bytes: Vec<u8> = integers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.array(key, 5, integers.len() as u64, &bytes);
    }

    fn array(&mut self, key: &str, kind: u32, count: u64, elements: &[u8]) {
        let bytes = [&kind.to_le_bytes()[..], &count.to_le_bytes(), elements].concat();
        self.value(key, 9, &bytes);
    }

    pub(crate) fn tensor(&mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) {
        let shape = shape.iter().map(|&size| size as u64).collect();
        self.tensors.push(Tensor { name: name.to_owned(), shape, kind: kind(dtype), bytes });
    }

    /// A tensor, to be made wrong.
    pub(crate) fn tensor_mut(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
    }

    /// Moves the last tensors to another file.
    pub(crate) fn split_off(&mut self, count: usize) -> Self {
        let tensors = self.tensors.split_off(self.tensors.len() - count);
        Self { version: self.version, tensors, ..Self::default() }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.tensors.retain(|tensor| tensor.name != name);
    }

    /// Bytes before the tensors' data, and all bytes.
    pub(crate) fn bytes(&self) -> (usize, Vec<u8>) {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.values.len() as u64).to_le_bytes());
        for (key, value) in &self.values {
            put_text(&mut out, key);
            out.extend(value);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            put_text(&mut out, &tensor.name);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().rev().for_each(|size| out.extend(size.to_le_bytes()));
            out.extend(tensor.kind.to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            data.extend(&tensor.bytes);
            data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        }
        let header = out.len();
        out.resize(header.next_multiple_of(ALIGNMENT), 0);
        out.extend(data);
        (header, out)
    }

    pub(crate) fn write(&self, path: &Path) {
        std::fs::write(path, self.bytes().1).unwrap();
    }

    pub(crate) fn forget(&mut self, key: &str) {
        self.values.retain(|(found, _)| found != key);
    }

    pub(crate) fn replace_text(&mut self, key: &str, text: &str) {
        self.forget(key);
        self.text(key, text);
    }

    pub(crate) fn replace_texts(&mut self, key: &str, texts: &[&str]) {
        self.forget(key);
        self.texts(key, texts.iter().copied());
    }

    pub(crate) fn replace_count(&mut self, key: &str, count: u64) {
        self.forget(key);
        self.count(key, count);
    }

    /// A model directory with a byte-level tokenizer; matrices whose rows are whole blocks become
    /// `matrices`, the others and vectors F32.
    pub(crate) fn from_directory(
        dir: &Path,
        matrices: Dtype,
        encode: impl Fn(&[f32]) -> Vec<u8>,
    ) -> Self {
        let source = ModelSource::open(dir).unwrap();
        let json = |name: &str| -> Value {
            serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap()
        };
        let config = json("config.json");
        let name = config["architectures"][0].as_str().unwrap();
        let architecture = match name {
            "Qwen2ForCausalLM" => "qwen2",
            "Qwen3ForCausalLM" => "qwen3",
            _ => "llama",
        };
        let mut file = Self::new(architecture);
        let model = source.config();
        let head_dim = model.layer(0).head_dim;
        let sizes = |size: fn(&LayerShape) -> usize| model.shapes().iter().map(size);
        for (property, mut sizes) in [
            ("feed_forward_length", sizes(|shape| shape.intermediate)),
            ("attention.head_count", sizes(|shape| shape.heads)),
            ("attention.head_count_kv", sizes(|shape| shape.kv_heads)),
        ] {
            let key = format!("{architecture}.{property}");
            match (model.even_shape(), sizes.next()) {
                (Some(_), Some(size)) => file.count(&key, size as u64),
                (_, first) => {
                    let sizes = first.into_iter().chain(sizes).map(|size| size as i32);
                    file.integers(&key, &sizes.collect::<Vec<_>>());
                }
            }
        }
        for (property, count) in [
            ("embedding_length", model.hidden),
            ("block_count", model.layers),
            ("attention.key_length", head_dim),
            ("attention.value_length", head_dim),
            ("rope.dimension_count", head_dim),
            ("context_length", model.context),
        ] {
            file.count(&format!("{architecture}.{property}"), count as u64);
        }
        file.number(
            &format!("{architecture}.attention.layer_norm_rms_epsilon"),
            model.norm_eps.into(),
        );
        file.number(&format!("{architecture}.rope.freq_base"), model.rope.theta.into());
        if let RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } =
            model.rope.scaling
        {
            let divisor = |pair: usize| {
                let frequency =
                    1.0 / f64::from(model.rope.theta).powf(2.0 * pair as f64 / head_dim as f64);
                let turns =
                    f64::from(original_context as u32) * frequency / (2.0 * std::f64::consts::PI);
                let (factor, low, high) =
                    (f64::from(factor), f64::from(low_freq_factor), f64::from(high_freq_factor));
                let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                (1.0 / ((1.0 - kept) / factor + kept)) as f32
            };
            let divisors: Vec<f32> = (0..head_dim / 2).map(divisor).collect();
            file.tensor("rope_freqs.weight", Dtype::F32, &[divisors.len()], f32_bytes(&divisors));
        }
        if let Some(sliding) = model.sliding {
            file.count(&format!("{architecture}.attention.sliding_window"), sliding.window as u64);
        }
        file.tokenizer(&json("tokenizer.json"), &json("tokenizer_config.json"), model.vocab);
        file.count("tokenizer.ggml.bos_token_id", model.bos.unwrap().into());
        file.count("tokenizer.ggml.eos_token_id", config["eos_token_id"].as_u64().unwrap());

        for (name, info) in source.weights().iter() {
            let mut numbers = source.weights().f32(name, &info.shape).unwrap();
            if architecture == "llama" && (name.contains("q_proj") || name.contains("k_proj")) {
                numbers = interleave(&numbers, info.shape[0], head_dim);
            }
            let row = *info.shape.last().unwrap();
            if info.shape.len() == 2 && row.is_multiple_of(matrices.block_len()) {
                file.tensor(&ggml_name(name), matrices, &info.shape, encode(&numbers));
            } else {
                file.tensor(&ggml_name(name), Dtype::F32, &info.shape, f32_bytes(&numbers));
            }
        }
        file
    }

    fn tokenizer(&mut self, tokenizer: &Value, config: &Value, vocab: usize) {
        let mut tokens: Vec<String> = (0..vocab).map(|id| format!("[PAD{id}]")).collect();
        let mut kinds = vec![5; vocab];
        for (token, id) in tokenizer["model"]["vocab"].as_object().unwrap() {
            let id = id.as_u64().unwrap() as usize;
            (tokens[id], kinds[id]) = (token.clone(), 1);
        }
        for added in tokenizer["added_tokens"].as_array().unwrap() {
            let id = added["id"].as_u64().unwrap() as usize;
            (tokens[id], kinds[id]) = (added["content"].as_str().unwrap().to_owned(), 3);
        }
        let merges: Vec<String> = tokenizer["model"]["merges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|merge| format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap()))
            .collect();
        self.text("tokenizer.ggml.model", "gpt2");
        self.text("tokenizer.ggml.pre", "gpt-2");
        self.texts("tokenizer.ggml.tokens", tokens.iter().map(String::as_str));
        self.integers("tokenizer.ggml.token_type", &kinds);
        self.texts("tokenizer.ggml.merges", merges.iter().map(String::as_str));
        self.text("tokenizer.chat_template", config["chat_template"].as_str().unwrap());
    }
}

pub(crate) fn f32_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(crate) fn f16_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| half::f16::from_f32(*number).to_le_bytes()).collect()
}

pub(crate) fn bf16_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| half::bf16::from_f32(*number).to_le_bytes()).collect()
}

/// Blocks of 32 with the scale that maps the largest absolute number to 127
/// (`quantize_row_q8_0_ref`).
pub(crate) fn q8_0_bytes(numbers: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for block in numbers.chunks_exact(32) {
        let scale = block.iter().fold(0.0_f32, |max, number| max.max(number.abs())) / 127.0;
        bytes.extend(half::f16::from_f32(scale).to_le_bytes());
        bytes.extend(
            block
                .iter()
                .map(|number| if scale > 0.0 { (number / scale).round() as i8 as u8 } else { 0 }),
        );
    }
    bytes
}

/// The order in which llama.cpp's converter stores the rows of queries and keys
/// (`LlamaModel.permute`): per head, first and second half taken in turns.
fn interleave(numbers: &[f32], rows: usize, head_dim: usize) -> Vec<f32> {
    let width = numbers.len() / rows;
    let mut interleaved = Vec::new();
    for head in numbers.chunks_exact(head_dim * width) {
        let (first, second) = head.split_at(head.len() / 2);
        for (a, b) in first.chunks_exact(width).zip(second.chunks_exact(width)) {
            interleaved.extend_from_slice(a);
            interleaved.extend_from_slice(b);
        }
    }
    interleaved
}

fn ggml_name(name: &str) -> String {
    let (stem, kind) = name.rsplit_once('.').unwrap();
    let part = match stem {
        "model.embed_tokens" => return format!("token_embd.{kind}"),
        "model.norm" => return format!("output_norm.{kind}"),
        "lm_head" => return format!("output.{kind}"),
        _ => stem.strip_prefix("model.layers.").unwrap(),
    };
    let (layer, part) = part.split_once('.').unwrap();
    let part = match part {
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" => "ffn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        other => panic!("{other}"),
    };
    format!("blk.{layer}.{part}.{kind}")
}

/// Tokens of [`tiny`].
pub(crate) const TINY_VOCAB: usize = 9;

/// A Llama of three layers with few and small tensors, and a byte-level tokenizer.
pub(crate) fn tiny() -> GgufFile {
    let mut file = GgufFile::new("llama");
    let (hidden, kv) = (32, 16);
    for (property, count) in [
        ("embedding_length", hidden),
        ("feed_forward_length", hidden),
        ("block_count", 3),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
        ("attention.key_length", 16),
        ("context_length", 64),
    ] {
        file.count(&format!("llama.{property}"), count as u64);
    }
    file.number("llama.attention.layer_norm_rms_epsilon", 1e-5);
    file.text("tokenizer.ggml.model", "gpt2");
    file.text("tokenizer.ggml.pre", "gpt-2");
    file.texts("tokenizer.ggml.tokens", ["<s>", "</s>", "a", "b", "c", "Ġ", "ab", "Ġc", "abc"]);
    file.texts("tokenizer.ggml.merges", ["a b", "Ġ c", "ab c"]);
    file.count("tokenizer.ggml.eos_token_id", 1);
    let mut seed = 1_u32;
    let mut noise = |count: usize| -> Vec<f32> {
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 24) as f32 - 0.25
        };
        (0..count).map(|_| next()).collect()
    };
    let mut add = |name: String, dtype: Dtype, shape: &[usize]| {
        let numbers = noise(shape.iter().product());
        let bytes = if dtype == Dtype::Q8_0 { q8_0_bytes(&numbers) } else { f32_bytes(&numbers) };
        file.tensor(&name, dtype, shape, bytes);
    };
    add("token_embd.weight".to_owned(), Dtype::Q8_0, &[TINY_VOCAB, hidden]);
    for layer in 0..3 {
        add(format!("blk.{layer}.attn_norm.weight"), Dtype::F32, &[hidden]);
        add(format!("blk.{layer}.ffn_norm.weight"), Dtype::F32, &[hidden]);
        for (part, outputs) in
            [("attn_q", hidden), ("attn_k", kv), ("attn_v", kv), ("attn_output", hidden)]
        {
            add(format!("blk.{layer}.{part}.weight"), Dtype::Q8_0, &[outputs, hidden]);
        }
        for part in ["ffn_gate", "ffn_up", "ffn_down"] {
            add(format!("blk.{layer}.{part}.weight"), Dtype::Q8_0, &[hidden, hidden]);
        }
    }
    add("output_norm.weight".to_owned(), Dtype::F32, &[hidden]);
    file
}
