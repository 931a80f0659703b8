//! Status texts: the causes of failed calls, in words.

/// The innermost error's text: "transport error" alone helps nobody.
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// The message about a peer that took a connection and does not answer as a cloud does.
pub(super) fn unlike_a_cloud(status: &tonic::Status) -> String {
    format!("what listens there does not answer as a cloud does: {}", describe(status))
}

/// The cause of a status.
pub(super) fn describe(status: &tonic::Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => root_cause(source),
        None if status.message().is_empty() => status.code().to_string(),
        None => status.message().to_owned(),
    }
}
