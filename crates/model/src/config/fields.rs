//! Typed access to a JSON object whose errors name the file, the field and the value found.

use serde_json::{Map, Value};

use crate::error::ModelError;

/// One JSON object; `null` counts as absent except for [`Fields::has`].
pub(super) struct Fields {
    file: &'static str,
    object: Map<String, Value>,
}

impl Fields {
    pub(super) fn parse(file: &'static str, bytes: &[u8]) -> Result<Self, ModelError> {
        let object = serde_json::from_slice(bytes)
            .map_err(|e| ModelError::Json { file: file.to_owned(), problem: e.to_string() })?;
        Ok(Self { file, object })
    }

    /// What errors call the file.
    pub(super) fn file(&self) -> &'static str {
        self.file
    }

    /// Whether the field is written at all, be it as `null`.
    pub(super) fn has(&self, field: &str) -> bool {
        self.object.contains_key(field)
    }

    pub(super) fn bad(&self, field: &str, problem: &str) -> ModelError {
        ModelError::Config { file: self.file, field: field.to_owned(), problem: problem.to_owned() }
    }

    /// A required size from 1 to `max`.
    pub(super) fn size(&self, field: &str, max: usize) -> Result<usize, ModelError> {
        self.optional_size(field, max)?.ok_or_else(|| self.bad(field, "is missing"))
    }

    pub(super) fn optional_size(
        &self,
        field: &str,
        max: usize,
    ) -> Result<Option<usize>, ModelError> {
        match self.count(field)? {
            Some(size) if size == 0 || size > max => {
                Err(self.bad(field, &format!("is {size}; it must be from 1 to {max}")))
            }
            size => Ok(size),
        }
    }

    /// A size from 1 to `max` that holds for all `layers` layers, or a list with one for each, in
    /// which 0 stands for a block that the layer does not have.
    pub(super) fn sizes(
        &self,
        field: &str,
        max: usize,
        layers: usize,
    ) -> Result<Option<Vec<usize>>, ModelError> {
        let Some(Value::Array(_)) = self.object.get(field) else {
            return Ok(self.optional_size(field, max)?.map(|size| vec![size; layers]));
        };
        let sizes: Option<Vec<usize>> = self.get(field, "whole numbers, one a layer", |value| {
            let size = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
            value.as_array()?.iter().map(size).collect()
        })?;
        let sizes = sizes.unwrap_or_default();
        if sizes.len() != layers {
            let problem = format!("has {} entries for {layers} layers", sizes.len());
            return Err(self.bad(field, &problem));
        }
        match sizes.iter().enumerate().find(|(_, size)| **size > max) {
            Some((layer, size)) => {
                let problem = format!("is {size} in layer {layer}; it must be at most {max}");
                Err(self.bad(field, &problem))
            }
            None => Ok(Some(sizes)),
        }
    }

    pub(super) fn count(&self, field: &str) -> Result<Option<usize>, ModelError> {
        self.get(field, "a whole number", |value| {
            value.as_u64().and_then(|n| usize::try_from(n).ok())
        })
    }

    /// A finite number.
    pub(super) fn number(&self, field: &str) -> Result<Option<f64>, ModelError> {
        self.get(field, "a number", |value| value.as_f64().filter(|n| n.is_finite()))
    }

    pub(super) fn numbers(&self, field: &str) -> Result<Option<Vec<f64>>, ModelError> {
        self.get(field, "a list of numbers", |value| {
            value.as_array()?.iter().map(Value::as_f64).collect()
        })
    }

    pub(super) fn flag(&self, field: &str) -> Result<Option<bool>, ModelError> {
        self.get(field, "true or false", Value::as_bool)
    }

    pub(super) fn text(&self, field: &str) -> Result<Option<&str>, ModelError> {
        self.get(field, "a text", Value::as_str)
    }

    pub(super) fn texts(&self, field: &str) -> Result<Option<Vec<&str>>, ModelError> {
        self.get(field, "a list of texts", |value| {
            value.as_array()?.iter().map(Value::as_str).collect()
        })
    }

    pub(super) fn first_text(&self, field: &str) -> Result<Option<&str>, ModelError> {
        Ok(self.texts(field)?.and_then(|texts| texts.first().copied()))
    }

    /// An inner object; its errors name this file.
    pub(super) fn object(&self, field: &str) -> Result<Option<Fields>, ModelError> {
        let object = self.get(field, "an object", Value::as_object)?;
        Ok(object.map(|object| Fields { file: self.file, object: object.clone() }))
    }

    /// One token id or a list of them, each below `vocab`.
    pub(super) fn token_ids(&self, field: &str, vocab: usize) -> Result<Vec<u32>, ModelError> {
        let id = |value: &Value| {
            value.as_u64().filter(|id| *id < vocab as u64).and_then(|id| u32::try_from(id).ok())
        };
        let what = format!("a token id below the vocabulary size {vocab}, or a list of them");
        let ids = self.get(field, &what, |value| match value {
            Value::Array(ids) => ids.iter().map(id).collect(),
            single => Some(vec![id(single)?]),
        })?;
        Ok(ids.unwrap_or_default())
    }

    fn get<'a, T>(
        &'a self,
        field: &str,
        what: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ModelError> {
        match self.object.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(value) {
                Some(read) => Ok(Some(read)),
                None => {
                    Err(self.bad(field, &format!("is {}; it must be {what}", shortened(value))))
                }
            },
        }
    }
}

/// The value as JSON, cut so that an error stays one line.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
