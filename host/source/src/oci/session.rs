//! Requests to one repository, with the authority that it asks for.

use hyper::StatusCode;
use hyper::header::HeaderValue;

use super::auth::{self, Challenge, Secret};
use super::reference::Reference;
use crate::error::FetchError;
use crate::http::{Answer, Call, Http, same_origin};

/// What is to be done in a repository, in the words of the token protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Pull,
    Push,
}

/// One fetch or push. Tokens live as long as it does.
pub(super) struct Session<'a> {
    pub http: &'a Http,
    pub reference: &'a Reference,
    action: Action,
    authorization: Option<HeaderValue>,
    /// Whether we have a name here, rather than a token for anybody.
    known: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(http: &'a Http, reference: &'a Reference, action: Action) -> Self {
        Self { http, reference, action, authorization: None, known: false }
    }

    /// Send a request once; where the registry wants to know who we are, tell it and send the request again.
    ///
    /// # Errors
    /// [`FetchError`]. An answer of any status is none, but for 401 and 403 of the registry itself.
    pub(super) async fn send(&mut self, mut call: Call) -> Result<Answer, FetchError> {
        let own = self.reference.api(self.http.config(), "")?;
        // An upload may go to another server, which has no business with our name here.
        let ours = same_origin(&own, &call.url);
        call.authorization = self.authorization.clone().filter(|_| ours);
        let answer = self.http.send(&call).await?;
        if !ours || !same_origin(&own, &answer.url) {
            return Ok(answer);
        }
        let challenge = (answer.status() == StatusCode::UNAUTHORIZED).then(|| Challenge::of(&answer)).flatten();
        let Some(challenge) = challenge else { return self.accepted(answer).await };
        drop(answer);
        self.authorize(&own, &challenge).await?;
        call.authorization = self.authorization.clone();
        let answer = self.http.send(&call).await?;
        if same_origin(&own, &answer.url) { self.accepted(answer).await } else { Ok(answer) }
    }

    /// Answer a challenge.
    async fn authorize(&mut self, own: &url::Url, challenge: &Challenge) -> Result<(), FetchError> {
        let registry = &self.reference.registry;
        let secret = auth::secret(&self.http.config().credentials, registry).await?;
        self.known = secret.is_some();
        self.authorization = match (challenge, &secret) {
            (Challenge::Basic, Some(Secret::Password(user, password))) => auth::basic(user, password),
            (Challenge::Basic, _) => return Err(self.login(String::new())),
            (Challenge::Bearer { realm, service }, secret) => {
                let actions = match self.action {
                    Action::Pull => "pull",
                    Action::Push => "pull,push",
                };
                let scope = format!("repository:{}:{actions}", self.reference.repository);
                let asked = auth::token(self.http, own, (realm, service.as_deref()), &scope, secret.as_ref()).await;
                match asked {
                    Err(FetchError::Status { status: 400 | 401 | 403, detail, .. }) => {
                        return Err(self.login(detail));
                    }
                    other => Some(other?),
                }
            }
        };
        Ok(())
    }

    async fn accepted(&self, answer: Answer) -> Result<Answer, FetchError> {
        if !matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Ok(answer);
        }
        match answer.refusal().await {
            FetchError::Status { detail, .. } => Err(self.login(detail)),
            other => Err(other),
        }
    }

    fn login(&self, detail: String) -> FetchError {
        FetchError::Login {
            registry: self.reference.registry.clone(),
            place: self.reference.to_string(),
            who: if self.known { "the login that is known for it" } else { "to serve somebody who is not logged in" },
            detail: if detail.is_empty() { detail } else { format!(" ({detail})") },
        }
    }
}
