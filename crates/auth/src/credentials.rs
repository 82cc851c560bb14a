use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use model::Secret;

use crate::AuthError;

/// The header of GitLab's tokens.
pub const PRIVATE_TOKEN_HEADER: &str = "private-token";
/// The header of the gateway's tokens. The gateway takes it out of what comes from outside.
pub const GATEWAY_HEADER: &str = "renku-internal-token";
/// Longer ones are none.
const LONGEST: usize = 8 << 10;

/// What a request brings to say who it is from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Credentials {
    /// `Authorization: Bearer` with a JSON web token.
    Jwt(Secret),
    /// `Authorization: Bearer` with anything else.
    Bearer(Secret),
    /// `PRIVATE-TOKEN`, as GitLab takes it.
    PrivateToken(Secret),
    /// `Renku-Internal-Token`.
    Gateway(Secret),
}

impl Credentials {
    /// Reads them. None: the request brings none.
    ///
    /// # Errors
    /// It brings more than one, or such as are not understood: they might be meant to be somebody's.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, AuthError> {
        let mut found = Vec::new();
        for (name, value) in headers {
            if *name == header::AUTHORIZATION || *name == PRIVATE_TOKEN_HEADER || *name == GATEWAY_HEADER {
                found.push((name, value));
            }
        }
        let (name, value) = match found[..] {
            [] => return Ok(None),
            [one] => one,
            _ => return Err(AuthError::Wrong),
        };
        let text = value.to_str().map_err(|_| AuthError::Wrong)?;
        let token = match *name == header::AUTHORIZATION {
            true => match text.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token,
                _ => return Err(AuthError::Wrong),
            },
            false => text,
        };
        let token = token.trim_matches(' ');
        if token.is_empty() || token.len() > LONGEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AuthError::Wrong);
        }
        let secret = Secret::new(token);
        Ok(Some(match name.as_str() {
            PRIVATE_TOKEN_HEADER => Self::PrivateToken(secret),
            GATEWAY_HEADER => Self::Gateway(secret),
            _ if is_jwt(token) => Self::Jwt(secret),
            _ => Self::Bearer(secret),
        }))
    }
}

/// GitLab's tokens may have dots as well, so the head is looked at.
fn is_jwt(token: &str) -> bool {
    let Some((head, rest)) = token.split_once('.') else {
        return false;
    };
    rest.contains('.')
        && URL_SAFE_NO_PAD
            .decode(head)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
            .is_some_and(|head| head.get("alg").is_some())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn of(headers: &[(&'static str, &str)]) -> Result<Option<Credentials>, AuthError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        Credentials::of(&map)
    }

    #[test]
    fn each_kind_is_told() {
        let jwt = format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode("{\"alg\":\"RS256\"}"));
        let secret = |text: &str| Secret::new(text);
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("cookie", "a=b")]), Ok(None));
        assert_eq!(
            of(&[("authorization", &format!("bearer {jwt}"))]),
            Ok(Some(Credentials::Jwt(secret(&jwt))))
        );
        for opaque in ["glpat-abc", "glpat-abc.01.def", "a.b.c"] {
            assert_eq!(
                of(&[("authorization", &format!("Bearer {opaque}"))]),
                Ok(Some(Credentials::Bearer(secret(opaque))))
            );
            assert_eq!(
                of(&[("private-token", opaque)]),
                Ok(Some(Credentials::PrivateToken(secret(opaque))))
            );
        }
        assert_eq!(
            of(&[("renku-internal-token", &jwt)]),
            Ok(Some(Credentials::Gateway(secret(&jwt))))
        );
    }

    #[test]
    fn what_is_not_understood_is_wrong() {
        let long = "x".repeat(LONGEST + 1);
        for headers in [
            &[("authorization", "Basic dXNlcjpwYXNz")][..],
            &[("authorization", "Bearer")],
            &[("authorization", "Bearer ")],
            &[("authorization", "token")],
            &[("authorization", "")],
            &[("authorization", "Bearer a b")],
            &[("authorization", "Bearer \u{e9}")],
            &[("private-token", "")],
            &[("private-token", &long)],
            &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
            &[("authorization", "Bearer a"), ("private-token", "a")],
            &[("private-token", "a"), ("renku-internal-token", "a")],
        ] {
            assert_eq!(of(headers), Err(AuthError::Wrong), "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_taken_for_no_credentials(value in "[ -~]{0,60}") {
            prop_assert!(!matches!(of(&[("authorization", &value)]), Ok(None)));
            prop_assert!(!matches!(of(&[("private-token", &value)]), Ok(None)));
        }
    }
}
