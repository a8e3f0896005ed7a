//! Whether a listed program can be run.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access};

use crate::ExecError;

/// Check a program's file: absolute, there, a file that this user may run, and that not everybody may write.
///
/// # Errors
/// [`ExecError::Program`], with what to do about it.
pub fn check_program(path: &Path) -> Result<(), ExecError> {
    let wrong = |what: String| Err(ExecError::Program { path: path.to_owned(), what });
    if !path.is_absolute() {
        return wrong("the path of a program has to be absolute".into());
    }
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) => return wrong(format!("the program cannot be found: {error}")),
    };
    if !found.is_file() {
        return wrong("this is no file; the grant has to name the program itself".into());
    }
    if let Err(error) = access(path, Access::EXEC_OK) {
        return wrong(format!("the program cannot be run: {error}; `chmod +x` may be missing"));
    }
    if found.mode() & 0o002 != 0 {
        return wrong("everybody may write this file, and so run anything by this grant; `chmod o-w` it".into());
    }
    Ok(())
}
