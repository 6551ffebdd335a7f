//! The OpenAPI document: schemas from the types themselves, paths of the published API from the table below, and those of
//! the operator API from its router.

use std::sync::{Arc, LazyLock};

use axum::extract::{Request, State};
use axum::response::Response;
use protocol::arm::{
    API_VERSIONS, DriveKey, ErrorResponse, JobList, JobResponse, LocationResponse, OperationList, PutJob, ReceiptsDocument,
    UpdateJob,
};
use protocol::operator::List;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn, PathItem, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HttpMethod, InfoBuilder, Ref, RefOr, Required, ResponseBuilder, ResponsesBuilder, Schema, schema,
};
use utoipa::{OpenApi, ToSchema};

use super::answer::{ApiError, document};
use super::health::Health;
use super::list::PAGE_JOBS_MAX;
use super::operator;
use crate::state::ServiceState;

#[derive(OpenApi)]
#[openapi(components(schemas(
    PutJob,
    UpdateJob,
    JobResponse,
    JobList,
    LocationResponse,
    List<LocationResponse>,
    OperationList,
    List<DriveKey>,
    ReceiptsDocument,
    Health,
    ErrorResponse
)))]
struct Schemas;

/// Who may call an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Customer,
    Operator,
    Public,
}

/// What an operation answers.
#[derive(Clone, Copy)]
enum Content {
    /// A document of this schema.
    Json(&'static str),
    /// A document that says nothing of itself.
    AnyJson,
    /// Text of this type.
    Text(&'static str),
    /// Server-sent events, without end.
    Events,
    Nothing,
}

/// One operation: its path, what it takes and what it answers.
struct Operation {
    method: HttpMethod,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    body: Option<&'static str>,
    statuses: &'static [&'static str],
    answer: Content,
    audience: Audience,
}

const PROVIDER: &str = "/providers/Microsoft.ImportExport";

/// `{job}` stands for the path of a job.
fn full_path(path: &str) -> String {
    let group = format!("/subscriptions/{{subscriptionId}}/resourceGroups/{{resourceGroupName}}{PROVIDER}");
    path.replace("{job}", &format!("{group}/jobs/{{jobName}}")).replace("{group}", &group).replace("{provider}", PROVIDER)
}

macro_rules! operations {
    ($($audience:ident $method:ident $path:literal $id:literal $body:expr => $statuses:expr, $answer:expr, $summary:literal;)*) => {
        vec![$(Operation {
            method: HttpMethod::$method, path: $path, id: $id, summary: $summary, body: $body, statuses: &$statuses,
            answer: $answer, audience: Audience::$audience,
        }),*]
    };
}

fn operations() -> Vec<Operation> {
    use Content::{AnyJson, Events, Json, Nothing, Text};
    operations! {
        Customer Get "{provider}/operations" "Operations_List" None => ["200"], Json("OperationList"), "The operations of this API";
        Customer Get "{provider}/locations" "Locations_List" None => ["200"], Json("List_LocationResponse"), "The datacenters";
        Customer Get "{provider}/locations/{locationName}" "Locations_Get" None => ["200"], Json("LocationResponse"), "A datacenter";
        Customer Get "/subscriptions/{subscriptionId}{provider}/jobs" "Jobs_ListBySubscription" None => ["200"], Json("JobList"), "Jobs of a subscription";
        Customer Get "{group}/jobs" "Jobs_ListByResourceGroup" None => ["200"], Json("JobList"), "Jobs of a resource group";
        Customer Get "{job}" "Jobs_Get" None => ["200"], Json("JobResponse"), "A job";
        Customer Put "{job}" "Jobs_Create" Some("PutJob") => ["200", "201"], Json("JobResponse"), "Create a job, or change it while it is Creating";
        Customer Patch "{job}" "Jobs_Update" Some("UpdateJob") => ["200"], Json("JobResponse"), "Change, ship or cancel a job";
        Customer Delete "{job}" "Jobs_Delete" None => ["200"], Nothing, "Delete a job that is Creating, Completed or Closed";
        Customer Post "{job}/listBitLockerKeys" "BitLockerKeys_List" None => ["200"], Json("List_DriveKey"), "Keys of a job's drives";
        Customer Get "{job}/receipts" "Jobs_Receipts" None => ["200"], Json("ReceiptsDocument"), "What moved of every drive";
        Customer Get "{job}/events" "Jobs_Events" None => ["200"], Events, "The job whenever it changes, as server-sent events";
        Operator Get "/metrics" "Metrics" None => ["200"], Text("text/plain"), "Prometheus metrics";
        Public Get "/healthz" "Health" None => ["200"], Json("Health"), "Whether the service is alive";
        Public Get "/livez" "Liveness" None => ["200"], Json("Health"), "Whether the service is alive, by the name that orchestrators use";
        Public Get "/readyz" "Readiness" None => ["200"], Json("Health"), "Whether it can answer";
        Public Get "/openapi.json" "OpenApi" None => ["200"], AnyJson, "This document";
    }
}

fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

fn text_of(kind: schema::Type) -> schema::ObjectBuilder {
    schema::ObjectBuilder::new().schema_type(schema::SchemaType::new(kind))
}

/// A parameter, with the rule that its value is checked by.
fn parameter(name: &str, place: ParameterIn, required: Required) -> utoipa::openapi::path::Parameter {
    let text = text_of(schema::Type::String);
    let schema = match name {
        "api-version" => text.enum_values(Some(API_VERSIONS)),
        "$top" => text_of(schema::Type::Integer).minimum(Some(1)).maximum(Some(PAGE_JOBS_MAX)),
        "$skiptoken" => text_of(schema::Type::Integer).minimum(Some(0)).maximum(Some(i64::MAX)),
        "jobName" => text.pattern(Some("^[A-Za-z0-9][A-Za-z0-9_-]{1,63}$")),
        "$filter" => text,
        _ => text.min_length(Some(1)),
    };
    ParameterBuilder::new().name(name).parameter_in(place).required(required).schema(Some(schema.build())).build()
}

/// What the client says of the version of a job.
fn precondition(name: &str) -> utoipa::openapi::path::Parameter {
    let schema = text_of(schema::Type::String).description(Some("ETags, with commas between, or `*`")).build();
    ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(Required::False).schema(Some(schema)).build()
}

impl Content {
    fn describe(self, answer: ResponseBuilder) -> ResponseBuilder {
        let text = || ContentBuilder::new().schema(Some(text_of(schema::Type::String).build())).build();
        match self {
            Content::Json(name) => {
                answer.content("application/json", ContentBuilder::new().schema(Some(reference(name))).build())
            }
            Content::AnyJson => {
                let any = ContentBuilder::new().schema(Some(text_of(schema::Type::Object).build())).build();
                answer.content("application/json", any)
            }
            Content::Text(kind) => answer.content(kind, text()),
            Content::Events => answer.content("text/event-stream", text()),
            Content::Nothing => answer,
        }
    }
}

impl Operation {
    /// What it is about: generators make a group of those that share it.
    fn tag(&self) -> &'static str {
        self.id.split('_').next().unwrap_or(self.id)
    }

