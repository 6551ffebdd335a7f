//! The OpenAPI document: schemas from the types themselves, paths of the published API from the table below, and those of
//! the operator API from its router.

use std::sync::{Arc, LazyLock};

use axum::extract::{Request, State};
use axum::response::Response;
use protocol::arm::{ErrorResponse, JobResponse, PutJob, UpdateJob};
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn, PathItem, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HttpMethod, InfoBuilder, Ref, RefOr, Required, ResponseBuilder, ResponsesBuilder, Schema, schema,
};
use utoipa::{OpenApi, ToSchema};

use super::answer::{ApiError, document};
use super::operator;
use super::versions::API_VERSIONS;
use crate::state::ServiceState;

#[derive(OpenApi)]
#[openapi(components(schemas(PutJob, UpdateJob, JobResponse, ErrorResponse)))]
struct Schemas;

/// Who may call an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Customer,
    Operator,
    Public,
}

/// One operation: its path, what it takes and what it answers.
struct Operation {
    method: HttpMethod,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    body: Option<&'static str>,
    status: &'static str,
    answer: Option<&'static str>,
    audience: Audience,
}

const PROVIDER: &str = "/providers/Microsoft.ImportExport";

/// `{job}` stands for the path of a job.
fn full_path(path: &str) -> String {
    let group = format!("/subscriptions/{{subscriptionId}}/resourceGroups/{{resourceGroupName}}{PROVIDER}");
    path.replace("{job}", &format!("{group}/jobs/{{jobName}}")).replace("{group}", &group).replace("{provider}", PROVIDER)
}

macro_rules! operations {
    ($($audience:ident $method:ident $path:literal $id:literal $body:expr => $status:literal $answer:expr, $summary:literal;)*) => {
        vec![$(Operation {
            method: HttpMethod::$method, path: $path, id: $id, summary: $summary, body: $body, status: $status,
            answer: $answer, audience: Audience::$audience,
        }),*]
    };
}

fn operations() -> Vec<Operation> {
    operations! {
        Customer Get "{provider}/operations" "Operations_List" None => "200" None, "The operations of this API";
        Customer Get "{provider}/locations" "Locations_List" None => "200" None, "The datacenters";
        Customer Get "{provider}/locations/{locationName}" "Locations_Get" None => "200" None, "A datacenter";
        Customer Get "/subscriptions/{subscriptionId}{provider}/jobs" "Jobs_ListBySubscription" None => "200" None, "Jobs of a subscription";
        Customer Get "{group}/jobs" "Jobs_ListByResourceGroup" None => "200" None, "Jobs of a resource group";
        Customer Get "{job}" "Jobs_Get" None => "200" Some("JobResponse"), "A job";
        Customer Put "{job}" "Jobs_Create" Some("PutJob") => "201" Some("JobResponse"), "Create a job, or change it while it is Creating";
        Customer Patch "{job}" "Jobs_Update" Some("UpdateJob") => "200" Some("JobResponse"), "Change, ship or cancel a job";
        Customer Delete "{job}" "Jobs_Delete" None => "200" None, "Delete a job that is Creating, Completed or Closed";
        Customer Post "{job}/listBitLockerKeys" "BitLockerKeys_List" None => "200" None, "Keys of a job's drives";
        Customer Get "{job}/receipts" "Jobs_Receipts" None => "200" None, "What moved of every drive";
        Customer Get "{job}/events" "Jobs_Events" None => "200" None, "The job whenever it changes, as server-sent events";
        Operator Get "/metrics" "Metrics" None => "200" None, "Prometheus metrics";
        Public Get "/healthz" "Health" None => "200" None, "Whether the service is alive";
        Public Get "/livez" "Liveness" None => "200" None, "Whether the service is alive, by the name that orchestrators use";
        Public Get "/readyz" "Readiness" None => "200" None, "Whether it can answer";
        Public Get "/openapi.json" "OpenApi" None => "200" None, "This document";
    }
}

fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

fn parameter(name: &str, place: ParameterIn, required: Required) -> utoipa::openapi::path::Parameter {
    let text = schema::ObjectBuilder::new().schema_type(schema::SchemaType::new(schema::Type::String));
    let text = match name {
        "api-version" => text.enum_values(Some(API_VERSIONS)),
        _ => text,
    };
    ParameterBuilder::new().name(name).parameter_in(place).required(required).schema(Some(text.build())).build()
}

impl Operation {
    fn describe(&self, path: &str) -> utoipa::openapi::path::Operation {
        let answer = ResponseBuilder::new().description("done");
        let answer = match self.answer {
            Some(name) => answer.content("application/json", ContentBuilder::new().schema(Some(reference(name))).build()),
            None => answer,
        };
        let error = ContentBuilder::new().schema(Some(reference(&ErrorResponse::name()))).build();
        let error = ResponseBuilder::new().description("an error").content("application/json", error);
        let responses = ResponsesBuilder::new().response(self.status, answer).response("default", error).build();
        let mut operation = OperationBuilder::new().operation_id(Some(self.id)).summary(Some(self.summary)).responses(responses);
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
