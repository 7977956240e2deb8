//! The OpenAPI document, made of the routes themselves.
//!
//! A route names what is its own: its answers, and the refusals that only it knows. What holds for every route
//! of a kind (a key is needed, a body may be malformed, the service may be out of reach) is added here, once.

use utoipa::{
    Modify, OpenApi, ToSchema as _,
    openapi::{
        Content, PathItem, Ref, RefOr, Response,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBody,
        schema::{ObjectBuilder, Schema, SchemaType, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use crate::{app::App, error::Problem};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nimriz Partners",
        description = "Link-native partner attribution: setup, signed conversion events, reports and exports. \
                       Times are RFC 3339 in UTC with milliseconds; money is an integer in minor units with an \
                       ISO 4217 code; errors are RFC 9457 problem documents with a stable `code`."
    ),
    components(schemas(Problem)),
    modifiers(&Security),
)]
struct Base;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (name, about) in [("api_key", "A workspace's API key, `nim_…`"), ("operator_key", "The operator's key")] {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build();
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
    }
}

/// A router that begins the document.
pub fn base() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Base::openapi())
}

/// The document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    complete(crate::router::api().split_for_parts().1)
}

/// Adds to every operation what holds for all of its kind, and gives every refusal the problem document as its
/// body. What a route says itself stands.
#[must_use]
pub fn complete(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    for (path, item) in &mut document.paths.paths {
        let PathItem { get, put, post, delete, patch, .. } = item;
        for operation in [get.as_mut(), put.as_mut(), delete.as_mut()].into_iter().flatten() {
            common(path, operation);
        }
        if let Some(operation) = post {
            common(path, operation);
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                leave_out(body);
            }
            header(operation, "Idempotency-Key", "At most 255 characters, kept 24 h: repeats the first answer");
        }
        if let Some(operation) = patch {
            common(path, operation);
            header(operation, "If-Match", "The `version` that is changed, as the `ETag` gives it");
        }
    }
    document
}

fn common(path: &str, operation: &mut Operation) {
    let key = operation.security.as_ref().is_some_and(|all| !all.is_empty());
    let body = operation.request_body.is_some();
    let is_query = |given: &RefOr<Parameter>| matches!(given, RefOr::T(p) if p.parameter_in == ParameterIn::Query);
    let query = operation.parameters.iter().flatten().any(is_query);
    let may_end = [
        (body, "400", "`invalid_json`"),
        (key, "401", "`unauthorized`"),
        (key, "403", "`role_forbidden`, `plan_required` or `access_disabled`"),
        (path.contains('{'), "404", "`not_found`"),
        (body, "408", "`request_timeout`: the body took over 30 s to arrive"),
        (body, "413", "`payload_too_large`: over 1 MiB"),
        (body, "415", "`unsupported_media_type`"),
        (body || query, "422", "`validation_failed`"),
        (path.starts_with("/v1/"), "429", "`rate_limited`; `Retry-After` tells when to try again"),
        (true, "503", "`unavailable`: try again after `Retry-After`"),
    ];
    let responses = &mut operation.responses.responses;
    for (_, status, description) in may_end.into_iter().filter(|(applies, ..)| *applies) {
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(Response::new(description)));
    }
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
            && response.content.is_empty()
        {
            let problem = Ref::from_schema_name(Problem::name());
            response.content.insert("application/problem+json".to_owned(), RefOr::T(Content::new(Some(problem))));
        }
    }
}

/// A body that may be left out: utoipa also lets it be `null`, which is no object.
fn leave_out(body: &mut RequestBody) {
    let is_null = |schema: &RefOr<Schema>| matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null));
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content
            && let Some(RefOr::T(Schema::OneOf(either))) = &mut content.schema
            && either.items.iter().any(is_null)
        {
            either.items.retain(|item| !is_null(item));
            content.schema = either.items.pop();
        }
    }
}

fn header(operation: &mut Operation, name: &str, description: &str) {
    if operation.security.is_some() {
        let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(255)).build();
        let parameter: Parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .description(Some(description))
            .schema(Some(text))
            .build();
        operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
    }
}
