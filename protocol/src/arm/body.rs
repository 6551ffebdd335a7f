//! Understanding a request body.

use serde::de::DeserializeOwned;

/// A body that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is no JSON.
    #[error("the body is no JSON: {0}")]
    NoJson(String),
    /// A field has the wrong type or an unknown value.
    #[error("`{target}`: {message}")]
    WrongField {
        /// The path of the field.
        target: String,
        /// What was expected.
        message: String,
    },
}

impl BodyError {
    /// The code of the REST error.
    pub const fn code(&self) -> &'static str {
        match self {
            BodyError::NoJson(_) => "InvalidRequestContent",
            BodyError::WrongField { .. } => "InvalidField",
        }
    }
}

/// Understands a JSON body.
///
/// # Errors
/// With the path of the first field that is wrong.
pub fn read_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    // Whether it is JSON at all is asked first: a truncated body is no mistake of a field.
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|error| BodyError::NoJson(error.to_string()))?;
    let deserializer = &mut serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let message = error.inner().to_string();
        // The place in the text says less than the path does.
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        BodyError::WrongField { target: error.path().to_string(), message }
    })
}