    fn describe(&self, path: &str) -> utoipa::openapi::path::Operation {
        let error = ContentBuilder::new().schema(Some(reference(&ErrorResponse::name()))).build();
        let error = ResponseBuilder::new().description("an error").content("application/json", error);
        let mut responses = ResponsesBuilder::new().response("default", error);
        for status in self.statuses {
            let description = if *status == "201" { "it was made" } else { "done" };
            responses = responses.response(*status, self.answer.describe(ResponseBuilder::new().description(description)));
        }
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.id))
            .tag(self.tag())
            .summary(Some(self.summary))
            .responses(responses.build());
        for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            operation = operation.parameter(parameter(name, ParameterIn::Path, Required::True));
        }
        if self.audience == Audience::Customer {
            operation = operation.parameter(parameter("api-version", ParameterIn::Query, Required::True));
        }
        if self.id.starts_with("Jobs_List") {
            for name in ["$top", "$filter", "$skiptoken"] {
                operation = operation.parameter(parameter(name, ParameterIn::Query, Required::False));
            }
        }
        if self.path == "{job}" {
            operation = operation.parameter(precondition("If-Match")).parameter(precondition("If-None-Match"));
        }
        if let Some(body) = self.body {
            let content = ContentBuilder::new().schema(Some(reference(body))).build();
            let body = RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True)).build();
            operation = operation.request_body(Some(body));
        }
        if self.audience != Audience::Public {
            operation = operation.security(SecurityRequirement::new("token", Vec::<String>::new()));
        }
        operation.build()
    }
}

/// What a type is where nothing is written says nothing of what a client may leave out.
fn without_defaults(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else { return };
    object.default = None;
    object.properties.values_mut().for_each(without_defaults);
}

/// The document.
fn describe() -> utoipa::openapi::OpenApi {
    let mut document = Schemas::openapi();
    document.info = InfoBuilder::new().title("drive-agent").version(env!("CARGO_PKG_VERSION")).build();
    let mut paths = PathsBuilder::new();
    for operation in operations() {
        let path = full_path(operation.path);
        let item = PathItem::new(operation.method.clone(), operation.describe(&path));
        paths = paths.path(path, item);
    }
    document.paths = paths.build();
    document.merge(operator::api().1);
    let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    if let Some(components) = &mut document.components {
        components.schemas.values_mut().for_each(without_defaults);
        components.add_security_scheme("token", scheme);
    }
    document
}

/// Made once: it needs no token.
static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(describe);

pub(super) async fn serve(State(state): State<Arc<ServiceState>>, request: Request) -> Result<Response, ApiError> {
    match state.access.allows_anonymous(&request.into_parts().0) {
        true => document(200, &*DOCUMENT),
        false => Err(ApiError::too_many_requests()),
    }
}
