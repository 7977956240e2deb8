//! Being written.

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// Paths.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
}
