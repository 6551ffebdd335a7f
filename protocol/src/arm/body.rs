//! Understanding a request body.

use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A body that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is not JSON.
    #[error("the body is not JSON: {0}")]
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

/// Fields that hold lists.
const LISTS: [&str; 4] = ["driveList", "blobPath", "blobPathPrefix", "subscriptions"];

/// Where an object is expected the parser would take a list too, member by member, which is never meant.
pub(super) fn require_shape(value: &Value, path: &str, name: &str) -> Result<(), BodyError> {
    let inside = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(members) => members.iter().try_for_each(|(name, member)| require_shape(member, &inside(name), name)),
        Value::Array(items) if LISTS.contains(&name) => {
            items.iter().enumerate().try_for_each(|(index, item)| require_shape(item, &format!("{path}[{index}]"), ""))
        }
        Value::Array(_) => {
            let target = if path.is_empty() { "(the body)".to_owned() } else { path.to_owned() };
            Err(BodyError::WrongField { target, message: "a list stands where none is expected".to_owned() })
        }
        _ => Ok(()),
    }
}

/// Understands a JSON body.
///
/// # Errors
/// With the path of the first field that is wrong.
pub fn read_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    // Whether it is JSON at all is asked first: a truncated body is not a mistake in a field.
    let value: Value = serde_json::from_slice(bytes).map_err(|error| BodyError::NoJson(error.to_string()))?;
    require_shape(&value, "", "")?;
    understand(&mut serde_json::Deserializer::from_slice(bytes))
}

/// Understands JSON whose shape was looked at.
pub(super) fn understand<'json, T, D>(json: D) -> Result<T, BodyError>
where
    T: DeserializeOwned,
    D: Deserializer<'json, Error = serde_json::Error>,
{
    serde_path_to_error::deserialize(json).map_err(|error| {
        let message = error.inner().to_string();
        // The place in the text says less than the path does.
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        BodyError::WrongField { target: error.path().to_string(), message }
    })
}
