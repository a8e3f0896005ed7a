//! What a guest is told: the error codes of `wasi:http`, which say enough to act on and nothing of the host.

use std::fmt;

use crate::error::{BadHeader, EgressError, Part, Stage};
use crate::target::BadUrl;

/// The codes that fit, of `error-code` in `wasi:http/types`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestCode {
    /// `DNS-timeout`
    DnsTimeout,
    /// `DNS-error`
    DnsError,
    /// `destination-not-found`
    DestinationNotFound,
    /// `destination-IP-prohibited`
    DestinationIpProhibited,
    /// `destination-IP-unroutable`
    DestinationIpUnroutable,
    /// `connection-refused`
    ConnectionRefused,
    /// `connection-terminated`
    ConnectionTerminated,
    /// `connection-timeout`
    ConnectionTimeout,
    /// `connection-read-timeout`
    ConnectionReadTimeout,
    /// `connection-limit-reached`
    ConnectionLimitReached,
    /// `TLS-protocol-error`
    TlsProtocolError,
    /// `TLS-certificate-error`
    TlsCertificateError,
    /// `TLS-alert-received`, with its number.
    TlsAlertReceived(u8),
    /// `HTTP-request-denied`
    HttpRequestDenied,
    /// `HTTP-request-method-invalid`
    HttpRequestMethodInvalid,
    /// `HTTP-request-URI-invalid`
    HttpRequestUriInvalid,
    /// `HTTP-request-URI-too-long`
    HttpRequestUriTooLong,
    /// `HTTP-request-header-section-size`, with the most in bytes where bytes are counted.
    HttpRequestHeaderSectionSize(Option<u32>),
    /// `HTTP-request-body-size`, with the most in bytes, or with what was sent.
    HttpRequestBodySize(u64),
    /// `HTTP-request-trailer-section-size`
    HttpRequestTrailerSectionSize,
    /// `HTTP-response-incomplete`
    HttpResponseIncomplete,
    /// `HTTP-response-header-section-size`, with the most in bytes.
    HttpResponseHeaderSectionSize(u32),
    /// `HTTP-response-body-size`, with the most in bytes.
    HttpResponseBodySize(u64),
    /// `HTTP-response-timeout`
    HttpResponseTimeout,
    /// `HTTP-upgrade-failed`
    HttpUpgradeFailed,
    /// `HTTP-protocol-error`
    HttpProtocolError,
    /// `configuration-error`
    ConfigurationError,
    /// `internal-error`, with a sentence.
    InternalError(Option<String>),
}

impl GuestCode {
    /// Its name in the interface.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::DnsTimeout => "DNS-timeout",
            Self::DnsError => "DNS-error",
            Self::DestinationNotFound => "destination-not-found",
            Self::DestinationIpProhibited => "destination-IP-prohibited",
            Self::DestinationIpUnroutable => "destination-IP-unroutable",
            Self::ConnectionRefused => "connection-refused",
            Self::ConnectionTerminated => "connection-terminated",
            Self::ConnectionTimeout => "connection-timeout",
            Self::ConnectionReadTimeout => "connection-read-timeout",
            Self::ConnectionLimitReached => "connection-limit-reached",
            Self::TlsProtocolError => "TLS-protocol-error",
            Self::TlsCertificateError => "TLS-certificate-error",
            Self::TlsAlertReceived(_) => "TLS-alert-received",
            Self::HttpRequestDenied => "HTTP-request-denied",
            Self::HttpRequestMethodInvalid => "HTTP-request-method-invalid",
            Self::HttpRequestUriInvalid => "HTTP-request-URI-invalid",
            Self::HttpRequestUriTooLong => "HTTP-request-URI-too-long",
            Self::HttpRequestHeaderSectionSize(_) => "HTTP-request-header-section-size",
            Self::HttpRequestBodySize(_) => "HTTP-request-body-size",
            Self::HttpRequestTrailerSectionSize => "HTTP-request-trailer-section-size",
            Self::HttpResponseIncomplete => "HTTP-response-incomplete",
            Self::HttpResponseHeaderSectionSize(_) => "HTTP-response-header-section-size",
            Self::HttpResponseBodySize(_) => "HTTP-response-body-size",
            Self::HttpResponseTimeout => "HTTP-response-timeout",
            Self::HttpUpgradeFailed => "HTTP-upgrade-failed",
            Self::HttpProtocolError => "HTTP-protocol-error",
            Self::ConfigurationError => "configuration-error",
            Self::InternalError(_) => "internal-error",
        }
    }

    /// The code of that name, as a tape has it. What a code carried is not on the tape.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [
            Self::DnsTimeout,
            Self::DnsError,
            Self::DestinationNotFound,
            Self::DestinationIpProhibited,
            Self::DestinationIpUnroutable,
            Self::ConnectionRefused,
            Self::ConnectionTerminated,
            Self::ConnectionTimeout,
            Self::ConnectionReadTimeout,
            Self::ConnectionLimitReached,
            Self::TlsProtocolError,
            Self::TlsCertificateError,
            Self::TlsAlertReceived(0),
            Self::HttpRequestDenied,
            Self::HttpRequestMethodInvalid,
            Self::HttpRequestUriInvalid,
            Self::HttpRequestUriTooLong,
            Self::HttpRequestHeaderSectionSize(None),
            Self::HttpRequestBodySize(0),
            Self::HttpRequestTrailerSectionSize,
            Self::HttpResponseIncomplete,
            Self::HttpResponseHeaderSectionSize(0),
            Self::HttpResponseBodySize(0),
            Self::HttpResponseTimeout,
            Self::HttpUpgradeFailed,
            Self::HttpProtocolError,
            Self::ConfigurationError,
            Self::InternalError(None),
        ]
        .into_iter()
        .find(|it| it.as_str() == name)
    }
}

