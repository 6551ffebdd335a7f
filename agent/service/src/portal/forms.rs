//! Forms: what is wrong stands beside its field, and nothing typed is lost.

use std::borrow::Cow;

use askama::Template;
use axum::response::Response;
use protocol::arm::{Address, FieldProblem};

use super::links::job_link;
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::jobs::JobError;
use crate::store::JobKey;

/// A field of a form.
#[derive(Debug, Clone)]
pub(super) struct FormField {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) hint: Cow<'static, str>,
    pub(super) kind: FieldKind,
    pub(super) problem: Option<String>,
}

/// How a field is filled in.
#[derive(Debug, Clone)]
pub(super) enum FieldKind {
    /// One line.
    Line,
    /// Several lines.
    Long,
    /// One of these options: value and label.
    Choice(Vec<(String, String)>),
    /// Yes or no.
    Check,
}

impl FormField {
    fn new(name: &'static str, label: &'static str, kind: FieldKind) -> Self {
        FormField { name, label, value: String::new(), hint: Cow::Borrowed(""), kind, problem: None }
    }

    /// A field of one line.
    pub(super) fn line(name: &'static str, label: &'static str, value: &str) -> Self {
        FormField { value: value.to_owned(), ..Self::new(name, label, FieldKind::Line) }
    }

    /// A field of several lines.
    pub(super) fn long(name: &'static str, label: &'static str, hint: &'static str) -> Self {
        FormField { hint: hint.into(), ..Self::new(name, label, FieldKind::Long) }
    }

    /// A choice; the first option is chosen at the beginning.
    pub(super) fn choice(name: &'static str, label: &'static str, options: Vec<(String, String)>) -> Self {
        let value = options.first().map(|(value, _)| value.clone()).unwrap_or_default();
        FormField { value, ..Self::new(name, label, FieldKind::Choice(options)) }
    }

    /// The box, ticked or not.
    pub(super) fn ticked(self, is_ticked: bool) -> Self {
        FormField { value: if is_ticked { "yes".to_owned() } else { String::new() }, ..self }
    }

    /// A box to tick.
    pub(super) fn check(name: &'static str, label: &'static str, hint: &'static str) -> Self {
        FormField { hint: hint.into(), ..Self::new(name, label, FieldKind::Check) }
    }
}

/// The value of a field of a form; empty where it is absent.
pub(super) fn value<'fields>(fields: &'fields [(String, String)], name: &str) -> &'fields str {
    fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
}

/// A page with a form.
#[derive(Template)]
#[template(path = "form.html")]
pub(super) struct FormPage {
    pub(super) title: &'static str,
    pub(super) viewer: Option<Viewer>,
    /// Where the page belongs: a link, and what it is called.
    pub(super) above: Option<(String, String)>,
    /// What it is about, in one sentence.
    pub(super) about: Option<String>,
    /// What jobs are searched for, on a form that chooses one.
    pub(super) search: Option<String>,
    pub(super) error: Option<String>,
    pub(super) target: String,
    pub(super) csrf: String,
    /// What is sent with it and not shown.
    pub(super) hidden: Vec<(&'static str, String)>,
    pub(super) fields: Vec<FormField>,
    pub(super) button: &'static str,
}

impl FormPage {
    /// A form that nothing is wrong with yet.
    pub(super) fn new(
        viewer: &Viewer,
        title: &'static str,
        target: String,
        fields: Vec<FormField>,
        button: &'static str,
    ) -> Self {
        let (csrf, viewer) = (viewer.csrf.clone(), Some(viewer.clone()));
        let (above, about, search, error, hidden) = (None, None, None, None, Vec::new());
        FormPage { title, viewer, above, about, search, error, target, csrf, hidden, fields, button }
    }

    /// The same about a job, to whose page it leads back.
    pub(super) fn of_job(self, key: &JobKey) -> Self {
        FormPage { above: Some((job_link(key), key.name.clone())), ..self }
    }

    /// The field to begin with: the first that is wrong, else the first that is typed into.
    fn first_field(&self) -> &str {
        let is_typed = |field: &&FormField| matches!(field.kind, FieldKind::Line | FieldKind::Long);
        let wrong = self.fields.iter().find(|field| field.problem.is_some());
        wrong.or_else(|| self.fields.iter().find(is_typed)).map_or("", |field| field.name)
    }

    /// The form once more, with what is wrong beside the field that it is most likely about.
    pub(super) fn again(self, form: &[(String, String)], error: JobError, field: &str) -> Result<Response, PageError> {
        if matches!(&error, JobError::Store(error) if error.is_internal()) {
            return Err(error.into());
        }
        let problem = [FieldProblem { target: field.to_owned(), message: error.to_string() }];
        let fields = with_problems(self.fields, form, &problem);
        Ok(render(&FormPage { fields, error: Some("That did not work.".to_owned()), ..self }))
    }
}

/// The fields with what was typed, and what is wrong with each.
pub(super) fn with_problems(fields: Vec<FormField>, form: &[(String, String)], problems: &[FieldProblem]) -> Vec<FormField> {
    let fill = |field: FormField| {
        let is_about = |problem: &&FieldProblem| problem.target.split(['.', '[']).any(|part| part == field.name);
        let problem = problems.iter().find(is_about).map(|problem| problem.message.clone());
        FormField { value: value(form, field.name).to_owned(), problem, ..field }
    };
    fields.into_iter().map(fill).collect()
}

/// The fields of a return address.
pub(super) fn address_fields(known: Option<&Address>) -> Vec<FormField> {
    let nothing = Address::default();
    let known = known.unwrap_or(&nothing);
    vec![
        FormField::line("recipientName", "Return to: recipient", &known.recipient_name),
        FormField::line("streetAddress1", "Street and number", &known.street_address1),
        FormField::line("postalCode", "Postal code", &known.postal_code),
        FormField::line("city", "City", &known.city),
        FormField::line("stateOrProvince", "State or province", &known.state_or_province),
        FormField::line("countryOrRegion", "Country or region", &known.country_or_region),
        FormField::line("phone", "Telephone", &known.phone),
        FormField::line("email", "Mail", known.email.as_deref().unwrap_or_default()),
    ]
}

/// The address that a form has.
pub(super) fn address_of(form: &[(String, String)]) -> Address {
    let text = |name: &str| value(form, name).trim().to_owned();
    Address {
        recipient_name: text("recipientName"),
        street_address1: text("streetAddress1"),
        postal_code: text("postalCode"),
        city: text("city"),
        state_or_province: text("stateOrProvince"),
        country_or_region: text("countryOrRegion"),
        phone: text("phone"),
        email: Some(text("email")),
        ..Address::default()
    }
}
