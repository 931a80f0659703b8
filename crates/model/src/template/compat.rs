//! What chat templates expect of transformers' Jinja beyond the language itself.

use std::io;

use minijinja::{Environment, Error, ErrorKind, Value, value::Kwargs};
use serde::Serialize;
use serde_json::{
    Serializer,
    ser::{Formatter, PrettyFormatter},
};

pub(super) fn install(environment: &mut Environment<'static>) {
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, format!("the template refuses this conversation: {message}")))
    });
    environment.add_filter("tojson", to_json);
}

/// `json.dumps(value, ensure_ascii=False, indent=indent)`; the filter of Jinja itself would escape for HTML.
fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let mut json = Vec::new();
    let written = match indent {
        Some(width) => {
            value.serialize(&mut Serializer::with_formatter(&mut json, PrettyFormatter::with_indent(" ".repeat(width.min(16)).as_bytes())))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut json, PythonSpacing)),
    };
    written.map_err(|e| Error::new(ErrorKind::InvalidOperation, format!("tojson: {e}")))?;
    String::from_utf8(json).map_err(|e| Error::new(ErrorKind::InvalidOperation, format!("tojson: {e}")))
}

struct PythonSpacing;

impl Formatter for PythonSpacing {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// `{% generation %}` and `{% endgeneration %}` mark the assistant's words for training; here they are blocks that are always shown.
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn json_as_python_writes_it() {
        let mut environment = Environment::new();
        install(&mut environment);
        let render = |source: &str| environment.render_str(source, ()).unwrap();
        assert_eq!(render("{{ {'a': [1, '<é>']} | tojson }}"), r#"{"a": [1, "<é>"]}"#);
        assert_eq!(render("{{ {'a': 1} | tojson(indent=4) }}"), "{\n    \"a\": 1\n}");
    }

    #[test]
    fn generation_tags_become_plain_blocks() {
        let source = "a{%- generation -%} b {%- endgeneration %}{% if x %}{% endif %} {% open";
        assert_eq!(without_generation_tags(source), "a{%- if true -%} b {%- endif %}{% if x %}{% endif %} {% open");
    }
}
