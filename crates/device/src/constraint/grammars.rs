//! Grammars of one model: makes them, within bounds.

use super::{
    bounds::{check_bytes, check_schema},
    error::{ConstraintError, one_line},
    grammar::Grammar,
    vocabulary::environment,
};
use crate::prompt::Prompter;
use llguidance::{
    JsonCompileOptions, Matcher, ParserFactory, api::TopLevelGrammar, earley::SlicedBiasComputer,
    panic_utils, toktrie::InferenceCapabilities,
};
use serde_json::{Value, json};
use std::{fmt, sync::Arc, thread};

/// The stack of the thread that compiles: it goes down with the references and nesting that
/// `MAX_BYTES` of schema can hold.
const STACK: usize = 512 << 20;

/// Of one or two kilobytes each, for every turn that is held to a grammar.
const MAX_LEXER_STATES: usize = 50_000;

/// Nodes of a grammar's regular expressions and symbols of its rules: some tenths of a second to
/// compile, and room for schemas of hundreds of kilobytes.
const MAX_LEXER_NODES: u64 = 300_000;
const MAX_SYMBOLS: usize = 200_000;

/// Makes grammars for one model.
pub struct Grammars {
    factory: ParserFactory,
    /// The token behind the model's that stands for the end of the text.
    end: u32,
    stop_tokens: Arc<[u32]>,
}

impl Grammars {
    /// Reads the bytes of the tokenizer's tokens. `stop_tokens` are those that end the model's
    /// texts.
    ///
    /// # Errors
    /// When the tokenizer does not tell them.
    pub fn new(prompter: &Prompter, stop_tokens: &[u32]) -> Result<Self, ConstraintError> {
        let (environment, end) = environment(prompter.tokenizer())?;
        let factory = ParserFactory::new(
            &environment,
            InferenceCapabilities::default(),
            &SlicedBiasComputer::json_slices(),
        );
        let mut factory =
            factory.map_err(|error| ConstraintError::Vocabulary { problem: one_line(&error) })?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.verbose_errors = false;
        limits.max_lexer_states = MAX_LEXER_STATES;
        limits.initial_lexer_fuel = MAX_LEXER_NODES;
        limits.max_grammar_size = MAX_SYMBOLS;
        Ok(Self { factory, end, stop_tokens: stop_tokens.into() })
    }

    /// Any JSON object.
    ///
    /// # Errors
    /// When the model's vocabulary does not allow it.
    pub fn json_object(&self) -> Result<Grammar, ConstraintError> {
        self.json_schema(&json!({ "type": "object" }))
    }

    /// JSON that a schema describes.
    ///
    /// # Errors
    /// When it is no schema, has keywords that are not supported, is too large, or no text
    /// satisfies it.
    pub fn json_schema(&self, schema: &Value) -> Result<Grammar, ConstraintError> {
        let mut schema = match schema {
            Value::Object(_) => schema.clone(),
            Value::Bool(true) => json!({}),
            Value::Bool(false) => {
                return Err(ConstraintError::Unsatisfiable { problem: "it is `false`".to_owned() });
            }
            _ => {
                return Err(ConstraintError::Schema {
                    problem: "a schema is an object or a boolean".to_owned(),
                });
            }
        };
        check_schema(&schema)?;
        layout().apply_to(&mut schema);
        self.compile(TopLevelGrammar::from_json_schema(schema), |problem| ConstraintError::Schema {
            problem,
        })
    }

    /// A text that a regular expression describes as a whole.
    ///
    /// # Errors
    /// When it is none, or is too large.
    pub fn regex(&self, pattern: &str) -> Result<Grammar, ConstraintError> {
        check_bytes(pattern.len())?;
        self.compile(TopLevelGrammar::from_regex(pattern), |problem| ConstraintError::Grammar {
            problem,
        })
    }

    /// A text of a grammar in llguidance's dialect of Lark. Schemas within it are to be
    /// [checked](check_schema) before.
    ///
    /// # Errors
    /// When it is none, or is too large.
    pub fn lark(&self, grammar: &str) -> Result<Grammar, ConstraintError> {
        check_bytes(grammar.len())?;
        self.compile(TopLevelGrammar::from_lark(grammar.to_owned()), |problem| {
            ConstraintError::Grammar { problem }
        })
    }

    fn compile(
        &self,
        grammar: TopLevelGrammar,
        refused: impl Fn(String) -> ConstraintError,
    ) -> Result<Grammar, ConstraintError> {
        let compiled = || {
            panic_utils::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.factory.create_parser(grammar)
            }))
        };
        let parser = thread::scope(|scope| {
            let compiling = thread::Builder::new()
                .name("grammar".to_owned())
                .stack_size(STACK)
                .spawn_scoped(scope, compiled);
            let compiling = compiling
                .map_err(|error| ConstraintError::NoThread { problem: error.to_string() })?;
            compiling.join().map_err(|_| refused("its compiler failed".to_owned()))
        })?;
        let started = parser.map_err(|error| one_line(&error)).and_then(|parser| {
            let matcher = Matcher::new(Ok(parser));
            matcher.get_error().map_or(Ok(matcher), |error| Err(one_line(&error)))
        });
        started.map(|start| Grammar::new(start, self.end, Arc::clone(&self.stop_tokens))).map_err(
            |problem| {
                if problem.contains("Unsatisfiable schema") {
                    ConstraintError::Unsatisfiable { problem }
                } else if ["too big", "too large", "too many", "fuel"]
                    .iter()
                    .any(|sign| problem.contains(sign))
                {
                    ConstraintError::TooLarge { problem }
                } else {
                    refused(problem)
                }
            },
        )
    }
}

/// JSON on one line, as `json.dumps` writes it. Free white space is room for a model that has lost
/// the thread to go round in.
fn layout() -> JsonCompileOptions {
    JsonCompileOptions {
        whitespace_flexible: false,
        item_separator: ", ".to_owned(),
        key_separator: ": ".to_owned(),
        ..JsonCompileOptions::default()
    }
}

impl fmt::Debug for Grammars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammars")
            .field("end", &self.end)
            .field("stop_tokens", &self.stop_tokens)
            .finish_non_exhaustive()
    }
}
