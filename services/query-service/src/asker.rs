//! Who asks, told once for each request, before anything else. A request whose credentials are no good is answered here, on
//! every path: it is never taken for one without any.

use access::Caller;
use auth::{Asking, AuthError, Kind, Resolved};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::refusal::Refusal;
use crate::service::{Listener, QueryService};

/// The caller of a request. A handler that has none was not reached through [`tell`].
#[derive(Clone, Debug)]
pub(crate) struct Asker(pub Caller);

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let asker = parts.extensions.get::<Self>().cloned();
        asker.ok_or_else(|| Refusal::failed().into_json())
    }
}

/// Finds out who asks and lets him on.
pub(crate) async fn tell(State(service): State<QueryService>, mut request: Request, next: Next) -> Response {
    let (kind, caller) = match administrator(&service, request.headers()) {
        Some(caller) => ("administrator", caller),
        None => {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let asking = Asking {
                method: request.method().as_str(),
                path,
                headers: request.headers(),
            };
            let resolved = service.inner().identities.resolve(asking).await;
            count(&service, &resolved);
            (resolved.kind.as_str(), resolved.caller)
        }
    };
    let mut response = match caller {
        Ok(caller) => {
            request.extensions_mut().insert(Asker(caller));
            next.run(request).await
        }
        Err(error) => refuse(error),
    };
    let headers = response.headers_mut();
    // Answers differ by who asks: nobody else may be given them.
    headers.append(
        header::VARY,
        HeaderValue::from_static("Authorization, Private-Token, Renku-Internal-Token"),
    );
    // What everybody may see now, nobody may see a moment later: it is not to be kept without asking again.
    let kept = match kind == Kind::None.as_str() {
        true => "no-cache",
        false => "private, no-store",
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    response
}

/// The bearer of the admin token. It is good on the admin listener alone, and nobody else's business: GitLab is not asked whose
/// it is.
fn administrator(service: &QueryService, headers: &HeaderMap) -> Option<Result<Caller, AuthError>> {
    let token = service.inner().admin.as_ref()?;
    token.admits(headers).then_some(match service.listener() {
        Listener::Admin => Ok(Caller::Administrator),
        Listener::Public => Err(AuthError::Wrong),
    })
}

fn refuse(error: AuthError) -> Response {
    match error {
        AuthError::Wrong => {
            let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "User authentication failure");
            let mut response = refusal.into_json();
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
        AuthError::Unavailable => {
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
            let mut response = refusal.into_json();
            response.headers_mut().insert(header::RETRY_AFTER, 5.into());
            response
        }
    }
}

fn count(service: &QueryService, resolved: &Resolved) {
    let outcome = match (&resolved.caller, resolved.stale) {
        (Ok(_), false) => "ok",
        (Ok(_), true) => "stale",
        (Err(AuthError::Wrong), _) => "wrong",
        (Err(AuthError::Unavailable), _) => "unavailable",
    };
    let counters = &service.inner().counters;
    counters
        .callers
        .with_label_values(&[resolved.kind.as_str(), outcome])
        .inc();
    if resolved.asked {
        counters.gitlab_questions.with_label_values::<&str>(&[]).inc();
    }
}

/// What is not there is not there for everybody; but credentials are looked at first.
pub(crate) async fn nothing(_: Asker) -> Response {
    Refusal::new(StatusCode::NOT_FOUND, "Resource not found")
        .into_json()
        .into_response()
}
