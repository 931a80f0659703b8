//! Names of models on a hub.

use std::{fmt, str::FromStr};

/// `hf:ORG/NAME`, with `@REVISION` for another branch, tag or commit than `main`, and `:FILE.gguf`
/// for one file of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelName {
    repository: String,
    revision: String,
    file: Option<String>,
}

/// A text that is no [`ModelName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no model on a hub; write hf:ORG/NAME, hf:ORG/NAME@REVISION or \
     hf:ORG/NAME:FILE.gguf"
)]
pub struct NameError(String);

impl ModelName {
    /// What every name begins with.
    pub const SCHEME: &str = "hf:";

    /// `ORG/NAME`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Branch, tag or commit.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The one file asked for.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }
}

impl FromStr for ModelName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parse = || {
            let rest = text.strip_prefix(Self::SCHEME)?;
            let (rest, file) = match rest.split_once(':') {
                Some((rest, file)) => (rest, Some(file)),
                None => (rest, None),
            };
            let (repository, revision) = rest.split_once('@').unwrap_or((rest, "main"));
            let (organisation, name) = repository.split_once('/')?;
            // A revision may hold slashes, as branches do.
            let parts = [organisation, name].into_iter().chain(revision.split('/')).chain(file);
            let sound =
                parts.into_iter().all(is_plain) && file.is_none_or(|file| file.ends_with(".gguf"));
            sound.then(|| Self {
                repository: repository.to_owned(),
                revision: revision.to_owned(),
                file: file.map(str::to_owned),
            })
        };
        parse().ok_or_else(|| NameError(text.to_owned()))
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::SCHEME, self.repository)?;
        if self.revision != "main" {
            write!(f, "@{}", self.revision)?;
        }
        self.file.iter().try_for_each(|file| write!(f, ":{file}"))
    }
}

/// Whether a name can be part of a path and mean nothing but itself there.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_repository_a_revision_and_perhaps_a_file() {
        for text in [
            "hf:org/name",
            "hf:org/Name-1.5_x@v2",
            "hf:org/name@refs/pr/3",
            "hf:org/name:model-q4_k.gguf",
            "hf:a/b@c:d.gguf",
        ] {
            assert_eq!(text.parse::<ModelName>().unwrap().to_string(), text);
        }
        let name: ModelName = "hf:org/name@v2:a.gguf".parse().unwrap();
        assert_eq!(
            (name.repository(), name.revision(), name.file()),
            ("org/name", "v2", Some("a.gguf"))
        );
        assert_eq!("hf:org/name".parse::<ModelName>().unwrap().revision(), "main");
    }

    #[test]
    fn what_could_leave_the_cache_is_no_name() {
        for text in [
            "org/name",
            "hf:name",
            "hf:/name",
            "hf:org/",
            "hf:../name",
            "hf:org/..",
            "hf:org/name@../..",
            "hf:org/name@",
            "hf:org/a/b",
            "hf:org/na me",
            "hf:org/name:../a.gguf",
            "hf:org/name:a.bin",
            "hf:org/name?x=1",
            "hf:org\\name/x",
        ] {
            assert!(
                text.parse::<ModelName>().unwrap_err().to_string().contains("hf:ORG/NAME"),
                "{text}"
            );
        }
    }
}
