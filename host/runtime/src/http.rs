//! The one way out: requests of guests, judged by their grants.

use std::sync::Arc;

use homeostat_egress::{EgressError, GuestCode, Timeouts};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::grant::{Access, Authority};

/// What wasi:http asks for each request of one guest.
pub(crate) struct Hooks {
    authority: Arc<Authority>,
    access: Access,
}

impl Hooks {
    pub(crate) fn new(authority: Arc<Authority>, access: Access) -> Self {
        Self { authority, access }
    }
}

type Answer = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Hooks {
    fn set_host_header(&mut self) -> bool {
        // Egress writes it from the URL that was judged.
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _done: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answer, Error>> + Send> {
        let access = match self.access {
            Access::Nothing => return Box::new(async { Err(Error::HttpRequestDenied) }),
            Access::ReadOnly => homeostat_egress::Access::ReadOnly,
            Access::Granted => homeostat_egress::Access::Full,
        };
        let authority = self.authority.clone();
        let options = options.unwrap_or_default();
        let default = Timeouts::default();
        let timeouts = Timeouts {
            connect: options.connect_timeout.unwrap_or(default.connect),
            first_byte: options.first_byte_timeout.unwrap_or(default.first_byte),
            between_bytes: options.between_bytes_timeout.unwrap_or(default.between_bytes),
        };
        Box::new(async move {
            let request = request.map(|body| body.map_err(|error| error.to_string()));
            let answer = authority.egress.send(request, access, timeouts).await.map_err(|error| told(&error))?;
            let answer = answer.map(|body| body.map_err(|error| told(&error)).boxed_unsync());
            let nothing: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
            Ok((answer, nothing))
        })
    }
}

/// What the guest is told: a code, and no more than that.
fn told(error: &EgressError) -> Error {
    match error.guest_code() {
        GuestCode::DnsTimeout => Error::DnsTimeout,
        GuestCode::DnsError => Error::DnsError { rcode: None, info_code: None },
        GuestCode::DestinationNotFound => Error::DestinationNotFound,
        GuestCode::DestinationIpProhibited => Error::DestinationIpProhibited,
        GuestCode::DestinationIpUnroutable => Error::DestinationIpUnroutable,
        GuestCode::ConnectionRefused => Error::ConnectionRefused,
        GuestCode::ConnectionTerminated => Error::ConnectionTerminated,
        GuestCode::ConnectionTimeout => Error::ConnectionTimeout,
        GuestCode::ConnectionReadTimeout => Error::ConnectionReadTimeout,
        GuestCode::ConnectionLimitReached => Error::ConnectionLimitReached,
        GuestCode::TlsProtocolError => Error::TlsProtocolError,
        GuestCode::TlsCertificateError => Error::TlsCertificateError,
        GuestCode::TlsAlertReceived(alert) => Error::TlsAlertReceived { alert_id: Some(alert), alert_message: None },
        GuestCode::HttpRequestDenied => Error::HttpRequestDenied,
        GuestCode::HttpRequestMethodInvalid => Error::HttpRequestMethodInvalid,
        GuestCode::HttpRequestUriInvalid => Error::HttpRequestUriInvalid,
        GuestCode::HttpRequestUriTooLong => Error::HttpRequestUriTooLong,
        GuestCode::HttpRequestHeaderSectionSize(size) => Error::HttpRequestHeaderSectionSize(size),
        GuestCode::HttpRequestBodySize(size) => Error::HttpRequestBodySize(Some(size)),
        GuestCode::HttpRequestTrailerSectionSize => Error::HttpRequestTrailerSectionSize(None),
        GuestCode::HttpResponseIncomplete => Error::HttpResponseIncomplete,
        GuestCode::HttpResponseHeaderSectionSize(size) => Error::HttpResponseHeaderSectionSize(Some(size)),
        GuestCode::HttpResponseBodySize(size) => Error::HttpResponseBodySize(Some(size)),
        GuestCode::HttpResponseTimeout => Error::HttpResponseTimeout,
        GuestCode::HttpUpgradeFailed => Error::HttpUpgradeFailed,
        GuestCode::HttpProtocolError => Error::HttpProtocolError,
        GuestCode::ConfigurationError => Error::ConfigurationError,
        GuestCode::InternalError(what) => Error::InternalError(what),
    }
}
