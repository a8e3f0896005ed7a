//! What a file is, told from its bytes alone: before anything is compiled, and without trusting any of it.

use std::collections::BTreeSet;

use homeostat_core::grant::Manifest;
use wasmparser::{
    BinaryReader, ComponentExternalKind, Encoding, Parser, Payload, ProducersSectionReader, Validator, WasmFeatures,
};

use crate::abi::{PACKAGE, Version};
use crate::error::LoadErrorKind;
use crate::plugin::PluginKind;

/// Names a component may import or export; more is no plugin.
const NAMES: usize = 10_000;

/// What a component imports and exports, by name, and what its custom sections say of it.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    /// What was found under [`Manifest::SECTION`], once for each different content.
    pub manifests: Vec<Vec<u8>>,
    /// What it was made with: languages, compilers and tools with their versions, as the `producers` sections say.
    pub producers: BTreeSet<String>,
}

/// Interfaces of the contract that a plugin may import, in every version. `types` is there for the sake of the others.
const GIVEN: &[&str] = &["config", "exec", "log", "secrets", "types"];

/// Custom sections of one file that are read; a file with more is stepped over.
const SECTIONS: usize = 10_000;

/// How deep modules and components may be nested to be looked into.
const DEPTH: usize = 8;

/// Producers of one file that are kept.
const PRODUCERS: usize = 32;

/// Which world a component is of.
#[derive(Debug, PartialEq)]
pub(crate) struct World {
    pub kind: PluginKind,
    /// The version it names, which may have another patch number than the one that serves it.
    pub version: String,
    pub served_by: Version,
}

/// Check that this is a whole component, and read its names. Costs little: of nested modules the code is stepped over.
pub(crate) fn names(bytes: &[u8]) -> Result<Names, LoadErrorKind> {
    if bytes.is_empty() {
        return Err(LoadErrorKind::Empty);
    }
    let size = bytes.len() as u64;
    match bytes.strip_prefix(b"\0asm") {
        // A file that ends within the header.
        _ if bytes.len() < 8 && b"\0asm".starts_with(&bytes[..bytes.len().min(4)]) => {
            return Err(LoadErrorKind::Truncated { size });
        }
        None => return Err(LoadErrorKind::NotWasm { looks_like: looks_like(bytes) }),
        Some(_) => {}
    }
    let mut names = Names::default();
    let mut parser = Parser::new(0);
    // Files from new tools may begin with features that only the compiler can judge.
    parser.set_features(WasmFeatures::all());
    let mut rest = bytes;
    loop {
        let (used, payload) = match parser.parse(rest, true) {
            Ok(wasmparser::Chunk::Parsed { consumed, payload }) => (consumed, payload),
            Ok(wasmparser::Chunk::NeedMoreData(_)) => return Err(LoadErrorKind::Truncated { size }),
            Err(error) => return Err(broken(&error, size)),
        };
        rest = &rest[used..];
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => return Err(LoadErrorKind::CoreModule),
            Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                let nested = bytes.get(unchecked_range.clone()).ok_or(LoadErrorKind::Truncated { size })?;
                names.look_into(nested, DEPTH);
                // The parser itself already counts from behind it.
                rest = &bytes[unchecked_range.end..];
            }
            Payload::CustomSection(section) => names.custom(section.name(), section.data(), section.data_offset()),
            Payload::ComponentImportSection(section) => {
                for import in section {
                    names.imports.push(import.map_err(|e| broken(&e, size))?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export.map_err(|e| broken(&e, size))?;
                    if export.kind == ComponentExternalKind::Instance {
                        names.exports.push(export.name.name.to_owned());
                    }
                }
            }
            Payload::End(_) => break,
            _ => {}
        }
        if names.imports.len() + names.exports.len() > NAMES {
            return Err(LoadErrorKind::Malformed {
                offset: 0,
                reason: format!("more than {NAMES} imports and exports"),
            });
        }
    }
    Ok(names)
}

