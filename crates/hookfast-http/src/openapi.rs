//! The OpenAPI document: what the routes say about themselves, and what is the same for all of them.

use crate::api;
use crate::error::{ErrorOut, ProblemsOut};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ContactBuilder, Content, HttpMethod, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref,
    RefOr, Required, Response, ResponseBuilder, SecurityRequirement, Type,
};
use utoipa::{PartialSchema, ToSchema};

/// Where the document is served.
pub(crate) const PATH: &str = "/api/v1/openapi.json";
const BEARER: &str = "HTTPBearer";

/// The document as it is served, in JSON with line breaks.
#[must_use]
pub fn document() -> String {
    to_json(api::routes().into_openapi())
}

/// What the routes are added to.
pub(crate) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("hookfast")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Sends and receives webhooks, and does not lose one. A 2xx for a message means that it survives a power \
             cut. Every POST takes an `idempotency-key` header: the same key and body get the same answer, another \
             body 409. Bodies are JSON; of a field with an older name both are read.",
        ))
        .contact(Some(ContactBuilder::new().name(Some("hookfast")).build()))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .security(Some([SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])]))
        .build()
}

/// Adds what is the same for every route, and writes it.
pub(crate) fn to_json(mut document: OpenApi) -> String {
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    components.schemas.insert(ErrorOut::name().into_owned(), ErrorOut::schema());
    components.schemas.insert(ProblemsOut::name().into_owned(), ProblemsOut::schema());
    components.schemas.insert(crate::FieldProblem::name().into_owned(), crate::FieldProblem::schema());
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            add_path_params(path, operation);
            if method == HttpMethod::Post {
                operation.parameters.get_or_insert_default().push(RefOr::T(idempotency_key()));
            }
            add_errors(path, &method, operation);
            describe_answers(operation);
        }
    }
    document.to_pretty_json().map(|text| text + "\n").unwrap_or_default()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [
        (HttpMethod::Get, get),
        (HttpMethod::Put, put),
        (HttpMethod::Post, post),
        (HttpMethod::Delete, delete),
        (HttpMethod::Patch, patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

fn add_path_params(path: &str, operation: &mut Operation) {
    let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let params: Vec<RefOr<Parameter>> = names.map(|name| RefOr::T(path_param(name))).collect();
    if !params.is_empty() {
        operation.parameters.get_or_insert_default().splice(0..0, params);
    }
}

fn text() -> RefOr<utoipa::openapi::Schema> {
    ObjectBuilder::new().schema_type(Type::String).build().into()
}

fn path_param(name: &str) -> Parameter {
    let description = match name {
        "app_id" => "The application's id or uid",
        "endpoint_id" => "The endpoint's id or uid",
        "msg_id" => "The message's id or eventId",
        "attempt_id" => "The attempt's id",
        "event_type_name" => "The event type's name",
        "task_id" => "The task's id",
        _ => "The token's id",
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(text()))
        .build()
}

fn idempotency_key() -> Parameter {
    ParameterBuilder::new()
        .name("idempotency-key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Repeats of the call with this key and the same body have no further effect; 1 to 256 bytes"))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(256))))
        .build()
}

fn add_errors(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let is_open = operation.security.is_some();
    let mut errors =
        vec![(500, "An error inside the server"), (503, "Overloaded; `retry-after` says when to try again")];
    if !is_open {
        errors.extend([(400, "Bad request"), (401, "No good token"), (403, "The token may not do this")]);
        errors.push((422, "Fields that are wrong, each with what was expected and what came"));
    }
    if path.contains('{') {
        errors.push((404, "Not found, or somebody else's"));
    }
    if operation.request_body.is_some() {
        errors.extend([(408, "The body did not arrive in time"), (413, "The body is too large")]);
    }
    if operation.request_body.is_some() || *method == HttpMethod::Post {
        errors.push((409, "It contradicts something that exists, or repeats a key with another body"));
    }
    errors.sort_unstable();
    for (status, description) in errors {
        let responses = &mut operation.responses.responses;
        responses.entry(status.to_string()).or_insert_with(|| RefOr::T(error_response(status, description)));
    }
}

/// The format wants a description of each answer.
fn describe_answers(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            let reason = status.parse::<http::StatusCode>().ok().and_then(|status| status.canonical_reason());
            response.description = reason.unwrap_or("An answer").to_owned();
        }
    }
}

fn error_response(status: u16, description: &str) -> Response {
    let schema = if status == 422 { ProblemsOut::name() } else { ErrorOut::name() };
    let content = Content::new(Some(Ref::from_schema_name(schema)));
    ResponseBuilder::new().description(description).content("application/json", content).build()
}
