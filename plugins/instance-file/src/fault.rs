//! What went wrong, in the contract's words.

use crate::bindings::homeostat::plugin::types::{Error, ErrorCode};
use crate::directory::Failure;

/// What the guest calls the directory of its instances.
pub const GUEST_DIR: &str = "/instances";

/// The grant that this plugin needs, as the operator writes it.
const GRANT: &str = r#"{"Dirs": [{"Host": "DIRECTORY", "Guest": "/instances", "Mode": "rw"}]}"#;

/// An error of this code.
pub fn error(code: ErrorCode, message: String) -> Error {
    Error { code, message, path: None, retry_after_ms: None }
}

/// The arguments can never work; `path` is the member of the properties that is wrong.
pub fn invalid(path: &str, message: String) -> Error {
    Error { path: Some(path.to_owned()), ..error(ErrorCode::InvalidArgument, message) }
}

/// Nothing more precise can be said.
pub fn internal(message: String) -> Error {
    error(ErrorCode::Internal, message)
}

/// The operator granted no directory.
pub fn no_grant() -> Error {
    let message = format!("no directory is granted as {GUEST_DIR}; register the plugin with \"Grants\": {GRANT}");
    error(ErrorCode::PermissionDenied, message)
}

/// An operation on the directory failed. `doing` says which, as in "write `web-1.json`".
pub fn failed(doing: &str, failure: Failure) -> Error {
    let (code, hint) = match failure {
        Failure::NotGranted => (ErrorCode::PermissionDenied, format!("; grant it for writing: \"Grants\": {GRANT}")),
        Failure::Denied => {
            let hint = "; let the user that the host runs as read and write the directory on the host".to_owned();
            (ErrorCode::PermissionDenied, hint)
        }
        Failure::Full => (ErrorCode::ResourceExhausted, "; make room on the disk".to_owned()),
        Failure::Unsupported => {
            (ErrorCode::Unimplemented, "; grant a directory of a file system with hard links".to_owned())
        }
        _ => (ErrorCode::Internal, String::new()),
    };
    error(code, format!("cannot {doing} in {GUEST_DIR}: {failure}{hint}"))
}
