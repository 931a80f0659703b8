//! Lessons kept in memory, so that later epochs do not have to write and read them again.

use std::collections::HashMap;

use half::{f16, slice::HalfFloatSliceExt};

use crate::lessons::teacher::Lesson;

/// Which lesson of an example: the model's own text for its prompt, or its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LessonKey {
    pub(crate) example: usize,
    pub(crate) own_text: bool,
}

/// Lessons up to a limit of memory; those that come later are not kept.
#[derive(Debug)]
pub(crate) struct Lessons {
    limit_bytes: usize,
    used_bytes: usize,
    kept: HashMap<LessonKey, Kept>,
}

#[derive(Debug)]
struct Kept {
    tokens: Vec<u32>,
    first: usize,
    shallow: Rows,
    target: Rows,
}

/// Hidden rows without loss: what was rounded at a cut takes half the memory.
#[derive(Debug)]
enum Rows {
    F16(Vec<f16>),
    F32(Vec<f32>),
}

impl Rows {
    fn new(values: &[f32]) -> Self {
        let mut half = vec![f16::ZERO; values.len()];
        half.convert_from_f32_slice(values);
        if half.iter().zip(values).all(|(half, value)| half.to_f32() == *value) {
            Self::F16(half)
        } else {
            Self::F32(values.to_vec())
        }
    }

    fn values(&self) -> Vec<f32> {
        match self {
            Self::F16(half) => half.to_f32_vec(),
            Self::F32(values) => values.clone(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::F16(half) => size_of_val(&half[..]),
            Self::F32(values) => size_of_val(&values[..]),
        }
    }
}

impl Lessons {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, used_bytes: 0, kept: HashMap::new() }
    }

    pub(crate) fn get(&self, key: LessonKey) -> Option<Lesson> {
        let Kept { tokens, first, shallow, target } = self.kept.get(&key)?;
        Some(Lesson {
            tokens: tokens.clone(),
            first: *first,
            shallow: shallow.values(),
            target: target.values(),
        })
    }

    pub(crate) fn keep(&mut self, key: LessonKey, lesson: &Lesson) {
        if self.used_bytes >= self.limit_bytes {
            return;
        }
        let (shallow, target) = (Rows::new(&lesson.shallow), Rows::new(&lesson.target));
        let bytes = shallow.bytes() + target.bytes() + size_of_val(&lesson.tokens[..]);
        if self.used_bytes + bytes <= self.limit_bytes {
            self.used_bytes += bytes;
            self.kept.insert(
                key,
                Kept { tokens: lesson.tokens.clone(), first: lesson.first, shallow, target },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lessons_come_back_as_they_were_as_long_as_there_is_room() {
        let lesson = Lesson {
            tokens: vec![1, 2, 3],
            first: 1,
            shallow: vec![0.5, -65504.0, 0.25, 6.0],
            target: vec![0.1, 1.0 / 3.0],
        };
        let key = |example, own_text| LessonKey { example, own_text };
        // Tokens, two bytes for each of the rounded rows and four for each of the others.
        let bytes = 12 + 8 + 8;
        let mut lessons = Lessons::new(2 * bytes);
        lessons.keep(key(7, true), &lesson);
        assert_eq!(lessons.get(key(7, true)).unwrap(), lesson);
        assert_eq!(lessons.get(key(7, false)), None);
        lessons.keep(key(7, false), &lesson);
        assert_eq!(lessons.used_bytes, 2 * bytes);
        lessons.keep(key(8, false), &lesson);
        assert_eq!((lessons.get(key(8, false)), lessons.used_bytes), (None, 2 * bytes));
    }
}
