//! Bounds on schemas: some are small in bytes, and the compiler would need minutes, gigabytes or a
//! huge stack for them. They are refused before they are compiled.
//!
//! Compiling merges all that is said of one place: its own keywords, `allOf`, what `$ref` leads to,
//! and one of each `anyOf` and `oneOf`. What that comes to is counted here, without merging; what
//! is said of properties and items are places of their own.

use super::error::ConstraintError;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Bytes of a schema or grammar.
pub(super) const MAX_BYTES: usize = 256 << 10;
/// Patterns that one text has to match all at once: each may multiply the states of their
/// intersection.
const MAX_PATTERNS: u64 = 6;
/// Ways in which alternatives of one place can be put together.
const MAX_WAYS: u64 = 2_000;
/// Schemas that say something of one place.
const MAX_PARTS: u64 = 20_000;

/// Refuses a schema that is over a bound.
///
/// # Errors
/// [`ConstraintError::TooLarge`], with the bound.
pub fn check_schema(schema: &Value) -> Result<(), ConstraintError> {
    check_bytes(schema.to_string().len())?;
    Counter { root: schema, counts: HashMap::new() }.everywhere(schema)
}

/// Refuses a schema or grammar of too many bytes.
///
/// # Errors
/// [`ConstraintError::TooLarge`].
pub(super) fn check_bytes(bytes: usize) -> Result<(), ConstraintError> {
    let problem = || format!("it has {bytes} bytes, over the {MAX_BYTES} that are taken");
    if bytes <= MAX_BYTES { Ok(()) } else { Err(ConstraintError::TooLarge { problem: problem() }) }
}

/// Counts of one place.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    patterns: u64,
    ways: u64,
    parts: u64,
}

struct Counter<'s> {
    root: &'s Value,
    /// By the address of the schema; `None` while it is being counted.
    counts: HashMap<*const Value, Option<Count>>,
}

impl<'s> Counter<'s> {
    /// Checks every place that the schema describes, and what is no place as if it were one.
    fn everywhere(&mut self, schema: &'s Value) -> Result<(), ConstraintError> {
        let Count { patterns, ways, parts } = self.place(schema);
        for (count, most, what) in [
            (patterns, MAX_PATTERNS, "patterns that one text must match at once"),
            (ways, MAX_WAYS, "ways to put its alternatives together"),
            (parts, MAX_PARTS, "schemas for one place"),
        ] {
            if count > most {
                return Err(ConstraintError::TooLarge {
                    problem: format!("there are over {most} {what}"),
                });
            }
        }
        match schema {
            Value::Object(fields) => fields.values().try_for_each(|field| self.everywhere(field)),
            Value::Array(items) => items.iter().try_for_each(|item| self.everywhere(item)),
            _ => Ok(()),
        }
    }

    fn place(&mut self, schema: &'s Value) -> Count {
        let Value::Object(keywords) = schema else { return Count { ways: 1, ..Count::default() } };
        match self.counts.insert(schema, None) {
            Some(Some(count)) => {
                self.counts.insert(schema, Some(count));
                return count;
            }
            // It refers to itself, which the compiler finds out as well.
            Some(None) => return Count { ways: 1, ..Count::default() },
            None => {}
        }
        let count = self.merged(keywords);
        self.counts.insert(schema, Some(count));
        count
    }

