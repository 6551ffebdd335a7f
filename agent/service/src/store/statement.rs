//! A statement that is put together from parts, with its values bound by number.

use std::fmt::Write;

use sqlx::any::AnyArguments;
use sqlx::query::{Query, QueryAs};
use sqlx::{Any, Arguments, AssertSqlSafe, Encode, Type};

/// A statement under construction. (`sqlx::QueryBuilder` writes `?` for an engine that is chosen at run time.)
pub(super) struct Statement {
    text: String,
    arguments: AnyArguments,
}

impl Statement {
    /// A statement that begins with this text.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Statement { text: text.into(), arguments: AnyArguments::default() }
    }

    /// Adds text.
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a value.
    pub(super) fn bind<'value>(&mut self, value: impl Encode<'value, Any> + Type<Any>) -> Result<&mut Self, sqlx::Error> {
        self.arguments.add(value).map_err(sqlx::Error::Encode)?;
        let _ = write!(self.text, "${}", self.arguments.len());
        Ok(self)
    }

    /// Adds values, with commas between them.
    pub(super) fn bind_list<'value, V>(&mut self, values: impl IntoIterator<Item = V>) -> Result<&mut Self, sqlx::Error>
    where
        V: Encode<'value, Any> + Type<Any>,
    {
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.text.push_str(", ");
            }
            self.bind(value)?;
        }
        Ok(self)
    }

    /// Adds that a column has `part` in it, which is not empty. (With LIKE, `%` and `_` would be patterns.)
    pub(super) fn push_contains(&mut self, column: &str, part: String) -> Result<&mut Self, sqlx::Error> {
        Ok(self.push(&format!("replace({column}, ")).bind(part)?.push(&format!(", '') <> {column}")))
    }

    /// The query of rows.
    pub(super) fn query(self) -> Query<'static, Any, AnyArguments> {
        sqlx::query_with(AssertSqlSafe(self.text), self.arguments)
    }

    /// The query of rows that are tuples.
    pub(super) fn query_as<R>(self) -> QueryAs<'static, Any, R, AnyArguments>
    where
        R: for<'row> sqlx::FromRow<'row, sqlx::any::AnyRow>,
    {
        sqlx::query_as_with(AssertSqlSafe(self.text), self.arguments)
    }
}
