//! Constraints on a text: JSON of any kind, JSON of a schema, a regular expression, or a grammar in
//! Lark's syntax.
//!
//! Made with llguidance: a token is allowed when its bytes go on with a text of the grammar.
//! [`Grammars`] are made once per model; a [`Grammar`] is compiled once per request and gives any
//! number of turns their own [`Constraint`](tricorn_core::Constraint).

mod bounds;
mod error;
mod grammar;
mod grammars;
mod matching;
mod vocabulary;

pub use bounds::check_schema;
pub use error::ConstraintError;
pub use grammar::Grammar;
pub use grammars::Grammars;
