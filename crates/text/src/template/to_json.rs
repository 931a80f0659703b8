//! The filter `tojson`, as transformers replaces Jinja's own, which escapes for HTML.

use std::io;

use minijinja::{Error, ErrorKind, Value, value::Kwargs};
use serde::Serialize;
use serde_json::{Serializer, ser::Formatter};

/// The widest indentation a template gets.
const MAX_INDENT: usize = 16;

/// `json.dumps(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)` of
/// Python.
pub(super) fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let failed =
        |problem: String| Error::new(ErrorKind::InvalidOperation, format!("tojson: {problem}"));
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let sorted: Option<bool> = options.get("sort_keys")?;
    let ascii: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let [item, key] = match separators.as_deref() {
        Some([item, key]) => [item.clone(), key.clone()],
        Some(_) => return Err(failed("separators are a pair of texts".to_owned())),
        None => [if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()],
    };
    let indent = indent.map(|width| width.min(MAX_INDENT));
    let mut json = Vec::new();
    let style =
        PythonStyle { item, key, indent, ascii: ascii == Some(true), depth: 0, filled: false };
    let mut serializer = Serializer::with_formatter(&mut json, style);
    let written = if sorted == Some(true) {
        serde_json::to_value(value).and_then(|mut value| {
            value.sort_all_objects();
            value.serialize(&mut serializer)
        })
    } else {
        value.serialize(&mut serializer)
    };
    written.map_err(|e| failed(e.to_string()))?;
    String::from_utf8(json).map_err(|e| failed(e.to_string()))
}

struct PythonStyle {
    item: String,
    key: String,
    indent: Option<usize>,
    ascii: bool,
    depth: usize,
    /// Whether the object or array that ends next has something in it.
    filled: bool,
}

impl PythonStyle {
    fn begin<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        (self.depth, self.filled) = (self.depth + 1, false);
        writer.write_all(bracket)
    }

    fn next<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(self.item.as_bytes())?;
        }
        self.line(writer)
    }

    fn end<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        if self.filled {
            self.line(writer)?;
        }
        self.filled = true;
        writer.write_all(bracket)
    }

    fn line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        match self.indent {
            Some(width) => write!(writer, "\n{:1$}", "", width * self.depth),
            None => Ok(()),
        }
    }
}

impl Formatter for PythonStyle {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if !self.ascii {
            return writer.write_all(fragment.as_bytes());
        }
        fragment.encode_utf16().try_for_each(|unit| match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => writer.write_all(&[byte]),
            _ => write!(writer, "\\u{unit:04x}"),
        })
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"[")
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.next(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"]")
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"{")
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.next(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.key.as_bytes())
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"}")
    }
}

#[cfg(test)]
mod tests {
    use minijinja::Environment;

    #[test]
    fn json_as_python_writes_it() {
        let mut environment = Environment::new();
        environment.add_filter("tojson", super::to_json);
        let render = |source: &str| environment.render_str(source, ()).map_err(|e| e.to_string());
        assert_eq!(
            render("{{ {'b': [1, '<é>'], 'a': {}} | tojson }}").unwrap(),
            r#"{"b": [1, "<é>"], "a": {}}"#
        );
        assert_eq!(
            render("{{ {'a': [], 'b': [[1], {}]} | tojson(indent=2) }}").unwrap(),
            "{\n  \"a\": [],\n  \"b\": [\n    [\n      1\n    ],\n    {}\n  ]\n}"
        );
        assert_eq!(
            render("{{ {'b': 1, 'a': [2, 3]} | tojson(sort_keys=true, separators=(',', ':')) }}")
                .unwrap(),
            r#"{"a":[2,3],"b":1}"#
        );
        assert_eq!(
            render("{{ 'é🦀\\n' | tojson(ensure_ascii=true) }}").unwrap(),
            r#""\u00e9\ud83e\udd80\n""#
        );
        assert!(render("{{ 1 | tojson(separators=[',']) }}").unwrap_err().contains("pair"));
        assert!(render("{{ 1 | tojson(colour=1) }}").unwrap_err().contains("colour"));
    }
}
