//! A hub's checksums: SHA-256 for large files, git's for the others.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use std::{fs::File, io::Read, path::Path};

/// What a hub says of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum<'a> {
    /// SHA-256 of the content.
    Sha256(&'a str),
    /// SHA-1 of the content behind git's header, as `git hash-object` has it.
    Git(&'a str),
}

impl<'a> Checksum<'a> {
    /// A hub's entity tag as a checksum; `None` when it is none.
    pub(crate) fn parse(etag: &'a str) -> Option<Self> {
        let is_hex = etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        match etag.len() {
            64 if is_hex => Some(Self::Sha256(etag)),
            40 if is_hex => Some(Self::Git(etag)),
            _ => None,
        }
    }

    /// Whether the file at `path` has it; `on_read` hears of the bytes as they are read.
    pub(crate) fn matches(
        self,
        path: &Path,
        on_read: &mut dyn FnMut(usize),
    ) -> std::io::Result<bool> {
        let mut file = File::open(path)?;
        let (mut context, expected) = match self {
            Self::Sha256(expected) => (Context::new(&SHA256), expected),
            Self::Git(expected) => {
                let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
                context.update(format!("blob {}\0", file.metadata()?.len()).as_bytes());
                (context, expected)
            }
        };
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => {
                    context.update(&buffer[..read]);
                    on_read(read);
                }
            }
        }
        let hex: String =
            context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(hex.eq_ignore_ascii_case(expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_agree_with_sha256sum_and_git() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "hello\n").unwrap();
        let sha256 =
            Checksum::parse("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03")
                .unwrap();
        let git = Checksum::parse("ce013625030ba8dba906f756967f9e9ca394464a").unwrap();
        let matches = |sum: Checksum<'_>| sum.matches(&path, &mut |_| {}).unwrap();
        assert!(matches(sha256) && matches(git));
        std::fs::write(&path, "hello!").unwrap();
        assert!(!matches(sha256) && !matches(git));
    }

    #[test]
    fn what_is_no_checksum_is_refused() {
        for etag in ["", "../../../etc/passwd", "abc", &"g".repeat(40)] {
            assert_eq!(Checksum::parse(etag), None);
        }
    }
}