impl Names {
    /// Read the custom sections of a nested module or component. What is broken in it, the compiler will say.
    fn look_into(&mut self, bytes: &[u8], depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        let mut parser = Parser::new(0);
        parser.set_features(WasmFeatures::all());
        let mut rest = bytes;
        for _ in 0..SECTIONS {
            let Ok(wasmparser::Chunk::Parsed { consumed, payload }) = parser.parse(rest, true) else { return };
            rest = &rest[consumed..];
            match payload {
                Payload::CodeSectionStart { size, .. } => {
                    parser.skip_section();
                    let Some(behind) = rest.get(size as usize..) else { return };
                    rest = behind;
                }
                Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                    let Some(nested) = bytes.get(unchecked_range.clone()) else { return };
                    self.look_into(nested, depth);
                    rest = &bytes[unchecked_range.end..];
                }
                Payload::CustomSection(section) => self.custom(section.name(), section.data(), section.data_offset()),
                Payload::End(_) => return,
                _ => {}
            }
        }
    }

    fn custom(&mut self, name: &str, data: &[u8], offset: usize) {
        if name == Manifest::SECTION && !self.manifests.iter().any(|it| it == data) {
            self.manifests.push(data.to_owned());
        }
        if name != "producers" {
            return;
        }
        let Ok(fields) = ProducersSectionReader::new(BinaryReader::new(data, offset)) else { return };
        for value in fields.into_iter().flatten().flat_map(|field| field.values.into_iter().flatten()) {
            if self.producers.len() < PRODUCERS {
                self.producers.insert(format!("{} {}", value.name, value.version).trim().chars().take(80).collect());
            }
        }
    }
}

/// Check the whole file against the format. Costs some 10 ms for each megabyte.
pub(crate) fn validate(bytes: &[u8]) -> Result<(), LoadErrorKind> {
    Validator::new_with_features(WasmFeatures::all())
        .validate_all(bytes)
        .map(drop)
        .map_err(|error| broken(&error, bytes.len() as u64))
}

fn broken(error: &wasmparser::BinaryReaderError, size: u64) -> LoadErrorKind {
    let offset = error.offset() as u64;
    if error.message().contains("unexpected end") && offset >= size.saturating_sub(1) {
        return LoadErrorKind::Truncated { size };
    }
    LoadErrorKind::Malformed { offset, reason: error.message().to_owned() }
}

/// Find the world by what is exported: the newest, where a component is of several versions.
pub(crate) fn world(names: &Names, drafts: bool) -> Result<World, LoadErrorKind> {
    let mut worlds: Vec<World> = Vec::new();
    let (mut other, mut draft) = (None, None);
    for name in &names.exports {
        let Some((interface, version)) = ours(name) else { continue };
        let Some(served_by) = Version::serving(version) else {
            other = Some(version);
            continue;
        };
        let kind = match interface {
            "instance" => PluginKind::Instance,
            "flavor" => PluginKind::Flavor,
            _ => continue,
        };
        if served_by.is_draft() && !drafts {
            draft = Some(version);
            continue;
        }
        worlds.push(World { kind, version: version.to_owned(), served_by });
    }
    worlds.sort_by_key(|world| world.served_by);
    let served = Version::served(drafts);
    match (worlds.pop(), draft, other) {
        (Some(world), ..) if worlds.iter().all(|it| it.kind == world.kind) => Ok(world),
        (Some(_), ..) => Err(LoadErrorKind::BothWorlds),
        (None, Some(found), _) => Err(LoadErrorKind::Draft { found: found.to_owned(), served }),
        (None, None, Some(found)) => Err(LoadErrorKind::OtherVersion { found: found.to_owned(), served }),
        (None, None, None) => Err(LoadErrorKind::NoWorld { exports: list(&names.exports), served }),
    }
}

/// Whether a flavor of this version says which instances go first.
pub(crate) fn orders_removal(names: &Names, of: Version) -> bool {
    names
        .exports
        .iter()
        .filter_map(|name| ours(name))
        .any(|(interface, version)| interface == "removal" && Version::serving(version) == Some(of))
}

