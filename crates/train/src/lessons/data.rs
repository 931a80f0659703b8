//! Training examples from JSONL files.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::{error::TrainError, rng::Rng};

/// One line of a JSONL file; other fields are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Example {
    pub(crate) prompt: String,
    pub(crate) response: String,
}

/// All examples of a file.
#[derive(Debug)]
pub(crate) struct Dataset {
    pub(crate) examples: Vec<Example>,
    /// Size of the file in bytes.
    pub(crate) bytes: u64,
}

impl Dataset {
    /// Reads and checks a whole file; blank lines are skipped.
    ///
    /// # Errors
    /// When the file cannot be read, a line is no example (the error names it), or there is none.
    pub(crate) fn read(path: &Path) -> Result<Self, TrainError> {
        let content = fs::read(path).map_err(TrainError::read(path))?;
        let mut examples = Vec::new();
        for (index, line) in content.split(|&byte| byte == b'\n').enumerate() {
            let failed = |problem: String| TrainError::Line {
                path: path.to_owned(),
                line: index + 1,
                problem,
            };
            let line = str::from_utf8(line).map_err(|e| failed(format!("not UTF-8 ({e})")))?;
            if line.trim().is_empty() {
                continue;
            }
            let example: Example = serde_json::from_str(line).map_err(|e| failed(e.to_string()))?;
            if example.prompt.is_empty() || example.response.is_empty() {
                return Err(failed("prompt or response is empty".to_owned()));
            }
            examples.push(example);
        }
        if examples.is_empty() {
            return Err(TrainError::NoExamples {
                path: path.to_owned(),
                problem: "the file is empty; add lines of prompts and responses".to_owned(),
            });
        }
        Ok(Self { examples, bytes: content.len() as u64 })
    }
}

/// The order in which examples are seen: every one once an epoch, in a random order that depends on
/// the seed and the epoch only, so that a position in it is all that a checkpoint needs.
#[derive(Debug)]
pub(crate) struct Order {
    seed: u64,
    count: usize,
    epoch: u64,
    permutation: Vec<usize>,
}

impl Order {
    /// The order of `count` (at least one) examples.
    pub(crate) fn new(seed: u64, count: usize) -> Self {
        Self { seed, count, epoch: 0, permutation: Rng::new(seed, 0).permutation(count) }
    }

    /// The index of the example that is seen as number `position`.
    pub(crate) fn at(&mut self, position: u64) -> usize {
        let epoch = position / self.count as u64;
        if epoch != self.epoch {
            self.epoch = epoch;
            self.permutation = Rng::new(self.seed, epoch).permutation(self.count);
        }
        self.permutation[(position % self.count as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, content: &[u8]) -> Result<Dataset, TrainError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{name}.jsonl"));
        fs::write(&path, content).unwrap();
        Dataset::read(&path)
    }

    #[test]
    fn reads_examples_and_ignores_other_fields() {
        let (first, second) =
            (r#"{"kind":"x","prompt":"a","response":"b"}"#, r#"{"prompt":"c","response":"d"}"#);
        let data = read("good", format!("{first}\n\n{second}").as_bytes()).unwrap();
        assert_eq!(data.examples.len(), 2);
        assert_eq!(data.examples[1], Example { prompt: "c".into(), response: "d".into() });
    }

    #[test]
    fn bad_lines_are_named() {
        let good = "{\"prompt\":\"a\",\"response\":\"b\"}\n";
        let cases: [(&str, &[u8], &str); 5] = [
            ("json", b"{\"prompt\": \"a\", \"resp", "EOF"),
            ("field", b"{\"prompt\": \"a\"}", "missing field `response`"),
            ("type", b"{\"prompt\": 3, \"response\": \"a\"}", "invalid type"),
            ("empty", b"{\"prompt\": \"\", \"response\": \"a\"}", "is empty"),
            ("utf8", b"{\"prompt\": \"\xff\", \"response\": \"a\"}", "not UTF-8"),
        ];
        for (name, line, problem) in cases {
            let error = read(name, &[good.as_bytes(), line].concat()).unwrap_err().to_string();
            assert!(error.contains("line 2") && error.contains(problem), "{error}");
        }
    }

    #[test]
    fn missing_and_empty_files_are_refused() {
        assert!(matches!(
            Dataset::read(Path::new("/nonexistent/x.jsonl")),
            Err(TrainError::Io { action: "read", .. })
        ));
        assert!(matches!(read("blank", b"\n \n"), Err(TrainError::NoExamples { .. })));
    }

    #[test]
    fn every_epoch_sees_every_example_once() {
        let mut order = Order::new(5, 10);
        let seen: Vec<usize> = (0..20).map(|position| order.at(position)).collect();
        for epoch in seen.chunks(10) {
            let mut epoch = epoch.to_vec();
            epoch.sort_unstable();
            assert!(epoch.into_iter().eq(0..10));
        }
        assert_ne!(seen[..10], seen[10..]);
        assert_eq!(Order::new(5, 10).at(13), seen[13]);
    }
}
