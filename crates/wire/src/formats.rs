//! Number formats on the wire: names in a message, checked on arrival.

use tricorn_core::{FormatName, Formats};

use crate::{WireError, proto};

impl From<Formats> for proto::Formats {
    fn from(Formats { weights, kv }: Formats) -> Self {
        let text =
            |name: Option<FormatName>| name.map_or_else(String::new, |name| name.to_string());
        Self { weights: text(weights), kv: text(kv) }
    }
}

/// An absent message says nothing.
pub(crate) fn formats(formats: Option<proto::Formats>) -> Result<Formats, WireError> {
    let Some(proto::Formats { weights, kv }) = formats else { return Ok(Formats::UNKNOWN) };
    let name = |field, text: &str| match text {
        "" => Ok(None),
        text => FormatName::new(text).map(Some).ok_or(WireError::Name { field }),
    };
    Ok(Formats { weights: name("formats.weights", &weights)?, kv: name("formats.kv", &kv)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        let message =
            |weights: &str| Some(proto::Formats { weights: weights.to_owned(), kv: String::new() });
        assert_eq!(
            formats(message("sixteen-letters_")).unwrap().weights.unwrap().to_string(),
            "sixteen-letters_"
        );
        for bad in ["seventeen-letters", "q4k\n", "q 4", "ü"] {
            assert_eq!(
                formats(message(bad)),
                Err(WireError::Name { field: "formats.weights" }),
                "{bad}"
            );
        }
        assert_eq!(formats(None), Ok(Formats::UNKNOWN));
    }
}
