//! All paths of the service.

use std::time::Duration;

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};
use utoipa_axum::router::OpenApiRouter;

use crate::{app::App, openapi, routes};
use domain::Error;
use web::{limits, problem::ApiError, request_id};

/// How long an answer may take to begin. The longest work there is, a report that waits for its `as_of`, a connection
/// and its statement, ends before.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// The documented API. The OpenAPI document is made of it, so a path can't be served and not described.
pub fn api() -> OpenApiRouter<App> {
    openapi::base()
        .merge(routes::workspaces::router())
        .merge(routes::api_keys::router())
        .merge(routes::programs::router())
        .merge(routes::partners::router())
        .merge(routes::activity::router())
        .merge(routes::bulk::router())
        .merge(routes::domains::router())
        .merge(routes::links::router())
        .merge(routes::assignments::router())
        .merge(routes::sources::router())
        .merge(routes::signature_check::router())
        .merge(routes::events::router())
        .merge(routes::conversions::router())
        .merge(routes::explain::router())
        .merge(routes::reports::router())
        .merge(routes::exports::router())
        .merge(routes::audit::router())
        .merge(routes::delivery::router())
        .merge(routes::system::router())
}

/// The OpenAPI document.
#[must_use]
pub fn document() -> serde_json::Value {
    openapi::complete(&api().split_for_parts().1)
}

/// The whole service: the documented API, our worker's own door, and the pages.
pub fn router(app: App) -> Router {
    let (api, document) = api().split_for_parts();
    let document = openapi::complete(&document);
    api.merge(routes::internal::router().split_for_parts().0)
        .merge(routes::docs::router(&document))
        .fallback(async || ApiError::from(Error::NotFound("path")))
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn(in_time))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            ApiError::from(anyhow::anyhow!("panic: {}", text.unwrap_or("?"))).into_response()
        }))
        .layer(middleware::from_fn(limits::layer))
        // Answers hold a tenant's data: no cache may keep them, unless a route says otherwise.
        .layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .layer(SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .layer(middleware::from_fn(request_id::layer))
        .with_state(app)
}

/// A method that a path doesn't take; `Allow`, which axum adds, names those it does. `OPTIONS` asks for just that.
async fn other_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    ApiError::MethodNotAllowed.into_response()
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::from(Error::Unavailable(format!("no answer within {ANSWER_TIME:?}"))).into_response(),
    }
}