/// Why an import is not given, and what to do.
pub(crate) fn import_hint(import: &str, drafts: bool) -> String {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    if let Some((interface, version)) = ours(import) {
        let served = Version::served(drafts);
        return match Version::serving(version) {
            Some(version) if version.is_draft() && !drafts => format!(
                "it serves homeostat:plugin in version {served}, and that is a draft; build the plugin against a version \
                 served, or, to try the draft, start the host with --allow-drafts"
            ),
            Some(_) if GIVEN.contains(&interface) => format!(
                "it gives this interface with other functions, as the `wit/` folder of a version served has it ({served}); \
                 the plugin may have been built for a later host"
            ),
            Some(_) => format!(
                "of homeostat:plugin in version {served}, a plugin may import {}; this one may have been built for a later \
                 host",
                GIVEN.join(", ")
            ),
            None => format!("it serves homeostat:plugin in version {served}; build the plugin against that"),
        };
    }
    if interface.starts_with("wasi:http/") {
        return "this version grants no HTTP; build the plugin without an HTTP client".into();
    }
    if interface.starts_with("wasi:") && !version.is_empty() && !version.starts_with("0.2.") {
        return format!("it gives WASI 0.2, and this is {version}; build with `--target wasm32-wasip2`");
    }
    format!(
        "a host gives the interfaces of wasi:cli/imports@0.2 and of homeostat:plugin (in version {}), and nothing else; build \
         the plugin without it",
        Version::served(drafts)
    )
}

/// Interface and version, where a name is of the contract's package.
fn ours(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.strip_prefix('/')?.split_once('@')
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nothing (a file that was cut off does so too)".into(),
        names => {
            let shown = names.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
            if names.len() > 8 { format!("{shown} and {} more", names.len() - 8) } else { shown }
        }
    }
}

