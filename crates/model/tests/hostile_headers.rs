//! Headers with anything done to them: opening a file never panics, never allocates what the file
//! does not hold, and says one line.

use std::{fs, ops::Range, path::Path};

use crate::support::{TempDir, model_dir};
use proptest::{collection::vec, prelude::*, sample::Index};
use tricorn_model::{ModelError, ModelSource};

/// One change to a file.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    /// Eight bytes that are a length somewhere.
    Length(Index, u64),
    Copy(Index, Index, usize),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Cut(Index),
}

impl Change {
    /// Changes `bytes`, its beginning in the header.
    fn apply(&self, bytes: &mut Vec<u8>, header: usize) {
        let at = |index: &Index, bytes: &[u8]| {
            index.index(bytes.len().min(header).max(1)).min(bytes.len().saturating_sub(1))
        };
        let span = |at: usize, count: usize, bytes: &[u8]| -> Range<usize> {
            at..(at + count).min(bytes.len())
        };
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Set(index, byte) => {
                let at = at(index, bytes);
                bytes[at] = *byte;
            }
            Self::Flip(index, bit) => {
                let at = at(index, bytes);
                bytes[at] ^= 1 << (bit % 8);
            }
            Self::Length(index, length) => {
                let range = span(at(index, bytes), 8, bytes);
                let count = range.len();
                bytes[range].copy_from_slice(&length.to_le_bytes()[..count]);
            }
            Self::Copy(from, to, count) => {
                let piece = bytes[span(at(from, bytes), *count, bytes)].to_vec();
                let range = span(at(to, bytes), piece.len(), bytes);
                let count = range.len();
                bytes[range].copy_from_slice(&piece[..count]);
            }
            Self::Insert(index, piece) => {
                let at = at(index, bytes);
                bytes.splice(at..at, piece.iter().copied());
            }
            Self::Remove(index, count) => {
                let range = span(at(index, bytes), *count, bytes);
                bytes.drain(range);
            }
            Self::Cut(index) => bytes.truncate(at(index, bytes)),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let length = prop_oneof![
        any::<u64>(),
        0..1000_u64,
        Just(u64::MAX),
        Just(i64::MAX as u64),
        Just(u64::MAX - 7),
        Just(1 << 32),
        Just(u64::from(u32::MAX)),
        Just(1 << 61)
    ];
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, bit)| Change::Flip(at, bit)),
        4 => (any::<Index>(), length).prop_map(|(at, length)| Change::Length(at, length)),
        1 => (any::<Index>(), any::<Index>(), 1..64_usize)
            .prop_map(|(from, to, count)| Change::Copy(from, to, count)),
        1 => (any::<Index>(), vec(any::<u8>(), 1..16))
            .prop_map(|(at, piece)| Change::Insert(at, piece)),
        1 => (any::<Index>(), 1..16_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        1 => any::<Index>().prop_map(Change::Cut),
    ]
}

/// Everything that reads a model's files without computing.
fn read_all(path: &Path) -> Result<(), ModelError> {
    let source = ModelSource::open(path)?;
    source.fingerprint()?;
    source.template()?;
    for (name, info) in source.weights().iter() {
        source.weights().f32(name, &info.shape)?;
    }
    if let Ok(tokenizer) = source.tokenizer() {
        tokenizer.encode("abc cab ab", true)?;
    }
    Ok(())
}

fn check(path: &Path) {
    if let Err(error) = read_all(path) {
        let message = error.to_string();
        assert!(!message.is_empty() && !message.contains('\n'), "{message:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn gguf_files(changes in vec(change(), 1..4)) {
        let (header, mut bytes) = crate::support::gguf::tiny().bytes();
        changes.iter().for_each(|change| change.apply(&mut bytes, header));
        let dir = TempDir::new();
        let path = dir.file("model.gguf");
        fs::write(&path, &bytes).unwrap();
        check(&path);
    }

    #[test]
    fn safetensors_files(changes in vec(change(), 1..4)) {
        let dir = model_dir();
        let path = dir.file("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        let header = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        changes.iter().for_each(|change| change.apply(&mut bytes, header));
        fs::write(&path, &bytes).unwrap();
        check(dir.path());
    }
}