    fn merged(&mut self, keywords: &'s Map<String, Value>) -> Count {
        let own =
            ["pattern", "format"].iter().filter(|keyword| keywords.contains_key(**keyword)).count()
                as u64;
        let mut all = Count { patterns: own, ways: 1, parts: 1 };
        let target = keywords
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|target| target.strip_prefix('#'));
        let target = target.and_then(|pointer| self.root.pointer(pointer));
        for part in list(keywords, "allOf").iter().chain(target) {
            let Count { patterns, ways, parts } = self.place(part);
            all.patterns = all.patterns.saturating_add(patterns);
            all.ways = all.ways.saturating_mul(ways);
            all.parts = all.parts.saturating_add(parts);
        }
        for alternatives in ["anyOf", "oneOf"]
            .map(|keyword| list(keywords, keyword))
            .into_iter()
            .filter(|list| !list.is_empty())
        {
            let (mut patterns, mut ways) = (0, 0_u64);
            for alternative in alternatives {
                let count = self.place(alternative);
                patterns = count.patterns.max(patterns);
                ways = ways.saturating_add(count.ways);
                all.parts = all.parts.saturating_add(count.parts);
            }
            all.patterns = all.patterns.saturating_add(patterns);
            all.ways = all.ways.saturating_mul(ways);
        }
        all
    }
}

fn list<'s>(keywords: &'s Map<String, Value>, keyword: &str) -> &'s [Value] {
    keywords.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn refused(schema: &Value, what: &str) {
        match check_schema(schema) {
            Err(ConstraintError::TooLarge { problem }) => {
                assert!(problem.contains(what), "{problem}")
            }
            other => panic!("{other:?}"),
        }
    }

    fn patterns(count: usize) -> Vec<Value> {
        (0..count).map(|index| json!({ "pattern": format!("a{{{index}}}") })).collect()
    }

    #[test]
    fn patterns_count_where_they_meet() {
        assert_eq!(check_schema(&json!({ "allOf": patterns(6) })), Ok(()));
        refused(
            &json!({ "properties": { "a": { "items": { "allOf": patterns(7) } } } }),
            "patterns",
        );
        refused(
            &json!({
                "$defs": { "a": { "allOf": patterns(4) } },
                "items": { "$ref": "#/$defs/a", "allOf": patterns(3) },
            }),
            "patterns",
        );
        refused(
            &json!({ "allOf": [{ "anyOf": patterns(2) }, { "allOf": patterns(6) }] }),
            "patterns",
        );
        // Not where they do not: alternatives, and places of their own.
        let properties: Map<String, Value> =
            (0..100).map(|index| (format!("p{index}"), json!({ "pattern": "a+" }))).collect();
        assert_eq!(
            check_schema(&json!({ "anyOf": patterns(50), "properties": properties })),
            Ok(())
        );
    }

    #[test]
    fn alternatives_multiply() {
        let two = json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] });
        assert_eq!(check_schema(&json!({ "allOf": vec![two.clone(); 10] })), Ok(()));
        refused(&json!({ "allOf": vec![two; 20] }), "alternatives");
        let many: Vec<Value> = (0..1500).map(|index| json!({ "const": index })).collect();
        assert_eq!(check_schema(&json!({ "anyOf": many })), Ok(()));
    }

    #[test]
    fn references_that_double_are_counted_without_following_them_each_time() {
        let reference = |index: usize| json!({ "$ref": format!("#/$defs/{index}") });
        let twice = |index| json!({ "allOf": [reference(index), reference(index)] });
        let mut definitions: Map<String, Value> =
            (0..60).map(|index| (index.to_string(), twice(index + 1))).collect();
        definitions.insert("60".to_owned(), json!({ "type": "string" }));
        refused(&json!({ "$ref": "#/$defs/0", "$defs": definitions }), "schemas for one place");
    }

    #[test]
    fn references_in_a_circle_end() {
        assert_eq!(check_schema(&json!({ "$ref": "#" })), Ok(()));
        let tree = json!({
            "type": "object",
            "properties": { "left": { "$ref": "#" }, "right": { "$ref": "#" } },
        });
        assert_eq!(check_schema(&tree), Ok(()));
        assert_eq!(check_schema(&json!({ "$ref": "#/nowhere" })), Ok(()));
    }

    #[test]
    fn long_ones_are_refused() {
        refused(&json!({ "description": "x".repeat(MAX_BYTES) }), "bytes");
    }
}
