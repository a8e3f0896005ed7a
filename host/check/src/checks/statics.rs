//! What the file is. The loader has judged most of it by the time that these run; see [`crate::run`] for what it refused.

use homeostat_core::bytes;

use crate::kit::Kit;
use crate::outcome::Checked;

pub(super) fn is_a_component(kit: &Kit) -> Checked {
    Ok(format!("sha256:{}", &kit.info.digest[..kit.info.digest.len().min(12)]))
}

pub(super) fn exports(kit: &Kit) -> Checked {
    Ok(kit.info.contract.clone())
}

/// All imports were linked; what they and the manifest ask the operator for is the note.
pub(super) fn imports(kit: &Kit) -> Checked {
    let wants = &kit.info.manifest.wants;
    let mut asked = Vec::new();
    asked.extend(wants.http.iter().map(|it| format!("HTTP to {}", it.url)));
    asked.extend(wants.dirs.iter().map(|it| format!("directory {}", it.guest)));
    asked.extend(wants.secrets.iter().map(|it| format!("secret {}", it.name)));
    asked.extend(wants.config.iter().map(|it| format!("setting {}", it.name)));
    asked.extend(wants.exec.iter().map(|it| format!("program {}", it.name)));
    Ok(match asked.as_slice() {
        [] => "it asks for nothing".into(),
        asked => format!("it asks for {}", asked.join(", ")),
    })
}

pub(super) fn manifest(kit: &Kit) -> Checked {
    let description = &kit.info.description;
    let toolchain = kit.info.manifest.toolchain.as_deref().map(|it| format!(", {it}")).unwrap_or_default();
    Ok(format!("{} {}{toolchain}", description.name, description.version))
}

pub(super) fn size(kit: &Kit) -> Checked {
    let compiled = if kit.info.from_cache { "machine code from the cache" } else { "compiled" };
    Ok(format!("{}, {compiled}, loaded in {} ms", bytes::format(kit.info.size), kit.info.load_time.as_millis()))
}

/// Nothing is refused for this: many toolchains import all of WASI unasked. The author may want to know.
pub(super) fn unexpected_wasi(kit: &Kit) -> Checked {
    let wants = &kit.info.manifest.wants;
    let unused = [
        ("wasi:sockets/", "sockets, which no host gives", false),
        ("wasi:http/", "HTTP, and its manifest wants none", !wants.http.is_empty()),
        ("wasi:filesystem/", "files, and its manifest wants no directory", !wants.dirs.is_empty()),
    ];
    let found: Vec<_> = unused
        .iter()
        .filter(|(package, _, wanted)| !wanted && kit.info.imports.iter().any(|it| it.starts_with(package)))
        .map(|(_, what, _)| *what)
        .collect();
    Ok(if found.is_empty() { String::new() } else { format!("note: it imports {}", found.join("; and ")) })
}
