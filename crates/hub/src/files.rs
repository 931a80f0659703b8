//! File choice: the files of a repository that make a model for Tricorn.

use crate::{HubError, ModelName, name::is_plain};
use std::collections::BTreeSet;

/// Beside the weights; a repository need not have them all.
const BESIDE: [&str; 5] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];
const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The files to fetch of those a repository has, and the one that stands for the model where it is
/// a single file.
pub(crate) fn choose(
    name: &ModelName,
    present: &[String],
) -> Result<(Vec<String>, Option<String>), HubError> {
    // Files in folders are other forms of the same model, and no other name is asked for.
    let plain = || present.iter().filter(|file| is_plain(file));
    let gguf: Vec<String> = plain().filter(|file| file.ends_with(".gguf")).cloned().collect();
    if let Some(file) = name.file() {
        if gguf.iter().any(|present| present == file) {
            return Ok((parts(name, file, &gguf)?, Some(file.to_owned())));
        }
        return Err(HubError::NoFile { name: name.clone(), files: gguf });
    }
    let has = |file: &str| plain().any(|present| present == file);
    let weights: Vec<String> = if has(WHOLE) {
        vec![WHOLE.to_owned()]
    } else if has(INDEX) {
        let shards: Vec<String> = plain()
            .filter(|file| file.starts_with("model-") && file.ends_with(".safetensors"))
            .cloned()
            .collect();
        whole(name, &shards)?;
        shards.into_iter().chain([INDEX.to_owned()]).collect()
    } else {
        let firsts: Vec<String> = gguf
            .iter()
            .filter(|file| Part::of(file).is_none_or(|part| part.number == 1))
            .cloned()
            .collect();
        return match firsts.as_slice() {
            [] => Err(HubError::NoModel { name: name.clone() }),
            [one] => Ok((parts(name, one, &gguf)?, Some(one.clone()))),
            _ => Err(HubError::Several { name: name.clone(), files: firsts }),
        };
    };
    let drafter = |file: &str| {
        file.starts_with("drafter-") && (file.ends_with(".json") || file.ends_with(".safetensors"))
    };
    let beside = plain().filter(|file| BESIDE.contains(&file.as_str()) || drafter(file)).cloned();
    Ok((beside.chain(weights).collect(), None))
}

/// All parts of a GGUF file that is split, or the file.
fn parts(name: &ModelName, file: &str, gguf: &[String]) -> Result<Vec<String>, HubError> {
    let Some(asked) = Part::of(file) else { return Ok(vec![file.to_owned()]) };
    let parts: Vec<String> = gguf
        .iter()
        .filter(|other| Part::of(other).is_some_and(|part| part.belongs_to(asked)))
        .cloned()
        .collect();
    whole(name, &parts)?;
    Ok(parts)
}

/// Checks that of every file that is split all parts are among `files`.
fn whole(name: &ModelName, files: &[String]) -> Result<(), HubError> {
    let all: Vec<Part<'_>> = files.iter().filter_map(|file| Part::of(file)).collect();
    for part in &all {
        let there: BTreeSet<u32> =
            all.iter().filter(|other| other.belongs_to(*part)).map(|other| other.number).collect();
        if let Some(missing) = (1..=part.count).find(|number| !there.contains(number)) {
            return Err(HubError::NoPart { name: name.clone(), file: part.sibling(missing) });
        }
    }
    Ok(())
}

/// A part of a file that is split: `STEM-00001-of-00003.gguf`, or the same with `.safetensors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part<'a> {
    stem: &'a str,
    number: u32,
    count: u32,
    extension: &'a str,
}

impl<'a> Part<'a> {
    fn of(file: &'a str) -> Option<Self> {
        let (rest, extension) = file.rsplit_once('.')?;
        let (rest, count) = rest.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let parse = |text: &str| {
            text.parse()
                .ok()
                .filter(|_| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit()))
        };
        Some(Self { stem, number: parse(number)?, count: parse(count)?, extension })
    }

    fn belongs_to(self, other: Self) -> bool {
        Self { number: other.number, ..self } == other
    }

    /// The name of another part of the same file.
    fn sibling(self, number: u32) -> String {
        format!("{}-{number:05}-of-{:05}.{}", self.stem, self.count, self.extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(name: &str, present: &[&str]) -> Result<(Vec<String>, Option<String>), HubError> {
        choose(
            &name.parse().unwrap(),
            &present.iter().map(|&file| file.to_owned()).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_directory_of_safetensors_comes_with_what_lies_beside_and_nothing_else() {
        let present = [
            "README.md",
            "config.json",
            "model.safetensors",
            "pytorch_model.bin",
            "tokenizer.json",
            "onnx/model.onnx",
            "drafter-hat.json",
        ];
        let (files, one) = chosen("hf:a/b", &present).unwrap();
        assert_eq!(
            files,
            ["config.json", "tokenizer.json", "drafter-hat.json", "model.safetensors"]
        );
        assert_eq!(one, None);
    }

    #[test]
    fn shards_come_with_their_index() {
        let present = [
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "other.safetensors",
        ];
        assert_eq!(chosen("hf:a/b", &present).unwrap().0.len(), 3);
    }

    #[test]
    fn one_gguf_file_is_the_model_and_of_several_one_is_named() {
        assert_eq!(
            chosen("hf:a/b", &["x.gguf", "README.md"]).unwrap(),
            (vec!["x.gguf".to_owned()], Some("x.gguf".to_owned()))
        );
        let error = chosen("hf:a/b", &["x.gguf", "y.gguf"]).unwrap_err().to_string();
        assert!(error.contains("hf:a/b:x.gguf") && error.contains("y.gguf"), "{error}");
        assert_eq!(chosen("hf:a/b:y.gguf", &["x.gguf", "y.gguf"]).unwrap().0, ["y.gguf"]);
        assert!(chosen("hf:a/b:z.gguf", &["x.gguf"]).unwrap_err().to_string().contains("x.gguf"));
        let split = ["x-00001-of-00002.gguf", "x-00002-of-00002.gguf"];
        assert_eq!(
            chosen("hf:a/b", &split).unwrap(),
            (split.map(str::to_owned).to_vec(), Some(split[0].to_owned()))
        );
    }

    #[test]
    fn a_model_that_lacks_a_part_is_none() {
        for (name, present, missing) in [
            (
                "hf:a/b",
                &["x-00001-of-00003.gguf", "x-00003-of-00003.gguf"][..],
                "x-00002-of-00003.gguf",
            ),
            (
                "hf:a/b:x-00001-of-00002.gguf",
                &["x-00001-of-00002.gguf", "y-00002-of-00002.gguf"],
                "x-00002-of-00002.gguf",
            ),
            (
                "hf:a/b",
                &["model-00001-of-00002.safetensors", INDEX],
                "model-00002-of-00002.safetensors",
            ),
        ] {
            let error = chosen(name, present).unwrap_err();
            assert!(matches!(&error, HubError::NoPart { file, .. } if file == missing), "{error}");
        }
    }

    #[test]
    fn names_that_could_leave_the_cache_are_not_asked_for() {
        assert!(matches!(
            chosen("hf:a/b", &["../model.safetensors", "../../x.gguf", "/etc/x.gguf"]),
            Err(HubError::NoModel { .. })
        ));
    }
}