impl fmt::Display for GuestCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl EgressError {
    /// What the guest is told. It names no file, no secret and no address of the host.
    pub fn guest_code(&self) -> GuestCode {
        match self {
            Self::Url(BadUrl::TooLong) => GuestCode::HttpRequestUriTooLong,
            Self::Url(_) => GuestCode::HttpRequestUriInvalid,
            Self::Method(_) => GuestCode::HttpRequestMethodInvalid,
            Self::Header { why: BadHeader::Trailer, .. } => GuestCode::HttpRequestTrailerSectionSize,
            Self::Header { why: BadHeader::Length, .. } => GuestCode::HttpProtocolError,
            Self::Denied(_) | Self::Header { .. } => GuestCode::HttpRequestDenied,
            Self::Address { .. } => GuestCode::DestinationIpProhibited,
            Self::TooLarge { what, limit } => {
                let small = u32::try_from(*limit).unwrap_or(u32::MAX);
                match what {
                    Part::RequestHeaders => GuestCode::HttpRequestHeaderSectionSize(Some(small)),
                    Part::RequestHeaderCount => GuestCode::HttpRequestHeaderSectionSize(None),
                    Part::RequestBody => GuestCode::HttpRequestBodySize(*limit),
                    Part::ResponseHeaders => GuestCode::HttpResponseHeaderSectionSize(small),
                    Part::ResponseBody => GuestCode::HttpResponseBodySize(*limit),
                }
            }
            Self::Busy { .. } => GuestCode::ConnectionLimitReached,
            Self::Dns { .. } => GuestCode::DnsError,
            Self::NoAddress(_) => GuestCode::DestinationNotFound,
            Self::Connect { source, .. } => match source.kind() {
                std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::HostUnreachable => {
                    GuestCode::DestinationIpUnroutable
                }
                std::io::ErrorKind::TimedOut => GuestCode::ConnectionTimeout,
                _ => GuestCode::ConnectionRefused,
            },
            Self::Tls { source, .. } => match source {
                rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                    GuestCode::TlsCertificateError
                }
                rustls::Error::AlertReceived(alert) => GuestCode::TlsAlertReceived(u8::from(*alert)),
                _ => GuestCode::TlsProtocolError,
            },
            Self::Timeout { stage, .. } => match stage {
                Stage::Secrets => GuestCode::ConfigurationError,
                Stage::Resolve => GuestCode::DnsTimeout,
                Stage::Connect => GuestCode::ConnectionTimeout,
                Stage::FirstByte => GuestCode::HttpResponseTimeout,
                Stage::BetweenBytes => GuestCode::ConnectionReadTimeout,
            },
            Self::Closed(_) => GuestCode::ConnectionTerminated,
            Self::Incomplete(_) => GuestCode::HttpResponseIncomplete,
            Self::Protocol(_) => GuestCode::HttpProtocolError,
            Self::Upgrade(_) => GuestCode::HttpUpgradeFailed,
            Self::RequestBody(_) => GuestCode::InternalError(Some("the request's body failed".into())),
            Self::Length { sent, .. } => GuestCode::HttpRequestBodySize(*sent),
            Self::Secret { .. } | Self::SecretValue { .. } => GuestCode::ConfigurationError,
            Self::Wire(failure) => failure.code(),
        }
    }
}
