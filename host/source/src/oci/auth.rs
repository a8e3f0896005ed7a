//! Who we are: challenges of registries, tokens, and the passwords that `docker login` keeps.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use bytes::Bytes;
use data_encoding::BASE64;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use http_auth::parser::ChallengeParser;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use url::Url;

use crate::config::Credentials;
use crate::error::FetchError;
use crate::http::{Answer, Call, Http, tidy};
use crate::sources::beside;

/// The largest answer of a token server that is read, in bytes.
const TOKEN: u64 = 1 << 20;

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token of this server, for this service.
    Bearer { realm: String, service: Option<String> },
    /// User name and password.
    Basic,
}

impl Challenge {
    /// The one that is answered: a token where that is possible, since a password then goes to fewer places.
    pub(super) fn of(answer: &Answer) -> Option<Self> {
        Self::choose(&answer.all(WWW_AUTHENTICATE))
    }

    fn choose(headers: &[String]) -> Option<Self> {
        let mut basic = None;
        for challenge in headers.iter().flat_map(|text| ChallengeParser::new(text)).flatten() {
            let param = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = param("realm")
            {
                return Some(Self::Bearer { realm, service: param("service") });
            }
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Self::Basic);
            }
        }
        basic
    }
}

/// A user name with a password, or a token that stands for both. Never printed.
pub(super) enum Secret {
    Password(String, String),
    Refresh(String),
}

/// What is known of a registry. Runs a credential helper where one is configured.
///
/// # Errors
/// [`FetchError::Credentials`] where something is configured that does not work. Nothing configured is no error.
pub(super) async fn secret(credentials: &Credentials, registry: &str) -> Result<Option<Secret>, FetchError> {
    let Some(path) = credentials.path() else { return Ok(None) };
    let required = matches!(credentials, Credentials::File(_));
    let registry = registry.to_owned();
    beside(move || look_up(&path, required, &registry)).await
}

/// Blocks.
fn look_up(path: &Path, required: bool, registry: &str) -> Result<Option<Secret>, FetchError> {
    let unusable =
        |reason: String| FetchError::Credentials { registry: registry.to_owned(), path: path.to_owned(), reason };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound && !required => return Ok(None),
        Err(error) => return Err(unusable(error.to_string())),
    };
    match docker_credential::get_credential_from_reader(BufReader::new(file), registry) {
        Ok(DockerCredential::UsernamePassword(user, password)) if user.is_empty() && password.is_empty() => Ok(None),
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Some(Secret::Password(user, password))),
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Secret::Refresh(token))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        // What the protocol of credential helpers prescribes for a registry that they do not know.
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
            Ok(None)
        }
        Err(CredentialRetrievalError::HelperFailure { helper, stderr, .. }) => {
            Err(unusable(format!("the credential helper {helper} failed: {}", tidy(&stderr))))
        }
        Err(CredentialRetrievalError::HelperCommunicationError) => {
            Err(unusable("its credential helper cannot be started; is it installed?".into()))
        }
        Err(CredentialRetrievalError::ConfigReadError) => {
            Err(unusable("it is no JSON of the form of `docker login`".into()))
        }
        Err(error) => Err(unusable(error.to_string())),
    }
}

/// The header of HTTP basic authentication (RFC 7617).
pub(super) fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    sensitive(format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes())))
}

fn sensitive(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Ask a token server, as the registries' token protocol has it: with a password by GET, with a refresh token by POST.
///
/// # Errors
/// [`FetchError`]; a refusal is a status of 401 or 403.
pub(super) async fn token(
    http: &Http,
    registry: &Url,
    (realm, service): (&str, Option<&str>),
    scope: &str,
    secret: Option<&Secret>,
) -> Result<HeaderValue, FetchError> {
    let strange = |reason: String| FetchError::Protocol { place: registry.to_string(), reason };
    let mut url: Url = realm.parse().map_err(|_| strange(format!("its token server is {:?}, no URL", tidy(realm))))?;
    // A registry that is encrypted must not have passwords sent in the clear, nor send us to services of this machine.
    http.step(registry, &url)?;

    let mut parameters = vec![("scope", scope)];
    parameters.extend(service.map(|service| ("service", service)));
    let call = match secret {
        Some(Secret::Refresh(token)) => {
            parameters.extend([("grant_type", "refresh_token"), ("client_id", "homeostat"), ("refresh_token", token)]);
            let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
            let call = Call::new(Method::POST, url).body(Bytes::from(form));
            call.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        }
        other => {
            url.query_pairs_mut().extend_pairs(parameters);
            let mut call = Call::get(url);
            if let Some(Secret::Password(user, password)) = other {
                call.authorization = basic(user, password);
            }
            call
        }
    };

    let answer = http.send(&call).await?;
    if !answer.status().is_success() {
        return Err(answer.refusal().await);
    }
    #[derive(Deserialize)]
    struct Tokens {
        token: Option<String>,
        access_token: Option<String>,
    }
    let bytes = answer.bytes(TOKEN).await?;
    let tokens: Tokens =
        serde_json::from_slice(&bytes).map_err(|_| strange("its token server answers with no token".into()))?;
    tokens
        .token
        .or(tokens.access_token)
        .and_then(|token| sensitive(format!("Bearer {token}")))
        .ok_or_else(|| strange("its token server answers with no token".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_sent_as_rfc_7617_has_it() {
        let header = basic("Aladdin", "open sesame").unwrap();
        assert_eq!(header, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(header.is_sensitive());
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let choose =
            |headers: &[&str]| Challenge::choose(&headers.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let bearer = r#"Bearer realm="https://auth.example.com/token",service="r",scope="repository:a:pull""#;
        let expected = Challenge::Bearer { realm: "https://auth.example.com/token".into(), service: Some("r".into()) };
        assert_eq!(choose(&["Basic realm=\"r\"", bearer]), Some(expected));
        assert_eq!(choose(&["Basic realm=\"r\", Negotiate"]), Some(Challenge::Basic));
        assert_eq!(choose(&["Bearer service=\"without a realm\""]), None);
        assert_eq!(choose(&["", "nonsense = \u{1}", "Digest realm=\"r\""]), None);
    }

    #[test]
    fn credentials_are_found_where_docker_login_keeps_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        assert!(look_up(&path, false, "a:5000").unwrap().is_none());
        assert!(look_up(&path, true, "a:5000").is_err());
        std::fs::write(&path, r#"{"auths": {"a:5000": {"auth": "bWU6cDp3"}, "b": {"identitytoken": "t"}}}"#).unwrap();
        assert!(matches!(look_up(&path, true, "a:5000"), Ok(Some(Secret::Password(user, password)))
            if user == "me" && password == "p:w"));
        assert!(matches!(look_up(&path, true, "b"), Ok(Some(Secret::Refresh(token))) if token == "t"));
        assert!(look_up(&path, true, "c").unwrap().is_none());
        for (text, says) in [
            ("{", "no JSON"),
            (r#"{"auths": {"c": {"auth": "!"}}}"#, "decode"),
            (r#"{"credHelpers": {"c": "is-not-there-at-all"}}"#, "cannot be started"),
        ] {
            std::fs::write(&path, text).unwrap();
            let said = look_up(&path, true, "c").err().expect("is refused").to_string();
            assert!(said.contains(says) && said.contains("config.json"), "{said}");
        }
    }
}