fn looks_like(bytes: &[u8]) -> String {
    const MAGIC: &[(&[u8], &str)] = &[
        (b"\x7fELF", "a native program or library (ELF); build it with `--target wasm32-wasip2`"),
        (b"MZ", "a Windows program; build it with `--target wasm32-wasip2`"),
        (b"\xcf\xfa\xed\xfe", "a macOS program; build it with `--target wasm32-wasip2`"),
        (b"\xca\xfe\xba\xbe", "a macOS program or a Java class; build it with `--target wasm32-wasip2`"),
        (b"!<arch>\n", "a library archive; give the .wasm file of the build"),
        (b"\x1f\x8b", "a gzip archive; unpack it first"),
        (b"PK\x03\x04", "a zip archive; unpack it first"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it first"),
        (b"#!", "a script; a plugin is a WebAssembly component"),
    ];
    // Byte 7 of an ELF header names the system; this is wasmtime's own.
    if bytes.starts_with(b"\x7fELF") && bytes.get(7) == Some(&200) {
        return "code that was compiled from it already (.cwasm); give the .wasm file".into();
    }
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return (*what).into();
    }
    let head = &bytes[..bytes.len().min(1024)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or_default(),
        Err(_) => "",
    };
    if text.is_empty() || text.contains('\0') {
        return format!("other data (it begins with {:02x?})", &bytes[..bytes.len().min(4)]);
    }
    let code = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with(";;")).unwrap_or_default();
    match code {
        code if code.starts_with("(component") || code.starts_with("(module") => {
            "its text form (.wat); turn it into the binary form with `wasm-tools parse`".into()
        }
        code if code.starts_with("package ") => "a text (WIT?); give the .wasm file that was built from it".into(),
        code if code.starts_with(['{', '[']) => "a text (JSON?); give the path of the .wasm file".into(),
        _ => "a text; give the path of the .wasm file".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(exports: &[&str]) -> Names {
        Names { exports: exports.iter().map(|e| (*e).to_owned()).collect(), ..Names::default() }
    }

    #[test]
    fn the_world_is_told_by_exports() {
        let meta = "homeostat:plugin/meta@0.1.0";
        let found = world(&with(&[meta, "homeostat:plugin/instance@0.1.0"]), false).expect("a world");
        assert_eq!((found.kind, &*found.version), (PluginKind::Instance, "0.1.0"));
        let found = world(&with(&["homeostat:plugin/flavor@0.1.7", "wasi:cli/run@0.2.0"]), false).expect("a world");
        assert_eq!((found.kind, &*found.version), (PluginKind::Flavor, "0.1.7"));

        let refused = |exports: &[&str]| world(&with(exports), false).expect_err("was accepted").to_string();
        assert!(refused(&["homeostat:plugin/instance@0.1.0", "homeostat:plugin/flavor@0.1.0"]).contains("both"));
        for version in ["0.2.1", "0.3.0", "1.0.0"] {
            let other = refused(&[&format!("homeostat:plugin/instance@{version}")]);
            assert!(other.contains(&format!("@{version}, which this host does not know; it serves 0.1.0:")), "{other}");
            assert!(other.contains("build the plugin against"), "{other}");
        }
        assert!(refused(&["homeostat:plugin/instance@0.1.0-rc.1"]).contains("0.1.0-rc.1"));
        assert!(refused(&["wasi:cli/run@0.2.3"]).contains("it exports wasi:cli/run@0.2.3;"));
        assert!(refused(&[meta]).contains("no homeostat plugin"));
        assert!(refused(&[]).contains("exports nothing"));
    }

    #[test]
    fn a_draft_is_served_where_it_is_allowed_and_the_newest_of_several() {
        let (old, new) = ("homeostat:plugin/instance@0.1.0", "homeostat:plugin/instance@0.2.0");
        let refused = world(&with(&[new]), false).expect_err("was accepted").to_string();
        assert!(refused.contains("@0.2.0, a draft") && refused.contains("serves 0.1.0:"), "{refused}");
        assert!(refused.contains("--allow-drafts"), "{refused}");
        let found = |exports: &[&str], drafts| world(&with(exports), drafts).expect("a world").served_by;
        assert_eq!(found(&[new], true), Version::V0_2Draft);
        for both in [[old, new], [new, old]] {
            assert_eq!((found(&both, true), found(&both, false)), (Version::V0_2Draft, Version::V0_1));
        }
        let mixed = [old, "homeostat:plugin/flavor@0.2.0"];
        assert!(matches!(world(&with(&mixed), true), Err(LoadErrorKind::BothWorlds)));
    }

    #[test]
    fn the_order_of_removal_is_an_export_of_its_own() {
        let flavor = "homeostat:plugin/flavor@0.1.0";
        for (exports, orders) in [
            (&[flavor][..], false),
            (&[flavor, "homeostat:plugin/removal@0.1.0"], true),
            (&[flavor, "homeostat:plugin/removal@0.1.3"], true),
            (&[flavor, "homeostat:plugin/removal@0.2.0"], false),
            (&[flavor, "homeostat:plugin/removals@0.1.0", "acme:plugin/removal@0.1.0"], false),
        ] {
            assert_eq!(orders_removal(&with(exports), Version::V0_1), orders, "{exports:?}");
        }
    }

    #[test]
    fn says_what_a_file_looks_like() {
        for (bytes, says) in [
            (&b"\x7fELF\x02\x01\x01\x00"[..], "native program"),
            (b"\x7fELF\x02\x01\x01\xc8", ".cwasm"),
            (b";; hi\n(component)", "wasm-tools parse"),
            (b"package homeostat:plugin;", "WIT"),
            (b"{\"ID\": 1}", "JSON"),
            (b"hello", "a text"),
            (b"#!/bin/sh", "a script"),
            (b"\xff\xfe\x00\x01", "other data (it begins with [ff, fe, 00, 01])"),
        ] {
            let Err(LoadErrorKind::NotWasm { looks_like }) = names(bytes) else { panic!("{bytes:?} was accepted") };
            assert!(looks_like.contains(says), "{looks_like}");
        }
    }

    #[test]
    fn no_file_makes_it_panic() {
        let mut file = b"\0asm\x0d\0\x01\0".to_vec();
        for byte in 0..=255 {
            for more in [&[][..], &[1], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0x80; 12]] {
                file.truncate(8);
                file.push(byte);
                file.extend_from_slice(more);
                names(&file).and_then(|_| validate(&file)).expect_err("was accepted");
            }
        }
        for size in 1..8 {
            assert!(matches!(names(&file[..size]), Err(LoadErrorKind::Truncated { .. })), "{size}");
        }
    }
}
