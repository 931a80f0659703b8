//! Number formats of weights and KV caches, and the check that two sides hold theirs alike.

use std::fmt;

/// Most characters of a name.
const LONGEST: usize = 16;

/// A format's name, as `--quant` and `--kv` have it: at most 16 ASCII letters, digits, `-` and `_`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FormatName {
    bytes: [u8; LONGEST],
    length: usize,
}

/// Formats in which one side holds its numbers; `None` where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Formats {
    /// What the layers' matrices are quantised to, or `stored`.
    pub weights: Option<FormatName>,
    /// Of the layers' KV caches.
    pub kv: Option<FormatName>,
}

impl FormatName {
    /// `None` when `name` is empty, too long or of other characters.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        (!name.is_empty() && name.bytes().all(plain)).then_some(Self { bytes, length: name.len() })
    }

    fn as_str(&self) -> &str {
        // ASCII, as `new` has checked.
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Display for FormatName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for FormatName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Formats {
    /// A side that says nothing.
    pub const UNKNOWN: Self = Self { weights: None, kv: None };

    /// Why these and the `other` side's numbers would not give one text, in one line that names
    /// both sides and the mend. What either does not say is taken to be alike.
    #[must_use]
    pub fn mismatch(self, here: &str, other: Self, there: &str) -> Option<String> {
        let differ = |ours: Option<FormatName>, theirs: Option<FormatName>| {
            ours.zip(theirs).filter(|(ours, theirs)| ours != theirs)
        };
        if let Some((ours, theirs)) = differ(self.weights, other.weights) {
            return Some(format!(
                "{there} holds weights as {theirs}, {here} as {ours}: that is another model; give \
                 both the same --quant, or bundles of one `tricorn pack`"
            ));
        }
        let (ours, theirs) = differ(self.kv, other.kv)?;
        Some(format!(
            "{there} has KV caches in {theirs}, {here} in {ours}, which gives another text; give \
             both the same --kv"
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn held(weights: &str, kv: &str) -> Formats {
        Formats { weights: FormatName::new(weights), kv: FormatName::new(kv) }
    }

    #[test]
    fn what_is_not_said_fits_everything() {
        let q4k = held("q4k", "f16");
        for other in [q4k, Formats::UNKNOWN, held("q4k", ""), held("", "f16")] {
            assert_eq!(
                (q4k.mismatch("a", other, "b"), other.mismatch("a", q4k, "b")),
                (None, None)
            );
        }
    }

    #[test]
    fn a_difference_names_both_sides_and_the_flag() {
        for (other, parts) in [
            (
                held("stored", "f16"),
                ["the device holds weights as stored", "this cloud as q4k", "--quant"],
            ),
            (held("q4k", "f32"), ["the device has KV caches in f32", "this cloud in f16", "--kv"]),
        ] {
            let line = held("q4k", "f16").mismatch("this cloud", other, "the device").unwrap();
            assert!(parts.iter().all(|part| line.contains(part)) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn names_are_short_and_plain() {
        assert_eq!(FormatName::new("sixteen-letters_").unwrap().to_string(), "sixteen-letters_");
        for bad in ["", "seventeen-letters", "q4k\n", "q 4", "ü"] {
            assert_eq!(FormatName::new(bad), None, "{bad}");
        }
    }
}
