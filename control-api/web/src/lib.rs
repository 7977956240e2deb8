//! What HTTP surfaces of the control plane share: authorization, limits, bodies, parameters, problem documents.
//!
//! Never here: a rule of one resource.

use domain::Context;

pub mod answer;
pub mod auth;
pub mod body;
pub mod change;
pub mod internal;
pub mod limits;
pub mod params;
pub mod path;
pub mod problem;
pub mod request_id;

/// State of a service as far as extractors need it.
pub trait State: Clone + Send + Sync + 'static {
    /// Handles of the domain.
    fn context(&self) -> &Context;
    /// How often callers may ask this instance.
    fn limits(&self) -> &limits::Limits;
    /// The operator's key.
    fn operator_key(&self) -> &auth::OperatorKey;
    /// Ring that signs requests between worker and service.
    fn edge_secrets(&self) -> &shared::KeyRing;
}
