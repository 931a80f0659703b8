//! Prompts that are too long for any tokenizer, told by their bytes: to tokenise a text of
//! megabytes takes seconds.

use crate::ApiError;
use tricorn_device::Engine;

/// What a prompt may be at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fit {
    /// Tokens of prompt and answer.
    context: usize,
    /// Bytes that one token stands for at most; `None` where there is no bound, so that only the
    /// body's bounds a text.
    longest_token: Option<usize>,
}

impl Fit {
    pub(crate) fn new(engine: &Engine) -> Self {
        Self {
            context: engine.parts().context,
            longest_token: engine.prompter().tokenizer().longest_token(),
        }
    }

    /// Refuses a prompt of field `param` that has too many tokens however it is cut into them.
    pub(crate) fn check(&self, prompt: &str, param: &'static str) -> Result<(), ApiError> {
        let Some(longest) = self.longest_token else { return Ok(()) };
        let tokens = prompt.len().div_ceil(longest);
        // One place is left for the answer's first token.
        if tokens < self.context {
            Ok(())
        } else {
            Err(ApiError::TooLong { tokens, counted: false, context: self.context, param })
        }
    }
}
