//! The OpenAPI document, made of the routes themselves.

use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nimriz Partners",
        description = "Link-native partner attribution: setup, signed conversion events, reports and exports. \
                       Times are RFC 3339 in UTC with milliseconds; money is an integer in minor units with an \
                       ISO 4217 code; errors are RFC 9457 problem documents with a stable `code`."
    ),
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
    crate::router::api().split_for_parts().1
}
