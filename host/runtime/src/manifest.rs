//! What a plugin's author says that it needs: in the file itself, or in a file beside it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use homeostat_core::grant::Manifest;
use wasmparser::{Encoding, Parser, Payload};

use crate::error::LoadErrorKind;

/// The largest manifest, in bytes.
const SIZE: u64 = 64 << 10;

/// Read the manifest of a component. The one in the component wins over the file beside it; without any, the plugin wants
/// nothing.
pub(crate) fn read(file: &Path, sections: &[Vec<u8>]) -> Result<Manifest, LoadErrorKind> {
    let (text, place) = match sections {
        [] => match beside(file)? {
            Some(text) => (text, beside_path(file).display().to_string()),
            None => return Ok(Manifest::default()),
        },
        [section] => (section.clone(), format!("its custom section {}", Manifest::SECTION)),
        _ => return Err(LoadErrorKind::Manifests { count: sections.len() }),
    };
    parse(&text).map_err(|reason| LoadErrorKind::Manifest { place, reason })
}

/// Read a manifest.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(text: &[u8]) -> Result<Manifest, String> {
    // A section that is a C string may end with its zero.
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    if text.len() as u64 > SIZE {
        return Err(format!("it has {} bytes, and at most {SIZE} are read", text.len()));
    }
    Manifest::parse(text).map_err(|error| error.to_string())
}

/// Write a manifest into a component, as a custom section at its end. Answers with the new file's bytes.
///
/// # Errors
/// Where the manifest is none, the file is no component, or it has a manifest already.
pub fn seal(component: &[u8], manifest: &[u8]) -> Result<Vec<u8>, String> {
    parse(manifest).map_err(|reason| format!("the manifest cannot be used: {reason}"))?;
    let names = crate::inspect::names(component).map_err(|kind| format!("the file cannot be sealed: {kind}"))?;
    if !names.manifests.is_empty() {
        return Err("the component has a manifest already; build it anew to give it another one".into());
    }
    let mut parser = Parser::new(0);
    parser.set_features(wasmparser::WasmFeatures::all());
    if !matches!(
        parser.parse(component, true),
        Ok(wasmparser::Chunk::Parsed { payload: Payload::Version { encoding: Encoding::Component, .. }, .. })
    ) {
        return Err("the file is no component".into());
    }
    let name = Manifest::SECTION.as_bytes();
    let mut content = Vec::with_capacity(name.len() + manifest.len() + 8);
    leb128(&mut content, name.len());
    content.extend_from_slice(name);
    content.extend_from_slice(manifest);
    let mut sealed = Vec::with_capacity(component.len() + content.len() + 8);
    sealed.extend_from_slice(component);
    sealed.push(0);
    leb128(&mut sealed, content.len());
    sealed.extend_from_slice(&content);
    Ok(sealed)
}

/// A length as WebAssembly writes it.
fn leb128(bytes: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// `greeter.wasm` has its manifest in `greeter.manifest.json`.
fn beside_path(file: &Path) -> PathBuf {
    file.with_extension("manifest.json")
}

fn beside(file: &Path) -> Result<Option<Vec<u8>>, LoadErrorKind> {
    let path = beside_path(file);
    let unusable = |reason: String| LoadErrorKind::Manifest { place: path.display().to_string(), reason };
    match fs::metadata(&path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(unusable(error.to_string())),
        Ok(metadata) if !metadata.is_file() => return Err(unusable("it is no file".into())),
        Ok(metadata) if metadata.len() > SIZE => {
            return Err(unusable(format!("it has {} bytes, and at most {SIZE} are read", metadata.len())));
        }
        Ok(_) => {}
    }
    fs::read(&path).map(Some).map_err(|error| unusable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"{"Wants": {"Dirs": [{"Guest": "/data"}]}}"#;

    fn component() -> Vec<u8> {
        wat::parse_str("(component)").expect("is text")
    }

    #[test]
    fn what_is_sealed_is_read_again_and_only_once() {
        let sealed = seal(&component(), MANIFEST.as_bytes()).expect("seals");
        let names = crate::inspect::names(&sealed).expect("is a component");
        let read = read("none.wasm".as_ref(), &names.manifests).expect("is a manifest");
        assert_eq!(read.wants.dirs[0].guest, "/data");
        assert!(seal(&sealed, b"{}").expect_err("was sealed twice").contains("already"));
        assert!(seal(b"text", b"{}").is_err() && seal(&component(), b"{").is_err());
    }

    #[test]
    fn a_section_of_a_nested_module_is_found() {
        let text = format!(r#"(component (core module (@custom "{}" "{{}}")))"#, Manifest::SECTION);
        let names = crate::inspect::names(&wat::parse_str(text).expect("is text")).expect("is a component");
        assert_eq!(names.manifests, [b"{}"]);
    }

    #[test]
    fn the_file_beside_it_counts_where_there_is_no_section() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("greeter.wasm");
        assert_eq!(read(&file, &[]).expect("none is fine"), Manifest::default());
        fs::write(dir.path().join("greeter.manifest.json"), MANIFEST).expect("a file");
        assert_eq!(read(&file, &[]).expect("is read").wants.dirs.len(), 1);
        assert_eq!(read(&file, &[b"{}".to_vec()]).expect("is read"), Manifest::default());
        fs::write(dir.path().join("greeter.manifest.json"), "{\"Want\": 1}").expect("a file");
        let refused = read(&file, &[]).expect_err("was read").to_string();
        assert!(refused.contains("greeter.manifest.json") && refused.contains("Want"), "{refused}");
    }
}
