//! All paths of the service.

use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::{app::App, error::ApiError, http::request_id, openapi, routes};

/// The documented API. The OpenAPI document is made of it, so a path can't be served and not described.
pub fn api() -> OpenApiRouter<App> {
    openapi::base()
        .merge(routes::workspaces::router())
        .merge(routes::api_keys::router())
        .merge(routes::programs::router())
        .merge(routes::partners::router())
        .merge(routes::activity::router())
        .merge(routes::domains::router())
        .merge(routes::links::router())
        .merge(routes::assignments::router())
        .merge(routes::sources::router())
        .merge(routes::source_test::router())
        .merge(routes::events::router())
        .merge(routes::conversions::router())
        .merge(routes::explain::router())
        .merge(routes::reports::router())
        .merge(routes::exports::router())
        .merge(routes::audit::router())
        .merge(routes::system::router())
}

/// The whole service: the documented API, our worker's own door, and the pages.
pub fn router(app: App) -> Router {
    let (api, document) = api().split_for_parts();
    let document = openapi::complete(document);
    api.merge(routes::internal::router().split_for_parts().0)
        .merge(routes::docs::router(&document))
        .fallback(async || ApiError::NotFound("path"))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            axum::response::IntoResponse::into_response(ApiError::Internal(anyhow::anyhow!(
                "panic: {}",
                text.unwrap_or("?")
            )))
        }))
        .layer(middleware::from_fn(request_id::layer))
        .with_state(app)
}
