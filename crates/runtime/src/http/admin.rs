use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use model::Secret;
use subtle::ConstantTimeEq;

use crate::health::Health;
use crate::metrics::Metrics;

/// Guards the admin listener when a token is configured.
#[derive(Debug, Clone)]
pub struct AdminToken(Option<Arc<Secret>>);

impl AdminToken {
    /// Without a token every caller is let in: for loopback only.
    pub fn new(token: Option<Secret>) -> Self {
        Self(token.map(Arc::new))
    }

    /// Do the headers carry it (`Authorization: Bearer …`)? Compared in constant time.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.0 else { return true };
        headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .is_some_and(|given| given.trim().as_bytes().ct_eq(token.expose().as_bytes()).into())
    }
}

/// `/metrics`, `/health/live`, `/health/ready`, and what the roles add under `/admin/`. With a token, everything but
/// the two health probes asks for it.
pub fn admin_router(health: Health, metrics: Metrics, token: AdminToken, roles: Router) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(exposition).with_state(metrics))
        .merge(roles)
        .layer(middleware::from_fn_with_state(token, guard));
    Router::new()
        .route("/health/live", get(|| async { "alive\n" }))
        .route("/health/ready", get(ready).with_state(health))
        .merge(guarded)
}

async fn guard(State(token): State<AdminToken>, request: Request, next: Next) -> Response {
    if token.admits(request.headers()) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (
        StatusCode::UNAUTHORIZED,
        challenge,
        "the admin token is needed: Authorization: Bearer …\n",
    )
        .into_response()
}

async fn exposition(State(metrics): State<Metrics>) -> Response {
    match metrics.exposition() {
        Ok(text) => (
            [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
            text,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics were not written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn ready(State(health): State<Health>) -> Response {
    let readiness = health.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: &Router, path: &str, token: Option<&str>) -> (StatusCode, String) {
        let mut request = Request::builder().uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn probes_are_open_and_the_rest_is_guarded() {
        let health = Health::new();
        let bus = health.component("bus");
        let token = AdminToken::new(Some(Secret::new("0123456789abcdef")));
        let roles = Router::new().route("/admin/x", get(|| async { "x" }));
        let router = admin_router(health, Metrics::new(), token, roles);

        assert_eq!(ask(&router, "/health/live", None).await.0, StatusCode::OK);
        let (status, body) = ask(&router, "/health/ready", None).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, r#"{"ready":false,"components":{"bus":"starting"}}"#);
        bus.ready();
        assert_eq!(ask(&router, "/health/ready", None).await.0, StatusCode::OK);

        for path in ["/metrics", "/admin/x"] {
            assert_eq!(ask(&router, path, None).await.0, StatusCode::UNAUTHORIZED);
            assert_eq!(
                ask(&router, path, Some("0123456789abcdeX")).await.0,
                StatusCode::UNAUTHORIZED
            );
            assert_eq!(
                ask(&router, path, Some("0123456789abcdef")).await.0,
                StatusCode::OK
            );
        }
    }

    #[tokio::test]
    async fn without_a_token_all_is_open() {
        let router = admin_router(
            Health::new(),
            Metrics::new(),
            AdminToken::new(None),
            Router::new(),
        );
        assert_eq!(ask(&router, "/metrics", None).await.0, StatusCode::OK);
    }
}
