//! Compatibility: what chat templates expect of transformers' Jinja beyond the language itself.

use minijinja::{Environment, Error, ErrorKind, Value};

use super::to_json::to_json;

pub(super) fn install(environment: &mut Environment<'static>) {
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("the template refuses this conversation: {message}"),
        ))
    });
    environment.add_filter("tojson", to_json);
}

/// `{% generation %}` and `{% endgeneration %}` mark the assistant's words for training; here they
/// are blocks that are always shown.
pub(super) fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = tag.find("%}").map(|end| end + 2) else {
            return out + tag;
        };
        let (tag, after) = tag.split_at(end);
        out.push_str(&match tag[2..end - 2].trim_matches(['-', '+']).trim() {
            "generation" => tag.replace("generation", "if true"),
            "endgeneration" => tag.replace("endgeneration", "endif"),
            _ => tag.to_owned(),
        });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_tags_become_plain_blocks() {
        let source = "a{%- generation -%} b {%- endgeneration %}{% if x %}{% endif %} {% open";
        assert_eq!(
            without_generation_tags(source),
            "a{%- if true -%} b {%- endif %}{% if x %}{% endif %} {% open"
        );
    }
}
