//! An exchange with something between the plugin and the network: whole bodies, and a verdict.

use bytes::{Bytes, BytesMut};
use http::header::HeaderValue;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use tokio::time::{sleep, timeout};

use crate::body::{Body, Outgoing};
use crate::dial::Deadline;
use crate::egress::{Allowed, Egress};
use crate::error::{EgressError, Part, Stage};
use crate::headers::{self, REDACTED};
use crate::target::BadUrl;
use crate::wire::{By, Failure, MOST_ANSWER, MOST_REQUEST, Redactor, Then, Wire};

impl Egress {
    /// Carry an exchange through a wire.
    ///
    /// # Errors
    /// As without one, and what the wire makes of it.
    pub(crate) async fn through(
        &self,
        wire: &dyn Wire,
        allowed: &Allowed,
        outgoing: &Outgoing,
        deadline: Deadline,
    ) -> Result<Response<Body>, EgressError> {
        let (stage, after) = (Stage::FirstByte, allowed.timeouts.first_byte);
        let late = || EgressError::Timeout { stage, after };
        let body = timeout(after, whole_request(outgoing)).await.map_err(|_| late())??;
        let seen = self.seen(allowed, body.clone())?;
        let number = self.next_number();
        let verdict = wire.decide(number, &seen);
        let answer = match verdict.by {
            By::Failure(failure) => Err(EgressError::Wire(failure)),
            By::Answer(mut answer) => {
                headers::strip(answer.headers_mut());
                Ok(answer)
            }
            By::Server => match self.injected(allowed, deadline).await {
                Err(error) => Err(error),
                Ok(injected) => {
                    let answer = self.ask_server(allowed, body, &injected, deadline).await;
                    // A server may say back what it was told.
                    let redactor = Redactor::new(injected.into_iter().map(|it| it.1));
                    let clean = answer.as_ref().map(|it| redactor.answer(it));
                    wire.ended(number, &seen, clean.as_ref().map_err(|it| *it));
                    return tell(answer?, verdict.then, after, self.bounds.response_body).await;
                }
            },
        };
        wire.ended(number, &seen, answer.as_ref());
        tell(answer?, verdict.then, after, self.bounds.response_body).await
    }

    /// What a wire sees of a request.
    fn seen(&self, allowed: &Allowed, body: Bytes) -> Result<Request<Bytes>, EgressError> {
        let mut seen = Request::new(body);
        *seen.method_mut() = allowed.method.clone();
        *seen.uri_mut() = allowed.target.url().parse::<Uri>().map_err(|_| EgressError::Url(BadUrl::Host))?;
        *seen.headers_mut() = allowed.headers.clone();
        for name in self.injected_names(allowed) {
            let mut value = HeaderValue::from_static(REDACTED);
            value.set_sensitive(true);
            seen.headers_mut().insert(name, value);
        }
        Ok(seen)
    }

    async fn ask_server(
        &self,
        allowed: &Allowed,
        body: Bytes,
        injected: &[headers::Value],
        deadline: Deadline,
    ) -> Result<Response<Bytes>, EgressError> {
        let outgoing = Outgoing::new(Full::new(body), None, MOST_REQUEST)?;
        let answer = self.carry_with(allowed, &outgoing, injected, deadline).await?;
        let (parts, mut body) = answer.into_parts();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                if (whole.len() + data.len()) as u64 > MOST_ANSWER {
                    return Err(EgressError::TooLarge { what: Part::ResponseBody, limit: MOST_ANSWER });
                }
                whole.extend_from_slice(&data);
            }
        }
        Ok(Response::from_parts(parts, whole.freeze()))
    }
}

async fn whole_request(outgoing: &Outgoing) -> Result<Bytes, EgressError> {
    let mut stream = outgoing.stream();
    let mut whole = BytesMut::new();
    while let Some(frame) = stream.frame().await {
        let Ok(frame) = frame else {
            let unknown = || EgressError::RequestBody("it failed twice".into());
            return Err(outgoing.take_fault().unwrap_or_else(unknown));
        };
        if let Ok(data) = frame.into_data() {
            if (whole.len() + data.len()) as u64 > MOST_REQUEST {
                return Err(EgressError::TooLarge { what: Part::RequestBody, limit: MOST_REQUEST });
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

/// What the guest is told of an answer.
async fn tell(
    answer: Response<Bytes>,
    then: Then,
    first_byte: std::time::Duration,
    limit: u64,
) -> Result<Response<Body>, EgressError> {
    match then {
        Then::Tell => {}
        Then::Lose => return Err(EgressError::Wire(Failure::lost())),
        Then::Delay(by) => {
            sleep(by.min(first_byte)).await;
            if by > first_byte {
                return Err(EgressError::Timeout { stage: Stage::FirstByte, after: first_byte });
            }
        }
    }
    if answer.body().len() as u64 > limit {
        return Err(EgressError::TooLarge { what: Part::ResponseBody, limit });
    }
    Ok(answer.map(Body::memory))
}
